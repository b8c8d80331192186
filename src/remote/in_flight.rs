//! Blobs that are being sent.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Error;
use xpipe_base::value::Digest;

/// The blobs that threads of this process are sending, so that none is sent twice at once.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    blobs: Mutex<BTreeSet<Digest>>,
    changed: Condvar,
}

/// One of them. It leaves when this goes.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    in_flight: &'a InFlight,
    digest: Digest,
}

impl InFlight {
    /// Waits until no other thread sends a blob.
    ///
    /// # Errors
    /// It was stopped.
    pub(crate) fn enter(&self, digest: &Digest, stop: &dyn Fn() -> bool) -> Result<Alone<'_>, Error> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        while !blobs.insert(*digest) {
            if stop() {
                return Err(Error::Stopped);
            }
            let waited = self.changed.wait_timeout(blobs, Duration::from_millis(200));
            blobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Alone { in_flight: self, digest: *digest })
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.in_flight.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
        self.in_flight.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_blob_is_sent_by_one_thread_at_a_time() {
        let (in_flight, at_once, most) = (InFlight::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _alone = in_flight.enter(&Digest::of(b"x"), &|| false).unwrap();
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        let _alone = in_flight.enter(&Digest::of(b"x"), &|| false).unwrap();
        assert!(matches!(in_flight.enter(&Digest::of(b"x"), &|| true), Err(Error::Stopped)));
    }
}
