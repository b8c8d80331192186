//! A repository in the hub's cache on this machine, as the hub's own tools lay it out and read it:
//!
//! | place | what |
//! |---|---|
//! | `models--OWNER--NAME/refs/REVISION` | the commit of a branch or tag |
//! | `…/blobs/ETAG` | the bytes of a file |
//! | `…/snapshots/COMMIT/FILE` | a link to the bytes of a file |
//! | `…/.no_exist/COMMIT/FILE` | an empty file: the repository has no such file |
//! | `.locks/models--OWNER--NAME/ETAG.lock` | held during the download |
//!
//! **Source:** huggingface_hub `file_download.py`.

use std::path::{Path, PathBuf};

use xpipe_base::task::Failure;

/// Whether a file of a snapshot is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is in the cache.
    Cached,
    /// The repository does not have it.
    Absent,
    /// It is not in the cache, and the repository may have it.
    Unknown,
}

/// A repository in the hub's cache.
#[derive(Clone, Debug)]
pub struct Repository {
    cache: PathBuf,
    name: String,
}

impl Repository {
    /// The repository of a model.
    ///
    /// # Errors
    /// The name is not one that the hub allows.
    pub fn new(cache: &Path, model: &str) -> Result<Self, Failure> {
        check_name(model)?;
        Ok(Self { cache: cache.to_owned(), name: format!("models--{}", model.replace('/', "--")) })
    }

    pub(super) fn root(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.cache.join(".locks").join(&self.name)
    }

    /// The commit that a revision was when this machine last looked it up.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = std::fs::read_to_string(self.root().join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|c| is_commit(c))
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root().join("snapshots").join(commit)
    }

    /// Whether a file is present.
    pub fn presence(&self, commit: &str, file: &str) -> Presence {
        let snapshot = self.snapshot(commit);
        let path = snapshot.join(file);
        if path.is_file() {
            return Presence::Cached;
        }
        // A dangling link: the repository had the file.
        if path.symlink_metadata().is_ok() {
            return Presence::Unknown;
        }
        // Every repository has this file, and only downloads of whole snapshots include it.
        let whole = snapshot.join(".gitattributes").is_file();
        match whole || self.root().join(".no_exist").join(commit).join(file).exists() {
            true => Presence::Absent,
            false => Presence::Unknown,
        }
    }

    /// Records that the repository has no such file.
    pub(super) fn note_absent(&self, commit: &str, file: &str) -> std::io::Result<()> {
        let path = self.root().join(".no_exist").join(commit).join(file);
        make_parent(&path)?;
        std::fs::write(path, b"")
    }

    /// Records which commit a revision is.
    pub(super) fn note_commit(&self, revision: &str, commit: &str) -> std::io::Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.root().join("refs").join(revision);
        make_parent(&path)?;
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&path))?;
        std::io::Write::write_all(&mut file, commit.as_bytes())?;
        file.persist(path).map(drop).map_err(|e| e.error)
    }

    /// Makes a file of a snapshot a link to its bytes.
    pub(super) fn link(&self, commit: &str, file: &str, blob: &str) -> std::io::Result<()> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        let up = "../".repeat(2 + file.matches('/').count());
        // A dangling link is replaced.
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path)?;
        }
        std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), path)
    }
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))
}

/// Whether a text is a commit: 40 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Refuses names that the hub does not allow: they become parts of addresses and paths.
fn check_name(model: &str) -> Result<(), Failure> {
    let part = |p: &str| {
        let plain = p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        plain && !p.is_empty() && !p.starts_with(['.', '-']) && !p.contains("..") && !p.contains("--")
    };
    let mut parts = model.split('/');
    if model.len() <= 96 && parts.clone().count() <= 2 && parts.all(part) {
        return Ok(());
    }
    Err(Failure::missing(format!("`{}` is not a valid model name of the hub", model.escape_debug()))
        .help("write `hf(\"owner/name\")` as on the model's page; for a folder write `checkpoint(\"…\")`"))
}

/// Checks the name of a branch, tag or commit.
///
/// # Errors
/// The text cannot be one.
pub fn check_revision(revision: &str) -> Result<(), Failure> {
    let plain = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.ends_with(".lock");
    let characters = revision.bytes().all(|b| b.is_ascii_graphic() && !b"\\:?*[^~#%".contains(&b));
    if characters && revision.len() <= 250 && !revision.contains("..") && revision.split('/').all(plain) {
        return Ok(());
    }
    Err(Failure::missing(format!("`{}` is not a branch, tag or commit", revision.escape_debug()))
        .help("write a revision as on the model's page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["bert-base-uncased", "cross-encoder/ms-marco-MiniLM-L6-v2", "a/b_c.d"] {
            assert!(Repository::new(Path::new("/c"), good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "../x", "a/..", "a b", "a?x", "a--b", ".a/b", "a/\u{fc}"] {
            assert!(Repository::new(Path::new("/c"), bad).is_err(), "{bad}");
        }
        for good in ["main", "refs/pr/3", "v1.0", &"0123456789".repeat(4)] {
            assert!(check_revision(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/../b", "/a", "a//b", "a b", "a?b", "x.lock"] {
            assert!(check_revision(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_known_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let repository = Repository::new(dir.path(), "lab/tiny").unwrap();
        let (root, snapshot) = (repository.root(), repository.snapshot(commit));
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(root.join("refs")).unwrap();
        std::fs::write(root.join("refs/main"), format!("{commit}\n")).unwrap();
        assert_eq!(repository.commit("main").as_deref(), Some(commit));
        assert_eq!((repository.commit("other"), repository.commit(commit).as_deref()), (None, Some(commit)));
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        assert_eq!(repository.presence(commit, "config.json"), Presence::Cached);
        assert_eq!(repository.presence(commit, "modules.json"), Presence::Unknown);
        let none = root.join(".no_exist").join(commit);
        std::fs::create_dir_all(&none).unwrap();
        std::fs::write(none.join("modules.json"), "").unwrap();
        assert_eq!(repository.presence(commit, "modules.json"), Presence::Absent);
        assert_eq!(repository.presence(commit, "spm.model"), Presence::Unknown);
        std::fs::write(snapshot.join(".gitattributes"), "").unwrap();
        assert_eq!(repository.presence(commit, "spm.model"), Presence::Absent);
        // A link whose bytes are gone.
        std::os::unix::fs::symlink("../../blobs/none", snapshot.join("vocab.txt")).unwrap();
        assert_eq!(repository.presence(commit, "vocab.txt"), Presence::Unknown);
    }
}
