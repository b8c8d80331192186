//! A cache on another machine. Plans and runs ask it for results that the local cache lacks, and offer what they make.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Manifest, Store};
use xpipe_base::value::Digest;

/// Maximum number of requests at once.
const THREADS: usize = 8;

/// A cache on another machine. It never makes a run fail: what goes wrong there is told by its implementation, and
/// counts as not found.
pub trait RemoteCache: Sync {
    /// The manifest of a key, when the remote cache has a result that this machine trusts. Its files are not there yet.
    fn find(&self, key: &Digest) -> Option<Arc<Manifest>>;

    /// Brings the result of a key into a store, every file checked. `stop` is asked between pieces of work.
    fn bring(&self, key: &Digest, store: &Store, stop: &(dyn Fn() -> bool + Sync)) -> Option<Manifest>;

    /// Notes that the store has a new result, which the remote cache may take.
    fn offer(&self, key: &Digest);
}

/// What the remote cache has of some keys.
pub(crate) fn find_all(remote: &dyn RemoteCache, keys: &[Digest]) -> BTreeMap<Digest, Arc<Manifest>> {
    let found = Mutex::new(BTreeMap::new());
    at_once(keys, &|key| {
        if let Some(manifest) = remote.find(key) {
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, manifest);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Does something for every key, a few at once.
pub(crate) fn at_once(keys: &[Digest], each: &(dyn Fn(&Digest) + Sync)) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            each(key);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(keys.len()) {
            // Without more threads this one does all of it.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}
