//! Permissions of folders and files that the users of a group share.
//!
//! A folder with the set-group-id bit is shared (`chmod 2775 FOLDER`). What is created below it gets its permissions,
//! whatever the umask of the process: folders all bits, files the bits to read and write. Elsewhere the umask decides.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

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

/// Gives a folder of this user the bits of its parent, if that is shared.
///
/// # Errors
/// The system's error.
pub fn inherit_folder(path: &Path) -> io::Result<()> {
    let parent = std::fs::metadata(parent(path))?;
    if !is_shared(&parent) {
        return Ok(());
    }
    let bits = parent.mode() & 0o2777;
    if std::fs::metadata(path)?.mode() & 0o7777 == bits {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(bits))
}

/// Gives a file the bits of its folder to read and write, so that whoever may use the folder may use the file. For files
/// below folders of [`make_folder`], which may have been created with permissions for their owner alone.
///
/// # Errors
/// The system's error; none when another user owns the file.
pub fn inherit_file(path: &Path) -> io::Result<()> {
    let folder = std::fs::metadata(parent(path))?;
    let bits = folder.mode() & 0o666;
    if std::fs::metadata(path)?.mode() & 0o777 == bits {
        return Ok(());
    }
    match std::fs::set_permissions(path, Permissions::from_mode(bits)) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
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

    fn set(path: &Path, bits: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
    }

    #[test]
    fn below_a_shared_folder_everything_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        for (bits, folder, file, kept) in [(0o2775, 0o2775, 0o664, 0o444), (0o2770, 0o2770, 0o660, 0o440)] {
            let root = dir.path().join(format!("{bits:o}"));
            std::fs::create_dir(&root).unwrap();
            set(&root, bits);
            make_folder(&root.join("a/b")).unwrap();
            assert_eq!((mode(&root.join("a")), mode(&root.join("a/b"))), (folder, folder));
            let path = root.join("a/b/file");
            std::fs::write(&path, "x").unwrap();
            set(&path, 0o600);
            inherit_file(&path).unwrap();
            assert_eq!(mode(&path), file);
            let meta = std::fs::metadata(root.join("a/b")).unwrap();
            assert_eq!(read_only(&meta).mode(), kept);
        }
    }

    #[test]
    fn elsewhere_folders_keep_what_the_umask_gave_them() {
        let dir = tempfile::tempdir().unwrap();
        for (bits, file, kept) in [(0o755, 0o644, 0o444), (0o775, 0o664, 0o444), (0o700, 0o600, 0o400)] {
            let root = dir.path().join(format!("{bits:o}"));
            std::fs::create_dir(&root).unwrap();
            set(&root, bits);
            std::fs::create_dir(root.join("a")).unwrap();
            set(&root.join("a"), 0o750);
            inherit_folder(&root.join("a")).unwrap();
            assert_eq!(mode(&root.join("a")), 0o750, "left as it was");
            let path = root.join("file");
            std::fs::write(&path, "x").unwrap();
            inherit_file(&path).unwrap();
            assert_eq!(mode(&path), file);
            assert_eq!(read_only(&std::fs::metadata(&root).unwrap()).mode(), kept);
        }
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
