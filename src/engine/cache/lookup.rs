//! Looking up results: manifests, their files, and what is damaged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::digest::{blob_digest, cached_digest};
use super::disk::Linked;
use super::session::manifest_path;
use super::{Error, Manifest, Miss, Output, Recipe, Store, disk, json};
use xpipe_base::modes;
use xpipe_base::value::Digest;

/// The state of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlobState {
    Intact,
    Damaged,
    Missing,
}

/// What is wrong with a file of a result.
struct Problem<'m> {
    /// `None` when all files were left out of a bundle.
    output: Option<&'m Output>,
    what: &'static str,
    /// Whether it is known to have another content.
    damaged: bool,
}

impl<'m> Problem<'m> {
    fn of(output: &'m Output, what: &'static str, damaged: bool) -> Self {
        Self { output: Some(output), what, damaged }
    }

    fn miss(&self) -> Miss {
        match self.output {
            None => Miss::LeftOut,
            Some(output) => Miss::Output { name: output.name.to_string(), problem: self.what },
        }
    }
}

impl Store {
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.dir.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    pub(super) fn manifest_path(&self, key: &Digest) -> PathBuf {
        manifest_path(&self.dir, key)
    }

    /// The result of a key, if its manifest is readable and every file exists with the right size. Content is checked on
    /// first use, by [`Self::tree`]. Of a result that a bundle brought without its files, the manifest alone.
    ///
    /// # Errors
    /// Why it is a miss. A blob of the wrong size is quarantined.
    pub fn get(&self, key: &Digest) -> Result<Manifest, Miss> {
        self.find(key, true)
    }

