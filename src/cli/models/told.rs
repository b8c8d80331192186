//! How the fetching of a model is told: now and then a line.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::super::out;
use xpipe_base::task::Progress;
use xpipe_engine::CancelToken;
use xpipe_engine::cache::text::rough_bytes;

/// Between two lines about one file.
const EVERY: Duration = Duration::from_secs(5);

/// Lines on standard error.
#[derive(Debug)]
pub(super) struct Told {
    cancel: CancelToken,
    last: Mutex<Instant>,
}

impl Told {
    pub(super) fn new(cancel: CancelToken) -> Self {
        Self { cancel, last: Mutex::new(Instant::now()) }
    }
}

impl Progress for Told {
    fn progress(&self, done: u64, total: u64, _: &str, file: &str) {
        let Ok(mut last) = self.last.lock() else { return };
        if last.elapsed() < EVERY {
            return;
        }
        *last = Instant::now();
        let of = if total > 0 { format!(" of {}", rough_bytes(total)) } else { String::new() };
        out::warn(&format!("  {file}: {}{of}", rough_bytes(done)));
    }

    fn note(&self, text: &str) {
        out::warn(&format!("  {text}"));
    }

    fn cancelled(&self) -> bool {
        self.cancel.stopping()
    }
}
