//! How jobs ended that `squeue` has forgotten, by `sacct`, where the cluster keeps accounts. It tells why a job left no
//! report, for instance for want of memory; without it such a job is only known to be lost.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::command::call;
use super::scheduler::{Names, Row, Rows, Seen};
use super::slurm_states::{node, seen};

/// The most jobs in one call.
const JOBS: usize = 500;

/// What the accounts say.
#[derive(Debug)]
pub(super) struct Accounting {
    program: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether there are no accounts here, as the first call told.
    absent: bool,
    /// Names and ids of jobs that were asked for.
    asked: BTreeSet<(String, String)>,
    ended: Rows,
}

impl Default for Accounting {
    fn default() -> Self {
        Self::by("sacct".to_owned())
    }
}

impl Accounting {
    /// By another program.
    fn by(program: String) -> Self {
        Self { program, known: Mutex::default() }
    }

    /// Adds the ends of those submissions of which `rows`, the answer of `squeue`, lists no job. Each is asked for once; where
    /// there are no accounts, nothing is added.
    pub(super) fn add_forgotten(&self, asked: &Names, rows: &mut Rows) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let listed: BTreeSet<&str> = rows.keys().map(|(name, _)| name.as_str()).collect();
        let number = |id: &&String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        let forgotten: BTreeSet<(String, String)> = asked
            .iter()
            .filter(|(name, _)| !listed.contains(name.as_str()))
            .filter_map(|(name, id)| Some((name.clone(), id.as_ref().filter(number)?.clone())))
            .collect();
        let new: Vec<(String, String)> = forgotten.difference(&known.asked).cloned().collect();
        for some in new.chunks(JOBS) {
            if known.absent {
                break;
            }
            known.asked.extend(some.iter().cloned());
            match self.ask(some) {
                Some(found) => known.ended.extend(found),
                None => known.absent = true,
            }
        }
        let of = |(name, _): &(String, u32), row: &Row| {
            let id = row.id.split('_').next().unwrap_or_default();
            forgotten.contains(&(name.clone(), id.to_owned()))
        };
        let found = known.ended.iter().filter(|(at, row)| of(at, row));
        rows.extend(found.map(|(at, row)| (at.clone(), row.clone())));
    }

    /// The jobs among some that have ended; `None` where there are no accounts.
    fn ask(&self, jobs: &[(String, String)]) -> Option<Rows> {
        let ids: Vec<&str> = jobs.iter().map(|(_, id)| id.as_str()).collect();
        let mut args =
            ["--noheader", "--parsable2", "--allocations", "--allusers"].map(str::to_owned).to_vec();
        args.extend([
            "--format=JobID,JobName,State,NodeList".to_owned(),
            format!("--jobs={}", ids.join(",")),
        ]);
        let said = call(&self.program, &args, "").ok().filter(|said| said.ok)?;
        let rows = said.out.lines().filter_map(|line| {
            let mut fields = line.split('|');
            let [id, name, word, at] = std::array::from_fn(|_| fields.next());
            let (id, word) = (id?, word?);
            let job = (name?.to_owned(), id.split('_').next().unwrap_or_default().to_owned());
            let seen = seen(word, "");
            let task = id.split_once('_').map_or(Some(0), |(_, task)| task.parse().ok())?;
            let row = Row { id: id.to_owned(), seen, word: word.to_owned(), node: node(at?) };
            (jobs.contains(&job) && matches!(row.seen, Seen::Ended(_))).then_some(((job.0, task), row))
        });
        Some(rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::queue::scheduler::Ending;

    /// A `sacct` that notes its calls and prints what a file says.
    fn accounts(dir: &Path, says: &str, code: i32) -> Accounting {
        let program = dir.join("sacct");
        std::fs::write(dir.join("says"), says).unwrap();
        let script =
            format!("#!/bin/sh\ncd {}\necho \"$@\" >> calls\ncat says\nexit {code}\n", dir.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Another test that starts a program at this moment may still hold the file.
        let busy = |e: std::io::Error| e.kind() == std::io::ErrorKind::ExecutableFileBusy;
        while std::process::Command::new(&program).output().is_err_and(busy) {}
        std::fs::remove_file(dir.join("calls")).unwrap();
        Accounting::by(program.display().to_string())
    }

    fn calls(dir: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(dir.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn names(of: &[(&str, Option<&str>)]) -> Names {
        of.iter().map(|(name, id)| ((*name).to_owned(), id.map(str::to_owned))).collect()
    }

    #[test]
    fn the_end_of_a_job_that_squeue_forgot_is_asked_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let says = "7_0|array|OUT_OF_MEMORY|n1\n7_1|array|CANCELLED by 0|None assigned\n7_[2-5]|array|PENDING|\n\
                    8|other|COMPLETED|n2\n9|lives|RUNNING|n2\nnonsense\n6|array|FAILED|n3\n";
        let accounting = accounts(dir.path(), says, 0);
        let asked = names(&[
            ("array", Some("7")),
            ("lives", Some("9")),
            ("listed", Some("4")),
            ("unsure", None),
            ("odd", Some("x;y")),
        ]);
        let row = Row { id: "4".into(), seen: Seen::Alive, word: "RUNNING".into(), node: None };
        let before = Rows::from([(("listed".to_owned(), 0), row)]);
        for _ in 0..3 {
            let mut rows = before.clone();
            accounting.add_forgotten(&asked, &mut rows);
            let ends: Vec<(&str, u32, &Seen, Option<&str>)> = rows
                .iter()
                .map(|((name, task), r)| (name.as_str(), *task, &r.seen, r.node.as_deref()))
                .collect();
            assert_eq!(
                ends,
                [
                    ("array", 0, &Seen::Ended(Ending::Memory), Some("n1")),
                    ("array", 1, &Seen::Ended(Ending::Cancelled), None),
                    ("listed", 0, &Seen::Alive, None),
                ]
            );
        }
        let calls = calls(dir.path());
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert!(calls[0].ends_with("--jobs=7,9"), "{calls:?}");
    }

    #[test]
    fn where_there_are_no_accounts_nobody_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let disabled = accounts(dir.path(), "7|a|COMPLETED|n1\n", 1);
        let mut rows = Rows::new();
        disabled.add_forgotten(&names(&[("a", Some("7"))]), &mut rows);
        disabled.add_forgotten(&names(&[("a", Some("7")), ("b", Some("8"))]), &mut rows);
        assert_eq!((rows.len(), calls(dir.path()).len()), (0, 1));
        let none = Accounting::by(dir.path().join("none").display().to_string());
        none.add_forgotten(&names(&[("a", Some("7"))]), &mut rows);
        assert!(rows.is_empty());
    }

    #[test]
    fn a_job_that_was_submitted_anew_has_not_the_end_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let accounting = accounts(dir.path(), "7|a|FAILED|n1\n", 0);
        let mut rows = Rows::new();
        accounting.add_forgotten(&names(&[("a", Some("7"))]), &mut rows);
        assert_eq!(rows.len(), 1);
        let mut rows = Rows::new();
        accounting.add_forgotten(&names(&[("a", Some("8"))]), &mut rows);
        assert!(rows.is_empty());
        assert_eq!(calls(dir.path()).len(), 2);
    }
}
