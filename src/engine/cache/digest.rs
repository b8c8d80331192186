//! Digests of the content of files and folders.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;

use super::Error;
use super::error::At;
use super::memo::{Memo, Stamp};
use xpipe_base::task::is_ignored;
use xpipe_base::value::Digest;

/// The digest of a folder: of its files' relative names, sorted bytewise, and their digests. An artifact and an input
/// folder with the same files have the same digest.
pub fn tree_digest<'a>(files: impl IntoIterator<Item = (&'a str, Digest)>) -> Digest {
    let mut files: Vec<(&str, Digest)> = files.into_iter().collect();
    files.sort_unstable();
    let mut hasher = blake3::Hasher::new_derive_key("xpipe folder v1");
    for (name, digest) in files {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// A file found below a folder.
#[derive(Debug)]
pub(crate) struct WalkedFile {
    /// Path relative to the folder, with `/`.
    pub(crate) name: String,
    /// Full path.
    pub(crate) path: PathBuf,
    /// Metadata; of the target, where links are followed.
    pub(crate) meta: Metadata,
}

/// How hidden names and links are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// An input: files that tools leave are ignored ([`is_ignored`]), links are followed (the hub's cache consists of
    /// links).
    Input,
    /// A result: hidden files count, links are refused.
    Result,
}

/// The files below a folder, and all folders including itself.
type Walked = (Vec<WalkedFile>, Vec<(PathBuf, Metadata)>);

/// All files below a folder, sorted by relative name, and all folders, sorted.
pub(crate) fn walk(root: &Path, how: Walk) -> Result<Walked, Error> {
    let mut walked = (Vec::new(), Vec::new());
    enter(root, "", how, 0, &mut walked)?;
    let (mut files, mut folders) = walked;
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok((files, folders))
}

fn enter(folder: &Path, prefix: &str, how: Walk, depth: u32, walked: &mut Walked) -> Result<(), Error> {
    if depth > 64 {
        return Err(Error::Unsupported {
            path: folder.to_owned(),
            what: "more than 64 folders deep, or a cycle of links",
        });
    }
    walked.1.push((folder.to_owned(), std::fs::metadata(folder).at("reading", folder)?));
    for entry in std::fs::read_dir(folder).at("reading", folder)? {
        let entry = entry.at("reading", folder)?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Error::Unsupported { path, what: "a name that is not UTF-8" });
        };
        if how == Walk::Input && is_ignored(name) {
            continue;
        }
        let name = format!("{prefix}{name}");
        let mut meta = entry.metadata().at("reading", &path)?;
        if meta.is_symlink() {
            if how == Walk::Result {
                return Err(Error::Unsupported { path, what: "a link" });
            }
            meta = std::fs::metadata(&path).at("reading", &path)?;
        }
        if meta.is_dir() {
            enter(&path, &format!("{name}/"), how, depth + 1, walked)?;
        } else if meta.is_file() {
            walked.0.push(WalkedFile { name, path, meta });
        } else {
            return Err(Error::Unsupported { path, what: "a device, pipe or socket" });
        }
    }
    Ok(())
}

/// The digest of the files in a folder that an operation has made.
///
/// # Errors
/// A file cannot be read, or is of a kind that cannot be kept.
pub(crate) fn result_digest(folder: &Path) -> Result<Digest, Error> {
    let (files, _) = walk(folder, Walk::Result)?;
    let digests = files.iter().map(|f| Ok((f.name.as_str(), file_digest(&f.path)?)));
    Ok(tree_digest(digests.collect::<Result<Vec<_>, Error>>()?))
}

/// Reads and digests a file.
pub(crate) fn file_digest(path: &Path) -> Result<Digest, Error> {
    stamped_digest(path).map(|(digest, _)| digest)
}

/// Bytes read at once. Less than this is digested on one thread.
const PIECE: u64 = 8 << 20;

/// The digest of a file, and its stamp, which was the same before and after reading.
fn stamped_digest(path: &Path) -> Result<(Digest, Stamp), Error> {
    let (digest, before, after) = read_digest(path)?;
    if before != after {
        return Err(Error::Changing { path: path.to_owned() });
    }
    Ok((digest, before))
}

