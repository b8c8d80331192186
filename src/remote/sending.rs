//! Sending in the background while other work is done, and waiting for it at the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::reporter::Reporter;
use xpipe_base::value::{Digest, human};
use xpipe_engine::caught;

/// Maximum number of results that are sent at once.
const SENDERS: usize = 2;
/// Time between two sentences while something is sent after the end of a run.
const INTERVAL: Duration = Duration::from_secs(5);

/// What is sent, and whether to stop.
pub(crate) struct Sending<'a> {
    /// Keys of results to send, until the work is done and none is left.
    pub(crate) offered: &'a Receiver<Digest>,
    pub(crate) reporter: &'a Reporter,
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
    /// Sends the result of a key, counts and tells what became of it.
    pub(crate) send: &'a (dyn Fn(&Digest) + Sync),
}

impl Sending<'_> {
    /// Does some work and meanwhile sends. Then waits until everything is sent, or `stop` says to stop.
    pub(crate) fn meanwhile<T>(&self, work: impl FnOnce() -> T) -> T {
        let (ending, active) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                active.fetch_add(1, Ordering::SeqCst);
                let leaves = Leaves(&active);
                let ending = &ending;
                // Without a thread `leaves` goes at once.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                    let _leaves = leaves;
                    while let Some(key) = self.next(ending) {
                        self.send_one(&key);
                    }
                });
            }
            let done = {
                let _end = SetWhenDropped(&ending);
                work()
            };
            self.wait_for(&active);
            // Without threads nothing was sent.
            let left = self.offered.try_iter().count();
            self.reporter.count(|outcome| outcome.unsent += left);
            done
        })
    }

    /// A panic is told, and the result counts as not sent.
    fn send_one(&self, key: &Digest) {
        let sent = caught(|| {
            (self.send)(key);
            Ok(())
        });
        if let Err(panic) = sent {
            self.reporter.count(|outcome| outcome.unsent += 1);
            self.reporter.say(&format!("BUG: sending the result of key {key} {}", panic.message));
        }
    }

    /// The next result to send; `None` when there will be no more.
    fn next(&self, ending: &AtomicBool) -> Option<Digest> {
        loop {
            let ends = ending.load(Ordering::SeqCst);
            match self.offered.recv_timeout(Duration::from_millis(if ends { 0 } else { 50 })) {
                Ok(key) => return Some(key),
                Err(RecvTimeoutError::Timeout) if !ends => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits for the senders, and tells how far they are.
    fn wait_for(&self, active: &AtomicUsize) {
        let (mut told, mut told_stop) = (Instant::now(), false);
        while active.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() < INTERVAL || told_stop {
                continue;
            }
            told = Instant::now();
            if (self.stop)() {
                told_stop = true;
                self.reporter.say("stopping: the requests that are under way end first");
                continue;
            }
            let left = self.offered.len() + active.load(Ordering::SeqCst);
            let sent = human::size(self.reporter.outcome().sent_bytes);
            let left = human::counted(left as u64, "results");
            self.reporter.say(&format!("sending: {sent} sent, {left} left; Ctrl-C stops it"));
        }
    }
}

/// Sets a flag when it goes, also after a panic.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Counts a thread off when it goes, also after a panic.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_sender_that_panics_ends_neither_the_run_nor_the_sending() {
        let (offer, offered) = crossbeam_channel::unbounded();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = told.clone();
        let reporter =
            Reporter::new("lab", Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned())));
        let send = |key: &Digest| {
            assert_ne!(*key, Digest::of(b"1"), "a defect");
            reporter.count(|outcome| outcome.sent += 1);
        };
        let sending = Sending { offered: &offered, reporter: &reporter, stop: &|| false, send: &send };
        let done = sending.meanwhile(|| {
            for text in [b"0", b"1", b"2", b"3"] {
                offer.send(Digest::of(text)).unwrap();
            }
            7
        });
        let outcome = reporter.outcome();
        assert_eq!((done, outcome.sent, outcome.unsent), (7, 3, 1));
        assert!(told.lock().unwrap()[0].contains("a defect"), "{told:?}");
    }
}
