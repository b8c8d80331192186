//! File locks of running processes. The operating system releases them when a process ends, so no lock must be removed
//! by hand after a crash. Correctness does not depend on them: on file systems without locks, every lock is granted and
//! marked as not real.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xpipe_base::modes;

/// A lock held by this process. Dropping it releases the lock, and removes the file if that was requested.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    /// Whether the file system supports locks.
    pub real: bool,
    remove: bool,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Removed while held: a process that waits for the old file sees that its path is gone, and starts over.
        if self.remove && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes the exclusive lock of a path; `None` if another process holds it. With `remove`, the file is removed with the
/// lock.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn try_lock(path: &Path, remove: bool) -> io::Result<Option<FileLock>> {
    loop {
        let file = open(path)?;
        let real = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) if no_locks(&e) => false,
            Err(TryLockError::Error(e)) => return Err(e),
        };
        if is_at(&file, path)? {
            return Ok(Some(FileLock { file, path: path.to_owned(), real, remove }));
        }
    }
}

/// Takes the exclusive lock of a path; `None` if another process holds it. The file is removed with the lock.
///
/// # Errors
/// The file cannot be opened.
pub fn lock_if_free(path: &Path) -> io::Result<Option<FileLock>> {
    try_lock(path, true)
}

/// Waits for the exclusive lock of a path. The file is removed with the lock. For critical sections of milliseconds.
///
/// # Errors
/// The file cannot be opened.
pub fn exclusive(path: &Path) -> io::Result<FileLock> {
    loop {
        if let Some(held) = try_lock(path, true)? {
            return Ok(held);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Whether nobody holds the exclusive lock of an existing file. False where that cannot be known.
pub(crate) fn is_free(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Another process works in the folder for checkpoints.
pub(crate) struct Taken;

/// Locks the folder for checkpoints, if nobody else has. `None` where there is no such folder, or no locks.
///
/// # Errors
/// Another process has locked it.
pub(crate) fn try_alone_in(scratch: &Path) -> Result<Option<File>, Taken> {
    loop {
        let Ok(folder) = File::open(scratch) else { return Ok(None) };
        match folder.try_lock() {
            // Else it was removed, and perhaps made anew, before it was locked.
            Ok(()) if is_at(&folder, scratch).unwrap_or(true) => return Ok(Some(folder)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Taken),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    match OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path) {
        Ok(file) => {
            modes::inherit_file(path).or_else(|e| if gone(&e) { Ok(()) } else { Err(e) })?;
            Ok(file)
        }
        // Another user's file that only its owner may write: most file systems lock it all the same.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => File::open(path).map_err(|_| e),
        Err(e) => Err(e),
    }
}

fn gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound
}

fn no_locks(e: &io::Error) -> bool {
    use rustix::io::Errno;
    // NFS version 4 refuses exclusive locks of files opened for reading only.
    let unlockable = [Errno::NOLCK, Errno::BADF].map(|e| Some(e.raw_os_error()));
    e.kind() == io::ErrorKind::Unsupported || unlockable.contains(&e.raw_os_error())
}

/// Whether the path still names this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let here = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(e) if gone(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.lock");
        let held = try_lock(&path, true).unwrap().unwrap();
        assert!(try_lock(&path, true).unwrap().is_none());
        drop(held);
        assert!(!path.exists());
        assert!(try_lock(&path, true).unwrap().is_some());
    }

    #[test]
    fn a_file_left_by_a_dead_process_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.lock");
        std::fs::write(&path, "").unwrap();
        assert!(try_lock(&path, true).unwrap().is_some());
    }

    #[test]
    fn many_threads_never_hold_it_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.lock");
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 200 {
                        if let Some(held) = try_lock(&path, true).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(held);
                        }
                    }
                });
            }
        });
    }
}
