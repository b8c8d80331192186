//! Data sets of small files of this machine, read before a run as the run would read them: wrong lines, and ids that the
//! collection does not have.

use super::job;
use super::out::Stop;
use super::runner::Local;
use super::study::Loaded;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{self, CancelToken, Final, Job, NoSink, Options};

/// How large the files of one data set may be together, so that reading them takes no time.
const SMALL: u64 = 8 << 20;

/// What is wrong with the small data sets of a job.
pub(super) fn problems(
    loaded: &Loaded,
    job: &Job,
    runner: &Local,
    options: &Options,
) -> Result<Vec<Failure>, Stop> {
    let wanted = small(job);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let place =
        tempfile::tempdir().map_err(|e| Stop::missing(format!("no folder for a while: {e}"), None))?;
    let store = Store::open(place.path())?;
    let only = Job { wanted, ..job.clone() };
    let report = xpipe_engine::run(&only, runner, &store, options, &mut NoSink, &CancelToken::new())?;
    let failed = report.actions.iter().enumerate().filter(|(_, a)| a.state == Final::Failed);
    Ok(failed
        .filter_map(|(i, a)| {
            let failure = a.failure.clone()?;
            Some(Failure {
                message: format!("{} (for {})", failure.message, job::place(loaded, i)),
                ..failure
            })
        })
        .collect())
}

/// The imports whose files, and those of the data sets that they are checked with, are on this machine and small.
fn small(job: &Job) -> Vec<ActionId> {
    let needed = job.needed();
    let mut sizes: Vec<Option<u64>> = Vec::with_capacity(job.actions.len());
    for action in &job.actions {
        let mut size = action.op.starts_with("import.").then_some(0u64);
        inputs_of(&action.args, &mut |input| {
            let own = match &**input {
                Input::File(path) => size_of(path),
                _ => None,
            };
            size = size.zip(own).map(|(a, b)| a.saturating_add(b));
        });
        for dep in &action.deps {
            let of = sizes.get(dep.0 as usize).copied().flatten();
            size = size.zip(of).map(|(a, b)| a.saturating_add(b));
        }
        sizes.push(size.filter(|n| *n <= SMALL));
    }
    let small = sizes.iter().zip(needed).enumerate().filter(|(_, (size, needed))| size.is_some() && *needed);
    small.map(|(i, _)| ActionId(i as u32)).collect()
}

/// The size of a file, or of the files of a folder; nothing where it cannot be told.
fn size_of(path: &std::path::Path) -> Option<u64> {
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        return Some(meta.len());
    }
    let mut sum = 0u64;
    for entry in std::fs::read_dir(path).ok()? {
        let meta = entry.ok()?.metadata().ok()?;
        // Folders in folders are not looked into here.
        sum = sum.saturating_add(if meta.is_file() { meta.len() } else { return None });
    }
    Some(sum)
}
