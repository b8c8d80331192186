//! Results that came without their files: the manifests in `records/`. Such a record is a hit, so that what was made from
//! the result is found; when an action must read the files, the record is dropped and the result made here.

use std::path::PathBuf;

use super::error::At;
use super::{Error, Manifest, Miss, Store, disk};
use xpipe_base::modes;
use xpipe_base::value::Digest;

impl Store {
    pub(super) fn record_path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.dir().join("records").join(&hex[..2]).join(format!("{hex}.json"))
    }

    /// The manifest of a key: that of a result, else that of a record.
    pub(super) fn existing_manifest(&self, key: &Digest) -> PathBuf {
        let path = self.manifest_path(key);
        if path.exists() { path } else { Some(self.record_path(key)).filter(|p| p.exists()).unwrap_or(path) }
    }

    /// The manifest of a key that has a record only.
    pub(super) fn left_out(&self, key: &Digest) -> Result<Manifest, Miss> {
        let path = self.record_path(key);
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Miss::Absent),
            Err(e) => return Err(Miss::NotRead { path, why: e.to_string() }),
            Ok(bytes) => bytes,
        };
        Manifest::parse(&bytes, key).map_err(|why| Miss::Unreadable { path, why })
    }

    /// Whether a key has a record only, whose files were left out.
    pub(super) fn is_record(&self, key: &Digest) -> bool {
        !self.manifest_path(key).exists() && self.record_path(key).exists()
    }

    /// Drops the record of a result whose files are needed, so that it is made here.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn forget_record(&self, key: &Digest) -> Result<(), Error> {
        let path = self.record_path(key);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("removing", &path, e)),
            _ => Ok(()),
        }
    }

    /// Adds the manifest of a result without its files.
    pub(super) fn add_record(&self, key: &Digest, text: &str) -> Result<(), Error> {
        let path = self.record_path(key);
        let folder = path.parent().unwrap_or(self.dir());
        self.make_durable(folder)?;
        let temp = self.temp("record")?;
        disk::write_new(&temp, text.as_bytes()).at("writing", &temp)?;
        modes::inherit_file(&temp).at("protecting", &temp)?;
        self.sync(&temp)?;
        disk::rename(&temp, &path).at("writing", &path)?;
        self.sync(folder)
    }
}
