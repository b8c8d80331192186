//! A run as a job: `run --driver-job`, for login nodes that end long processes.

use std::path::{Path, PathBuf};

use super::command::shell_word;
use super::scheduler::{Resources, Submission, Submitted};
use crate::options::QueueOptions;
use xpipe_base::task::Failure;

/// A run that was submitted as a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverJob {
    /// Its id in the queue.
    pub id: String,
    /// What it prints.
    pub log: PathBuf,
    /// The file that holds its exit code when it has ended.
    pub exit: PathBuf,
}

/// Submits a command line, to be run in `directory` with more variables, as a job of one CPU. `folder` is an empty one on
/// the shared file system.
///
/// # Errors
/// The queue does not accept it, or the folder cannot be written.
pub fn submit_driver(
    queue: &QueueOptions,
    folder: &Path,
    directory: &Path,
    variables: &[(String, String)],
    words: &[String],
) -> Result<DriverJob, Failure> {
    let name = format!("xpipe-run-{}", folder.file_name().unwrap_or_default().to_string_lossy());
    let logs = folder.join("logs");
    std::fs::create_dir_all(folder.join("jobs").join(&name)).and_then(|()| std::fs::create_dir_all(&logs))?;
    let exit = folder.join("exit");
    let word = |path: &Path| shell_word(&path.display().to_string());
    let line: Vec<String> = words.iter().map(|w| shell_word(w)).collect();
    let mut asking = queue.clone();
    let export = |(name, value): &(String, String)| format!("export {name}={}", shell_word(value));
    asking.cluster.environment.extend(variables.iter().map(export));
    asking.cluster.environment.extend([
        // The run ends its jobs at SIGTERM and needs a moment, in which its shell must not end.
        "trap '' TERM".to_owned(),
        format!("cd {} || exit 4", word(directory)),
        format!("{} 2>&1", line.join(" ")),
        format!("code=$?; echo $code > {0}.new; mv {0}.new {0}; exit $code", word(&exit)),
    ]);
    let resources = Resources { cpus: 1, ..Resources::default() };
    let jobs = folder.join("jobs").join(&name);
    let submission =
        Submission { name: &name, tasks: None, resources: &resources, folder: &jobs, logs: &logs };
    match super::scheduler(&asking).submit(&submission) {
        Submitted::Accepted(id) => Ok(DriverJob { id, log: logs.join(format!("{name}-0.log")), exit }),
        Submitted::Refused(why) => {
            Err(Failure::missing(format!("the queue refuses the run: {}", why.trim()))
                .help("correct the cluster's settings"))
        }
        Submitted::Unknown(why) => {
            Err(Failure::missing(format!("no clear answer to the submission of {name}: {}", why.trim()))
                .help("look for a job of that name before you try again"))
        }
    }
}
