//! What a run came to.

use std::path::PathBuf;

use super::error::Error;
use super::remote::RemoteReport;
use crate::report::Evaluated;
use xpipe_base::task::Failure;
use xpipe_engine::Counts;

/// A failed action.
#[derive(Clone, Debug)]
pub struct FailedAction {
    /// Its address.
    pub address: String,
    /// Why it failed.
    pub failure: Failure,
    /// Its log, when it has one.
    pub log: Option<PathBuf>,
}

/// The files that a run wrote.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Tables and costs.
    pub tables: Vec<PathBuf>,
    /// Pages.
    pub pages: Vec<PathBuf>,
}

/// What a run came to.
pub struct RunOutcome {
    /// The exit code.
    pub code: u8,
    /// How many actions ended how.
    pub counts: Counts,
    /// Seconds it took.
    pub seconds: f64,
    /// Whether it was interrupted.
    pub cancelled: bool,
    /// The actions that failed.
    pub failures: Vec<FailedAction>,
    /// Tables, claims and costs.
    pub evaluated: Evaluated,
    /// The files, or why they could not be written.
    pub written: Result<Written, Error>,
    /// The folder of tables and pages.
    pub output: PathBuf,
    /// The results that are damaged: address, and what is wrong.
    pub damaged: Vec<String>,
    /// The folder of events and logs; `None` where a read-only cache had every result.
    pub log_folder: Option<PathBuf>,
    /// The root of the cache.
    pub cache: PathBuf,
    /// What the remote cache did; `None` when none is used.
    pub remote: Option<RemoteReport>,
}
