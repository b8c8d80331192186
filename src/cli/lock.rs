//! The lock file beside a study: revisions of hub models, and digests of downloads that declare none, pinned when they
//! are first used.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::out::Stop;
use crate::task::Failure;

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
pub(super) struct Lock {
    path: Option<PathBuf>,
    content: Content,
    locked: bool,
    changed: bool,
}

impl Lock {
    /// Reads `<stem>.lock` beside the study; an absent file is an empty one.
    pub(super) fn beside(study: &Path, locked: bool) -> Result<Self, Stop> {
        let path = study.with_extension("lock");
        let wrong = |why: String| {
            let help = "restore it from version control, or remove it to pin anew";
            Stop::missing(format!("{} is not a lock file: {why}", path.display()), Some(help.into()))
        };
        let content: Content = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(e) => return Err(Stop::missing(format!("cannot read {}: {e}", path.display()), None)),
        };
        if content.version > VERSION {
            return Err(wrong(format!("it has version {}, this xpipe knows {VERSION}", content.version)));
        }
        Ok(Self { path: Some(path), content, locked, changed: false })
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
        self.content.models.sort_keys();
        self.changed = true;
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
        self.content.downloads.sort_keys();
        self.changed = true;
        Ok(true)
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        let name = self.path.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "the lock file".into())
    }

    /// Writes the file when a pin is new.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        let (true, Some(path)) = (self.changed, &self.path) else { return Ok(()) };
        self.content.version = VERSION;
        let text = serde_json::to_string_pretty(&self.content).map_err(|e| Failure::bug(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())?;
        file.persist(path).map_err(|e| Failure::from(e.error))?;
        self.changed = false;
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
        assert_eq!((again.revision("lab/tiny"), again.download("http://a/x")), (Some("abc"), Some("md5:12")));
        std::fs::write(&file, text(&file).replace("\"version\": 2", "\"version\": 3")).unwrap();
        assert!(Lock::beside(&study, false).is_err());
    }

    #[test]
    fn locked_forbids_new_pins() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = Lock::beside(&dir.path().join("s.xpipe"), true).unwrap();
        let e = lock.pin_download("http://a/x", "md5:12").unwrap_err();
        assert!(e.message.contains("--locked") && e.help.unwrap().contains("md5:12"));
    }
}
