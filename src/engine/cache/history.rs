//! The history of a study: for each address the key of its last result, and the failure since, if any. `why` compares
//! with the first and prints the second.
//!
//! One append-only file per study. A line is `KEY "address"` (a result), `limited {…}` (the result before it may go with
//! the run that used it), `failed {…}` or `study {…}` (the owner of the file). Later lines win; lines cut by a crash are
//! skipped. Older versions skip all lines but results.
//!
//! The file is named after the study's path. The history of a moved study is found by the study's text, or, if that was
//! edited too, by a name whose old path no longer exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::error::At;
use xpipe_base::modes;
use xpipe_base::value::Digest;

/// The last failure of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Time, RFC 3339.
    pub at: String,
    /// The message of the failure.
    pub message: String,
    /// The log, if there is one: relative to the cache, or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// Characters of a message that are kept.
const MAX_MESSAGE: usize = 2_000;

/// The study that a history belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    path: String,
    digest: Digest,
}

/// A result that only runs with `--keep-days` used.
#[derive(Serialize, Deserialize)]
struct Limited {
    address: String,
    key: Digest,
}

#[derive(Serialize, Deserialize)]
struct Failed {
    address: String,
    #[serde(flatten)]
    failure: LastFailure,
}

/// The history of one study.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    last: BTreeMap<String, Digest>,
    /// Addresses whose last result only runs with `--keep-days` used.
    limited: BTreeSet<String>,
    /// Addresses whose last result a run without `--keep-days` used before the last line about it. A run with it that
    /// began earlier does not know that.
    unlimited: BTreeSet<String>,
    failed: BTreeMap<String, LastFailure>,
    owner: Option<Owner>,
    pending: String,
}

impl History {
    /// The history of a study in a folder of histories.
    pub(crate) fn of(folder: &Path, study: &str, writable: bool) -> Self {
        let stem = stem(study);
        let path = folder.join(format!("{stem}-{}", &Digest::of(study.as_bytes()).hex()[..12]));
        let owner =
            std::fs::read(study).ok().map(|text| Owner { path: study.to_owned(), digest: Digest::of(&text) });
        let mut history = Self::load(path.clone(), writable);
        if !path.exists()
            && let Some(moved) = owner.as_ref().and_then(|owner| moved(folder, &stem, owner))
        {
            history = Self::load(moved, false);
            // Copied to the new name when something is recorded.
            history.path = path;
            history.pending = history.whole();
        }
        if let Some(owner) = owner.filter(|o| history.owner.as_ref() != Some(o)) {
            history.pending.push_str(&study_line(&owner));
            history.owner = Some(owner);
        }
        history
    }