    /// The same for those who only look: nothing is moved.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn look(&self, key: &Digest) -> Result<Manifest, Miss> {
        self.find(key, false)
    }

    fn find(&self, key: &Digest, moves: bool) -> Result<Manifest, Miss> {
        let path = self.manifest_path(key);
        let read = || match std::fs::read(&path) {
            Err(e) if is_absent(&e) => None,
            read => Some(read),
        };
        let bytes = match self.network.possible(&path, read) {
            Some(Ok(bytes)) => bytes,
            Some(Err(e)) => return Err(Miss::NotRead { path, why: e.to_string() }),
            None => return self.left_out(key),
        };
        let manifest = Manifest::parse(&bytes, key).map_err(|why| Miss::Unreadable { path, why })?;
        match manifest.outputs.iter().find_map(|output| self.size_problem(output)) {
            Some(problem) if moves => Err(self.set_aside(&problem)),
            Some(problem) => Err(problem.miss()),
            None => Ok(manifest),
        }
    }

    /// [`Self::get`] without the reason for a miss.
    pub fn lookup(&self, key: &Digest) -> Option<Manifest> {
        self.get(key).ok()
    }

    fn size_problem<'m>(&self, output: &'m Output) -> Option<Problem<'m>> {
        let path = self.blob(&output.digest);
        if self.network.promised(&path, || has_size(&path, output)).is_some() {
            return None;
        }
        match std::fs::metadata(&path) {
            Ok(_) => {}
            Err(e) if is_absent(&e) => return Some(Problem::of(output, "is missing", false)),
            // Says nothing about its content.
            Err(_) => return Some(Problem::of(output, "cannot be read", false)),
        }
        // On a network file system the size that this host sees may be an old one.
        let damaged = self.network.is_local() || blob_digest(&path).is_ok_and(|found| found != output.digest);
        Some(Problem::of(output, "does not have its recorded size", damaged))
    }

    /// Moves a damaged file away; what the result misses then.
    fn set_aside(&self, problem: &Problem<'_>) -> Miss {
        if let Some(output) = problem.output.filter(|_| problem.damaged) {
            self.quarantine(&output.digest);
        }
        problem.miss()
    }

    /// Checks the content of every file of a result. An unchanged file is read once per process.
    ///
    /// # Errors
    /// `Ok(Err(miss))` for a damaged file, which was quarantined so that the action can run again; an [`Error`] when a
    /// file cannot be read, which says nothing about its content.
    pub fn check(&self, manifest: &Manifest) -> Result<Result<(), Miss>, Error> {
        Ok(self.problem(manifest)?.map_or(Ok(()), |problem| Err(self.set_aside(&problem))))
    }

    /// What is wrong with the files of a result, as [`Self::check`] finds it. Nothing is moved.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn damage(&self, manifest: &Manifest) -> Result<Option<Miss>, Error> {
        Ok(self.problem(manifest)?.map(|problem| problem.miss()))
    }

    /// The first file of a result that is not as recorded.
    fn problem<'m>(&self, manifest: &'m Manifest) -> Result<Option<Problem<'m>>, Error> {
        for output in &manifest.outputs {
            let blob = self.blob(&output.digest);
            if has_size(&blob, output).is_none() {
                if self.is_record(&manifest.key) && !blob.exists() {
                    return Ok(Some(Problem { output: None, what: "was left out", damaged: false }));
                }
                if let Some(problem) = self.size_problem(output) {
                    return Ok(Some(problem));
                }
            }
            match self.blob_state(&output.digest)? {
                BlobState::Intact => {}
                BlobState::Missing => return Ok(Some(Problem::of(output, "is missing", false))),
                BlobState::Damaged => {
                    return Ok(Some(Problem::of(output, "does not have its recorded content", true)));
                }
            }
        }
        Ok(None)
    }

    /// Whether a blob that was published has the content that its name, a digest, promises.
    ///
    /// # Errors
    /// It is there and cannot be read: too many open files, a failing disk.
    pub(super) fn blob_state(&self, digest: &Digest) -> Result<BlobState, Error> {
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest) {
            return Ok(BlobState::Intact);
        }
        let path = self.blob(digest);
        let Some(meta) = self.network.promised(&path, || std::fs::metadata(&path).ok()) else {
            return Ok(BlobState::Missing);
        };
        let found = match cached_digest(&path, &meta, &self.memo, self.verify_always) {
            // Another process linked it meanwhile.
            Err(Error::Changing { .. }) => blob_digest(&path),
            found => found,
        };
        match found {
            Ok(found) if found == *digest => {
                self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
                Ok(BlobState::Intact)
            }
            Ok(_) => Ok(BlobState::Damaged),
            Err(Error::Io { source, .. }) if is_absent(&source) => Ok(BlobState::Missing),
            Err(e) => Err(e),
        }
    }

    /// Moves a damaged blob to `damaged/`. A store opened for reading leaves it.
    pub(super) fn quarantine(&self, digest: &Digest) {
        if self.is_writable() {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        }
        let blob = self.blob(digest);
        let Some(moved) = self.quarantine_file(&blob, &digest.hex()) else { return };
        // Another process may have replaced the damaged one just before it was moved.
        if blob_digest(&moved).is_ok_and(|found| found == *digest) {
            match disk::link(&moved, &blob) {
                Ok(Linked::New | Linked::Taken) => disk::remove(&moved),
                Ok(Linked::Impossible) | Err(_) => {
                    let _ = disk::rename(&moved, &blob);
                }
            }
        }
    }

    /// Moves a damaged file to `damaged/`, to a name that begins with `name`; its new place. A store opened for reading
    /// leaves it.
    pub(super) fn quarantine_file(&self, file: &Path, name: &str) -> Option<PathBuf> {
        if !self.is_writable() {
            return None;
        }
        let folder = self.dir.join("damaged");
        let to = folder.join(format!("{name}.{}-{}", std::process::id(), self.unique()));
        modes::make_folder(&folder).and_then(|()| disk::rename(file, &to)).ok()?;
        Some(to)
    }

    /// The folder of a result. It may not exist yet.
    pub fn tree_path(&self, manifest: &Manifest) -> PathBuf {
        self.dir.join("trees").join(manifest.tree.hex())
    }

    /// The folder of a result, checked and complete. It is rebuilt from the blobs when files are missing.
    ///
    /// # Errors
    /// `Ok(Err(miss))` when a blob is damaged, so that the action must run again; an [`Error`] when the folder cannot be
    /// written.
    pub fn tree(&self, manifest: &Manifest) -> Result<Result<PathBuf, Miss>, Error> {
        if let Err(miss) = self.check(manifest)? {
            return Ok(Err(miss));
        }
        let path = self.tree_path(manifest);
        // A folder that is there without all files is not waited for: it is built anew.
        let there = self.network.possible(&path, || path.is_dir().then_some(())).is_some();
        if !there || !self.is_complete(manifest, &path) {
            self.build_tree(manifest, &path)?;
        }
        Ok(Ok(path))
    }

    /// Whether a folder holds every file of a result.
    pub(super) fn is_complete(&self, manifest: &Manifest, folder: &Path) -> bool {
        manifest.outputs.iter().all(|o| self.in_tree(folder, o)) && folder.is_dir()
    }

    /// Whether a file of a tree is a link to its blob, or (where hard links or stable inode numbers are missing) an equal
    /// copy.
    fn in_tree(&self, tree: &Path, output: &Output) -> bool {
        use std::os::unix::fs::MetadataExt;
        let path = output.name.below(tree);
        let (Ok(here), Ok(blob)) = (std::fs::metadata(&path), std::fs::metadata(self.blob(&output.digest)))
        else {
            return false;
        };
        (here.dev(), here.ino()) == (blob.dev(), blob.ino())
            || (here.len() == output.size
                && cached_digest(&path, &here, &self.memo, false).is_ok_and(|d| d == output.digest))
    }

    /// The recipe recorded under a key, without paths and labels.
    pub fn recipe(&self, key: &Digest) -> Option<Recipe> {
        #[derive(serde::Deserialize)]
        struct Only {
            recipe: serde_json::Value,
        }
        let bytes = std::fs::read(self.existing_manifest(key)).ok()?;
        Manifest::parse(&bytes, key).ok()?;
        json::read(&serde_json::from_slice::<Only>(&bytes).ok()?.recipe)
    }

    /// The manifest of a key, whether or not its files still exist.
    pub fn record(&self, key: &Digest) -> Option<Manifest> {
        Manifest::parse(&std::fs::read(self.existing_manifest(key)).ok()?, key).ok()
    }
}

/// The metadata of a blob that has the recorded size.
fn has_size(blob: &Path, output: &Output) -> Option<std::fs::Metadata> {
    std::fs::metadata(blob).ok().filter(|meta| meta.len() == output.size)
}

/// Whether nothing is at a path, as far as this host knows.
fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}
