//! Attempts at what may go well another time: how many there are, and how long to wait between them.

use std::time::{Duration, Instant};

/// The wait after the first failed attempt. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The number of doublings; later waits are all of this length (32 s).
const DOUBLINGS: u32 = 6;

/// Counts failed attempts and gives the wait before the next one (exponential back-off).
#[derive(Clone, Debug)]
pub struct Retry {
    max_attempts: u32,
    max_unlikely: u32,
    attempts: u32,
    unlikely: u32,
}

impl Retry {
    /// At most `max_attempts` attempts, the first one included.
    pub fn new(max_attempts: u32) -> Self {
        Self { max_attempts, max_unlikely: max_attempts, attempts: 0, unlikely: 0 }
    }

    /// Fewer attempts for failures that time seldom mends, such as a server that is not there.
    #[must_use]
    pub fn unlikely(self, max: u32) -> Self {
        Self { max_unlikely: max, ..self }
    }

    /// The number of attempts that have failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins to count anew: an attempt made progress before it failed.
    pub fn reset(&mut self) {
        (self.attempts, self.unlikely) = (0, 0);
    }

    /// Counts a failed attempt. The wait before the next one, `after` if the other side asked for that; `None` when
    /// there is to be none.
    pub fn failed(&mut self, unlikely: bool, after: Option<Duration>) -> Option<Duration> {
        self.attempts += 1;
        self.unlikely += u32::from(unlikely);
        let again = self.attempts < self.max_attempts && self.unlikely < self.max_unlikely;
        again.then(|| after.unwrap_or(FIRST_WAIT * (1 << (self.attempts - 1).min(DOUBLINGS))))
    }
}

/// Waits until `end` unless `stop` says so earlier; whether it did not.
pub fn wait_until(end: Instant, stop: &dyn Fn() -> bool) -> bool {
    const STEP: Duration = Duration::from_millis(20);
    loop {
        if stop() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_attempts_end() {
        let mut retry = Retry::new(10);
        let waits: Vec<_> = (0..9).map(|_| retry.failed(false, None).unwrap().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 32000, 32000, 32000]);
        assert_eq!((retry.failed(false, None), retry.attempts()), (None, 10));
        assert_eq!(Retry::new(1).failed(false, None), None);
    }

    #[test]
    fn unlikely_attempts_are_fewer_and_progress_resets() {
        let mut retry = Retry::new(6).unlikely(2);
        assert!(retry.failed(true, None).is_some() && retry.failed(false, None).is_some());
        assert_eq!(retry.failed(true, None), None);
        retry.reset();
        let asked = Duration::from_secs(7);
        assert_eq!(retry.failed(true, Some(asked)), Some(asked));
    }

    #[test]
    fn a_stop_ends_a_wait() {
        let now = Instant::now();
        assert!(!wait_until(now + Duration::from_secs(600), &|| true));
        assert!(wait_until(now, &|| false) && now.elapsed() < Duration::from_secs(60));
    }
}
