//! What executors and finders of inputs send to the coordinator.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{Manifest, Miss};
use crate::recipes::FoundInput;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Input};

/// A message to the coordinator.
pub(crate) enum Message {
    /// An input was found, or could not be.
    Input(Arc<Input>, Result<FoundInput, Failure>),
    /// The remote cache was asked for the result of an action.
    Brought { id: ActionId, manifest: Option<Box<Manifest>> },
    /// An attempt begins.
    Started { id: ActionId, attempt: u32, threads: usize, device: String, log: Option<PathBuf> },
    /// Units of work done.
    Progress { id: ActionId, done: u64, total: u64, unit: String, note: String },
    /// A sentence about an action, or about the run.
    Note { id: Option<ActionId>, text: String },
    /// The action has ended.
    Ended { id: ActionId, end: End, seconds: f64, log: Option<PathBuf> },
}

/// How an action ended.
pub(crate) enum End {
    /// Its result is in the store.
    Ran(Box<Manifest>),
    /// Another process produced it in the meantime.
    Hit(Box<Manifest>),
    /// Another process is producing it.
    Busy,
    /// The stored result of an action that it reads is damaged and must be produced again.
    Damaged(ActionId, Miss),
    /// It failed; `true` when it was the store that failed.
    Failed(Failure, bool),
}
