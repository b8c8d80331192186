//! Inputs during a run: whether a file or folder still has the content that was digested.
//!
//! Inputs are digested when a run starts, and read later by operations that know nothing of digests. So every use is
//! between two checks. The check before compares stamps (inode, size, times) with those of the digest, and digests again
//! where they differ or are too fresh to tell. The check after refuses every difference, also when the content is the
//! same again, since what was read in between is unknown. Then the digest is of what was read, or nothing is stored.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::digest::{Walk, WalkedFile, path_digest_of, walk};
use super::error::At;
use super::memo::Stamp;
use super::{Error, Store, downloads};
use xpipe_base::value::Digest;

/// The state of an input when its content was digested.
#[derive(Clone, Debug)]
pub struct InputSnapshot {
    path: PathBuf,
    stamps: Stamps,
    content: Content,
    parts: Option<Parts>,
}

/// The files of a folder that are read, and the way of reading them. All other files are ignored.
type Parts = (Vec<String>, Option<String>);

/// How the content of an input is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Content {
    /// The digest of its files.
    Files(Digest),
    /// The digest in the record of a download, if it is one.
    Recorded(Option<Digest>),
}

/// The stamps of an input's files at one time.
#[derive(Clone, Debug)]
struct Stamps {
    taken: SystemTime,
    /// By relative name; empty if the input is a file.
    files: Vec<(String, Stamp)>,
    /// All folders of the input; the parent folder if the input is a file.
    folders: Vec<(PathBuf, Stamp)>,
}

impl Stamps {
    fn of(path: &Path) -> Result<(Self, Vec<WalkedFile>), Error> {
        let taken = SystemTime::now();
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoInput { path: path.to_owned() });
            }
            Err(e) => return Err(Error::io("reading", path, e)),
        };
        if meta.is_dir() {
            let (files, folders) = walk(path, Walk::Input)?;
            let stamps = files.iter().map(|f| (f.name.clone(), Stamp::of(&f.meta))).collect();
            let folders = folders.iter().map(|(path, meta)| (path.clone(), Stamp::of(meta))).collect();
            return Ok((Self { taken, files: stamps, folders }, files));
        }
        if !meta.is_file() {
            return Err(Error::Unsupported { path: path.to_owned(), what: "a device, pipe or socket" });
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Stamp::of(&std::fs::metadata(parent).at("reading", parent)?);
        let found = WalkedFile { name: String::new(), path: path.to_owned(), meta };
        let files = vec![(String::new(), Stamp::of(&found.meta))];
        Ok((Self { taken, files, folders: vec![(parent.to_owned(), folder)] }, vec![found]))
    }

    /// The same for the files that are read.
    fn of_parts(path: &Path, parts: Option<&Parts>) -> Result<(Self, Vec<WalkedFile>), Error> {
        let (mut stamps, mut files) = Self::of(path)?;
        if let Some((names, _)) = parts {
            stamps.files.retain(|(name, _)| names.contains(name));
            files.retain(|found| names.contains(&found.name));
        }
        Ok((stamps, files))
    }

    /// Whether every file is old enough that a further change would change its stamp.
    fn is_settled(&self) -> bool {
        self.files.iter().all(|(_, stamp)| stamp.settled(self.taken))
    }

    /// The first path that differs.
    fn first_difference(&self, now: &Self, root: &Path) -> Option<PathBuf> {
        let place = |name: &str| if name.is_empty() { root.to_owned() } else { root.join(name) };
        let mut pairs = self.files.iter().zip(&now.files);
        if let Some(((old, _), (new, _))) = pairs.find(|(old, new)| old != new) {
            return Some(place(old.min(new)));
        }
        let longer = if self.files.len() > now.files.len() { &self.files } else { &now.files };
        if let Some((name, _)) = longer.get(self.files.len().min(now.files.len())) {
            return Some(place(name));
        }
        let moved = |((old, before), (new, after)): &(&(PathBuf, Stamp), &(PathBuf, Stamp))| {
            old != new || before.moved(after)
        };
        self.folders.iter().zip(&now.folders).find(moved).map(|((path, _), _)| path.clone())
    }
}

