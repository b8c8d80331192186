//! Reading everything again: `cache verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::digest::file_digest;
use super::usage::{blobs, files, keys};
use super::{Error, Miss, Store, downloads};
use xpipe_base::value::{Digest, sealed};

/// The first version of kept answers with a checksum.
const ANSWERS_SEALED: u32 = 2;

/// Something wrong in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "damage", rename_all = "snake_case")]
pub enum Damage {
    /// A blob's content is not what its name says.
    Blob {
        /// The name.
        digest: Digest,
        /// Addresses of the results that hold it.
        used_by: Vec<String>,
    },
    /// A result's file is missing, or has another size.
    Result {
        /// The key.
        key: Digest,
        /// The cell that asked first.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A downloaded file, or a member of one, is not what was recorded.
    Download {
        /// Its address, and the member.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A manifest cannot be read, was changed, or its recipe does not give its key.
    Manifest {
        /// The key.
        key: Digest,
        /// What is wrong.
        why: String,
    },
    /// A kept answer of a language model was changed.
    Answer {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Manifests read.
    pub manifests: usize,
    /// Manifests, kept answers and records of downloads that an older version wrote without a checksum: a changed
    /// number in one of them is not noticed.
    pub without_checksum: usize,
    /// Blobs read.
    pub blobs: usize,
    /// Downloaded files and members read.
    pub downloads: usize,
    /// Kept answers of language models read.
    pub answers: usize,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong; exit code 5 when there is any.
    pub damage: Vec<Damage>,
}

/// Reads every manifest, every blob, every download and every kept answer again. With `set_aside`, what is damaged is
/// moved out of the way and damaged downloads are removed, so that the next run makes or brings them again; `progress`
/// hears of blobs done and of how many there are.
///
/// # Errors
/// When the store cannot be read.
pub fn verify(
    store: &Store,
    set_aside: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Verification, Error> {
    let mut out = Verification::default();
    let mut users: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    for key in keys(store) {
        out.manifests += 1;
        let bad = |why: &str| Damage::Manifest { key, why: why.to_owned() };
        match store.look(&key) {
            Err(Miss::Unreadable { why, path }) => {
                out.damage.push(bad(&why));
                if set_aside {
                    store.put_aside(&path, &format!("{}.json", key.hex()));
                }
            }
            Err(miss) => {
                let address = store.record(&key).map(|m| m.address).unwrap_or_default();
                out.damage.push(Damage::Result { key, address, why: miss.to_string() });
            }
            Ok(manifest) => {
                out.without_checksum += usize::from(!manifest.has_checksum());
                for output in &manifest.outputs {
                    users.entry(output.digest).or_default().insert(manifest.address.clone());
                }
                match store.recipe(&key) {
                    None => out.damage.push(bad("its recipe cannot be read")),
                    Some(recipe) if recipe.key() != key => {
                        out.damage.push(bad("its recipe does not give its key"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    let blobs = blobs(store);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let read: Vec<(Digest, u64, bool)> = blobs
        .par_iter()
        .map(|digest| {
            let path = store.blob(digest);
            let size = std::fs::metadata(&path).map_or(0, |m| m.len());
            let sound = file_digest(&path).is_ok_and(|d| d == *digest);
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, blobs.len());
            (*digest, size, sound)
        })
        .collect();
    for (digest, size, sound) in read {
        out.blobs += 1;
        out.bytes += size;
        if !sound {
            if set_aside {
                store.set_aside(&digest);
            }
            let used_by = users.get(&digest).map(|u| u.iter().cloned().collect()).unwrap_or_default();
            out.damage.push(Damage::Blob { digest, used_by });
        }
    }
    let read: Vec<_> = downloads::records(store)
        .into_par_iter()
        .map(|(home, record)| (downloads::damage(&home, &record), home, record))
        .collect();
    for (why, home, record) in read {
        out.downloads += 1;
        out.bytes += record.size;
        out.without_checksum += usize::from(!record.has_checksum());
        if let Some(why) = why {
            if set_aside {
                downloads::forget(&home, &record);
            }
            let member = record.member.map(|m| format!("#{m}")).unwrap_or_default();
            out.damage.push(Damage::Download { address: format!("{}{member}", record.url), why });
        }
    }
    for (home, why) in downloads::spoiled(store) {
        out.damage.push(Damage::Download { address: home.display().to_string(), why });
        if set_aside {
            downloads::forget_record(&home);
        }
    }
    let mut answers: Vec<PathBuf> = files(&store.answers()).collect();
    answers.sort_unstable();
    let read: Vec<_> = answers.into_par_iter().map(|file| (answer(&file), file)).collect();
    for (state, file) in read {
        out.answers += 1;
        match state {
            Ok(checked) => out.without_checksum += usize::from(!checked),
            Err(why) => {
                if set_aside {
                    store.put_aside(&file, "answer");
                }
                out.damage.push(Damage::Answer { file, why });
            }
        }
    }
    Ok(out)
}

/// Whether a kept answer has a checksum, which is right.
fn answer(file: &Path) -> Result<bool, String> {
    #[derive(serde::Deserialize)]
    struct Only {
        format: u32,
    }
    let text = std::fs::read(file).map_err(|e| e.to_string())?;
    let only: Only = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    sealed::check(&text, only.format, ANSWERS_SEALED)?;
    Ok(only.format >= ANSWERS_SEALED)
}
