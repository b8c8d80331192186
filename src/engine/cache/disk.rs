//! The file-system calls of a publication, each a function. All of them go through [`faults`], which tests use to stop
//! the process between any two, and all of them expect network file systems:
//!
//! - The reply to a call can be lost, and the repeated call then fails although the first one succeeded: a link exists, a
//!   renamed file is gone. So the state afterwards counts, not the error.
//! - A handle can be stale because another host replaced a folder: such a call is made again.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::faults::step;
use xpipe_base::modes;

/// The outcome of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The name is new, and names the file.
    New,
    /// The name was taken before.
    Taken,
    /// There are no (more) hard links here.
    Impossible,
}

/// Syncs the content of a file, or the entries of a folder.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let step = step("sync", path);
    again(|| {
        let file = File::open(path)?;
        match file.sync_all() {
            // Some network file systems sync files only.
            Err(e) if cannot_sync(&e) && file.metadata().is_ok_and(|m| m.is_dir()) => Ok(()),
            other => other,
        }
    })?;
    step.done();
    Ok(())
}

/// Gives a file a second name, unless that is taken.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<Linked> {
    let step = step("link", to);
    let linked = match again(|| std::fs::hard_link(from, to)) {
        Ok(()) => Linked::New,
        Err(_) if same_file(from, to) => Linked::New,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Linked::Taken,
        Err(e) if no_links(&e) => Linked::Impossible,
        Err(e) => return Err(e),
    };
    if linked == Linked::New {
        step.done();
    }
    Ok(linked)
}

/// Renames a file or folder.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let step = step("rename", to);
    let before = identity(from);
    match again(|| std::fs::rename(from, to)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound || before.is_none() || identity(to) != before => {
            return Err(e);
        }
        _ => step.done(),
    }
    Ok(())
}

/// Writes a new file.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let step = step("write", path);
    OpenOptions::new().create_new(true).write(true).open(path)?.write_all(bytes)?;
    step.done();
    Ok(())
}

/// Copies a file to a new one.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let step = step("copy", to);
    std::fs::copy(from, to)?;
    step.done();
    Ok(())
}

/// Sets the permissions of a file.
pub(super) fn protect(path: &Path, permissions: Permissions) -> io::Result<()> {
    let step = step("protect", path);
    std::fs::set_permissions(path, permissions)?;
    step.done();
    Ok(())
}

/// Creates a folder and its missing parents, with the permissions of [`modes`].
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_folder(parent)?;
    }
    let made = step("folder", path);
    match again(|| std::fs::create_dir(path)) {
        Ok(()) => made.done(),
        // Another process was faster; or a lost reply, so that it is given its permissions below.
        Err(_) if path.is_dir() => made.done(),
        Err(e) => return Err(e),
    }
    open_to_group(path)
}

/// Gives a folder of this user the permissions of a shared cache. A process may have been killed after it had made the
/// folder, which then is closed to the others.
pub(super) fn open_to_group(path: &Path) -> io::Result<()> {
    if let Some(permissions) = modes::inherited(path)? {
        let opened = step("open", path);
        again(|| modes::set(path, permissions.clone()))?;
        opened.done();
    }
    Ok(())
}

/// Removes a name; it is no error when it is gone.
pub(super) fn remove(path: &Path) {
    let step = step("remove", path);
    if std::fs::remove_file(path).is_ok() {
        step.done();
    }
}

/// Makes a call again while the error is that a handle is stale.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for wait in [10, 40, 160, 640] {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::StaleNetworkFileHandle => {
                std::thread::sleep(Duration::from_millis(wait));
            }
            other => return other,
        }
    }
    call()
}

/// What identifies a file under any name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|m: Metadata| (m.dev(), m.ino()))
}

fn same_file(a: &Path, b: &Path) -> bool {
    identity(a).is_some_and(|a| Some(a) == identity(b))
}

/// Whether an error says that no (more) hard links are possible here.
fn no_links(e: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(e.kind(), K::Unsupported | K::PermissionDenied | K::TooManyLinks | K::CrossesDevices)
}

fn cannot_sync(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_link_that_worked_before_is_new_and_another_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write_new(&at("a"), b"1").unwrap();
        write_new(&at("b"), b"2").unwrap();
        assert_eq!(link(&at("a"), &at("to")).unwrap(), Linked::New);
        // As when the reply to the first one was lost.
        assert_eq!(link(&at("a"), &at("to")).unwrap(), Linked::New);
        assert_eq!(link(&at("b"), &at("to")).unwrap(), Linked::Taken);
        assert_eq!(std::fs::read(at("to")).unwrap(), b"1");
        assert!(link(&at("none"), &at("other")).is_err());
    }

    #[test]
    fn what_is_stale_for_a_moment_is_tried_again() {
        let mut calls = 0;
        let stale = || io::Error::from_raw_os_error(rustix::io::Errno::STALE.raw_os_error());
        let done = again(|| {
            calls += 1;
            if calls < 3 { Err(stale()) } else { Ok(calls) }
        });
        assert_eq!(done.unwrap(), 3);
        assert_eq!(again(|| Err::<(), _>(io::Error::other("x"))).unwrap_err().to_string(), "x");
    }

    #[test]
    fn a_folder_can_be_synced_and_a_missing_file_cannot() {
        let dir = tempfile::tempdir().unwrap();
        make_folder(&dir.path().join("a/b")).unwrap();
        sync(&dir.path().join("a")).unwrap();
        assert!(sync(&dir.path().join("none")).is_err());
        assert!(rename(&dir.path().join("none"), &dir.path().join("b")).is_err());
    }
}