impl Store {
    /// Digests an input and records its stamps.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or changes meanwhile.
    pub fn snapshot_input(&self, path: &Path) -> Result<InputSnapshot, Error> {
        let (stamps, files) = Stamps::of(path)?;
        let (digest, _) = path_digest_of(path, &files, &self.memo, self.verify_always)?;
        Ok(InputSnapshot { path: path.to_owned(), stamps, content: Content::Files(digest), parts: None })
    }

    /// The same for a folder of which only some files are read.
    ///
    /// # Errors
    /// As [`Store::snapshot_input`].
    pub fn snapshot_files(
        &self,
        path: &Path,
        files: Vec<String>,
        reading: Option<&'static str>,
    ) -> Result<InputSnapshot, Error> {
        self.snapshot_parts(path, (files, reading.map(str::to_owned)))
    }

    fn snapshot_parts(&self, path: &Path, parts: Parts) -> Result<InputSnapshot, Error> {
        let (stamps, _) = Stamps::of_parts(path, Some(&parts))?;
        let (digest, _) = self.digest_files(path, &parts.0, parts.1.as_deref())?;
        Ok(InputSnapshot {
            path: path.to_owned(),
            stamps,
            content: Content::Files(digest),
            parts: Some(parts),
        })
    }

    /// Records the stamps of an input whose content was checked otherwise: a download by its record.
    ///
    /// # Errors
    /// It does not exist or cannot be read.
    pub fn snapshot_download(&self, path: &Path) -> Result<InputSnapshot, Error> {
        let content = Content::Recorded(downloads::recorded(path));
        Ok(InputSnapshot { path: path.to_owned(), stamps: Stamps::of(path)?.0, content, parts: None })
    }

    /// The check before a use: the current state of an input that still has the same content.
    ///
    /// # Errors
    /// The content has changed, or is missing.
    pub fn recheck_input(&self, seen: &InputSnapshot) -> Result<InputSnapshot, Error> {
        let changed = |path: PathBuf| Error::Changed { path, when: "after this run had digested it" };
        let gone = |e: Error| match e {
            Error::NoInput { path } => changed(path),
            other => other,
        };
        let (stamps, files) = Stamps::of_parts(&seen.path, seen.parts.as_ref()).map_err(gone)?;
        let different = seen.stamps.first_difference(&stamps, &seen.path);
        if different.is_some() || !seen.stamps.is_settled() {
            let digest = || match &seen.parts {
                // A missing file is a change, too.
                Some((names, _)) if files.len() != names.len() => Ok(Digest([0; 32])),
                Some((names, reading)) => {
                    self.digest_files(&seen.path, names, reading.as_deref()).map(|d| d.0)
                }
                None => path_digest_of(&seen.path, &files, &self.memo, self.verify_always).map(|d| d.0),
            };
            let same = match seen.content {
                Content::Files(content) | Content::Recorded(Some(content)) => {
                    digest().map_err(gone)? == content
                }
                Content::Recorded(None) => different.is_none(),
            };
            if !same {
                return Err(changed(different.unwrap_or_else(|| seen.path.clone())));
            }
        }
        Ok(InputSnapshot {
            path: seen.path.clone(),
            stamps,
            content: seen.content,
            parts: seen.parts.clone(),
        })
    }

    /// An input of another process on this machine, if it has the content that was found there.
    ///
    /// # Errors
    /// The content is another one here, or is missing.
    pub fn find_expected(&self, expected: &ExpectedInput) -> Result<InputSnapshot, Error> {
        let path = &expected.path;
        let seen = match (&expected.parts, expected.content) {
            (Some(parts), _) => self.snapshot_parts(path, parts.clone())?,
            (None, Content::Recorded(_)) => self.snapshot_download(path)?,
            (None, Content::Files(_)) => self.snapshot_input(path)?,
        };
        match seen.content == expected.content {
            true => Ok(seen),
            false => Err(Error::Changed { path: path.clone(), when: "after its run had digested it" }),
        }
    }

