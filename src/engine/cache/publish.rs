//! Publishing the files of a finished action: they are synced and made read-only, blobs are created by link, then the
//! folder view, last the manifest. The store is valid after a crash between any two of these steps, and nothing depends
//! on a lock: of two publications under one key the first one stands.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde_json::Value as Json;

use super::digest::{Walk, WalkedFile, file_digest, tree_digest, walk};
use super::disk::{self, Linked};
use super::error::At;
use super::lookup::BlobState;
use super::manifest::FORMAT;
use super::{Error, InputNote, Manifest, Output, Recipe, Store, Workspace, json};
use xpipe_base::modes;
use xpipe_base::task::Caveat;
use xpipe_base::value::{Digest, InnerPath, sealed};

/// What is recorded about a finished action besides its files.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// The recipe that was run.
    pub recipe: &'a Recipe,
    /// The study that requested it.
    pub study: &'a str,
    /// The first cell that requested it.
    pub address: &'a str,
    /// The content digest, if it is not the digest of the files.
    pub digest: Option<Digest>,
    /// Numbers that the study may use.
    pub values: IndexMap<String, f64>,
    /// Facts for people.
    pub facts: serde_json::Map<String, Json>,
    /// Caveats for readers of the result, sorted by kind and cause.
    pub caveats: Vec<Caveat>,
    /// Where its inputs came from.
    pub inputs: Vec<InputNote>,
    /// Run time in seconds.
    pub seconds: f64,
    /// Peak memory in bytes.
    pub peak_memory: Option<u64>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The kernel level.
    pub kernels: String,
    /// Number of threads.
    pub threads: usize,
    /// When it started.
    pub started: jiff::Timestamp,
    /// The log file, if there is one.
    pub log: Option<PathBuf>,
    /// Whether to replace a result of the same recipe.
    pub replace: bool,
}

/// The result of a recipe after a publication.
#[derive(Clone, Debug)]
pub struct Published {
    /// The manifest that stands: the new one, or the one that another process had published before.
    pub manifest: Manifest,
    /// Whether another process had published other content before: the operation is not deterministic.
    pub differs: bool,
}