    /// Every history in a folder, sorted by file name.
    ///
    /// # Errors
    /// The folder or a history is there and cannot be read.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>, Error> {
        let mut files = super::folders::entries(folder)?;
        let is_folder = |p: &Path| std::fs::metadata(p).is_ok_and(|meta| meta.is_dir());
        files.retain(|p| p.extension().is_none_or(|e| e != "tmp") && !is_folder(p));
        files.sort();
        let mut all = Vec::new();
        for path in files {
            match std::fs::read(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                bytes => all.push(Self::parse(path.clone(), &bytes.at("reading", &path)?).0),
            }
        }
        Ok(all)
    }

    /// The path of the study, where the history names it.
    pub fn study(&self) -> Option<&str> {
        self.owner.as_ref().map(|o| o.path.as_str())
    }

    /// The file of the history.
    pub fn file(&self) -> &Path {
        &self.path
    }

    fn load(path: PathBuf, writable: bool) -> Self {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let (history, lines) = Self::parse(path, &bytes);
        if writable && lines > 1000 && lines > 3 * history.last.len() {
            let _ = super::memo::replace(&history.path, history.whole().as_bytes());
        }
        history
    }

    /// A history of its file's content, and the number of lines that are valid.
    fn parse(path: PathBuf, bytes: &[u8]) -> (Self, usize) {
        let mut history = Self {
            path,
            last: BTreeMap::new(),
            limited: BTreeSet::new(),
            unlimited: BTreeSet::new(),
            failed: BTreeMap::new(),
            owner: None,
            pending: String::new(),
        };
        let mut lines = 0usize;
        for line in bytes.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            lines += usize::from(history.take(line));
        }
        (history, lines)
    }

    /// Applies a line; whether it is valid.
    fn take(&mut self, line: &str) -> bool {
        let Some((first, rest)) = line.split_once(' ') else { return false };
        match first {
            "study" => match serde_json::from_str(rest) {
                Ok(owner) => self.owner = Some(owner),
                Err(_) => return false,
            },
            "failed" => match serde_json::from_str::<Failed>(rest) {
                Ok(failed) => {
                    self.failed.insert(failed.address, failed.failure);
                }
                Err(_) => return false,
            },
            "limited" => match serde_json::from_str::<Limited>(rest) {
                Ok(limited) => {
                    if self.last.get(&limited.address) == Some(&limited.key)
                        && !self.unlimited.contains(&limited.address)
                    {
                        self.limited.insert(limited.address);
                    }
                }
                Err(_) => return false,
            },
            key => match (Digest::parse(key), serde_json::from_str::<String>(rest)) {
                (Some(key), Ok(address)) => {
                    self.failed.remove(&address);
                    let was_limited = self.limited.remove(&address);
                    if self.last.get(&address) != Some(&key) {
                        self.unlimited.remove(&address);
                    } else if !was_limited {
                        self.unlimited.insert(address.clone());
                    }
                    self.last.insert(address, key);
                }
                _ => return false,
            },
        }
        true
    }

    fn whole(&self) -> String {
        let owner = self.owner.iter().map(study_line);
        let results = self.last.iter().map(|(address, key)| {
            let limited = self.limited.contains(address).then(|| limited_line(address, *key));
            result_line(address, key) + &limited.unwrap_or_default()
        });
        let failures = self.failed.iter().map(|(address, failure)| failed_line(address, failure));
        owner.chain(results).chain(failures).collect()
    }

    /// The key of the last result of an address.
    pub fn last(&self, address: &str) -> Option<Digest> {
        self.last.get(address).copied()
    }

    /// The failure of an address since its last result.
    pub fn failure(&self, address: &str) -> Option<&LastFailure> {
        self.failed.get(address)
    }

    /// All addresses with their last key, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.last.iter().map(|(a, k)| (a.as_str(), k))
    }

    /// The last keys that a run without `--keep-days` used: `cache gc` holds them.
    pub fn held(&self) -> impl Iterator<Item = &Digest> {
        self.last.iter().filter(|(address, _)| !self.limited.contains(*address)).map(|(_, key)| key)
    }

    /// Records a result; `limited` says whether only a run with `--keep-days` uses it. What a run without a limit used
    /// stays without one. [`Self::save`] writes it.
    pub fn record(&mut self, address: &str, key: Digest, limited: bool) {
        let failed = self.failed.remove(address).is_some();
        let same = self.last.get(address) == Some(&key);
        let was_limited = self.limited.contains(address);
        let limited = limited && (!same || was_limited);
        if !failed && same && limited == was_limited {
            return;
        }
        self.pending.push_str(&result_line(address, &key));
        self.last.insert(address.to_owned(), key);
        if limited {
            self.pending.push_str(&limited_line(address, key));
            self.limited.insert(address.to_owned());
        } else {
            self.limited.remove(address);
        }
    }

    /// Records a failure. [`Self::save`] writes it.
    pub fn record_failure(&mut self, address: &str, mut failure: LastFailure) {
        if let Some((at, _)) = failure.message.char_indices().nth(MAX_MESSAGE) {
            failure.message.truncate(at);
            failure.message.push('…');
        }
        self.pending.push_str(&failed_line(address, &failure));
        self.failed.insert(address.to_owned(), failure);
    }

    /// Appends all records to the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // Starts a new line, in case the file ends in a partial one.
        let text = format!("\n{}", std::mem::take(&mut self.pending));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .and_then(|()| modes::inherit_file(&self.path))
            .at("writing", &self.path)
    }
}

/// The part of a study's name that is in the file name of its history.
fn stem(study: &str) -> String {
    let name = study.rsplit('/').next().unwrap_or_default();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect()
}

/// The history of a study that has none under its path: the latest with the same text, else the latest with the same
/// name whose path no longer exists.
fn moved(folder: &Path, stem: &str, study: &Owner) -> Option<PathBuf> {
    let mut same_text = Vec::new();
    let mut same_name = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let Some(owner) = History::load(path.clone(), false).owner else { continue };
        let time = entry.metadata().and_then(|m| m.modified()).ok();
        if owner.digest == study.digest {
            same_text.push((time, path));
        } else if self::stem(&owner.path) == stem && !Path::new(&owner.path).exists() {
            same_name.push((time, path));
        }
    }
    same_text.into_iter().max().or_else(|| same_name.into_iter().max()).map(|(_, path)| path)
}

fn result_line(address: &str, key: &Digest) -> String {
    format!("{} {}\n", key.hex(), serde_json::Value::from(address))
}

fn limited_line(address: &str, key: Digest) -> String {
    let limited = Limited { address: address.to_owned(), key };
    format!("limited {}\n", serde_json::to_string(&limited).unwrap_or_default())
}

fn failed_line(address: &str, failure: &LastFailure) -> String {
    let failed = Failed { address: address.to_owned(), failure: failure.clone() };
    format!("failed {}\n", serde_json::to_string(&failed).unwrap_or_default())
}

fn study_line(owner: &Owner) -> String {
    format!("study {}\n", serde_json::to_string(owner).unwrap_or_default())
}

#[cfg(test)]
mod tests;
