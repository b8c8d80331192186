//! `xpipe run --watch`: runs again whenever a file of the study or one that it reads has changed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::out;
use xpipe_base::value::human;
use xpipe_engine::CancelToken;
use xpipe_study::session::Error;

/// Time between two looks at the files.
const POLL: Duration = Duration::from_millis(300);
/// The most files of a folder that are looked at.
const MOST: usize = 10_000;

/// Length, inode, and time of the last change in nanoseconds; `None` for a file that is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

/// How files looked at one time.
#[derive(Debug, PartialEq, Eq)]
struct Look(Vec<(PathBuf, Stamp)>);

impl Look {
    fn at(files: &BTreeSet<PathBuf>) -> Self {
        let mut all = Vec::new();
        files.iter().for_each(|path| visit(path, &mut all));
        Self(all)
    }
}

fn visit(path: &Path, all: &mut Vec<(PathBuf, Stamp)>) {
    let meta = std::fs::metadata(path).ok();
    let stamp = |m: &std::fs::Metadata| (m.len(), m.ino(), m.mtime(), m.mtime_nsec());
    all.push((path.to_owned(), meta.as_ref().map(stamp)));
    if meta.is_some_and(|m| m.is_dir()) {
        let mut inside: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
        inside.sort();
        for path in inside {
            if all.len() < MOST {
                visit(&path, all);
            }
        }
    }
}

/// Calls `once` now and after every change, until a signal. It gets the files to watch before it runs, by `begin`; a
/// change while it runs counts. Returns the last exit code.
pub(super) fn watch(
    cancel: &CancelToken,
    mut once: impl FnMut(&mut dyn FnMut(BTreeSet<PathBuf>)) -> Result<u8, Error>,
) -> Result<u8, Error> {
    let (mut files, mut look) = (BTreeSet::new(), Look(Vec::new()));
    loop {
        let ended = once(&mut |found| {
            look = Look::at(&found);
            files = found;
        });
        let code = ended.unwrap_or_else(|error| out::print_error(error, false));
        if cancel.stopping() {
            return Ok(code);
        }
        if files.is_empty() {
            return Err(Error::missing("there is no file to watch").help("correct the path of the study"));
        }
        out::line(&format!(
            "watching {}; Ctrl-C ends",
            human::counted(files.len() as u64, "files and folders")
        ));
        loop {
            if cancel.stopping() {
                return Ok(code);
            }
            let now = Look::at(&files);
            if now != look {
                // An editor may still be writing.
                std::thread::sleep(POLL);
                if Look::at(&files) == now {
                    break;
                }
            }
            std::thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_again_after_a_change_and_sleeps_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.xpipe");
        std::fs::write(&file, "1").unwrap();
        let cancel = CancelToken::new();
        let (mut runs, mut changed_in_the_run) = (0, false);
        let code = watch(&cancel, |begin| {
            begin(BTreeSet::from([file.clone(), dir.path().join("absent")]));
            runs += 1;
            match runs {
                1 => {
                    std::fs::write(&file, "changed while it ran").unwrap();
                    changed_in_the_run = true;
                }
                2 => {
                    let (file, cancel) = (dir.path().join("absent"), cancel.clone());
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_secs(1));
                        std::fs::write(file, "new").unwrap();
                        std::thread::sleep(Duration::from_secs(2));
                        cancel.request();
                    });
                }
                _ => {}
            }
            Ok(runs)
        });
        assert_eq!((code.unwrap(), runs), (3, 3));
        assert!(changed_in_the_run);
    }
}
