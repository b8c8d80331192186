//! Reading from a cache that other hosts write: a network file system shows what they did with a delay.
//!
//! Clients of such file systems remember for seconds that a name did not exist, or how large a file was. So what a
//! manifest promises and this host does not see is looked for again, with growing pauses, before it counts as missing.
//! On a local file system nothing is waited for.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long one store waits in vain: somewhat more than NFS remembers the entries of a folder by default (60 s).
const PATIENCE: Duration = Duration::from_secs(90);
/// The part of the time passed by which the patience grows again, so that waiting in vain takes no more than this part of
/// a long run.
const RENEWED: u32 = 10;

/// Waits for what other hosts wrote.
#[derive(Debug)]
pub(super) struct Network {
    /// Whether the file system is local: then nothing is waited for.
    local: bool,
    patience: Mutex<Patience>,
}

/// How long to wait in vain.
#[derive(Debug)]
struct Patience {
    /// At the beginning, and at most.
    full: Duration,
    left: Duration,
    /// When `left` was counted.
    at: Instant,
}

impl Patience {
    fn new(full: Duration, at: Instant) -> Self {
        Self { full, left: full, at }
    }

    /// What is left at a time, after some of it was spent.
    fn left(&mut self, now: Instant, spent: Duration) -> Duration {
        let renewed = now.saturating_duration_since(self.at) / RENEWED;
        self.left = (self.left + renewed).min(self.full).saturating_sub(spent);
        self.at = now;
        self.left
    }
}

impl Network {
    /// For the file system of a folder.
    pub(super) fn of(folder: &Path) -> Self {
        Self::new(is_local(folder), PATIENCE)
    }

    fn new(local: bool, patience: Duration) -> Self {
        Self { local, patience: Mutex::new(Patience::new(patience, Instant::now())) }
    }

    /// Whether the file system is local.
    pub(super) fn is_local(&self) -> bool {
        self.local
    }

    /// What is found at a path that was promised to exist. Time spent without success is deducted from the patience.
    pub(super) fn promised<T>(&self, path: &Path, look: impl Fn() -> Option<T>) -> Option<T> {
        let found = look();
        if self.local || found.is_some() {
            return found;
        }
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(10));
        // Threads wait side by side.
        let left = self.left(Duration::ZERO);
        while begun.elapsed() < left {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
            // Reading the folder makes the client ask the server.
            let _ = lists(path);
            if let Some(found) = look() {
                return Some(found);
            }
        }
        self.left(begun.elapsed());
        None
    }

    /// What is left of the patience after some of it was spent.
    fn left(&self, spent: Duration) -> Duration {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).left(Instant::now(), spent)
    }

    /// What is found at a path that may well not exist: it is only waited for when its folder lists it.
    pub(super) fn possible<T>(&self, path: &Path, look: impl Fn() -> Option<T>) -> Option<T> {
        match look() {
            None if !self.local && lists(path) => self.promised(path, look),
            found => found,
        }
    }
}

/// Whether a folder lists a name.
fn lists(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| e.file_name() == name)))
}

/// Whether the file system of a folder is known to be local. A folder that does not exist is where its parent is.
#[cfg(target_os = "linux")]
pub(super) fn is_local(folder: &Path) -> bool {
    const LOCAL: [u64; 16] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x0102_1994, // tmpfs
        0x8584_58f6, // ramfs
        0x794c_7630, // overlay
        0x2fc1_2fc1, // ZFS
        0xf2f5_2010, // F2FS
        0xca45_1a4e, // bcachefs
        0x5265_4973, // ReiserFS
        0x3153_464a, // JFS
        0x3434,      // NILFS
        0x4d44,      // FAT
        0x2011_bab0, // exFAT
        0x5346_544e, // NTFS
        0x7366_746e, // NTFS3
    ];
    let there = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statfs(there).is_ok_and(|disk| LOCAL.contains(&(disk.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_local(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_promise_is_waited_for_on_a_network_only_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let looks = Cell::new(0);
        let third = || {
            looks.set(looks.get() + 1);
            (looks.get() >= 3).then_some(looks.get())
        };
        assert_eq!(Network::new(true, PATIENCE).promised(&path, third), None);
        assert_eq!((looks.replace(0), Network::new(false, PATIENCE).promised(&path, third)), (1, Some(3)));
        let short = Network::new(false, Duration::from_millis(50));
        let never = || -> Option<()> { None };
        assert_eq!(short.promised(&path, never), None);
        assert!(
            short.left(Duration::ZERO) < Duration::from_millis(25),
            "the next one is not waited for as long"
        );
    }

    #[test]
    fn patience_grows_again_by_a_tenth_of_the_time_and_not_beyond_its_beginning() {
        let begun = Instant::now();
        let seconds = Duration::from_secs;
        let mut patience = Patience::new(seconds(90), begun);
        assert_eq!(patience.left(begun + seconds(90), seconds(90)), Duration::ZERO);
        assert_eq!(patience.left(begun + seconds(190), Duration::ZERO), seconds(10));
        assert_eq!(patience.left(begun + seconds(200), seconds(10)), seconds(1));
        assert_eq!(patience.left(begun + seconds(9000), Duration::ZERO), seconds(90));
        // A time before the last one, of another thread.
        assert_eq!(patience.left(begun, seconds(1)), seconds(89));
    }

    #[test]
    fn threads_wait_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::new(false, Duration::from_secs(60));
        let (waiting, found) = (std::sync::Barrier::new(2), dir.path().join("found"));
        std::thread::scope(|scope| {
            let late = dir.path().join("late");
            let network = &network;
            let (waiting, seen) = (&waiting, &found);
            scope.spawn(move || {
                let first = Cell::new(true);
                let look = || {
                    // Once it has begun to wait.
                    if !first.replace(false) && !seen.exists() {
                        std::fs::write(seen, "").unwrap();
                        waiting.wait();
                    }
                    late.exists().then_some(())
                };
                assert_eq!(network.promised(&late, look), Some(()));
            });
            waiting.wait();
            let second = Cell::new(0);
            let look = || {
                second.set(second.get() + 1);
                (second.get() >= 2).then_some(())
            };
            assert_eq!(network.promised(&found, look), Some(()));
            std::fs::write(dir.path().join("late"), "").unwrap();
        });
    }

    #[test]
    fn what_no_folder_lists_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let network = Network::new(false, PATIENCE);
        let looks = Cell::new(0);
        let second = || {
            looks.set(looks.get() + 1);
            (looks.get() >= 2).then_some(())
        };
        assert_eq!(network.possible(&path, second), None);
        std::fs::write(&path, "").unwrap();
        looks.set(0);
        assert_eq!(network.possible(&path, second), Some(()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_temporary_folder_is_local_and_proc_is_not() {
        assert!(!is_local(Path::new("/proc/self")));
        let memory = Path::new("/dev/shm");
        assert!(!memory.exists() || is_local(&memory.join("none/below")));
    }
}
