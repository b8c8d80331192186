//! What the store keeps about an action that was carried out: one JSON file a key, written last.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::digest::tree_digest;
use xpipe_base::task::Caveat;
use xpipe_base::value::{Digest, InnerPath, sealed};

/// Version of the manifest's layout. Version 1 had no checksum.
pub(crate) const FORMAT: u32 = 2;
/// The first version with a checksum.
const SEALED: u32 = 2;

/// A file of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its path in the result's folder.
    pub name: InnerPath,
    /// Its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Where an argument that names content came from: for `why`, never part of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputNote {
    /// The argument, for instance `data` or `models[1]`.
    pub path: String,
    /// The file, or the address of the action that made it.
    pub label: String,
    /// Its content.
    pub digest: Digest,
    /// The key of the action that made it; `None` for a file.
    pub key: Option<Digest>,
}

/// A carried-out action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// The content key.
    pub key: Digest,
    /// The operation.
    pub op: String,
    /// Its version.
    pub version: u32,
    /// The study that asked for it first.
    pub study: String,
    /// The cell that asked for it first.
    pub address: String,
    /// The content digest: what keys of later actions see.
    pub digest: Digest,
    /// The digest over names and blobs; names the folder under `trees/`.
    pub tree: Digest,
    /// The files, sorted by name.
    pub outputs: Vec<Output>,
    /// Numbers that the study may use.
    pub values: IndexMap<String, f64>,
    /// Facts for people.
    pub facts: serde_json::Map<String, Json>,
    /// What a reader of the result has to know, sorted by kind and cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<Caveat>,
    /// Where its inputs came from.
    pub inputs: Vec<InputNote>,
    /// Seconds it took.
    pub seconds: f64,
    /// The most memory it used, in bytes, where that is known.
    pub peak_memory: Option<u64>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The kernel level, as it was asked for.
    pub kernels: String,
    /// Threads it was given.
    pub threads: usize,
    /// The program's name and version.
    pub tool: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it was done, RFC 3339.
    pub finished: String,
    /// Its log, relative to the store's `v1`.
    pub log: Option<PathBuf>,
}

impl Manifest {
    /// The size of all files, in bytes.
    pub fn size(&self) -> u64 {
        self.outputs.iter().map(|o| o.size).sum()
    }

    /// Whether a checksum protects what it says; those of version 1 have none.
    pub fn has_checksum(&self) -> bool {
        self.format >= SEALED
    }

    /// Reads a manifest of a key.
    ///
    /// # Errors
    /// Why it is not one, a lowercase fragment.
    pub(crate) fn parse(bytes: &[u8], key: &Digest) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if !(1..=FORMAT).contains(&manifest.format) {
            return Err(format!("layout {} where {FORMAT} was expected", manifest.format));
        }
        sealed::check(bytes, manifest.format, SEALED)?;
        if manifest.key != *key {
            return Err(format!("it is of key {}", manifest.key));
        }
        let tree = tree_digest(manifest.outputs.iter().map(|o| (o.name.as_str(), o.digest)));
        if tree != manifest.tree {
            return Err("its list of files does not give its digest".into());
        }
        if !manifest.outputs.is_sorted_by(|a, b| a.name < b.name) {
            return Err("its list of files is not sorted, or names one twice".into());
        }
        Ok(manifest)
    }
}

/// Why a key is not a hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// No such action was finished.
    #[error("nothing is recorded under this key")]
    Absent,
    /// The manifest cannot be used.
    #[error("the manifest {} cannot be used: {why}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file of the result is gone or damaged.
    #[error("`{name}` of the stored result {problem}")]
    Output {
        /// The file's name in the result.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Miss {
    /// Whether something was there and is damaged, which people should hear about.
    pub fn is_damage(&self) -> bool {
        *self != Self::Absent
    }
}
