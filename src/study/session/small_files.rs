//! Data sets of small local files, imported before a run as the run would import them: wrong lines, and ids that the
//! collection does not have.

use std::path::Path;

use super::Session;
use super::error::Error;
use super::inputs::needed;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Input, inputs_of};
use xpipe_engine::cache::Store;
use xpipe_engine::{self as engine, CancelToken, Final, Job, NoSink, Options};

/// The largest data set, in bytes of its files, that is read before a run.
const SMALL: u64 = 8 << 20;

impl Session {
    /// What is wrong with the small data sets of the study.
    pub(super) fn wrong_small_files(&self, options: &Options) -> Result<Vec<Failure>, Error> {
        let wanted = small_imports(&self.job);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let folder = tempfile::tempdir()
            .map_err(|e| Error::missing(format!("cannot make a temporary folder: {e}")))?;
        let store = Store::open(folder.path())?;
        let imports = Job { wanted, ..self.job.clone() };
        let report = engine::run(&imports, &self.runner, &store, options, &mut NoSink, &CancelToken::new())?;
        let failed = (0u32..).map(ActionId).zip(report.actions).filter(|(_, a)| a.state == Final::Failed);
        Ok(failed
            .filter_map(|(id, a)| {
                let failure = a.failure?;
                let message = format!("{} (for {})", failure.message, self.loaded.reader(id));
                Some(Failure { message, ..failure })
            })
            .collect())
    }
}

/// The imports whose files, and those of the data sets that they are checked against, are on this machine and small.
fn small_imports(job: &Job) -> Vec<ActionId> {
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
    needed(job).filter(|id| sizes[id.0 as usize].is_some()).collect()
}

/// The size of a file, or of the files of a folder; `None` where it cannot be told.
fn size_of(path: &Path) -> Option<u64> {
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() {
        return Some(meta.len());
    }
    let mut sum = 0u64;
    for entry in std::fs::read_dir(path).ok()? {
        let meta = entry.ok()?.metadata().ok()?;
        // Folders within folders are not measured.
        sum = sum.saturating_add(if meta.is_file() { meta.len() } else { return None });
    }
    Some(sum)
}
