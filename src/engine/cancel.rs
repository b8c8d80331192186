//! Stopping a run in two steps: first its actions keep a checkpoint, then they are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Shared by the handler of Ctrl-C and the run.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    /// A token without a request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests the next step: to start no more actions and let running ones keep a checkpoint, then to kill them.
    /// Returns the number of requests so far.
    pub fn request(&self) -> u8 {
        let before = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
        before.unwrap_or(u8::MAX).saturating_add(1)
    }

    /// Whether a stop was requested.
    pub fn stopping(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 1
    }

    /// Whether running actions are to be killed.
    pub fn killing(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 2
    }
}
