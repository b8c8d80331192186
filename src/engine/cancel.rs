//! Asking a run to stop, in two steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Shared by whoever asks (the handler of Ctrl-C) and the run.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    /// A token nobody has used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks once more: first to stop starting and to let running actions keep a checkpoint, then to kill them.
    /// Returns how often it was asked.
    pub fn request(&self) -> u8 {
        let before = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
        before.unwrap_or(u8::MAX).saturating_add(1)
    }

    /// Whether a stop was asked for.
    pub fn stopping(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 1
    }

    /// Whether running actions are to be killed.
    pub fn killing(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 2
    }
}
