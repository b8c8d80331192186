//! What does not change during a run, for the coordinator and the executors.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cache::Store;
use crate::cancel::CancelToken;
use crate::job::Job;
use crate::options::Options;
use crate::runner::Runner;

/// What does not change during a run.
pub(crate) struct RunContext<'env> {
    pub(crate) job: &'env Job,
    pub(crate) runner: &'env dyn Runner,
    pub(crate) store: &'env Store,
    pub(crate) options: &'env Options,
    pub(crate) cancel: &'env CancelToken,
    /// Set when the run stops at a failure.
    pub(crate) halt: &'env AtomicBool,
}

impl RunContext<'_> {
    /// Whether nothing more is to be started.
    pub(crate) fn stopping(&self) -> bool {
        self.cancel.stopping() || self.halt.load(Ordering::SeqCst)
    }
}
