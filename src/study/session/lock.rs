//! The lock file beside a study: commits of hub models, and digests of downloads that declare none, pinned when they are
//! first used.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::error::Error;
use xpipe_base::task::Failure;
use xpipe_base::value::address::public;
use xpipe_engine::cache::exclusive;

/// Version 1 had models only.
const VERSION: u32 = 2;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// Commits by name.
    #[serde(default)]
    models: IndexMap<String, String>,
    /// Digests by address.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    downloads: IndexMap<String, String>,
}

/// A study's lock file.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    path: Option<PathBuf>,
    /// What is in the file, and what this run pinned.
    content: Content,
    /// What this run pinned and did not write yet.
    new: Content,
    locked: bool,
}

/// Reads a lock file; an absent one is empty.
fn read(path: &Path) -> Result<Content, Failure> {
    let wrong = |why: String| {
        Failure::missing(format!("{} is not a lock file: {why}", path.display()))
            .help("restore it from version control, or remove it to pin anew")
    };
    let mut content: Content =
        match xpipe_lang::resolve::world::read_text(path, xpipe_lang::resolve::world::LARGEST) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(e) => return Err(Failure::missing(format!("cannot read {}: {e}", path.display()))),
        };
    if content.version > VERSION {
        return Err(wrong(format!("it has version {}, this xpipe knows {VERSION}", content.version)));
    }
    // Older versions kept addresses with their passwords.
    content.downloads = content.downloads.into_iter().map(|(url, digest)| (public(&url), digest)).collect();
    Ok(content)
}

/// Adds pins to those of a file, which another run may have written meanwhile.
fn merge(
    of: &mut IndexMap<String, String>,
    new: &IndexMap<String, String>,
    file: &Path,
) -> Result<(), Failure> {
    for (name, pin) in new {
        match of.get(name) {
            Some(other) if other != pin => {
                return Err(Failure::missing(format!(
                    "{name}: another run pinned {other} in {} while this one found {pin}",
                    file.display()
                ))
                .help("what lies there has changed between the two: run again to use what is pinned, or remove the pin to pin anew"));
            }
            _ => {
                of.insert(name.clone(), pin.clone());
            }
        }
    }
    of.sort_keys();
    Ok(())
}

impl Lock {
    /// Reads `<stem>.lock` beside the study; an absent file is an empty one.
    pub(super) fn beside(study: &Path, locked: bool) -> Result<Self, Error> {
        let path = study.with_extension("lock");
        let content = read(&path)?;
        Ok(Self { path: Some(path), content, new: Content::default(), locked })
    }

    /// The pinned revision of a model.
    pub(super) fn revision(&self, name: &str) -> Option<&str> {
        self.content.models.get(name).map(String::as_str)
    }

    /// Pins a revision; the same one again changes nothing.
    pub(super) fn pin(&mut self, name: &str, commit: &str) -> Result<(), Failure> {
        if self.revision(name) == Some(commit) || self.path.is_none() {
            return Ok(());
        }
        if self.locked {
            return Err(Failure::missing(format!(
                "{name} is not pinned at {commit}, and --locked forbids to pin it"
            ))
            .help("run once without --locked and commit the lock file"));
        }
        self.content.models.insert(name.to_owned(), commit.to_owned());
        self.new.models.insert(name.to_owned(), commit.to_owned());
        Ok(())
    }

    /// The pinned digest of an address.
    pub(super) fn download(&self, url: &str) -> Option<&str> {
        self.content.downloads.get(url).map(String::as_str)
    }

    /// Pins the digest of an address; whether that is new.
    pub(super) fn pin_download(&mut self, url: &str, digest: &str) -> Result<bool, Failure> {
        if self.download(url) == Some(digest) || self.path.is_none() {
            return Ok(false);
        }
        if self.locked {
            return Err(Failure::missing(format!(
                "{url} declares no digest and is not pinned, and --locked forbids to pin it"
            ))
            .help(format!(
                "declare `digest = \"{digest}\"`, or run once without --locked and commit the lock file"
            )));
        }
        self.content.downloads.insert(url.to_owned(), digest.to_owned());
        self.new.downloads.insert(url.to_owned(), digest.to_owned());
        Ok(true)
    }

