//! Which key each address of a study had last: what `why` compares with.
//!
//! One append-only file a study, a line an address; the last line of an address counts. A line cut by a crash is
//! passed over.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::Error;
use super::error::At;
use crate::value::Digest;

/// The history of one study.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    last: BTreeMap<String, Digest>,
    pending: String,
}

impl History {
    pub(crate) fn load(path: PathBuf, writable: bool) -> Self {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut last = BTreeMap::new();
        let mut lines = 0usize;
        for line in bytes.split(|b| *b == b'\n') {
            if let Some((key, address)) = std::str::from_utf8(line).ok().and_then(parse) {
                last.insert(address, key);
                lines += 1;
            }
        }
        if writable && lines > 1000 && lines > 3 * last.len() {
            let whole: String = last.iter().map(|(a, k)| line(a, k)).collect();
            let temp = path.with_extension("tmp");
            let _ = std::fs::write(&temp, whole).and_then(|()| std::fs::rename(&temp, &path));
        }
        Self { path, last, pending: String::new() }
    }

    /// The key an address had last.
    pub fn last(&self, address: &str) -> Option<Digest> {
        self.last.get(address).copied()
    }

    /// All addresses with their last key, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.last.iter().map(|(a, k)| (a.as_str(), k))
    }

    /// Notes that an address has a key now. Written by [`Self::save`].
    pub fn record(&mut self, address: &str, key: Digest) {
        if self.last.get(address) != Some(&key) {
            self.pending.push_str(&line(address, &key));
            self.last.insert(address.to_owned(), key);
        }
    }

    /// Appends what was recorded.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // A line of its own first, should the file end in half a line.
        let text = format!("\n{}", std::mem::take(&mut self.pending));
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .at("writing", &self.path)
    }
}

fn line(address: &str, key: &Digest) -> String {
    format!("{} {}\n", key.hex(), serde_json::Value::from(address))
}

fn parse(line: &str) -> Option<(Digest, String)> {
    let (key, address) = line.split_once(' ')?;
    Some((Digest::parse(key)?, serde_json::from_str(address).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
