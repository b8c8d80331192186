//! Contents and size of the store: the data behind `cache ls` and `cache du`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::folders::files;
use super::{Error, Manifest, Store, downloads};
use xpipe_base::value::Digest;

/// One stored result.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The cache key.
    pub key: Digest,
    /// The operation.
    pub op: String,
    /// The first study that requested it.
    pub study: String,
    /// The first cell that requested it.
    pub address: String,
    /// Size of the files, in bytes.
    pub size: u64,
    /// Run time in seconds.
    pub seconds: f64,
    /// When it finished, RFC 3339.
    pub finished: String,
    /// Whether every file exists with its size.
    pub complete: bool,
    /// Where it is from, when another cache made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// A line of `cache du`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsageRow {
    /// Number of results.
    pub results: usize,
    /// Size of their files in bytes; shared files count for each result.
    pub bytes: u64,
    /// Run time in seconds.
    pub seconds: f64,
}

/// The size of the store by operation, study and stage.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// By operation.
    pub ops: BTreeMap<String, UsageRow>,
    /// By study, then by the stage's name.
    pub studies: BTreeMap<String, BTreeMap<String, UsageRow>>,
    /// All results.
    pub total: UsageRow,
    /// Size of all blobs in bytes, each counted once.
    pub unique: u64,
    /// Downloaded files and unpacked archive members.
    pub downloads: UsageRow,
    /// Size in bytes of checkpoints, answers of language models, temporary files, incomplete downloads, logs and
    /// quarantined blobs.
    pub other: u64,
}

/// Every stored result, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn list(store: &Store) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = manifests(store)?
        .into_par_iter()
        .map(|m| Entry {
            key: m.key,
            size: m.size(),
            complete: store.look(&m.key).is_ok(),
            op: m.op,
            study: m.study,
            address: m.address,
            seconds: m.seconds,
            finished: m.finished,
            origin: m.origin,
        })
        .collect();
    entries.sort_by(|a, b| (&b.finished, &a.address, a.key).cmp(&(&a.finished, &b.address, b.key)));
    Ok(entries)
}

/// The size of the store.
///
/// # Errors
/// The store cannot be read.
pub fn usage(store: &Store) -> Result<Usage, Error> {
    let mut usage = Usage::default();
    let mut blobs = BTreeSet::new();
    for m in manifests(store)? {
        let stage = m.address.split('[').next().unwrap_or_default().to_owned();
        let rows = [
            usage.ops.entry(m.op.clone()).or_default(),
            usage.studies.entry(m.study.clone()).or_default().entry(stage).or_default(),
            &mut usage.total,
        ];
        for row in rows {
            row.results += 1;
            row.bytes += m.size();
            row.seconds += m.seconds;
        }
        blobs.extend(m.outputs.into_iter().map(|o| (o.digest, o.size)));
    }
    usage.unique = blobs.iter().map(|(_, size)| size).sum();
    for (_, record) in downloads::records(store)? {
        usage.downloads.results += 1;
        usage.downloads.bytes += record.size;
    }
    usage.other = size(&downloads::part_files(store));
    usage.other += ["scratch", "answers", "tmp", "runs", "damaged", "uploads"]
        .iter()
        .map(|f| size(&store.dir().join(f)))
        .sum::<u64>();
    Ok(usage)
}

/// Every readable manifest, by key.
fn manifests(store: &Store) -> Result<Vec<Manifest>, Error> {
    Ok(keys(store)?.into_par_iter().filter_map(|key| store.record(&key)).collect())
}

/// The keys of all manifests, sorted.
pub(super) fn keys(store: &Store) -> Result<Vec<Digest>, Error> {
    keys_in(&store.dir().join("actions"))
}

/// The keys of all records, whose files were left out, sorted.
pub(super) fn record_keys(store: &Store) -> Result<Vec<Digest>, Error> {
    keys_in(&store.dir().join("records"))
}

fn keys_in(folder: &Path) -> Result<Vec<Digest>, Error> {
    let key = |p: PathBuf| Digest::parse(p.file_stem()?.to_str()?);
    let mut keys: Vec<Digest> = files(folder)?.into_iter().filter_map(key).collect();
    keys.sort_unstable();
    Ok(keys)
}

/// The digests of all blobs, sorted.
pub(super) fn blobs(store: &Store) -> Result<Vec<Digest>, Error> {
    let digest = |p: PathBuf| {
        let first = p.parent()?.file_name()?.to_str()?;
        Digest::parse(&format!("{first}{}", p.file_name()?.to_str()?))
    };
    let mut blobs: Vec<Digest> =
        files(&store.dir().join("objects"))?.into_iter().filter_map(digest).collect();
    blobs.sort_unstable();
    Ok(blobs)
}

/// The size of a file, or of all files in a folder, in bytes.
pub(super) fn size(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| size(&e.path())).sum()
        }
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}
