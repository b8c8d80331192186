//! The file of trusted keys: one line for each, with the name of a remote cache, the public key, and a note.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::settings::require_name;
use super::{Error, PublicKey};
use xpipe_engine::cache::exclusive;

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

    /// Adds a key to the file; `false` when it was there. Another process that changes the file waits.
    ///
    /// # Errors
    /// The name of the remote cache cannot be used, or the file cannot be read or written.
    pub fn add(path: &Path, key: TrustedKey) -> Result<bool, Error> {
        require_name(&key.remote)?;
        Self::change(path, |keys| {
            if keys.iter().any(|k| (&k.remote, k.key) == (&key.remote, key.key)) {
                return false;
            }
            let note = key.note.split_whitespace().collect::<Vec<_>>().join(" ");
            keys.push(TrustedKey { note, ..key });
            true
        })
    }

    /// Removes a key from the file; `false` when it was not there. Another process that changes the file waits.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn remove(path: &Path, remote: &str, key: PublicKey) -> Result<bool, Error> {
        Self::change(path, |keys| {
            let before = keys.len();
            keys.retain(|k| (k.remote.as_str(), k.key) != (remote, key));
            keys.len() < before
        })
    }

    /// Reads the file, changes the keys, and writes it if `change` says that they are others now.
    fn change(path: &Path, change: impl FnOnce(&mut Vec<TrustedKey>) -> bool) -> Result<bool, Error> {
        let failed =
            |e: std::io::Error| Error::settings(format!("{} cannot be written: {e}", path.display()));
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let _held = exclusive(&path.with_extension("lock")).map_err(failed)?;
        let mut all = Self::read(path)?;
        let changed = change(&mut all.keys);
        if changed {
            all.write()?;
        }
        Ok(changed)
    }

    fn write(&self) -> Result<(), Error> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
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
        let add = |entry: &TrustedKey| TrustedKeys::add(&path, entry.clone()).unwrap();
        let entry = TrustedKey { remote: "lab".into(), key, note: "Anna\n  at home".into() };
        assert!(add(&entry) && !add(&entry));
        let spaced = TrustedKey { remote: "my lab".into(), ..entry.clone() };
        assert!(TrustedKeys::add(&path, spaced).unwrap_err().to_string().contains("`my lab`"));
        let again = TrustedKeys::read(&path).unwrap();
        assert_eq!(again.all()[0].note, "Anna at home");
        assert_eq!((again.of("lab").count(), again.of("other").count()), (1, 0));
        let remove = |remote: &str| TrustedKeys::remove(&path, remote, key).unwrap();
        assert!(!remove("other") && remove("lab"));
        assert!(TrustedKeys::read(&path).unwrap().all().is_empty());
        std::fs::write(&path, "lab ed25519:12 x\n").unwrap();
        assert!(TrustedKeys::read(&path).unwrap_err().to_string().contains("line 1: `ed25519:12` is not"));
    }

    #[test]
    fn keys_that_are_added_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted-keys");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let key = SigningKey::generate().unwrap().public();
                    let entry = TrustedKey { remote: "lab".into(), key, note: String::new() };
                    assert!(TrustedKeys::add(&path, entry).unwrap());
                });
            }
        });
        assert_eq!(TrustedKeys::read(&path).unwrap().all().len(), 8);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no lock file is left");
    }
}