    /// All pinned digests of downloads.
    pub(super) fn download_digests(&self) -> impl Iterator<Item = &str> {
        self.content.downloads.values().map(String::as_str)
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        let name = self.path.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "the lock file".into())
    }

    /// Adds pins that are new to the file, beside what other runs added meanwhile.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        let Some(path) =
            self.path.as_ref().filter(|_| !(self.new.models.is_empty() && self.new.downloads.is_empty()))
        else {
            return Ok(());
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let busy = path.with_file_name(format!(".{}.busy", self.name()));
        let _alone = exclusive(&busy)?;
        let mut content = read(path)?;
        merge(&mut content.models, &self.new.models, path)?;
        merge(&mut content.downloads, &self.new.downloads, path)?;
        content.version = VERSION;
        let text = serde_json::to_string_pretty(&content).map_err(|e| Failure::bug(e.to_string()))?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| Failure::from(e.error))?;
        (self.content, self.new) = (content, Content::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_lock_of_version_1_is_read_and_a_later_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (study, file) = (dir.path().join("s.xpipe"), dir.path().join("s.lock"));
        std::fs::write(&file, r#"{"version": 1, "models": {"lab/tiny": "abc"}}"#).unwrap();
        let mut lock = Lock::beside(&study, false).unwrap();
        assert_eq!((lock.revision("lab/tiny"), lock.download("http://a/x")), (Some("abc"), None));
        lock.save().unwrap();
        assert!(text(&file).contains("\"version\": 1"), "nothing new: it stays as it is");
        assert!(lock.pin_download("http://a/x", "md5:12").unwrap());
        assert!(!lock.pin_download("http://a/x", "md5:12").unwrap());
        lock.save().unwrap();
        assert!(text(&file).contains("\"version\": 2"), "{}", text(&file));
        let again = Lock::beside(&study, true).unwrap();
        std::fs::write(&file, text(&file).replace("http://a/x", "http://u:pw@a/x")).unwrap();
        let mut old = Lock::beside(&study, false).unwrap();
        assert_eq!(old.download("http://a/x"), Some("md5:12"), "a password in it is no part of the name");
        old.pin_download("http://a/y", "md5:34").unwrap();
        old.save().unwrap();
        assert!(!text(&file).contains("pw"), "{}", text(&file));
        assert_eq!((again.revision("lab/tiny"), again.download("http://a/x")), (Some("abc"), Some("md5:12")));
        std::fs::write(&file, text(&file).replace("\"version\": 2", "\"version\": 3")).unwrap();
        assert!(Lock::beside(&study, false).is_err());
    }

    #[test]
    fn pins_of_runs_side_by_side_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let study = dir.path().join("s.xpipe");
        let mut locks: Vec<Lock> = (0..8).map(|_| Lock::beside(&study, false).unwrap()).collect();
        std::thread::scope(|scope| {
            for (i, lock) in locks.iter_mut().enumerate() {
                scope.spawn(move || {
                    lock.pin_download(&format!("http://a/{i}"), "md5:12").unwrap();
                    lock.pin_download("http://a/all", "md5:34").unwrap();
                    lock.save().unwrap();
                    lock.pin(&format!("lab/{i}"), "abc").unwrap();
                    lock.save().unwrap();
                });
            }
        });
        let all = Lock::beside(&study, true).unwrap();
        assert!((0..8).all(|i| all.download(&format!("http://a/{i}")) == Some("md5:12")));
        assert!((0..8).all(|i| all.revision(&format!("lab/{i}")) == Some("abc")));
        assert_eq!(all.download("http://a/all"), Some("md5:34"));
        let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["s.lock"], "nothing else is left");
    }

    #[test]
    fn two_pins_of_one_name_are_an_error_and_the_first_stays() {
        let dir = tempfile::tempdir().unwrap();
        let study = dir.path().join("s.xpipe");
        let (mut a, mut b) = (Lock::beside(&study, false).unwrap(), Lock::beside(&study, false).unwrap());
        a.pin("lab/tiny", "abc").unwrap();
        b.pin("lab/tiny", "def").unwrap();
        a.save().unwrap();
        let e = b.save().unwrap_err();
        assert!(e.message.contains("lab/tiny: another run pinned abc") && e.message.contains("def"), "{e}");
        assert_eq!(Lock::beside(&study, true).unwrap().revision("lab/tiny"), Some("abc"));
        // Also a revision that was taken out by hand stays out.
        a.pin("lab/other", "123").unwrap();
        let text = text(&dir.path().join("s.lock"));
        std::fs::write(dir.path().join("s.lock"), text.replace("lab/tiny", "lab/renamed")).unwrap();
        a.save().unwrap();
        let again = Lock::beside(&study, true).unwrap();
        let found = ["lab/tiny", "lab/renamed", "lab/other"].map(|n| again.revision(n).is_some());
        assert_eq!(found, [false, true, true]);
    }

    #[test]
    fn locked_forbids_new_pins() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lock::beside(&dir.path().join("s.xpipe"), true).unwrap();
        let e = lock.pin_download("http://a/x", "md5:12").unwrap_err();
        assert!(e.message.contains("--locked") && e.help.unwrap().contains("md5:12"));
    }
}
