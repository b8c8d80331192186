//! Every byte of a file at every level of its packing, for searches: the file as it is, what it unpacks to, the names and
//! contents of all members of an archive, hidden ones included, and these unpacked in turn.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::parts::{BUFFER, LEVELS, is_tar, peek, unpacked};
use xpipe_base::archive::Tar;

/// Is given the bytes of one level, in pieces.
pub type Look<'l> = Box<dyn FnMut(&[u8]) + 'l>;

/// Reads a file to its end. `looks` makes what looks at the bytes of a level, and is called for each. What cannot be
/// unpacked to its end is unpacked up to there.
///
/// # Errors
/// The file cannot be read.
pub fn each_layer<'l>(path: &Path, looks: &mut dyn FnMut() -> Look<'l>) -> io::Result<()> {
    let failed = Cell::new(None);
    let mut file = Noting { inner: File::open(path)?, failed: &failed };
    // An error of unpacking is one of the content; one of the file was noted.
    let _ = layer(&mut file, 0, looks);
    failed.into_inner().map_or(Ok(()), Err)
}

fn layer<'l>(reader: &mut dyn Read, level: usize, looks: &mut dyn FnMut() -> Look<'l>) -> io::Result<()> {
    let watched = Watched { inner: reader, look: looks() };
    let (head, mut reader) = peek(BufReader::with_capacity(BUFFER, watched))?;
    if level < LEVELS {
        if let Ok(Some(mut inner)) = unpacked(&head, &mut reader) {
            let _ = layer(&mut inner, level + 1, looks);
        } else if is_tar(&head) {
            members(&mut reader, level + 1, looks);
        }
    }
    io::copy(&mut reader, &mut io::sink()).map(|_| ())
}

/// The members of an archive, up to the first that cannot be read.
fn members<'l>(reader: &mut dyn Read, level: usize, looks: &mut dyn FnMut() -> Look<'l>) {
    let mut archive = Tar::new(reader);
    while let Ok(Some(member)) = archive.next_member() {
        looks()(&member.name);
        if layer(&mut archive, level, looks).is_err() {
            return;
        }
    }
}

/// Shows what is read.
struct Watched<'r, 'l> {
    inner: &'r mut dyn Read,
    look: Look<'l>,
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        (self.look)(&buffer[..n]);
        Ok(n)
    }
}

/// Keeps the first error of a file.
struct Noting<'f> {
    inner: File,
    failed: &'f Cell<Option<io::Error>>,
}

impl Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            let kind = e.kind();
            if kind != io::ErrorKind::Interrupted {
                let first = self.failed.take();
                self.failed.set(first.or(Some(e)));
            }
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use xpipe_testing::archives::{gzip, tar};

    use super::*;

    /// The bytes of each level.
    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = xpipe_testing::file(dir.path(), "x", bytes);
        let (seen, all) = (Cell::new(0), RefCell::new(Vec::new()));
        each_layer(&path, &mut || {
            let at = seen.replace(seen.get() + 1);
            all.borrow_mut().push(Vec::new());
            let all = &all;
            Box::new(move |piece| all.borrow_mut()[at].extend_from_slice(piece))
        })
        .unwrap();
        all.into_inner()
    }

    #[test]
    fn every_level_is_shown_whole() {
        assert_eq!(read(b"plain"), [b"plain"]);
        assert_eq!(read(b""), [b""]);
        let text = "line\n".repeat(200_000);
        let once = gzip(text.as_bytes());
        assert_eq!(read(&gzip(&once)), [gzip(&once), once.clone(), text.clone().into_bytes()]);
        let archive = tar(&[(".hidden", &once), ("d/a", b"x")]);
        let packed = gzip(&archive);
        let [name, member] = [&b".hidden"[..], b"d/a"];
        assert_eq!(
            read(&packed),
            [&packed, &archive, name, &once, text.as_bytes(), member, b"x"].map(<[u8]>::to_vec)
        );
    }

    #[test]
    fn what_is_damaged_is_shown_up_to_there() {
        let archive = tar(&[("a.gz", b"\x1f\x8bno gzip"), ("b", b"behind it")]);
        let found = read(&archive);
        assert!(found.contains(&b"behind it".to_vec()) && found[0] == archive, "{found:?}");
        let text = "line\n".repeat(200_000);
        let cut = gzip(text.as_bytes());
        let found = read(&cut[..cut.len() - 8]);
        assert_eq!(found[1], text.as_bytes());
        let dir = tempfile::tempdir().unwrap();
        assert!(each_layer(dir.path(), &mut || Box::new(|_| ())).is_err(), "a folder");
    }
}
