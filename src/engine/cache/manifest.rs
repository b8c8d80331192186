//! The manifest of a finished action: one JSON file per key, written last.

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
    /// Path in the result's folder.
    pub name: InnerPath,
    /// Digest of its content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// The origin of an argument that names content: for `why`, never part of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputNote {
    /// The argument, for instance `data` or `models[1]`.
    pub path: String,
    /// The file, or the address of the action that produced it.
    pub label: String,
    /// Digest of its content.
    pub digest: Digest,
    /// The key of the action that produced it; `None` for a file.
    pub key: Option<Digest>,
}

/// A finished action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// The content key.
    pub key: Digest,
    /// The operation.
    pub op: String,
    /// The operation's version.
    pub version: u32,
    /// The first study that requested it.
    pub study: String,
    /// The first cell that requested it.
    pub address: String,
    /// The content digest, which enters the keys of later actions.
    pub digest: Digest,
    /// The digest of file names and contents; names the folder under `trees/`.
    pub tree: Digest,
    /// The files, sorted by name.
    pub outputs: Vec<Output>,
    /// Numbers that the study may use.
    pub values: IndexMap<String, f64>,
    /// Facts for people.
    pub facts: serde_json::Map<String, Json>,
    /// Caveats for readers of the result, sorted by kind and cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<Caveat>,
    /// The origins of its inputs.
    pub inputs: Vec<InputNote>,
    /// Run time in seconds.
    pub seconds: f64,
    /// Peak memory in bytes, if known.
    pub peak_memory: Option<u64>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The requested kernel level.
    pub kernels: String,
    /// Number of threads.
    pub threads: usize,
    /// The program's name and version.
    pub tool: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// When it finished, RFC 3339.
    pub finished: String,
    /// The log file, relative to the store's `v1`.
    pub log: Option<PathBuf>,
    /// Where it is from, when another cache made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Manifest {
    /// The size of all files, in bytes.
    pub fn size(&self) -> u64 {
        self.outputs.iter().map(|o| o.size).sum()
    }

    /// Whether it has a checksum of itself; version 1 had none.
    pub fn has_checksum(&self) -> bool {
        self.format >= SEALED
    }

    /// Reads a manifest of a key.
    ///
    /// # Errors
    /// Why it is invalid, a lowercase fragment.
    pub(crate) fn parse(bytes: &[u8], key: &Digest) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if !(1..=FORMAT).contains(&manifest.format) {
            return Err(format!("layout version {}, expected at most {FORMAT}", manifest.format));
        }
        sealed::check(bytes, manifest.format, SEALED)?;
        if manifest.key != *key {
            return Err(format!("it is the manifest of key {}", manifest.key));
        }
        let tree = tree_digest(manifest.outputs.iter().map(|o| (o.name.as_str(), o.digest)));
        if tree != manifest.tree {
            return Err("its list of files has another digest".into());
        }
        if !manifest.outputs.is_sorted_by(|a, b| a.name < b.name) {
            return Err("its list of files is not sorted or has duplicates".into());
        }
        Ok(manifest)
    }
}

/// Why a key is not a hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// No action with this key has finished.
    #[error("nothing is recorded under this key")]
    Absent,
    /// The manifest cannot be used.
    #[error("the manifest {} cannot be used: {why}", path.display())]
    Unreadable {
        /// Path of the manifest.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The manifest exists, and the system gives an error instead of its content.
    #[error("the manifest {} cannot be read: {why}", path.display())]
    NotRead {
        /// Path of the manifest.
        path: PathBuf,
        /// The system's error.
        why: String,
    },
    /// A file of the result is missing or damaged.
    #[error("`{name}` of the stored result {problem}")]
    Output {
        /// The file's name in the result.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The result was removed while an action read it.
    #[error("the stored result was removed while it was read")]
    Removed,
    /// A bundle brought the result without its files.
    #[error("its files are not here, since they were left out of the bundle that brought it")]
    LeftOut,
}

impl Miss {
    /// Whether a result exists and is damaged, which is worth a message.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Absent | Self::LeftOut)
    }
}
