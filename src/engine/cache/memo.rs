//! A memo of digests of files by (device, inode, size, modification time, change time), so that a run with nothing to do
//! reads no data. It is not part of keys, and may be deleted at any time.
//!
//! A log of text lines, each with a checksum: lines of several processes may interleave, and lines cut by a crash are
//! skipped. A file that changed less than two seconds before it was read is not recorded: it could change again within
//! one tick of the file system's clock.

use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use xpipe_base::modes;
use xpipe_base::value::Digest;

/// Identifies a version of a file on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    /// Nanoseconds since 1970; only the system sets it.
    changed: i128,
}

impl Stamp {
    /// The stamp of a file.
    pub(crate) fn of(meta: &Metadata) -> Self {
        let nanos = |s: i64, n: i64| i128::from(s) * 1_000_000_000 + i128::from(n);
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether a folder was renamed or replaced: changes of its entries change both times, a new name or owner only the
    /// second.
    pub(crate) fn moved(&self, now: &Self) -> bool {
        (self.device, self.inode) != (now.device, now.inode)
            || (self.modified == now.modified && self.changed != now.changed)
    }

    /// Whether nothing but links and permissions can have changed.
    pub(crate) fn same_content(&self, now: &Self) -> bool {
        Self { changed: now.changed, ..*self } == *now
    }

    /// Whether the file has been unchanged for so long before `now` that a further change would change its stamp.
    pub(crate) fn settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128);
        self.modified.max(self.changed) + 2_000_000_000 < now
    }
}

/// The memo of one store.
#[derive(Debug)]
pub(crate) struct Memo {
    path: PathBuf,
    writable: bool,
    known: OnceLock<Mutex<BTreeMap<Stamp, Digest>>>,
}

/// A log with more lines than this, and twice as many as files, is rewritten.
const LONG: usize = 20_000;

impl Memo {
    /// The memo in a file, which is read on first use.
    pub(crate) fn new(path: PathBuf, writable: bool) -> Self {
        Self { path, writable, known: OnceLock::new() }
    }

    fn known(&self) -> &Mutex<BTreeMap<Stamp, Digest>> {
        self.known.get_or_init(|| {
            let text = std::fs::read(&self.path).unwrap_or_default();
            let lines = || text.split(|b| *b == b'\n').filter_map(|l| parse(std::str::from_utf8(l).ok()?));
            let map: BTreeMap<Stamp, Digest> = lines().collect();
            let count = lines().count();
            if self.writable && count > LONG && count > 2 * map.len() {
                // If a line of another process is lost, one file is read again.
                let whole: String = map.iter().map(|(s, d)| line(s, d)).collect();
                let _ = replace(&self.path, whole.as_bytes());
            }
            Mutex::new(map)
        })
    }

    /// The digest of the file with this stamp, if known.
    pub(crate) fn get(&self, stamp: &Stamp) -> Option<Digest> {
        self.known().lock().unwrap_or_else(PoisonError::into_inner).get(stamp).copied()
    }

    /// Records the digest of a file that had this stamp before and after it was read; reading began at `begun`. A file
    /// that had changed shortly before is not recorded: it could change again with the same stamp.
    pub(crate) fn put(&self, stamp: Stamp, digest: Digest, begun: SystemTime) {
        if !stamp.settled(begun) {
            return;
        }
        let mut known = self.known().lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(stamp, digest) == Some(digest) || !self.writable {
            return;
        }
        // A memo that cannot be written only costs time.
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut f| f.write_all(line(&stamp, &digest).as_bytes()));
        let _ = written.and_then(|()| modes::inherit_file(&self.path));
    }
}

/// Replaces the content of a file atomically.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temp = tempfile::NamedTempFile::new_in(folder)?;
    temp.write_all(bytes)?;
    modes::inherit_file(temp.path())?;
    temp.persist(path)?;
    Ok(())
}

fn line(s: &Stamp, d: &Digest) -> String {
    let text = format!("{} {} {} {} {} {}", s.device, s.inode, s.size, s.modified, s.changed, d.hex());
    format!("{text} {}\n", check(&text))
}

fn check(text: &str) -> String {
    Digest::of(text.as_bytes()).hex()[..8].to_owned()
}

fn parse(line: &str) -> Option<(Stamp, Digest)> {
    let (text, sum) = line.rsplit_once(' ')?;
    if check(text) != sum {
        return None;
    }
    let mut parts = text.split(' ');
    let mut next = || parts.next();
    let stamp = Stamp {
        device: next()?.parse().ok()?,
        inode: next()?.parse().ok()?,
        size: next()?.parse().ok()?,
        modified: next()?.parse().ok()?,
        changed: next()?.parse().ok()?,
    };
    Some((stamp, Digest::parse(next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stamp(inode: u64) -> Stamp {
        Stamp { device: 1, inode, size: 3, modified: 10, changed: 11 }
    }

    #[test]
    fn what_is_remembered_is_found_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memo");
        let memo = Memo::new(path.clone(), true);
        memo.put(stamp(1), Digest::of(b"a"), SystemTime::now());
        memo.put(stamp(2), Digest::of(b"b"), SystemTime::now());
        let again = Memo::new(path, true);
        assert_eq!(again.get(&stamp(2)), Some(Digest::of(b"b")));
        assert_eq!(again.get(&Stamp { size: 4, ..stamp(2) }), None);
        assert_eq!(again.get(&Stamp { changed: 12, ..stamp(2) }), None);
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memo");
        let good = line(&stamp(1), &Digest::of(b"a"));
        let torn = &line(&stamp(2), &Digest::of(b"b"))[..40];
        let flipped = line(&stamp(3), &Digest::of(b"c")).replace("3 3 10", "3 3 20");
        std::fs::write(&path, [good.as_bytes(), b"\xff\n", flipped.as_bytes(), torn.as_bytes()].concat())
            .unwrap();
        let memo = Memo::new(path, true);
        assert_eq!(memo.get(&stamp(1)), Some(Digest::of(b"a")));
        assert_eq!(memo.get(&stamp(2)), None);
        assert_eq!(memo.get(&Stamp { modified: 20, ..stamp(3) }), None);
    }

    #[test]
    fn a_file_just_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fresh");
        std::fs::write(&file, "x").unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&file).unwrap());
        let memo = Memo::new(dir.path().join("memo"), true);
        let now = SystemTime::now();
        memo.put(stamp, Digest::of(b"x"), now);
        assert_eq!(memo.get(&stamp), None);
        // Read at once and for long: it may have changed a second time while it was read.
        memo.put(stamp, Digest::of(b"x"), now + Duration::from_millis(1900));
        assert_eq!(memo.get(&stamp), None);
        memo.put(stamp, Digest::of(b"x"), now + Duration::from_secs(3));
        assert_eq!(memo.get(&stamp), Some(Digest::of(b"x")));
    }
}
