//! Checking the whole store: `cache verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::digest::blob_digest;
use super::error::At;
use super::folders::files;
use super::usage::{blobs, keys, record_keys};
use super::{Error, Miss, Store, downloads};
use xpipe_base::value::{Digest, sealed};

/// The first version of kept answers with a checksum.
const ANSWERS_SEALED: u32 = 2;

/// Damage in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "damage", rename_all = "snake_case")]
pub enum Damage {
    /// A blob does not have the content that its name promises.
    Blob {
        /// The blob's name.
        digest: Digest,
        /// Addresses of the results that hold it.
        used_by: Vec<String>,
    },
    /// A file of a result is missing, or has the wrong size.
    Result {
        /// The result's key.
        key: Digest,
        /// The first cell that requested it.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A downloaded file, or an archive member, differs from its record.
    Download {
        /// `URL`, or `URL#MEMBER`.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A manifest is unreadable or changed, or its recipe has another key.
    Manifest {
        /// The manifest's key.
        key: Digest,
        /// What is wrong.
        why: String,
    },
    /// Something is there and cannot be read, which says nothing about its content: a failing disk, a file of another
    /// user, too many open files. It is never moved.
    NotRead {
        /// What failed: the path and the system's error.
        why: String,
    },
    /// A kept answer of a language model was changed.
    Answer {
        /// The answer's file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The result of a verification.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Manifests read.
    pub manifests: usize,
    /// Manifests, kept answers and records of downloads that an older version wrote without a checksum: changes in
    /// them are not detected.
    pub without_checksum: usize,
    /// Blobs read.
    pub blobs: usize,
    /// Downloaded files and members read.
    pub downloads: usize,
    /// Kept answers of language models read.
    pub answers: usize,
    /// Bytes read.
    pub bytes: u64,
    /// All damage; exit code 5 if there is any.
    pub damage: Vec<Damage>,
}

/// Reads every manifest, blob, download and kept answer again. With `quarantine`, damaged files are moved to `damaged/`
/// and damaged downloads removed, so that the next run makes them again. `progress` gets the number of blobs done and
/// their total.
pub fn verify(store: &Store, quarantine: bool, progress: &(dyn Fn(usize, usize) + Sync)) -> Verification {
    let mut verifier = Verifier { store, quarantine, found: Verification::default() };
    let users = verifier.manifests();
    verifier.records();
    verifier.blobs(&users, progress);
    verifier.downloads();
    verifier.answers();
    verifier.found
}

/// Addresses of the results that use a blob.
type Users = BTreeMap<Digest, BTreeSet<String>>;

struct Verifier<'a> {
    store: &'a Store,
    quarantine: bool,
    found: Verification,
}

impl Verifier<'_> {
    /// What was read; `None`, and a finding, when it cannot be.
    fn read<T>(&mut self, read: Result<T, Error>) -> Option<T> {
        read.map_err(|e| self.found.damage.push(Damage::NotRead { why: e.to_string() })).ok()
    }

    fn manifests(&mut self) -> Users {
        let mut users = Users::new();
        for key in self.read(keys(self.store)).unwrap_or_default() {
            self.found.manifests += 1;
            let bad = |why: &str| Damage::Manifest { key, why: why.to_owned() };
            match self.store.get(&key) {
                // Removed since the folder was listed.
                Err(Miss::Absent) => self.found.manifests -= 1,
                Err(Miss::NotRead { path, why }) => {
                    let why = format!("reading {}: {why}", path.display());
                    self.found.damage.push(Damage::NotRead { why });
                }
                Err(Miss::Unreadable { why, path }) => {
                    self.found.damage.push(bad(&why));
                    if self.quarantine {
                        self.store.quarantine_file(&path, &format!("{}.json", key.hex()));
                    }
                }
                Err(miss) => {
                    let address = self.store.record(&key).map(|m| m.address).unwrap_or_default();
                    self.found.damage.push(Damage::Result { key, address, why: miss.to_string() });
                }
                Ok(manifest) => {
                    self.found.without_checksum += usize::from(!manifest.has_checksum());
                    for output in &manifest.outputs {
                        users.entry(output.digest).or_default().insert(manifest.address.clone());
                    }
                    match self.store.recipe(&key) {
                        None => self.found.damage.push(bad("its recipe cannot be read")),
                        Some(recipe) if recipe.key() != key => {
                            self.found.damage.push(bad("its recipe has another key"));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        users
    }

    /// Results whose files were left out: their records.
    fn records(&mut self) {
        for key in self.read(record_keys(self.store)).unwrap_or_default() {
            match self.store.left_out(&key) {
                // Dropped meanwhile, since its files were needed.
                Err(Miss::Absent) => continue,
                Err(Miss::NotRead { path, why }) => {
                    let why = format!("reading {}: {why}", path.display());
                    self.found.damage.push(Damage::NotRead { why });
                }
                Err(miss) => {
                    self.found.damage.push(Damage::Manifest { key, why: miss.to_string() });
                    if self.quarantine {
                        let name = format!("{}.json", key.hex());
                        self.store.quarantine_file(&self.store.record_path(&key), &name);
                    }
                }
                Ok(record) => self.found.without_checksum += usize::from(!record.has_checksum()),
            }
            self.found.manifests += 1;
        }
    }

    fn blobs(&mut self, users: &Users, progress: &(dyn Fn(usize, usize) + Sync)) {
        let blobs = self.read(blobs(self.store)).unwrap_or_default();
        let done = AtomicUsize::new(0);
        let read = blobs
            .par_iter()
            .map(|digest| {
                let path = self.store.blob(digest);
                let size = std::fs::metadata(&path).map_or(0, |m| m.len());
                let found = present(blob_digest(&path));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, blobs.len());
                found.map(|found| found.map(|found| (*digest, size, found == *digest)))
            })
            .collect::<Vec<_>>();
        for one in read {
            let Some((digest, size, intact)) = self.read(one).flatten() else { continue };
            self.found.blobs += 1;
            self.found.bytes += size;
            if !intact {
                if self.quarantine {
                    self.store.quarantine(&digest);
                }
                let used_by = users.get(&digest).map(|u| u.iter().cloned().collect()).unwrap_or_default();
                self.found.damage.push(Damage::Blob { digest, used_by });
            }
        }
    }

    fn downloads(&mut self) {
        let records: Vec<_> = downloads::readable(self.store).collect();
        let read = records
            .into_par_iter()
            .map(|(folder, record)| (downloads::damage(&folder, &record), folder, record))
            .collect::<Vec<_>>();
        for (why, folder, record) in read {
            let Some(why) = self.read(why) else { continue };
            self.found.downloads += 1;
            self.found.bytes += record.size;
            self.found.without_checksum += usize::from(!record.has_checksum());
            if let Some(why) = why {
                if self.quarantine {
                    downloads::forget(&folder, &record);
                }
                let member = record.member.map(|m| format!("#{m}")).unwrap_or_default();
                self.found.damage.push(Damage::Download { address: format!("{}{member}", record.url), why });
            }
        }
        let damaged = self.read(downloads::damaged_records(self.store)).unwrap_or_default();
        for (folder, why) in damaged {
            let Some(why) = self.read(why) else { continue };
            self.found.damage.push(Damage::Download { address: folder.display().to_string(), why });
            if self.quarantine {
                downloads::forget_record(&folder);
            }
        }
    }

    fn answers(&mut self) {
        let mut answers = self.read(files(&self.store.answers())).unwrap_or_default();
        answers.sort_unstable();
        let read = answers
            .into_par_iter()
            .map(|file| {
                let text = present(std::fs::read(&file).at("reading", &file));
                text.map(|text| text.map(|text| (answer(&text), file)))
            })
            .collect::<Vec<_>>();
        for one in read {
            let Some((state, file)) = self.read(one).flatten() else { continue };
            self.found.answers += 1;
            match state {
                Ok(checked) => self.found.without_checksum += usize::from(!checked),
                Err(why) => {
                    if self.quarantine {
                        self.store.quarantine_file(&file, "answer");
                    }
                    self.found.damage.push(Damage::Answer { file, why });
                }
            }
        }
    }
}

/// What was read; `None` when it was removed since its folder was listed.
fn present<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Whether a kept answer has a checksum. Fails when the answer is damaged.
fn answer(text: &[u8]) -> Result<bool, String> {
    #[derive(serde::Deserialize)]
    struct Only {
        format: u32,
    }
    let only: Only = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    sealed::check(text, only.format, ANSWERS_SEALED)?;
    Ok(only.format >= ANSWERS_SEALED)
}
