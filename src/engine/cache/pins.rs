//! Pins: results that `cache gc` keeps, whatever else becomes of the studies that made them.
//!
//! One file per pin in `pins/`, named after what was pinned. It lists keys, so later results of the same study are not
//! pinned with it.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::At;
use super::{Error, Store};
use xpipe_base::modes;
use xpipe_base::value::{Digest, sealed};

const FORMAT: u32 = 1;

/// Results that stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    format: u32,
    /// What was pinned: a study's path, an address, or a key.
    pub what: String,
    /// The keys that it had then, sorted.
    pub keys: Vec<Digest>,
    /// Why, in the words of whoever pinned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When, RFC 3339.
    pub time: String,
}

impl Pin {
    /// A pin of the present time.
    pub fn new(what: &str, mut keys: Vec<Digest>, note: Option<String>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self { format: FORMAT, what: what.to_owned(), keys, note, time: jiff::Timestamp::now().to_string() }
    }
}

impl Store {
    fn pin_path(&self, what: &str) -> PathBuf {
        self.dir().join("pins").join(format!("{}.json", &Digest::of(what.as_bytes()).hex()[..32]))
    }

    /// Records a pin; an older one of the same thing is replaced.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn pin(&self, pin: &Pin) -> Result<(), Error> {
        let path = self.pin_path(&pin.what);
        let folder = self.dir().join("pins");
        modes::make_folder(&folder).at("making", &folder)?;
        let text = serde_json::to_vec_pretty(pin).map_err(|e| Error::io("writing", &path, e.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).at("writing", &path)?;
        file.write_all(&sealed::seal(&text)).at("writing", &path)?;
        modes::inherit_file(file.path()).at("protecting", &path)?;
        file.as_file().sync_all().at("syncing", &path)?;
        file.persist(&path).map_err(|e| Error::io("writing", &path, e.error))?;
        Ok(())
    }

    /// Removes a pin; whether there was one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn unpin(&self, what: &str) -> Result<bool, Error> {
        let path = self.pin_path(what);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("removing", &path, e)),
        }
    }

    /// All pins, the oldest first.
    ///
    /// # Errors
    /// A pin cannot be read: what it keeps is not known then.
    pub fn pins(&self) -> Result<Vec<Pin>, Error> {
        let folder = self.dir().join("pins");
        let mut pins = Vec::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(pins),
            Err(e) => return Err(Error::io("reading", &folder, e)),
        };
        for entry in entries {
            let path = entry.at("reading", &folder)?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = std::fs::read(&path).at("reading", &path)?;
            let invalid = |why: String| Error::io("reading", &path, std::io::Error::other(why));
            let pin: Pin = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
            if pin.format > FORMAT {
                return Err(invalid(format!("a newer xpipe wrote it (version {})", pin.format)));
            }
            sealed::check(&text, pin.format, 1).map_err(|why| invalid(why.into()))?;
            pins.push(pin);
        }
        pins.sort_by(|a, b| (&a.time, &a.what).cmp(&(&b.time, &b.what)));
        Ok(pins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_of_a_shared_cache_are_shared() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let set = |mode| std::fs::set_permissions(store.dir(), std::fs::Permissions::from_mode(mode));
        set(0o2770).unwrap();
        store.pin(&Pin::new("model[1]", vec![Digest::of(b"a")], None)).unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&store.dir().join("pins")), 0o2770);
        assert_eq!(mode(&store.pin_path("model[1]")), 0o660);
    }

    #[test]
    fn a_pin_of_a_newer_version_is_an_error_and_not_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let pin = Pin::new("model[1]", vec![Digest::of(b"a")], None);
        store.pin(&Pin { format: FORMAT + 1, ..pin }).unwrap();
        let told = store.pins().unwrap_err().to_string();
        assert!(told.contains("a newer xpipe wrote it (version 2)"), "{told}");
    }

    #[test]
    fn a_pin_is_kept_until_it_is_removed_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.pins().unwrap(), []);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let pin = Pin::new("model[1]", vec![b, a, b], Some("for the paper".into()));
        assert_eq!(pin.keys.len(), 2);
        store.pin(&pin).unwrap();
        assert_eq!(store.pins().unwrap(), *std::slice::from_ref(&pin));
        let later = Pin { note: None, ..pin };
        store.pin(&later).unwrap();
        assert_eq!(store.pins().unwrap(), [later], "one pin of one thing");
        let path = store.pin_path("model[1]");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("model[1]", "model[2]")).unwrap();
        assert!(store.pins().is_err());
        std::fs::write(&path, text).unwrap();
        assert!(store.unpin("model[1]").unwrap() && !store.unpin("model[1]").unwrap());
    }
}