impl Store {
    /// Publishes the files of a workspace as the result of a recipe. A result that is there stands, unless it is damaged
    /// or to be replaced.
    ///
    /// # Errors
    /// Something cannot be written (a full disk), a published number is not finite, or the folder holds files of
    /// unsupported kinds. The store stays valid, and nothing is recorded.
    pub fn publish(&self, work: Workspace, what: Publication<'_>) -> Result<Published, Error> {
        if let Some((name, _)) = what.values.iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite { name: name.clone() });
        }
        let outputs = self.publish_blobs(&work.out)?;
        let tree = tree_digest(outputs.iter().map(|o| (o.name.as_str(), o.digest)));
        self.publish_tree(&work.out, &tree)?;
        drop(work);
        let key = what.recipe.key();
        let manifest = Manifest {
            format: FORMAT,
            key,
            op: what.recipe.op.clone(),
            version: what.recipe.version,
            study: what.study.to_owned(),
            address: what.address.to_owned(),
            digest: what.digest.unwrap_or(tree),
            tree,
            outputs,
            values: what.values,
            facts: what.facts,
            caveats: what.caveats,
            inputs: what.inputs,
            seconds: what.seconds,
            peak_memory: what.peak_memory,
            device: what.device,
            kernels: what.kernels,
            threads: what.threads,
            tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
            started: what.started.to_string(),
            finished: jiff::Timestamp::now().to_string(),
            log: what.log.map(|p| self.relative(&p)),
            origin: None,
        };
        self.publish_manifest(manifest, what.recipe, what.replace)
    }

    /// Syncs a file or folder to disk.
    pub(super) fn sync(&self, path: &Path) -> Result<(), Error> {
        if self.durable { disk::sync(path).at("syncing", path) } else { Ok(()) }
    }

    /// Creates a folder of the store, and makes sure that it is found after a power failure and open to those who share
    /// the cache: another process may have created it without having come as far.
    pub(super) fn make_durable(&self, folder: &Path) -> Result<(), Error> {
        disk::make_folder(folder).at("making", folder)?;
        let known = |s: &Self| s.anchored.lock().unwrap_or_else(PoisonError::into_inner).contains(folder);
        if known(self) {
            return Ok(());
        }
        disk::open_to_group(folder).at("protecting", folder)?;
        match folder.parent() {
            Some(parent) if folder != self.dir() => {
                self.make_durable(parent)?;
                self.sync(parent)?;
            }
            _ if !self.durable => {}
            // The folders above may belong to others.
            _ => {
                let _ = disk::sync(self.root());
                let _ = self.root().parent().map(disk::sync);
            }
        }
        self.anchored.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        Ok(())
    }

    /// Publishes every file below `out` as a blob; the files in `out` become links to blobs.
    pub(super) fn publish_blobs(&self, out: &Path) -> Result<Vec<Output>, Error> {
        let (files, folders) = walk(out, Walk::Result)?;
        for (folder, _) in &folders {
            modes::inherit_folder(folder).at("protecting", folder)?;
        }
        let outputs = files.par_iter().map(|f| self.publish_blob(f)).collect::<Result<Vec<_>, Error>>()?;
        let mut folders: Vec<PathBuf> =
            outputs.iter().filter_map(|o| self.blob(&o.digest).parent().map(Path::to_owned)).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in &folders {
            self.sync(folder)?;
        }
        Ok(outputs)
    }

    fn publish_blob(&self, found: &WalkedFile) -> Result<Output, Error> {
        let path = &found.path;
        disk::protect(path, self.read_only()?).at("protecting", path)?;
        self.sync(path)?;
        let digest = file_digest(path)?;
        let blob = self.blob(&digest);
        if let Some(folder) = blob.parent() {
            self.make_durable(folder)?;
        }
        self.link_blob(path, &blob, &digest)?;
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        let name = InnerPath::parse(found.name.as_str())
            .map_err(|_| Error::Unsupported { path: path.clone(), what: "a name that cannot be kept" })?;
        Ok(Output { name, digest, size: found.meta.len() })
    }

    /// Makes a file the blob of its digest. The first writer wins, if its blob is intact.
    fn link_blob(&self, path: &Path, blob: &Path, digest: &Digest) -> Result<(), Error> {
        // Other processes may find the same damage and replace it at the same time.
        for _ in 0..5 {
            match disk::link(path, blob).at("writing", blob)? {
                Linked::New => return Ok(()),
                Linked::Impossible if blob.exists() => {}
                Linked::Impossible => return self.copy_in(path, blob),
                Linked::Taken => {}
            }
            match self.blob_state(digest)? {
                BlobState::Intact => return self.replace_by_link(blob, path),
                BlobState::Damaged => self.quarantine(digest),
                // Another process has just moved it away.
                BlobState::Missing => {}
            }
        }
        let why = io::Error::other("it is damaged and cannot be replaced");
        Err(Error::io("writing", blob, why))
    }

    /// The permissions of what is never written again.
    fn read_only(&self) -> Result<std::fs::Permissions, Error> {
        // A folder of this process shows its umask, or the permissions of a shared cache.
        let folder = self.session_folder()?;
        Ok(modes::read_only(&std::fs::metadata(folder).at("reading", folder)?))
    }

    /// Replaces a file by a link to the equal blob, to save space.
    fn replace_by_link(&self, blob: &Path, path: &Path) -> Result<(), Error> {
        let temp = self.temp("link")?;
        match disk::link(blob, &temp) {
            Ok(Linked::New) => disk::rename(&temp, path).at("writing", path),
            // Without hard links the equal file stays as it is.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Copies a file to where it cannot be linked. The copy is made in the target's folder: between folders, some file
    /// systems cannot rename either.
    fn copy_in(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let temp = self.beside(to)?;
        let copied = disk::copy(from, &temp).at("writing", &temp).and_then(|()| self.sync(&temp));
        copied.and_then(|()| disk::rename(&temp, to).at("writing", to)).inspect_err(|_| disk::remove(&temp))
    }

    /// A name beside a file for a file that will replace it. Hidden names are no part of the store.
    fn beside(&self, path: &Path) -> Result<PathBuf, Error> {
        let unique = self.temp("x")?;
        let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let session = unique.parent().map(name).unwrap_or_default();
        Ok(path.with_file_name(format!(".{}.{session}.{}", name(path), name(&unique))))
    }

    pub(super) fn publish_tree(&self, out: &Path, tree: &Digest) -> Result<(), Error> {
        let path = self.dir.join("trees").join(tree.hex());
        match disk::rename(out, &path) {
            // Not synced: a lost view is rebuilt from its blobs, and an existing one is checked on use.
            Ok(()) => Ok(()),
            Err(e) if is_taken(&e, &path) => Ok(()),
            Err(e) => Err(Error::io("writing", &path, e)),
        }
    }

    /// Builds the folder view of a result from its blobs. Of several builders the first one's stands: who reads it
    /// finds it unchanged.
    pub(super) fn build_tree(&self, manifest: &Manifest, path: &Path) -> Result<(), Error> {
        // Saves work only: another process may build it too.
        let _one = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_complete(manifest, path) {
            return Ok(());
        }
        let temp = self.link_tree(manifest)?;
        for _ in 0..5 {
            match disk::rename(&temp, path) {
                Ok(()) => return Ok(()),
                Err(e) if !is_taken(&e, path) => return Err(Error::io("writing", path, e)),
                Err(_) if self.is_complete(manifest, path) => {
                    let _ = std::fs::remove_dir_all(&temp);
                    return Ok(());
                }
                Err(_) => {}
            }
            let old = self.temp("old")?;
            // Elsewhere another host may still read it; it goes with the folder of this process.
            if disk::rename(path, &old).is_ok() && self.network.is_local() {
                let _ = std::fs::remove_dir_all(&old);
            }
        }
        let why = io::Error::other("the folder is incomplete and cannot be replaced");
        Err(Error::io("writing", path, why))
    }

    /// A temporary folder with the files of a result.
    fn link_tree(&self, manifest: &Manifest) -> Result<PathBuf, Error> {
        let temp = self.temp("tree")?;
        disk::make_folder(&temp).at("making", &temp)?;
        for output in &manifest.outputs {
            let file = output.name.below(&temp);
            if let Some(folder) = file.parent() {
                disk::make_folder(folder).at("making", folder)?;
            }
            let blob = self.blob(&output.digest);
            if disk::link(&blob, &file).at("linking", &file)? != Linked::New {
                disk::copy(&blob, &file).at("writing", &file)?;
            }
        }
        Ok(temp)
    }

    /// Writes the manifest of a key, unless a usable one is there.
    pub(super) fn publish_manifest(
        &self,
        manifest: Manifest,
        recipe: &Recipe,
        replace: bool,
    ) -> Result<Published, Error> {
        let path = self.manifest_path(&manifest.key);
        let folder = path.parent().unwrap_or(&self.dir);
        self.make_durable(folder)?;
        let temp = self.write_temporary(&manifest, recipe)?;
        let linked =
            if replace { Linked::Impossible } else { disk::link(&temp, &path).at("writing", &path)? };
        let stands = if linked == Linked::New || replace { None } else { self.get(&manifest.key).ok() };
        let published = match stands {
            Some(first) => {
                // Files may differ where the content digest is not that of the files.
                let differs = (first.digest, &first.values) != (manifest.digest, &manifest.values);
                Published { manifest: first, differs }
            }
            None => {
                if linked != Linked::New {
                    self.put_in_place(&temp, &path)?;
                }
                Published { manifest, differs: false }
            }
        };
        disk::remove(&temp);
        self.sync(folder)?;
        Ok(published)
    }

    /// Renames a temporary file to its place, by way of its folder where the file system needs that.
    fn put_in_place(&self, temp: &Path, path: &Path) -> Result<(), Error> {
        match disk::rename(temp, path) {
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => self.copy_in(temp, path),
            other => other.at("writing", path),
        }
    }

    /// Writes a manifest to a temporary file.
    fn write_temporary(&self, manifest: &Manifest, recipe: &Recipe) -> Result<PathBuf, Error> {
        let temp = self.temp("manifest")?;
        let text = manifest_text(manifest, recipe).map_err(|e| Error::io("writing", &temp, e))?;
        disk::write_new(&temp, &text).at("writing", &temp)?;
        modes::inherit_file(&temp).at("protecting", &temp)?;
        self.sync(&temp)?;
        Ok(temp)
    }
}

/// The text of a manifest with its recipe and its checksum.
pub(super) fn manifest_text(manifest: &Manifest, recipe: &Recipe) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_value(manifest)?;
    if let Some(fields) = json.as_object_mut() {
        fields.insert("recipe".into(), json::write(recipe));
    }
    Ok(sealed::seal(&serde_json::to_vec_pretty(&json)?))
}

/// Whether a folder could not be renamed because the new name is taken.
fn is_taken(e: &io::Error, path: &Path) -> bool {
    matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) || path.is_dir()
}
