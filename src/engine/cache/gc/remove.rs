//! Removing what may go: manifests first, then the folders and files that no manifest names any more.
//!
//! Everything is renamed into this process's temporary folder, so that it disappears at once and as a whole, and removed
//! at the end. If this process is killed, the next one that opens the store removes the rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::error::At;
use super::super::{Error, Store};
use super::census::{self, Census};
use super::{Garbage, GarbageFile, GarbageKind};
use xpipe_base::value::Digest;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Number of results.
    pub results: usize,
    /// Number of other files and folders.
    pub files: usize,
    /// Bytes of both.
    pub bytes: u64,
    /// Number of results and files that the search had found and that are in use by now.
    pub in_use: usize,
}

/// Removes what a search has found, except for what is in use by now.
///
/// # Errors
/// The store cannot be written.
pub fn remove_garbage(store: &Store, garbage: &Garbage) -> Result<Removed, Error> {
    let away = store.temp("gc")?;
    std::fs::create_dir(&away).at("making", &away)?;
    // What a process that began since the search has written, linked or found stays.
    let census = Census::take(store)?;
    let mut remover = Remover { store, census, away, moved: 0, removed: Removed::default() };
    let gone = remover.manifests(garbage)?;
    let named = remover.contents(garbage, &gone)?;
    remover.files(garbage, &named)?;
    std::fs::remove_dir_all(&remover.away).at("removing", &remover.away)?;
    Ok(remover.removed)
}

/// What results that stay name.
struct Named {
    trees: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    /// The content of inputs that are no results.
    inputs: BTreeSet<Digest>,
}

struct Remover<'a> {
    store: &'a Store,
    census: Census,
    /// The folder that everything is moved to.
    away: PathBuf,
    moved: u64,
    removed: Removed,
}

impl Remover<'_> {
    /// Moves something away; whether it was there.
    fn take(&mut self, path: &Path) -> Result<bool, Error> {
        self.moved += 1;
        match std::fs::rename(path, self.away.join(self.moved.to_string())) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("removing", path, e)),
        }
    }

    /// Removes manifests; returns the keys of those that are gone.
    fn manifests(&mut self, garbage: &Garbage) -> Result<BTreeSet<Digest>, Error> {
        let live = self.census.runs.iter().filter(|r| self.census.in_use_since(r.last));
        let used: BTreeSet<Digest> = live.flat_map(|r| r.keys.iter().copied()).collect();
        let mut gone = BTreeSet::new();
        for result in &garbage.results {
            let key = result.key;
            let Some(result) = self.census.results.get(&key) else { continue };
            let (written, manifest) = (result.written, result.manifest.clone());
            // While its lock is held, another process makes it.
            let lock = self.store.try_lock(&key)?;
            if lock.is_none() || used.contains(&key) || self.census.in_use_since(written) {
                self.removed.in_use += 1;
            } else if self.take(&manifest)? {
                self.removed.results += 1;
                gone.insert(key);
            }
        }
        Ok(gone)
    }

    /// Removes the folders and blobs of results that are gone, and orphaned blobs, unless a manifest names them by now
    /// or they were written or linked meanwhile.
    fn contents(&mut self, garbage: &Garbage, gone: &BTreeSet<Digest>) -> Result<Named, Error> {
        let (now, doubtful) = census::results(self.store)?;
        let mut named = Named {
            trees: now.values().map(|r| r.tree).collect(),
            blobs: now.values().flat_map(|r| r.blobs.keys().copied()).collect(),
            inputs: now.values().flat_map(|r| r.inputs.iter().copied()).collect(),
        };
        named.blobs.extend(&self.census.doubtful);
        named.blobs.extend(doubtful);
        let folders = garbage.results.iter().filter(|r| gone.contains(&r.key)).map(|r| r.tree);
        let folders: BTreeSet<Digest> = folders.filter(|tree| !named.trees.contains(tree)).collect();
        for tree in folders {
            self.take(&self.store.dir().join("trees").join(tree.hex()))?;
        }
        let results = gone.iter().filter_map(|key| self.census.results.get(key));
        let of_results = results.flat_map(|r| r.blobs.keys().copied());
        let orphans = garbage.files.iter().filter_map(|f| f.blob);
        let blobs: BTreeSet<Digest> =
            of_results.chain(orphans).filter(|d| !named.blobs.contains(d)).collect();
        for digest in blobs {
            let path = self.store.blob(&digest);
            let known = self.census.blobs.get(&digest).copied();
            match (known, census::blob(&path)) {
                (Some(known), Some(now)) if known.changed == now.changed => {
                    if self.take(&path)? {
                        self.removed.bytes += now.bytes;
                    }
                }
                (_, Some(_)) => self.removed.in_use += 1,
                (_, None) => {}
            }
        }
        Ok(named)
    }

    /// Removes what is no result, unless it changed since the search or something needs it by now.
    fn files(&mut self, garbage: &Garbage, named: &Named) -> Result<(), Error> {
        let claimed = census::with_jobs(self.store)?;
        for file in garbage.files.iter().filter(|f| f.blob.is_none()) {
            if is_needed(file, named, &claimed) {
                self.removed.in_use += 1;
                continue;
            }
            let key = file.path.file_name().and_then(|n| Digest::parse(n.to_str()?));
            let lock = match key.filter(|_| file.kind == GarbageKind::Checkpoints) {
                Some(key) => self.store.try_lock(&key)?.map(Some),
                None => Some(None),
            };
            if lock.is_none() {
                self.removed.in_use += 1;
            } else if self.take(&file.path)? {
                self.removed.files += 1;
                self.removed.bytes += file.bytes;
            }
        }
        Ok(())
    }
}

/// Whether something that is no result, and that the search had found, is needed by now.
fn is_needed(file: &GarbageFile, named: &Named, claimed: &BTreeSet<String>) -> bool {
    let name = file.path.file_name().and_then(|n| n.to_str());
    match file.kind {
        // The files in it are links, which change with the files that were removed.
        GarbageKind::Orphan => {
            file.content.iter().any(|tree| named.trees.contains(tree))
                || census::blob(&file.path).is_some_and(|now| Some(now.changed) != file.changed)
        }
        GarbageKind::Download if file.content.iter().any(|d| named.inputs.contains(d)) => true,
        GarbageKind::Run if name.is_some_and(|n| claimed.contains(n)) => true,
        _ => census::changed(&file.path).is_some_and(|now| Some(now) != file.changed),
    }
}
