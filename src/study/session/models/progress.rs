//! The progress of a model's download as notices, a few seconds apart.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::session::notice::{Listener, Notice};
use xpipe_base::task::Progress;
use xpipe_engine::CancelToken;

/// Between two notices.
const INTERVAL: Duration = Duration::from_secs(5);

/// The progress of one model's files.
pub(super) struct ModelProgress {
    listener: Listener,
    cancel: CancelToken,
    last: Mutex<Instant>,
}

impl ModelProgress {
    pub(super) fn new(listener: Listener, cancel: CancelToken) -> Self {
        Self { listener, cancel, last: Mutex::new(Instant::now()) }
    }
}

impl Progress for ModelProgress {
    fn progress(&self, done: u64, total: u64, _: &str, file: &str) {
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() < INTERVAL {
            return;
        }
        *last = Instant::now();
        (self.listener)(&Notice::Progress { file: file.to_owned(), done, total });
    }

    fn note(&self, text: &str) {
        (self.listener)(&Notice::OfFile(text.to_owned()));
    }

    fn cancelled(&self) -> bool {
        self.cancel.stopping()
    }
}
