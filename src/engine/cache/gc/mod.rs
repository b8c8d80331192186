//! Garbage collection: `cache gc`.
//!
//! A result stays while a living process, a pin, a kept run or the latest state of a study needs it, directly or because
//! something needed was made from it, and while it is young ([`Hold`]). Everything else may go, and with a maximum size
//! also what was not used for longest.
//!
//! **During runs.** What was written since the oldest living process began stays, and so does what living runs found or
//! made. This avoids work; correctness does not depend on it. A manifest goes before its files, and a folder of a result
//! is renamed as a whole, so a run that loses a result under its feet sees a miss or a missing folder, and makes it
//! again ([`super::WatchedReads`]).
//!
//! | file | owns |
//! |---|---|
//! | `census` | what is in the store, and which processes are alive |
//! | `holds` | which results stay, and why |
//! | `find` | what may go |
//! | `remove` | removing it |

mod census;
mod find;
mod holds;
mod remove;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Error;
use super::error::At;
pub use find::find_garbage;
pub use holds::Hold;
pub use remove::{Removed, remove_garbage};
use xpipe_base::value::Digest;

/// What to look for.
#[derive(Clone, Debug)]
pub struct GcRequest {
    /// How old something must be that nothing uses.
    pub older: Duration,
    /// Maximum size of the store in bytes.
    pub max_size: Option<u64>,
    /// Whether studies whose file is gone keep nothing.
    pub forget_gone: bool,
    /// Whether answers of language models older than `older` go.
    pub answers: bool,
    /// Digests of downloads that lock files pin.
    pub pinned_downloads: BTreeSet<String>,
}

/// A result that may go.
#[derive(Clone, Debug, Serialize)]
pub struct GarbageResult {
    /// Its key.
    pub key: Digest,
    /// The first study that requested it.
    pub study: String,
    /// The first cell that requested it.
    pub address: String,
    /// Bytes of the files that go with it.
    pub bytes: u64,
    /// What kept it: something only where the maximum size needs it gone.
    pub hold: Hold,
    /// The folder of its files.
    #[serde(skip)]
    tree: Digest,
}

/// The kind of something in the store that is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageKind {
    /// Events and logs of a run.
    Run,
    /// A downloaded file with its members.
    Download,
    /// An incomplete download.
    Partial,
    /// Checkpoints.
    Checkpoints,
    /// A quarantined file.
    Damaged,
    /// The state of an upload to a remote cache that did not end.
    Upload,
    /// A file or folder that no result names.
    Orphan,
    /// An answer of a language model.
    Answer,
    /// The history of a study that is gone.
    History,
}

/// A file or folder that may go and is no result.
#[derive(Clone, Debug, Serialize)]
pub struct GarbageFile {
    /// Its kind.
    pub kind: GarbageKind,
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest, if it is a blob.
    #[serde(skip)]
    blob: Option<Digest>,
    /// When it last changed, in nanoseconds since 1970.
    #[serde(skip)]
    changed: Option<i128>,
    /// Its content: that of a download as results name it, or the digest of a folder of a result.
    #[serde(skip)]
    content: Vec<Digest>,
}

/// What may go.
#[derive(Clone, Debug, Serialize)]
pub struct Garbage {
    /// Results.
    pub results: Vec<GarbageResult>,
    /// Files and folders that are no results.
    pub files: Vec<GarbageFile>,
    /// Size of the store in bytes, each file once.
    pub total: u64,
    /// Bytes that removing all this frees.
    pub frees: u64,
    /// Bytes by which the store stays above the maximum size, since the rest is pinned or in use.
    pub above: u64,
    /// Number of results by what keeps them.
    pub kept: BTreeMap<Hold, usize>,
}

impl super::Store {
    /// Whether another process has this store open for writing.
    ///
    /// # Errors
    /// The folders of processes cannot be read.
    pub fn has_live_processes(&self) -> Result<bool, Error> {
        Ok(census::live_since(self)?.is_some())
    }
}

/// Records that the results of a run may go so many days after its end.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep_days(run: &Path, days: u32) -> Result<(), Error> {
    let path = run.join(census::KEEP);
    let text =
        serde_json::to_vec(&census::Keep { days }).map_err(|e| Error::io("writing", &path, e.into()))?;
    super::memo::replace(&path, &text).at("writing", &path)
}

#[cfg(test)]
mod tests;