/// Reads and digests a blob. Other processes may link it meanwhile, which changes one of its times.
pub(super) fn blob_digest(path: &Path) -> Result<Digest, Error> {
    let (digest, before, after) = read_digest(path)?;
    if before.same_content(&after) { Ok(digest) } else { Err(Error::Changing { path: path.to_owned() }) }
}

/// The digest of a file, and its stamps before and after reading. The file is read and not memory-mapped: truncating a
/// mapped file kills the process.
fn read_digest(path: &Path) -> Result<(Digest, Stamp, Stamp), Error> {
    let mut file = File::open(path).at("reading", path)?;
    let before = file.metadata().at("reading", path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let read = (&mut file).take(PIECE).read_to_end(&mut piece).at("reading", path)?;
        match read as u64 {
            0 => break,
            PIECE => hasher.update_rayon(&piece),
            _ => hasher.update(&piece),
        };
    }
    let after = std::fs::metadata(path).at("reading", path)?;
    Ok((Digest(*hasher.finalize().as_bytes()), Stamp::of(&before), Stamp::of(&after)))
}

/// The digest of a file: from the memo if it is known, unless `read_again`.
pub(crate) fn cached_digest(
    path: &Path,
    meta: &Metadata,
    memo: &Memo,
    read_again: bool,
) -> Result<Digest, Error> {
    let stamp = Stamp::of(meta);
    if !read_again && let Some(digest) = memo.get(&stamp) {
        return Ok(digest);
    }
    let begun = SystemTime::now();
    let (digest, stamp) = stamped_digest(path)?;
    memo.put(stamp, digest, begun);
    Ok(digest)
}

/// The digest and size of a file or folder given as an input.
pub(crate) fn path_digest(path: &Path, memo: &Memo, read_again: bool) -> Result<(Digest, u64), Error> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoInput { path: path.to_owned() });
        }
        Err(e) => return Err(Error::io("reading", path, e)),
    };
    if meta.is_file() {
        return Ok((cached_digest(path, &meta, memo, read_again)?, meta.len()));
    }
    if !meta.is_dir() {
        return Err(Error::Unsupported { path: path.to_owned(), what: "a device, pipe or socket" });
    }
    path_digest_of(path, &walk(path, Walk::Input)?.0, memo, read_again)
}

/// The same for a path whose files are known. The file of a path that is a file has an empty name.
pub(crate) fn path_digest_of(
    path: &Path,
    files: &[WalkedFile],
    memo: &Memo,
    read_again: bool,
) -> Result<(Digest, u64), Error> {
    if let [WalkedFile { name, meta, .. }] = files
        && name.is_empty()
    {
        return Ok((cached_digest(path, meta, memo, read_again)?, meta.len()));
    }
    let digests = files
        .par_iter()
        .map(|f| cached_digest(&f.path, &f.meta, memo, read_again))
        .collect::<Result<Vec<_>, Error>>()?;
    let digest = tree_digest(files.iter().map(|f| f.name.as_str()).zip(digests));
    Ok((digest, files.iter().map(|f| f.meta.len()).sum()))
}

