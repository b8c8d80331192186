//! The history of a study: for each address the key of its last result, and the failure since, if any. `why` compares
//! with the first and prints the second.
//!
//! One append-only file per study. A line is `KEY "address"` (a result), `failed {…}` or `study {…}` (the owner of the
//! file). Later lines win; lines cut by a crash are skipped. Older versions skip all lines but results.
//!
//! The file is named after the study's path. The history of a moved study is found by the study's text, or, if that was
//! edited too, by a name whose old path no longer exists.

use std::collections::BTreeMap;
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
    pub(crate) fn all(folder: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_none_or(|e| e != "tmp")).collect();
        files.sort();
        files.into_iter().map(|path| Self::load(path, false)).collect()
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
        let mut history = Self {
            path,
            last: BTreeMap::new(),
            failed: BTreeMap::new(),
            owner: None,
            pending: String::new(),
        };
        let mut lines = 0usize;
        for line in bytes.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            lines += usize::from(history.take(line));
        }
        if writable && lines > 1000 && lines > 3 * history.last.len() {
            let _ = super::memo::replace(&history.path, history.whole().as_bytes());
        }
        history
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
            key => match (Digest::parse(key), serde_json::from_str::<String>(rest)) {
                (Some(key), Ok(address)) => {
                    self.failed.remove(&address);
                    self.last.insert(address, key);
                }
                _ => return false,
            },
        }
        true
    }

    fn whole(&self) -> String {
        let owner = self.owner.iter().map(study_line);
        let results = self.last.iter().map(|(address, key)| result_line(address, key));
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

    /// Records a result. [`Self::save`] writes it.
    pub fn record(&mut self, address: &str, key: Digest) {
        let failed = self.failed.remove(address).is_some();
        if failed || self.last.get(address) != Some(&key) {
            self.pending.push_str(&result_line(address, &key));
            self.last.insert(address.to_owned(), key);
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

fn failed_line(address: &str, failure: &LastFailure) -> String {
    let failed = Failed { address: address.to_owned(), failure: failure.clone() };
    format!("failed {}\n", serde_json::to_string(&failed).unwrap_or_default())
}

fn study_line(owner: &Owner) -> String {
    format!("study {}\n", serde_json::to_string(owner).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> LastFailure {
        LastFailure {
            at: "2026-11-30T10:00:00Z".into(),
            message: message.into(),
            log: Some("runs/r/logs/1".into()),
        }
    }

    #[test]
    fn the_last_key_of_an_address_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study");
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let mut history = History::load(path.clone(), true);
        history.record("model[infonce, \"x y\", 1]", a);
        history.record("other", a);
        history.save().unwrap();
        history.record("other", b);
        history.save().unwrap();
        std::fs::write(&path, [std::fs::read(&path).unwrap(), b"12ab \"torn".to_vec()].concat()).unwrap();
        let mut again = History::load(path.clone(), true);
        assert_eq!(again.last("model[infonce, \"x y\", 1]"), Some(a));
        assert_eq!(again.last("other"), Some(b));
        again.record("third", a);
        again.save().unwrap();
        assert_eq!(History::load(path, true).iter().count(), 3);
    }

    #[test]
    fn a_failure_is_kept_until_there_is_a_result_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study");
        let key = Digest::of(b"k");
        let mut history = History::load(path.clone(), true);
        history.record("f", key);
        history.record_failure("f", failure("line 3 has\n2 columns"));
        history.save().unwrap();
        let mut again = History::load(path.clone(), true);
        assert_eq!(
            (again.last("f"), again.failure("f")),
            (Some(key), Some(&failure("line 3 has\n2 columns")))
        );
        again.record("f", key);
        again.record_failure("g", failure(&"x".repeat(9_000)));
        again.save().unwrap();
        let last = History::load(path, true);
        assert_eq!((last.last("f"), last.failure("f")), (Some(key), None));
        assert_eq!(last.failure("g").unwrap().message.chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn what_the_first_version_wrote_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = Digest::of(b"k");
        let path = dir.path().join("study");
        std::fs::write(&path, format!("\n{} \"model[1]\"\n\n{} \"other\"\n", key.hex(), key.hex())).unwrap();
        let history = History::load(path, true);
        assert_eq!((history.last("model[1]"), history.iter().count()), (Some(key), 2));
    }

    #[test]
    fn a_study_that_moves_keeps_its_history_and_a_copy_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let studies = dir.path().join("studies");
        let at = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        std::fs::create_dir(&studies).unwrap();
        let of = |study: &str| History::of(&studies, study, true);
        let key = Digest::of(b"k");
        let first = at("a/main.xpipe", "one");
        let mut history = of(&first);
        history.record("f", key);
        history.save().unwrap();
        // Copied and renamed, with the same text.
        assert_eq!(of(&at("b/copy.xpipe", "one")).last("f"), Some(key));
        // Another study of the same name: the first is still there.
        assert_eq!(of(&at("c/main.xpipe", "two")).last("f"), None);
        // Moved, then edited.
        std::fs::remove_file(&first).unwrap();
        let mut moved = of(&at("d/main.xpipe", "three"));
        assert_eq!(moved.last("f"), Some(key));
        moved.record("g", key);
        moved.save().unwrap();
        assert_eq!(of(&at("d/main.xpipe", "four")).iter().count(), 2);
    }
}
