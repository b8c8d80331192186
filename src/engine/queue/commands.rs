//! Any queue, by three commands of the cluster's settings, for instance of PBS, LSF or HyperQueue.
//!
//! | command | is given | prints |
//! |---|---|---|
//! | `submit` | `{script}` `{name}` `{cpus}` `{memory_mib}` `{gpus}` `{minutes}` `{log}` | the id: the last word of its first line |
//! | `status` | – | a line `ID STATE` for each job of this user, ended ones while the queue knows them |
//! | `cancel` | `{ids}` | – |
//!
//! A word in braces stands for its value; a part in brackets, such as `[-l mem={memory_mib}mb]`, is left out when a value
//! in it is not known. A state that is not known is that of a living job, and a job that is not listed has ended: what it
//! did is read from its files. A job whose id is not known cannot be asked for: it has begun when its files say so.
//!
//! Exit codes 126 and 127 of `submit` are those of a shell that finds no such program: the stages fail at once. After any
//! other failure `submit` is called again, five times at most.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::command::{Silent, call, shell_word};
use super::scheduler::{Ending, Names, Row, Rows, Scheduler, Seen, Submission, Submitted};
use crate::cluster::Cluster;

/// A queue that is reached by commands.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) cluster: Cluster,
    /// The program that jobs run.
    pub(crate) program: PathBuf,
}

/// States by the words of common queues.
const WORDS: [(&str, Seen); 11] = [
    ("Q", Seen::Pending(String::new())),
    ("PEND", Seen::Pending(String::new())),
    ("WAITING", Seen::Pending(String::new())),
    ("C", Seen::Ended(Ending::Completed)),
    ("F", Seen::Ended(Ending::Completed)),
    ("DONE", Seen::Ended(Ending::Completed)),
    ("FINISHED", Seen::Ended(Ending::Completed)),
    ("EXIT", Seen::Ended(Ending::Failed)),
    ("FAILED", Seen::Ended(Ending::Failed)),
    ("CANCELED", Seen::Ended(Ending::Cancelled)),
    ("CANCELLED", Seen::Ended(Ending::Cancelled)),
];

impl Commands {
    /// Where the script of a submission is.
    fn script_file(submission: &Submission<'_>) -> PathBuf {
        submission.folder.join("job.sh")
    }

    fn log(submission: &Submission<'_>) -> PathBuf {
        submission.logs.join(format!("{}-0.log", submission.name))
    }

    fn script(&self, submission: &Submission<'_>) -> String {
        let word = |path: &Path| shell_word(&path.display().to_string());
        let environment: String = self.cluster.environment.iter().map(|line| format!("{line}\n")).collect();
        format!(
            "#!/bin/sh\nexport RAYON_NUM_THREADS={} CANDLE_NUM_THREADS=1\n{environment}exec {} worker --attempt {}/0 >>{} 2>&1\n",
            submission.resources.cpus,
            word(&self.program),
            word(submission.folder),
            word(&Self::log(submission)),
        )
    }

    fn submit_command(&self, submission: &Submission<'_>) -> String {
        let resources = submission.resources;
        let path = |path: PathBuf| Some(shell_word(&path.display().to_string()));
        let values = [
            ("script", path(Self::script_file(submission))),
            ("name", Some(submission.name.to_owned())),
            ("cpus", Some(resources.cpus.to_string())),
            ("memory_mib", resources.memory.map(|b| b.div_ceil(1 << 20).to_string())),
            ("gpus", Some(resources.gpus).filter(|n| *n > 0).map(|n| n.to_string())),
            ("minutes", resources.seconds.map(|s| (s + 120).div_ceil(60).to_string())),
            ("log", path(Self::log(submission))),
        ];
        fill(self.cluster.submit.as_deref().unwrap_or_default(), &values)
    }
}

/// A template with its values.
fn fill(template: &str, values: &[(&str, Option<String>)]) -> String {
    let mut filled = String::new();
    for (i, part) in template.split('[').enumerate() {
        let (optional, rest) = if i == 0 { ("", part) } else { part.split_once(']').unwrap_or((part, "")) };
        let known = |(name, value): &(&str, Option<String>)| {
            value.is_some() || !optional.contains(&format!("{{{name}}}"))
        };
        if values.iter().all(known) {
            filled.push_str(optional);
        }
        filled.push_str(rest);
    }
    for (name, value) in values {
        filled = filled.replace(&format!("{{{name}}}"), value.as_deref().unwrap_or_default());
    }
    filled
}

fn shell(command: &str) -> Result<super::command::Said, Silent> {
    call("sh", &["-c".to_owned(), command.to_owned()], "")
}