    /// The check after a use: nothing has changed since the check before.
    ///
    /// # Errors
    /// Something has changed, also if the content is the same again.
    pub fn check_unchanged(&self, seen: &InputSnapshot) -> Result<(), Error> {
        let changed = |path: PathBuf| Error::Changed { path, when: "while it was in use" };
        let (stamps, _) = match Stamps::of_parts(&seen.path, seen.parts.as_ref()) {
            Ok(now) => now,
            Err(Error::NoInput { path }) => return Err(changed(path)),
            Err(other) => return Err(other),
        };
        match seen.stamps.first_difference(&stamps, &seen.path) {
            Some(path) => Err(changed(path)),
            // A second change within one tick of the clock shows only in the content.
            None if !seen.stamps.is_settled() => self.recheck_input(seen).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// An input as another process is to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedInput {
    path: PathBuf,
    content: Content,
    parts: Option<Parts>,
}

impl InputSnapshot {
    /// What another process must find.
    pub fn expected(&self) -> ExpectedInput {
        ExpectedInput { path: self.path.clone(), content: self.content, parts: self.parts.clone() }
    }

    /// The digest of the files; `None` when the content was checked otherwise.
    pub fn digest(&self) -> Option<Digest> {
        if let Content::Files(digest) = self.content { Some(digest) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Bench {
        _dir: tempfile::TempDir,
        store: Store,
        input: PathBuf,
    }

    /// A folder of two files that were left alone for long, and a store.
    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("input");
        std::fs::create_dir_all(input.join("sub")).unwrap();
        std::fs::write(input.join("a.txt"), "one").unwrap();
        std::fs::write(input.join("sub/b.txt"), "two").unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        Bench { store, input, _dir: dir }
    }

    fn name(e: &Error) -> String {
        let Error::Changed { path, .. } = e else { panic!("{e}") };
        path.file_name().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn what_is_left_alone_passes_and_what_is_only_touched_passes_before_a_use() {
        let b = bench();
        let seen = b.store.snapshot_input(&b.input).unwrap();
        assert_eq!(seen.digest(), Some(b.store.digest_path(&b.input).unwrap().0));
        let again = b.store.recheck_input(&seen).unwrap();
        b.store.check_unchanged(&again).unwrap();
        std::fs::write(b.input.join("a.txt"), "one").unwrap();
        std::fs::write(b.input.join(".hidden"), "no part of it").unwrap();
        let again = b.store.recheck_input(&seen).unwrap();
        std::fs::write(b.input.join(".hidden-too"), "no part of it").unwrap();
        b.store.check_unchanged(&again).unwrap();
    }

    #[test]
    fn of_a_folder_that_is_read_in_part_the_rest_may_change() {
        let b = bench();
        let seen = b.store.snapshot_files(&b.input, vec!["sub/b.txt".into()], Some("2")).unwrap();
        let again = b.store.recheck_input(&seen).unwrap();
        std::fs::write(b.input.join("a.txt"), "six").unwrap();
        std::fs::write(b.input.join("README.md"), "new").unwrap();
        b.store.check_unchanged(&again).unwrap();
        b.store.recheck_input(&seen).unwrap();
        std::fs::write(b.input.join("sub/b.txt"), "six").unwrap();
        assert_eq!(name(&b.store.recheck_input(&seen).unwrap_err()), "b.txt");
        std::fs::remove_file(b.input.join("sub/b.txt")).unwrap();
        assert!(b.store.recheck_input(&seen).is_err());
    }

    #[test]
    fn every_change_before_a_use_is_named() {
        type Deed = fn(&Path);
        let deeds: [(&str, Deed); 5] = [
            ("a.txt", |p| std::fs::write(p.join("a.txt"), "1ne").unwrap()),
            ("b.txt", |p| std::fs::remove_file(p.join("sub/b.txt")).unwrap()),
            ("c.txt", |p| std::fs::write(p.join("sub/c.txt"), "new").unwrap()),
            ("a.txt", |p| std::fs::rename(p.join("a.txt"), p.join("z.txt")).unwrap()),
            ("input", |p| std::fs::rename(p, p.with_extension("old")).unwrap()),
        ];
        for (file, deed) in deeds {
            let b = bench();
            let seen = b.store.snapshot_input(&b.input).unwrap();
            deed(&b.input);
            let e = b.store.recheck_input(&seen).unwrap_err();
            assert_eq!((name(&e).as_str(), e.exit_code()), (file, 4), "{e}");
        }
    }

    #[test]
    fn a_file_that_was_swapped_and_swapped_back_while_it_was_in_use_is_noticed() {
        let b = bench();
        let file = b.input.join("a.txt");
        let seen = b.store.snapshot_input(&file).unwrap();
        // By writing.
        let before = b.store.recheck_input(&seen).unwrap();
        // Longer than a tick of the clock that stamps files.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&file, "six").unwrap();
        std::fs::write(&file, "one").unwrap();
        assert_eq!(name(&b.store.check_unchanged(&before).unwrap_err()), "a.txt");
        // By renaming.
        let before = b.store.recheck_input(&seen).unwrap();
        let (aside, other) = (b.input.join("aside"), b.input.join("other"));
        std::fs::write(&other, "six").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(&file, &aside).unwrap();
        std::fs::rename(&other, &file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(name(&b.store.check_unchanged(&before).unwrap_err()), "a.txt");
        // The folder around it.
        let before = b.store.recheck_input(&seen).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(&b.input, b.input.with_extension("aside")).unwrap();
        std::fs::rename(b.input.with_extension("aside"), &b.input).unwrap();
        assert_eq!(name(&b.store.check_unchanged(&before).unwrap_err()), "input");
    }

    #[test]
    fn another_process_finds_the_same_content_or_says_that_it_changed() {
        let b = bench();
        let whole = b.store.snapshot_input(&b.input).unwrap().expected();
        let part = b.store.snapshot_files(&b.input, vec!["sub/b.txt".into()], Some("2")).unwrap().expected();
        let text = serde_json::to_string(&[&whole, &part]).unwrap();
        let told: Vec<ExpectedInput> = serde_json::from_str(&text).unwrap();
        assert_eq!(told, [whole.clone(), part.clone()]);
        let other = Store::open(b.store.root()).unwrap();
        b.store.check_unchanged(&other.find_expected(&whole).unwrap()).unwrap();
        std::fs::write(b.input.join("a.txt"), "six").unwrap();
        assert!(other.find_expected(&whole).is_err());
        other.find_expected(&part).unwrap();
        std::fs::remove_dir_all(&b.input).unwrap();
        assert!(other.find_expected(&part).is_err());
    }

    #[test]
    fn stamps_of_fresh_files_are_not_believed() {
        let b = bench();
        let file = b.input.join("a.txt");
        let mut seen = b.store.snapshot_input(&file).unwrap();
        assert!(!seen.stamps.is_settled());
        // As if the second change had come within the same tick as the first: the stamps are equal.
        std::fs::write(&file, "six").unwrap();
        seen.stamps = Stamps { taken: seen.stamps.taken, ..Stamps::of(&file).unwrap().0 };
        assert_eq!(name(&b.store.recheck_input(&seen).unwrap_err()), "a.txt");
        assert_eq!(name(&b.store.check_unchanged(&seen).unwrap_err()), "a.txt");
        // Hours later equal stamps are enough.
        seen.stamps.taken += Duration::from_secs(3600);
        assert!(seen.stamps.is_settled());
        b.store.check_unchanged(&seen).unwrap();
    }
}
