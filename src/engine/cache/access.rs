//! Who may use a cache: its owner, the users of a group, and folders that are closed to this user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access as Mode, access};

use super::disk;
use xpipe_base::modes;

/// A folder of a cache that this user may not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedFolder {
    /// The folder.
    pub path: PathBuf,
    /// The number of the user who owns it.
    pub owner: u32,
}

/// Who may use a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The number of the user who owns the root.
    pub owner: u32,
    /// The number of the group whose users share the cache; `None` if its root lacks the set-group-id bit.
    pub group: Option<u32>,
    /// The folders that are closed to this user, sorted.
    pub closed: Vec<ClosedFolder>,
}

/// Who may use the cache of a root. Without a root, the default.
pub fn access_of(root: &Path) -> Access {
    let Ok(meta) = std::fs::metadata(root) else { return Access::default() };
    let mut closed = Vec::new();
    // Two levels below `v1` are written by whoever stores something.
    look(root, 3, &mut closed);
    closed.sort_by(|a, b| a.path.cmp(&b.path));
    Access { owner: meta.uid(), group: modes::is_shared(&meta).then(|| meta.gid()), closed }
}

/// Folders below `v1` in which folders are written again, with the number of levels below them that are.
const WRITTEN_AGAIN: [(&str, u32); 3] = [("answers", 1), ("downloads", 3), ("scratch", 2)];

/// Opens what a killed process of this user left closed to the group in a shared cache: the folders in `v1`, and those below
/// the ones that are written again. What cannot be read or opened is another user's; `doctor` tells of it.
pub(super) fn open_own(root: &Path, dir: &Path) {
    if !std::fs::metadata(root).is_ok_and(|meta| modes::is_shared(&meta)) {
        return;
    }
    open_below(dir, 1);
    for (name, levels) in WRITTEN_AGAIN {
        open_below(&dir.join(name), levels);
    }
}

fn open_below(folder: &Path, levels: u32) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            let _ = disk::open_to_group(&path);
            if levels > 1 {
                open_below(&path, levels - 1);
            }
        }
    }
}

fn look(folder: &Path, levels: u32, closed: &mut Vec<ClosedFolder>) {
    let Ok(meta) = std::fs::symlink_metadata(folder) else { return };
    if !meta.is_dir() {
        return;
    }
    if access(folder, Mode::READ_OK | Mode::WRITE_OK | Mode::EXEC_OK).is_err() {
        closed.push(ClosedFolder { path: folder.to_owned(), owner: meta.uid() });
    }
    // Results and the folders of other runs are never written again.
    let done = ["trees", "tmp", "runs", "damaged"].iter().any(|name| folder.ends_with(name));
    if levels > 0 && !done {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            look(&entry.path(), levels - 1, closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_shared_cache_is_known_by_its_root_and_a_missing_one_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(access_of(&dir.path().join("none")), Access::default());
        let mine = access_of(dir.path());
        assert_eq!((mine.group, mine.closed), (None, vec![]));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
        let meta = std::fs::metadata(dir.path()).unwrap();
        // A user outside the folder's group cannot set the bit.
        if meta.mode() & 0o2000 != 0 {
            assert_eq!(access_of(dir.path()).group, Some(meta.gid()));
        }
    }
}
