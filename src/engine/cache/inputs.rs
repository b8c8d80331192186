//! Inputs during a run: whether a file or folder is still what its digest was made of.
//!
//! Inputs are digested when a run starts and read later, by operations that know nothing of digests. So each use is
//! between two looks. The look before compares stamps with those of the digest, and digests again where they differ or
//! say nothing. The look after refuses every difference, also of a file whose content is the same again: what was read
//! in between is not known. The digest is then what was read, or nothing is stored.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::digest::{Found, Walk, path_digest_of, walk};
use super::error::At;
use super::memo::Stamp;
use super::{Error, Store, downloads};
use xpipe_base::value::Digest;

/// An input as it looked when its content was known.
#[derive(Clone, Debug)]
pub struct Seen {
    path: PathBuf,
    look: Look,
    content: Content,
    parts: Option<Parts>,
}

/// The files of a folder that are read, and how: all others are no part of it.
type Parts = (Vec<String>, Option<&'static str>);

/// What is known of an input's content.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Content {
    /// The digest of its files.
    Files(Digest),
    /// What the record of a download says, if it is one.
    Recorded(Option<Digest>),
}

/// The stamps of an input's files at one moment.
#[derive(Clone, Debug)]
struct Look {
    taken: SystemTime,
    /// By name relative to the input; that of a file is empty.
    files: Vec<(String, Stamp)>,
    /// The folders of an input that is one, and the folder that a file is in.
    folders: Vec<(PathBuf, Stamp)>,
}

impl Look {
    fn of(path: &Path) -> Result<(Self, Vec<Found>), Error> {
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
            return Err(Error::Odd { path: path.to_owned(), what: "a device, pipe or socket" });
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Stamp::of(&std::fs::metadata(parent).at("reading", parent)?);
        let found = Found { name: String::new(), path: path.to_owned(), meta };
        let files = vec![(String::new(), Stamp::of(&found.meta))];
        Ok((Self { taken, files, folders: vec![(parent.to_owned(), folder)] }, vec![found]))
    }

    /// The same of the files that are read.
    fn of_parts(path: &Path, parts: Option<&Parts>) -> Result<(Self, Vec<Found>), Error> {
        let (mut look, mut files) = Self::of(path)?;
        if let Some((names, _)) = parts {
            look.files.retain(|(name, _)| names.contains(name));
            files.retain(|found| names.contains(&found.name));
        }
        Ok((look, files))
    }

    /// Whether every file was left alone for long enough that another change would show in its stamp.
    fn says_all(&self) -> bool {
        self.files.iter().all(|(_, stamp)| stamp.settled(self.taken))
    }

    /// The first difference.
    fn differs(&self, now: &Self, root: &Path) -> Option<PathBuf> {
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
    /// Digests an input and remembers how it looked.
    ///
    /// # Errors
    /// When it does not exist, cannot be read, or changes meanwhile.
    pub fn see(&self, path: &Path) -> Result<Seen, Error> {
        let (look, files) = Look::of(path)?;
        let (digest, _) = path_digest_of(path, &files, &self.memo, self.verify_always)?;
        Ok(Seen { path: path.to_owned(), look, content: Content::Files(digest), parts: None })
    }

    /// The same of a folder of which only some files are read.
    ///
    /// # Errors
    /// As [`Store::see`].
    pub fn see_parts(
        &self,
        path: &Path,
        files: Vec<String>,
        reading: Option<&'static str>,
    ) -> Result<Seen, Error> {
        let parts = (files, reading);
        let (look, _) = Look::of_parts(path, Some(&parts))?;
        let (digest, _) = self.digest_files(path, &parts.0, reading)?;
        Ok(Seen { path: path.to_owned(), look, content: Content::Files(digest), parts: Some(parts) })
    }

    /// Remembers how an input looks whose content was checked otherwise: a download by its record.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    pub fn see_checked(&self, path: &Path) -> Result<Seen, Error> {
        let content = Content::Recorded(downloads::recorded(path));
        Ok(Seen { path: path.to_owned(), look: Look::of(path)?.0, content, parts: None })
    }

