//! Whether the folder of a result stayed as it was while an action read it. In a shared cache, `gc` or a user may remove
//! a result that another process reads: optional files would be taken for absent. Such an action is carried out again.

use std::path::{Path, PathBuf};

use super::memo::Stamp;
use super::{Manifest, Store};
use xpipe_base::value::Digest;

/// The folders of results as they were before an action read them, when [`Store::tree`] had checked them.
#[derive(Debug)]
pub struct WatchedReads<'a> {
    reads: Vec<(&'a Manifest, PathBuf, Option<Stamp>)>,
}

fn stamp(folder: &Path) -> Option<Stamp> {
    std::fs::symlink_metadata(folder).ok().map(|meta| Stamp::of(&meta))
}

impl<'a> WatchedReads<'a> {
    /// The present folders of results.
    pub fn new(store: &Store, manifests: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let watched = manifests.into_iter().map(|manifest| {
            let folder = store.tree_path(manifest);
            let before = stamp(&folder);
            (manifest, folder, before)
        });
        Self { reads: watched.collect() }
    }

    /// The key of a result whose folder is not the one that it was: whoever read it meanwhile may have found files
    /// missing. A folder that was removed and made again is another one. What a program leaves beside the files, such as
    /// a lock file or compiled code, does not matter.
    pub fn removed(&self) -> Option<Digest> {
        let gone =
            self.reads.iter().find(|(manifest, folder, before)| !stayed(manifest, folder, before.as_ref()));
        gone.map(|(manifest, ..)| manifest.key)
    }
}

/// Whether a folder is the one that it was, and holds every file.
fn stayed(manifest: &Manifest, folder: &Path, before: Option<&Stamp>) -> bool {
    let (Some(before), Some(now)) = (before, stamp(folder)) else { return false };
    let holds = || manifest.outputs.iter().all(|o| o.name.below(folder).symlink_metadata().is_ok());
    *before == now || (!before.moved(&now) && holds())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{publication, recipe};
    use super::*;

    #[test]
    fn a_folder_that_is_removed_or_made_again_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let recipe = recipe(1);
        let work = store.workspace(&recipe.key()).unwrap();
        std::fs::write(work.out.join("a"), "a").unwrap();
        let manifest = store.publish(work, publication(&recipe)).unwrap().manifest;
        let tree = store.tree(&manifest).unwrap().unwrap();
        let reads = WatchedReads::new(&store, [&manifest]);
        assert_eq!(std::fs::read(tree.join("a")).unwrap(), b"a");
        assert_eq!(reads.removed(), None);
        std::fs::create_dir(tree.join("__pycache__")).unwrap();
        assert_eq!(reads.removed(), None, "a program may leave files");
        std::fs::rename(tree.join("a"), dir.path().join("a")).unwrap();
        assert_eq!(reads.removed(), Some(manifest.key), "a file is gone");
        std::fs::rename(dir.path().join("a"), tree.join("a")).unwrap();
        assert_eq!(reads.removed(), None);
        let reads = WatchedReads::new(&store, [&manifest]);
        std::fs::rename(&tree, dir.path().join("away")).unwrap();
        assert_eq!(reads.removed(), Some(manifest.key));
        // Made again from its blobs, it is another folder.
        store.tree(&manifest).unwrap().unwrap();
        assert_eq!(reads.removed(), Some(manifest.key));
        std::fs::remove_dir_all(&tree).unwrap();
        std::fs::rename(dir.path().join("away"), &tree).unwrap();
        assert_eq!(reads.removed(), Some(manifest.key), "it was away meanwhile");
    }
}
