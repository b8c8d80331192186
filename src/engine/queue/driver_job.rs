//! A run as a job: `run --driver-job`, for login nodes that end long processes.

use std::path::{Path, PathBuf};

use super::command::shell_word;
use super::scheduler::{Resources, Seen, Submission, Submitted};
use crate::cluster::Cluster;
use crate::options::QueueOptions;
use xpipe_base::task::Failure;

/// A run that was submitted as a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverJob {
    /// Its id in the queue.
    pub id: String,
    /// Its name there.
    name: String,
    /// What it prints.
    pub log: PathBuf,
    /// The file that holds its exit code when it has ended.
    pub exit: PathBuf,
}

impl DriverJob {
    /// What became of it in the queue: its last word, and whether it has ended there.
    ///
    /// # Errors
    /// The queue does not answer.
    pub fn state(&self, queue: &QueueOptions) -> Result<(String, bool), String> {
        let rows = super::scheduler(queue).poll(&[(self.name.clone(), Some(self.id.clone()))].into())?;
        Ok(match rows.get(&(self.name.clone(), 0)) {
            Some(row) => (row.word.clone(), matches!(row.seen, Seen::Ended(_))),
            None => ("gone from the queue".to_owned(), true),
        })
    }
}

/// Submits a command line, to be run in `directory` with more variables, as a job of one CPU. `folder` is an empty one on
/// the shared file system. Others can read the job's script, so it must hold no secret.
///
/// # Errors
/// The queue does not accept it, or the folder cannot be written.
pub fn submit_driver(
    queue: &QueueOptions,
    folder: &Path,
    directory: &str,
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
    let log = logs.join(format!("{name}-0.log"));
    asking.cluster.environment.extend([
        // The run ends its jobs at SIGTERM and needs a moment, in which its shell must not end.
        "trap '' TERM".to_owned(),
        format!("{{ cd {} && {}; }} >>{} 2>&1", shell_word(directory), line.join(" "), word(&log)),
        format!("code=$?; echo $code > {0}.new; mv {0}.new {0}; exit $code", word(&exit)),
    ]);
    let resources = resources(&queue.cluster);
    let jobs = folder.join("jobs").join(&name);
    let submission =
        Submission { name: &name, tasks: None, resources: &resources, folder: &jobs, logs: &logs };
    match super::scheduler(&asking).submit(&submission) {
        Submitted::Accepted(id) => Ok(DriverJob { id, name, log, exit }),
        Submitted::Refused(why) | Submitted::Failed(why) => {
            Err(Failure::missing(format!("the queue refuses the run: {}", why.trim()))
                .help("correct the cluster's settings"))
        }
        Submitted::Unknown(why) => {
            Err(Failure::missing(format!("no clear answer to the submission of {name}: {}", why.trim()))
                .help("look for a job of that name before you try again"))
        }
    }
}

/// What the job of a run asks for. It only waits and reads results.
fn resources(cluster: &Cluster) -> Resources {
    Resources {
        cpus: 1,
        memory: cluster.driver_memory.or(cluster.memory),
        seconds: cluster.driver_time.or(cluster.time).map(|s| s.min(1e9).ceil() as u64),
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::QueueKind;

    #[test]
    fn a_run_as_a_job_has_limits_of_its_own_and_tells_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let submit = |more: &str, directory: &Path| {
            let text = format!(
                r#"{{"kind": "commands", "submit": "echo {{memory_mib}} {{minutes}} > {0}/asked; sh {{script}}; echo 7",
                     "status": "echo 7 FAILED", "cancel": "true", "memory": "2GiB", "time": "1h"{more}}}"#,
                dir.path().display()
            );
            let cluster: Cluster = serde_json::from_str(&text).unwrap();
            assert_eq!(cluster.kind, QueueKind::Commands);
            let queue = QueueOptions { name: "own".into(), cluster, program: "true".into() };
            let folder = tempfile::tempdir_in(dir.path()).unwrap().keep();
            let words = ["sh", "-c", "pwd; exit 3"].map(str::to_owned);
            let job = submit_driver(&queue, &folder, directory.to_str().unwrap(), &[], &words).unwrap();
            let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
            let code = std::fs::read_to_string(&job.exit).unwrap();
            assert_eq!(job.state(&queue).unwrap(), ("FAILED".to_owned(), true));
            (asked.trim().to_owned(), code.trim().to_owned(), std::fs::read_to_string(&job.log).unwrap())
        };
        let (asked, code, log) = submit("", dir.path());
        assert_eq!((asked.as_str(), code.as_str()), ("2048 62", "3"));
        assert!(log.contains(dir.path().file_name().unwrap().to_str().unwrap()), "{log}");
        let own = r#", "driver_memory": "512MiB", "driver_time": "2d""#;
        assert_eq!(submit(own, dir.path()).0, "512 2882");
        // A folder that the node does not see ends the job, too.
        let (_, code, log) = submit("", &dir.path().join("absent"));
        assert!(code != "0" && log.contains("absent"), "{code}: {log}");
    }
}