impl Scheduler for Commands {
    fn submit(&self, submission: &Submission<'_>) -> Submitted {
        if let Err(e) = std::fs::write(Self::script_file(submission), self.script(submission)) {
            return Submitted::Failed(format!("the job's script cannot be written: {e}"));
        }
        match shell(&self.submit_command(submission)) {
            Ok(said) if said.ok => {
                let line = said.out.lines().next().unwrap_or_default();
                match line.split_whitespace().last() {
                    Some(id) => Submitted::Accepted(id.to_owned()),
                    None => Submitted::Refused(
                        "`submit` printed no id; it must print the id as the last word of its first line"
                            .into(),
                    ),
                }
            }
            // Of a shell: the program cannot be run, or is not there.
            Ok(said) if matches!(said.code, Some(126 | 127)) => Submitted::Refused(said.err),
            Ok(said) if said.code.is_some() => Submitted::Failed(said.err),
            Ok(said) => Submitted::Unknown(said.err),
            Err(e) => Submitted::Unknown(e.to_string()),
        }
    }

    fn poll(&self, asked: &Names) -> Result<Rows, String> {
        let said = shell(self.cluster.status.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
        if !said.ok {
            return Err(said.err);
        }
        let words: BTreeMap<&str, &str> = said
            .out
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?, words.next()?))
            })
            .collect();
        let row = |(name, id): (&String, &Option<String>)| {
            let id = id.as_ref()?;
            let word = *words.get(id.as_str())?;
            let upper = word.to_uppercase();
            let seen = WORDS.iter().find(|(w, _)| *w == upper).map_or(Seen::Alive, |(_, seen)| seen.clone());
            Some(((name.clone(), 0), Row { id: id.clone(), seen, word: word.to_owned(), node: None }))
        };
        Ok(asked.iter().filter_map(row).collect())
    }

    fn cancel(&self, ids: &[String]) -> Result<(), String> {
        let words: Vec<String> = ids.iter().map(|id| shell_word(id)).collect();
        let command =
            fill(self.cluster.cancel.as_deref().unwrap_or_default(), &[("ids", Some(words.join(" ")))]);
        let said = shell(&command).map_err(|e| e.to_string())?;
        if said.ok { Ok(()) } else { Err(said.err) }
    }

    fn finds_names(&self) -> bool {
        false
    }

    fn max_array(&self) -> usize {
        1
    }

    fn shown(&self, submission: &Submission<'_>) -> String {
        format!("{}\n# job.sh:\n{}", self.submit_command(submission), self.script(submission))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::scheduler::Resources;

    #[test]
    fn a_template_leaves_out_what_is_not_known() {
        let values = [("a", Some("1".to_owned())), ("b", None)];
        assert_eq!(fill("q -n {a} [-m {b}mb] [-x {a}] end", &values), "q -n 1  -x 1 end");
    }

    #[test]
    fn a_submission_that_fails_says_whether_it_is_worth_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let resources = Resources::default();
        let submission = Submission {
            name: "x",
            tasks: None,
            resources: &resources,
            folder: dir.path(),
            logs: dir.path(),
        };
        let said = |command: &str| {
            let cluster = Cluster { submit: Some(command.into()), ..Cluster::default() };
            Commands { cluster, program: "/bin/xpipe".into() }.submit(&submission)
        };
        assert!(
            matches!(said("xpipe-no-such-program {script}"), Submitted::Refused(why) if why.contains("xpipe-no-such"))
        );
        assert!(matches!(said("{script}"), Submitted::Refused(_)), "a file that is no program");
        assert_eq!(said("echo full >&2; exit 3"), Submitted::Failed("full".into()));
        assert!(matches!(said("kill -9 $$"), Submitted::Unknown(_)));
        assert!(matches!(said("true"), Submitted::Refused(why) if why.contains("no id")));
    }

    #[test]
    fn jobs_are_submitted_listed_and_cancelled_by_commands() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            submit: Some("test -f {script} && echo Job {name} submitted as 7".into()),
            status: Some("printf '7 running\\n8 FAILED\\n9 odd\\n'".into()),
            cancel: Some(format!("echo {{ids}} > {}/cancelled", dir.path().display())),
            ..Cluster::default()
        };
        let commands = Commands { cluster, program: "/bin/xpipe".into() };
        let resources = Resources { cpus: 2, ..Resources::default() };
        let (folder, logs) = (dir.path(), dir.path());
        let submission = Submission { name: "x-1", tasks: None, resources: &resources, folder, logs };
        assert_eq!(commands.submit(&submission), Submitted::Accepted("7".into()));
        let known = [("x-1", "7"), ("x-2", "8"), ("x-3", "10")];
        let known = known.iter().map(|(n, i)| ((*n).to_owned(), Some((*i).to_owned()))).collect();
        let rows = commands.poll(&known).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[&("x-1".into(), 0)].seen, Seen::Alive);
        assert_eq!(rows[&("x-2".into(), 0)].seen, Seen::Ended(Ending::Failed));
        commands.cancel(&["7".into(), "8".into()]).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("cancelled")).unwrap(), "7 8\n");
    }
}
