//! A folder as object store. It must exist: a folder that was not mounted is never made in its place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

/// Pieces of files that nobody has written to for so long are left over from a process that was killed.
const LEFT_OVER: Duration = Duration::from_secs(86_400);

/// A folder, which may be there or not at any time.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    opened: OnceLock<Arc<LocalFileSystem>>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, opened: OnceLock::new() }
    }

    /// The object store in it.
    ///
    /// # Errors
    /// It is not there now, with advice.
    pub(crate) fn store(&self) -> Result<Arc<dyn ObjectStore>, String> {
        let path = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(format!("{path} is not a folder")),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!(
                    "the folder {path} does not exist; mount it, or make it with `mkdir -p {path}`"
                ));
            }
            Err(e) => return Err(format!("the folder {path}: {e}")),
        }
        if let Some(store) = self.opened.get() {
            return Ok(store.clone());
        }
        let store = LocalFileSystem::new_with_prefix(&self.path).map_err(|e| e.to_string())?;
        Ok(self.opened.get_or_init(|| Arc::new(store.with_fsync(true))).clone())
    }

    /// Removes what processes that were killed left over beside a file: the library writes `NAME#1` and renames it.
    pub(crate) fn remove_leftovers(&self, below: &str) {
        let file = self.path.join(below);
        let entries = file.parent().map(std::fs::read_dir);
        for entry in entries.into_iter().flatten().flatten().flatten() {
            if is_piece(&entry.path()) && is_old(&entry) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn is_piece(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('#'));
    name.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_old(entry: &std::fs::DirEntry) -> bool {
    let written = entry.metadata().and_then(|meta| meta.modified());
    written.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > LEFT_OVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_absent_is_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount/cache");
        let folder = Folder::new(path.clone());
        let why = folder.store().unwrap_err();
        assert!(why.contains("does not exist") && why.contains("mkdir -p"), "{why}");
        std::fs::create_dir_all(&path).unwrap();
        folder.store().unwrap();
        // Unmounted meanwhile.
        std::fs::remove_dir(&path).unwrap();
        folder.store().unwrap_err();
        assert!(!path.exists());
    }

    #[test]
    fn pieces_of_killed_processes_are_removed_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        let old = SystemTime::now() - Duration::from_secs(2 * 86_400);
        for (name, time) in [("x#1", Some(old)), ("y#12", Some(old)), ("x#2", None), ("x", Some(old))] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(time.unwrap_or_else(SystemTime::now)).unwrap();
        }
        folder.remove_leftovers("z");
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["x", "x#2"]);
    }
}