    /// The look before a use: the input as it is now, whose content is still the one that was seen.
    ///
    /// # Errors
    /// When the content is another, or gone.
    pub fn see_again(&self, seen: &Seen) -> Result<Seen, Error> {
        let changed = |path: PathBuf| Error::Changed { path, when: "after this run had found its content" };
        let gone = |e: Error| match e {
            Error::NoInput { path } => changed(path),
            other => other,
        };
        let (look, files) = Look::of_parts(&seen.path, seen.parts.as_ref()).map_err(gone)?;
        let different = seen.look.differs(&look, &seen.path);
        if different.is_some() || !seen.look.says_all() {
            let digest = || match &seen.parts {
                // One that is gone is a change, too.
                Some((names, _)) if files.len() != names.len() => Ok(Digest([0; 32])),
                Some((names, reading)) => self.digest_files(&seen.path, names, *reading).map(|d| d.0),
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
        Ok(Seen { path: seen.path.clone(), look, content: seen.content, parts: seen.parts.clone() })
    }

    /// The look after a use: nothing was changed since the look before.
    ///
    /// # Errors
    /// When something was, also if its content is the same again.
    pub fn left_alone(&self, seen: &Seen) -> Result<(), Error> {
        let changed = |path: PathBuf| Error::Changed { path, when: "while it was in use" };
        let (look, _) = match Look::of_parts(&seen.path, seen.parts.as_ref()) {
            Ok(now) => now,
            Err(Error::NoInput { path }) => return Err(changed(path)),
            Err(other) => return Err(other),
        };
        match seen.look.differs(&look, &seen.path) {
            Some(path) => Err(changed(path)),
            // A second change within one tick of the clock shows in the content alone.
            None if !seen.look.says_all() => self.see_again(seen).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Seen {
    /// The digest of its files; `None` when its content was checked otherwise.
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
        let seen = b.store.see(&b.input).unwrap();
        assert_eq!(seen.digest(), Some(b.store.digest_path(&b.input).unwrap().0));
        let again = b.store.see_again(&seen).unwrap();
        b.store.left_alone(&again).unwrap();
        std::fs::write(b.input.join("a.txt"), "one").unwrap();
        std::fs::write(b.input.join(".hidden"), "no part of it").unwrap();
        let again = b.store.see_again(&seen).unwrap();
        std::fs::write(b.input.join(".hidden-too"), "no part of it").unwrap();
        b.store.left_alone(&again).unwrap();
    }

    #[test]
    fn of_a_folder_that_is_read_in_part_the_rest_may_change() {
        let b = bench();
        let seen = b.store.see_parts(&b.input, vec!["sub/b.txt".into()], Some("2")).unwrap();
        let again = b.store.see_again(&seen).unwrap();
        std::fs::write(b.input.join("a.txt"), "six").unwrap();
        std::fs::write(b.input.join("README.md"), "new").unwrap();
        b.store.left_alone(&again).unwrap();
        b.store.see_again(&seen).unwrap();
        std::fs::write(b.input.join("sub/b.txt"), "six").unwrap();
        assert_eq!(name(&b.store.see_again(&seen).unwrap_err()), "b.txt");
        std::fs::remove_file(b.input.join("sub/b.txt")).unwrap();
        assert!(b.store.see_again(&seen).is_err());
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
            let seen = b.store.see(&b.input).unwrap();
            deed(&b.input);
            let e = b.store.see_again(&seen).unwrap_err();
            assert_eq!((name(&e).as_str(), e.exit_code()), (file, 4), "{e}");
        }
    }

    #[test]
    fn a_file_that_was_swapped_and_swapped_back_while_it_was_in_use_is_noticed() {
        let b = bench();
        let file = b.input.join("a.txt");
        let seen = b.store.see(&file).unwrap();
        // By writing.
        let before = b.store.see_again(&seen).unwrap();
        // Longer than a tick of the clock that stamps files.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&file, "six").unwrap();
        std::fs::write(&file, "one").unwrap();
        assert_eq!(name(&b.store.left_alone(&before).unwrap_err()), "a.txt");
        // By renaming.
        let before = b.store.see_again(&seen).unwrap();
        let (aside, other) = (b.input.join("aside"), b.input.join("other"));
        std::fs::write(&other, "six").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(&file, &aside).unwrap();
        std::fs::rename(&other, &file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(name(&b.store.left_alone(&before).unwrap_err()), "a.txt");
        // The folder around it.
        let before = b.store.see_again(&seen).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::rename(&b.input, b.input.with_extension("aside")).unwrap();
        std::fs::rename(b.input.with_extension("aside"), &b.input).unwrap();
        assert_eq!(name(&b.store.left_alone(&before).unwrap_err()), "input");
    }

    #[test]
    fn stamps_of_fresh_files_are_not_believed() {
        let b = bench();
        let file = b.input.join("a.txt");
        let mut seen = b.store.see(&file).unwrap();
        assert!(!seen.look.says_all());
        // As if the second change had come within the same tick as the first: the stamps are equal.
        std::fs::write(&file, "six").unwrap();
        seen.look = Look { taken: seen.look.taken, ..Look::of(&file).unwrap().0 };
        assert_eq!(name(&b.store.see_again(&seen).unwrap_err()), "a.txt");
        assert_eq!(name(&b.store.left_alone(&seen).unwrap_err()), "a.txt");
        // Hours later equal stamps are enough.
        seen.look.taken += Duration::from_secs(3600);
        assert!(seen.look.says_all());
        b.store.left_alone(&seen).unwrap();
    }
}
