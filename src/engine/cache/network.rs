//! Reading from a cache that other hosts write: a network file system shows what they did with a delay.
//!
//! Clients of such file systems remember for seconds that a name did not exist, or how large a file was. So what a
//! manifest promises and this host does not see is looked for again, with growing pauses, before it counts as missing.
//! On a local file system nothing is waited for.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long one store waits in vain, in all: somewhat more than NFS remembers the entries of a folder by default (60 s).
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for what other hosts wrote.
#[derive(Debug)]
pub(super) struct Network {
    /// Whether the file system is local: then nothing is waited for.
    local: bool,
    /// How much longer to wait in vain.
    left: Mutex<Duration>,
}

impl Network {
    /// For the file system of a folder.
    pub(super) fn of(folder: &Path) -> Self {
        Self::new(is_local(folder), PATIENCE)
    }

    fn new(local: bool, patience: Duration) -> Self {
        Self { local, left: Mutex::new(patience) }
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
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(10));
        while begun.elapsed() < *left {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
            // Reading the folder makes the client ask the server.
            let _ = lists(path);
            if let Some(found) = look() {
                return Some(found);
            }
        }
        *left = left.saturating_sub(begun.elapsed());
        None
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
        assert_eq!(*short.left.lock().unwrap(), Duration::ZERO, "the next one is not waited for");
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