/// The digest and size of some files of a folder: as [`path_digest`] of a folder with these files only. `reading` names
/// a way of reading them that differs from the original one.
pub(crate) fn files_digest(
    folder: &Path,
    files: &[String],
    reading: Option<&str>,
    memo: &Memo,
    read_again: bool,
) -> Result<(Digest, u64), Error> {
    let digest = |name: &String| {
        let path = folder.join(name);
        let meta = std::fs::metadata(&path).at("reading", &path)?;
        Ok((cached_digest(&path, &meta, memo, read_again)?, meta.len()))
    };
    let found = files.par_iter().map(digest).collect::<Result<Vec<_>, Error>>()?;
    let named = files.iter().map(String::as_str).zip(found.iter().map(|(digest, _)| *digest));
    // No file has an empty name.
    let reading = reading.map(|how| ("", Digest::of(how.as_bytes())));
    Ok((tree_digest(named.chain(reading)), found.iter().map(|(_, size)| size).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_of_a_folder_are_as_a_folder_of_them() {
        let (few, more) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&few, &more] {
            std::fs::create_dir(dir.path().join("sub")).unwrap();
            std::fs::write(dir.path().join("sub/b"), "b").unwrap();
            std::fs::write(dir.path().join("a"), "a").unwrap();
        }
        std::fs::write(more.path().join("README.md"), "not read").unwrap();
        let names = ["sub/b".to_owned(), "a".to_owned()];
        let m = memo(few.path());
        let whole = path_digest(few.path(), &Memo::new(more.path().join(".memo"), true), false).unwrap();
        assert_eq!(files_digest(more.path(), &names, None, &m, false).unwrap(), whole);
        assert_ne!(files_digest(more.path(), &names[..1], None, &m, false).unwrap(), whole);
        assert_ne!(files_digest(more.path(), &names, Some("2"), &m, false).unwrap(), whole);
        assert!(files_digest(more.path(), &["gone".to_owned()], None, &m, false).is_err());
    }

    fn memo(dir: &Path) -> Memo {
        Memo::new(dir.join(".memo"), true)
    }

    #[test]
    fn a_file_is_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.txt");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(path_digest(&file, &memo(dir.path()), false).unwrap(), (Digest::of(b"hello"), 5));
        assert!(matches!(
            path_digest(&dir.path().join("none"), &memo(dir.path()), false),
            Err(Error::NoInput { .. })
        ));
    }

    #[test]
    fn a_folder_is_its_names_and_contents() {
        let a = tempfile::tempdir().unwrap();
        let b = tempfile::tempdir().unwrap();
        for (dir, first) in [(&a, "x"), (&b, "y")] {
            // Made in different orders, under different roots.
            let second = if first == "x" { "y" } else { "x" };
            for name in [first, second] {
                std::fs::create_dir_all(dir.path().join("sub")).unwrap();
                std::fs::write(dir.path().join("sub").join(name), name).unwrap();
            }
        }
        std::fs::write(a.path().join(".hidden"), "not counted").unwrap();
        std::fs::create_dir(a.path().join("sub/__pycache__")).unwrap();
        std::fs::write(a.path().join("sub/__pycache__/x.cpython-312.pyc"), "not counted").unwrap();
        let digest = |d: &Path| path_digest(d, &memo(d), false).unwrap().0;
        assert_eq!(digest(a.path()), digest(b.path()));
        std::fs::rename(b.path().join("sub/x"), b.path().join("sub/z")).unwrap();
        assert_ne!(digest(a.path()), digest(b.path()));
        // The names of a folder cannot be moved into its contents.
        let pair = |n: &'static str, c: &str| tree_digest([(n, Digest::of(c.as_bytes()))]);
        assert_ne!(pair("a", "bc"), pair("ab", "c"));
    }

    #[test]
    fn large_files_are_digested_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        for size in [PIECE as usize - 1, PIECE as usize, PIECE as usize + 1, 2 * PIECE as usize + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let file = dir.path().join("large");
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(file_digest(&file).unwrap(), Digest::of(&bytes), "{size}");
        }
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error_and_ends_nothing() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut");
        let file = File::create(&path).unwrap();
        file.set_len(4 * PIECE).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    file.set_len(10).unwrap();
                    file.set_len(4 * PIECE).unwrap();
                }
            });
            // The other thread may have to wait for its turn.
            let changed = (0..1_000).any(|_| match file_digest(&path) {
                Err(Error::Changing { .. }) => true,
                Err(other) => panic!("{other}"),
                Ok(_) => false,
            });
            over.store(true, Ordering::Relaxed);
            assert!(changed);
        });
    }

    #[test]
    fn links_of_an_input_are_followed_and_circles_end() {
        let dir = tempfile::tempdir().unwrap();
        let (blobs, model) = (dir.path().join("blobs"), dir.path().join("model"));
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::create_dir_all(&model).unwrap();
        std::fs::write(blobs.join("123"), "weights").unwrap();
        std::os::unix::fs::symlink("../blobs/123", model.join("model.safetensors")).unwrap();
        let m = memo(dir.path());
        let want = tree_digest([("model.safetensors", Digest::of(b"weights"))]);
        assert_eq!(path_digest(&model, &m, false).unwrap(), (want, 7));
        std::os::unix::fs::symlink(".", model.join("circle")).unwrap();
        assert!(matches!(path_digest(&model, &m, false), Err(Error::Unsupported { .. } | Error::Io { .. })));
    }
}
