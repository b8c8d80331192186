//! Publishing the files of a finished action: they are synced and made read-only, blobs are created by link or rename,
//! then the folder view, last the manifest. The store is valid after a crash between any two of these steps.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde_json::Value as Json;

use super::digest::{Walk, WalkedFile, file_digest, tree_digest, walk};
use super::error::At;
use super::manifest::FORMAT;
use super::{Error, InputNote, Manifest, Output, Recipe, Store, Workspace, json};
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
}

impl Store {
    /// Publishes the files of a workspace as the result of a recipe, and returns its manifest.
    ///
    /// # Errors
    /// Something cannot be written (a full disk), a published number is not finite, or the folder holds files of
    /// unsupported kinds. The store stays valid, and nothing is recorded.
    pub fn publish(&self, work: Workspace, what: Publication<'_>) -> Result<Manifest, Error> {
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
        };
        self.write_manifest(&manifest, what.recipe)?;
        Ok(manifest)
    }

    /// Syncs a file or folder to disk.
    fn sync(&self, path: &Path) -> Result<(), Error> {
        if !self.durable {
            return Ok(());
        }
        File::open(path).and_then(|f| f.sync_all()).at("syncing", path)
    }

    /// Creates the folder of a file below `objects` or `actions`.
    fn make_folder(&self, file: &Path, of: &str) -> Result<(), Error> {
        match file.parent() {
            Some(folder) if !folder.is_dir() => {
                std::fs::create_dir_all(folder).at("making", folder)?;
                self.sync(&self.dir.join(of))
            }
            _ => Ok(()),
        }
    }

    /// Publishes every file below `out` as a blob; the files in `out` become links to blobs.
    pub(super) fn publish_blobs(&self, out: &Path) -> Result<Vec<Output>, Error> {
        let (files, _) = walk(out, Walk::Result)?;
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
        std::fs::set_permissions(path, Permissions::from_mode(0o444)).at("protecting", path)?;
        self.sync(path)?;
        let digest = file_digest(path)?;
        let blob = self.blob(&digest);
        self.make_folder(&blob, "objects")?;
        // The first writer wins, if its blob is intact.
        loop {
            match std::fs::hard_link(path, &blob) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    if !self.is_intact(&digest) {
                        self.quarantine(&digest);
                        continue;
                    }
                    self.replace_by_link(&blob, path)?;
                    break;
                }
                Err(e) if no_links(&e) => {
                    self.copy_in(path, &blob)?;
                    break;
                }
                Err(e) => return Err(Error::io("writing", &blob, e)),
            }
        }
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        let name = InnerPath::parse(found.name.as_str())
            .map_err(|_| Error::Unsupported { path: path.clone(), what: "a name that cannot be kept" })?;
        Ok(Output { name, digest, size: found.meta.len() })
    }

    /// Replaces a file by a link to the equal blob, to save space.
    fn replace_by_link(&self, blob: &Path, path: &Path) -> Result<(), Error> {
        let temp = self.temp("link")?;
        match std::fs::hard_link(blob, &temp) {
            Ok(()) => std::fs::rename(&temp, path).at("writing", path),
            // Without hard links the equal file stays as it is.
            Err(_) => Ok(()),
        }
    }

    fn copy_in(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let temp = self.temp("copy")?;
        std::fs::copy(from, &temp).at("writing", &temp)?;
        self.sync(&temp)?;
        std::fs::rename(&temp, to).at("writing", to)
    }

    fn publish_tree(&self, out: &Path, tree: &Digest) -> Result<(), Error> {
        let path = self.dir.join("trees").join(tree.hex());
        match std::fs::rename(out, &path) {
            // Not synced: a lost view is rebuilt from its blobs, and an existing one is checked on use.
            Ok(()) => Ok(()),
            Err(_) if path.is_dir() => Ok(()),
            Err(e) => Err(Error::io("writing", &path, e)),
        }
    }

    /// Builds the folder view of a result from its blobs.
    pub(super) fn build_tree(&self, manifest: &Manifest, path: &Path) -> Result<(), Error> {
        let temp = self.temp("tree")?;
        std::fs::create_dir_all(&temp).at("making", &temp)?;
        for output in &manifest.outputs {
            let file = output.name.below(&temp);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder).at("making", folder)?;
            }
            let blob = self.blob(&output.digest);
            match std::fs::hard_link(&blob, &file) {
                Ok(()) => {}
                Err(e) if no_links(&e) => {
                    std::fs::copy(&blob, &file).at("writing", &file)?;
                }
                Err(e) => return Err(Error::io("linking", &file, e)),
            }
        }
        let old = self.temp("old")?;
        let had = std::fs::rename(path, &old).is_ok();
        let renamed = std::fs::rename(&temp, path);
        if had {
            let _ = std::fs::remove_dir_all(&old);
        }
        match renamed {
            Ok(()) => Ok(()),
            // Another process has just created it.
            Err(_) if path.is_dir() => Ok(()),
            Err(e) => Err(Error::io("writing", path, e)),
        }
    }

    fn write_manifest(&self, manifest: &Manifest, recipe: &Recipe) -> Result<(), Error> {
        let path = self.manifest_path(&manifest.key);
        let folder = path.parent().unwrap_or(&self.dir);
        self.make_folder(&path, "actions")?;
        let mut json = serde_json::to_value(manifest).map_err(|e| Error::io("writing", &path, e.into()))?;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("recipe".into(), json::write(recipe));
        }
        let text = serde_json::to_vec_pretty(&json).map_err(|e| Error::io("writing", &path, e.into()))?;
        let text = sealed::seal(&text);
        let temp = self.temp("manifest")?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create_new(true).write(true).open(&temp)?;
            file.write_all(&text)?;
            if self.durable { file.sync_all() } else { Ok(()) }
        };
        write().at("writing", &temp)?;
        std::fs::rename(&temp, &path).at("writing", &path)?;
        self.sync(folder)
    }
}

/// Whether an error says that no (more) hard links are possible here.
fn no_links(e: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(e.kind(), K::Unsupported | K::PermissionDenied | K::TooManyLinks | K::CrossesDevices)
}
