//! The file of trusted keys: one line for each, with the name of a remote cache, the public key, and a note.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Error, PublicKey};

/// A key that this user trusts for one remote cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The name of the remote cache in the settings.
    pub remote: String,
    /// The key.
    pub key: PublicKey,
    /// Whose it is, as the user noted it.
    pub note: String,
}

/// The trusted keys of a user.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    path: PathBuf,
    keys: Vec<TrustedKey>,
}

impl TrustedKeys {
    /// Reads the file; without one no key is trusted.
    ///
    /// # Errors
    /// It cannot be read, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::settings(format!("{}: {e}", path.display()))),
        };
        let mut keys = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| Error::settings(format!("{} line {}: {why}", path.display(), n + 1));
            let mut words = line.splitn(3, char::is_whitespace);
            let (Some(remote), Some(key)) = (words.next(), words.next()) else {
                return Err(wrong("expected the name of a remote cache, a public key, and a note"));
            };
            let key = key.parse().map_err(|e: String| wrong(&e))?;
            let note = words.next().unwrap_or_default().trim().to_owned();
            keys.push(TrustedKey { remote: remote.to_owned(), key, note });
        }
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every key.
    pub fn all(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys of a remote cache.
    pub fn of<'a>(&'a self, remote: &'a str) -> impl Iterator<Item = PublicKey> + 'a {
        self.keys.iter().filter(move |k| k.remote == remote).map(|k| k.key)
    }

    /// Adds a key; `false` when it was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, key: TrustedKey) -> Result<bool, Error> {
        if self.keys.iter().any(|k| (&k.remote, k.key) == (&key.remote, key.key)) {
            return Ok(false);
        }
        let note = key.note.split_whitespace().collect::<Vec<_>>().join(" ");
        self.keys.push(TrustedKey { note, ..key });
        self.write().map(|()| true)
    }

    /// Removes a key; `false` when it was not there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&mut self, remote: &str, key: PublicKey) -> Result<bool, Error> {
        let before = self.keys.len();
        self.keys.retain(|k| (k.remote.as_str(), k.key) != (remote, key));
        if self.keys.len() == before {
            return Ok(false);
        }
        self.write().map(|()| true)
    }

    fn write(&self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut temp = tempfile::NamedTempFile::new_in(folder)?;
            writeln!(temp, "# keys whose results xpipe takes from remote caches: NAME KEY NOTE")?;
            for k in &self.keys {
                writeln!(temp, "{} {} {}", k.remote, k.key, k.note)?;
            }
            temp.as_file().sync_all()?;
            temp.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|e| Error::settings(format!("{} cannot be written: {e}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn keys_are_added_and_removed_by_remote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/trusted-keys");
        let key = SigningKey::generate().unwrap().public();
        let mut keys = TrustedKeys::read(&path).unwrap();
        let entry = TrustedKey { remote: "lab".into(), key, note: "Anna\n  at home".into() };
        assert!(keys.add(entry.clone()).unwrap() && !keys.add(entry).unwrap());
        let mut again = TrustedKeys::read(&path).unwrap();
        assert_eq!(again.all()[0].note, "Anna at home");
        assert_eq!((again.of("lab").count(), again.of("other").count()), (1, 0));
        assert!(!again.remove("other", key).unwrap() && again.remove("lab", key).unwrap());
        assert!(TrustedKeys::read(&path).unwrap().all().is_empty());
        std::fs::write(&path, "lab ed25519:12 x\n").unwrap();
        assert!(TrustedKeys::read(&path).unwrap_err().to_string().contains("line 1: `ed25519:12` is not"));
    }
}
