//! A limit on how often progress is reported.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two reports.
const INTERVAL: Duration = Duration::from_millis(100);

/// Lets at most ten reports a second through.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Whether a report of `done` of `total` is due. The last one always is.
    pub fn due(&self, done: u64, total: u64) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = done == total || last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_report_pass() {
        let throttle = Throttle::default();
        let passed: Vec<u64> = (0..=1000).filter(|done| throttle.due(*done, 1000)).collect();
        assert!(
            passed.first() == Some(&0) && passed.last() == Some(&1000) && passed.len() < 500,
            "{passed:?}"
        );
    }
}
