//! Permissions of folders and files that the users of a group share.
//!
//! A folder with the set-group-id bit is shared (`chmod 2775 FOLDER`). What is created below it gets its permissions,
//! whatever the umask of the process: folders all bits, files the bits to read and write. Elsewhere the umask decides.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;

const SET_GROUP_ID: u32 = 0o2000;

/// Whether a folder is shared by the users of its group.
pub fn is_shared(folder: &Metadata) -> bool {
    folder.is_dir() && folder.mode() & SET_GROUP_ID != 0
}

/// Creates a folder and its missing parents. It may exist.
///
/// # Errors
/// A folder cannot be created, or the path is a file.
pub fn make_folder(path: &Path) -> io::Result<()> {
    loop {
        match std::fs::create_dir(path) {
            Ok(()) => return inherit_folder(path),
            Err(_) if path.is_dir() => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => make_folder(parent)?,
                _ => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
}

/// Gives a folder the bits of its parent, if that is shared.
///
/// # Errors
/// The system's error; none when another user owns the folder.
pub fn inherit_folder(path: &Path) -> io::Result<()> {
    inherited(path)?.map_or(Ok(()), |bits| set(path, bits))
}

/// The bits that a folder lacks or has too many of, as its parent is shared; `None` when it has the right ones, or is
/// gone.
///
/// # Errors
/// The system's error.
pub fn inherited(path: &Path) -> io::Result<Option<Permissions>> {
    let parent = std::fs::metadata(parent(path))?;
    let bits = parent.mode() & 0o2777;
    match std::fs::metadata(path) {
        Ok(folder) if is_shared(&parent) && folder.mode() & 0o7777 != bits => {
            Ok(Some(Permissions::from_mode(bits)))
        }
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sets permissions.
///
/// # Errors
/// The system's error; none when another user owns the file or folder, who has set them.
pub fn set(path: &Path, permissions: Permissions) -> io::Result<()> {
    match std::fs::set_permissions(path, permissions) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Gives a file below a shared folder the bits of that to read and write, so that whoever may use the folder may use the
/// file. Elsewhere, gives one that was created for its owner alone, as temporary files are, what the umask allows.
///
/// # Errors
/// The system's error; none when another user owns the file.
pub fn inherit_file(path: &Path) -> io::Result<()> {
    let folder = std::fs::metadata(parent(path))?;
    let now = std::fs::metadata(path)?.mode() & 0o777;
    let bits = match is_shared(&folder) {
        true => folder.mode() & 0o666,
        false if now == 0o600 => 0o666 & !umask(),
        false => now,
    };
    if now == bits { Ok(()) } else { set(path, Permissions::from_mode(bits)) }
}

/// The umask of this process; 077 where the system does not tell it without changing it.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        umask.and_then(|bits| u32::from_str_radix(bits.trim(), 8).ok()).unwrap_or(0o077)
    })
}

/// The bits of a file that nobody writes any more, in a folder: those of the folder to read.
pub fn read_only(folder: &Metadata) -> Permissions {
    Permissions::from_mode(folder.mode() & 0o444)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn chmod(path: &Path, bits: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
    }

    #[test]
    fn below_a_shared_folder_everything_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        for (bits, folder, file, kept) in [(0o2775, 0o2775, 0o664, 0o444), (0o2770, 0o2770, 0o660, 0o440)] {
            let root = dir.path().join(format!("{bits:o}"));
            std::fs::create_dir(&root).unwrap();
            chmod(&root, bits);
            make_folder(&root.join("a/b")).unwrap();
            assert_eq!((mode(&root.join("a")), mode(&root.join("a/b"))), (folder, folder));
            let path = root.join("a/b/file");
            std::fs::write(&path, "x").unwrap();
            chmod(&path, 0o600);
            inherit_file(&path).unwrap();
            assert_eq!(mode(&path), file);
            let meta = std::fs::metadata(root.join("a/b")).unwrap();
            assert_eq!(read_only(&meta).mode(), kept);
        }
    }

    #[test]
    fn elsewhere_folders_keep_what_the_umask_gave_them() {
        let dir = tempfile::tempdir().unwrap();
        for (bits, kept) in [(0o755, 0o444), (0o775, 0o444), (0o777, 0o444), (0o700, 0o400)] {
            let root = dir.path().join(format!("{bits:o}"));
            std::fs::create_dir(&root).unwrap();
            chmod(&root, bits);
            std::fs::create_dir(root.join("a")).unwrap();
            chmod(&root.join("a"), 0o750);
            inherit_folder(&root.join("a")).unwrap();
            assert_eq!(mode(&root.join("a")), 0o750, "left as it was");
            let path = root.join("file");
            std::fs::write(&path, "x").unwrap();
            let as_created = mode(&path);
            inherit_file(&path).unwrap();
            assert_eq!(mode(&path), as_created);
            // As temporary files are; and what somebody chose.
            for (before, after) in [(0o600, as_created), (0o640, 0o640), (0o444, 0o444)] {
                chmod(&path, before);
                inherit_file(&path).unwrap();
                assert_eq!(mode(&path), after);
            }
            assert_eq!(read_only(&std::fs::metadata(&root).unwrap()).mode(), kept);
        }
    }

    #[test]
    fn a_folder_that_was_left_closed_is_opened_below_a_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o2775);
        let closed = dir.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        chmod(&closed, 0o2700);
        make_folder(&closed).unwrap();
        assert_eq!(mode(&closed), 0o2700, "it may be another process's, which opens it now");
        assert_eq!(inherited(&closed).unwrap().unwrap().mode(), 0o2775);
        inherit_folder(&closed).unwrap();
        assert_eq!((mode(&closed), inherited(&closed).unwrap()), (0o2775, None));
        assert_eq!(inherited(&dir.path().join("none")).unwrap(), None);
    }

    #[test]
    fn a_folder_below_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(make_folder(&file).is_err());
        assert!(make_folder(&file.join("a/b")).is_err());
    }
}
