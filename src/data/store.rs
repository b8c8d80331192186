//! The store of texts: a folder of ids and UTF-8 texts, mapped into memory and read in place.
//!
//! Two files. `texts.bin` is the texts, one after another, nothing between. `texts.idx`, all little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `XPIPETXT` |
//! | 4 | format version (1) |
//! | 4 | zero |
//! | 8 | number of texts n |
//! | 8 | length of `texts.bin` |
//! | 8 | length of all ids together |
//! | 8 (n + 1) | start of each text in `texts.bin`, and its end |
//! | 8 (n + 1) | start of each id in the ids, and their end |
//! | 4 n | numbers of the texts in bytewise order of their ids |
//! | | the ids, one after another |
//!
//! The same texts in the same order give the same bytes. Damage inside a text is found by the cache, which knows
//! the digest of each file; opening checks everything that could make reading fail.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use xpipe_base::place;
use xpipe_base::task::Failure;

pub(super) const MAGIC: &[u8; 8] = b"XPIPETXT";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 40;
/// The file of offsets in a store of texts.
pub const INDEX_FILE: &str = "texts.idx";
pub(super) const TEXT_FILE: &str = "texts.bin";

/// Texts by number and by id.
pub struct TextStore {
    index: Mmap,
    texts: Mmap,
    len: usize,
}

impl std::fmt::Debug for TextStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextStore({} texts)", self.len)
    }
}

/// Whether a folder holds a store of texts.
pub fn is_store(dir: &Path) -> bool {
    dir.join(INDEX_FILE).is_file() && dir.join(TEXT_FILE).is_file()
}

impl TextStore {
    /// Opens a store.
    ///
    /// # Errors
    /// The folder or a file is missing, is not a store, is of a newer version, or is cut or damaged.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let index = map(&dir.join(INDEX_FILE))?;
        let texts = map(&dir.join(TEXT_FILE))?;
        let damaged = |what: &str| {
            Failure::wrong(format!("{}: the store of texts is damaged: {what}", dir.display()))
                .help("run `xpipe cache verify`, or import the collection again")
        };
        if index.len() < HEADER || &index[..8] != MAGIC {
            return Err(damaged("its header is not one of a store"));
        }
        let version = u32_at(&index, 8);
        if version != VERSION {
            return Err(Failure::wrong(format!(
                "{}: the store of texts has format version {version}, this program reads version {VERSION}",
                dir.display()
            ))
            .help("use the xpipe that wrote it, or import the collection again"));
        }
        let (n, text_bytes, id_bytes) = (u64_at(&index, 16), u64_at(&index, 24), u64_at(&index, 32));
        let expected = n
            .checked_mul(20)
            .and_then(|b| b.checked_add(HEADER as u64 + 16))
            .and_then(|b| b.checked_add(id_bytes));
        if expected != Some(index.len() as u64) || u32::try_from(n).is_err() {
            return Err(damaged("the length of its index is off"));
        }
        if text_bytes != texts.len() as u64 {
            return Err(damaged("the length of its texts is off"));
        }
        let store = Self { index, texts, len: n as usize };
        store.check(text_bytes, id_bytes).map_err(damaged)?;
        Ok(store)
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id of text `i`, for `i < len()`.
    ///
    /// # Panics
    /// When `i` is not below `len()`, as a slice does.
    pub fn id(&self, i: usize) -> &str {
        std::str::from_utf8(self.id_bytes(i)).unwrap_or("\u{FFFD}")
    }

    /// Text `i`, for `i < len()`. A text whose bytes were damaged after writing, and are no longer UTF-8, reads as
    /// one replacement character.
    ///
    /// # Panics
    /// When `i` is not below `len()`, as a slice does.
    pub fn text(&self, i: usize) -> &str {
        assert!(i < self.len, "text {i} of a store of {}", self.len);
        let at = HEADER + 8 * i;
        let (start, end) = (u64_at(&self.index, at) as usize, u64_at(&self.index, at + 8) as usize);
        std::str::from_utf8(&self.texts[start..end]).unwrap_or("\u{FFFD}")
    }

    /// The number of the text with an id.
    pub fn find(&self, id: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let number = self.sorted(middle);
            match self.id_bytes(number as usize).cmp(id.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(number),
            }
        }
        None
    }

    /// Ids and texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        (0..self.len).map(|i| (self.id(i), self.text(i)))
    }

    fn sorted(&self, place: usize) -> u32 {
        u32_at(&self.index, HEADER + 16 * (self.len + 1) + 4 * place)
    }

    fn id_bytes(&self, i: usize) -> &[u8] {
        assert!(i < self.len, "id {i} of a store of {}", self.len);
        let at = HEADER + 8 * (self.len + 1) + 8 * i;
        let ids = HEADER + 16 * (self.len + 1) + 4 * self.len;
        let (start, end) = (u64_at(&self.index, at) as usize, u64_at(&self.index, at + 8) as usize);
        &self.index[ids + start..ids + end]
    }

    /// Everything that reading relies on: offsets that rise within bounds, numbers in range.
    fn check(&self, text_bytes: u64, id_bytes: u64) -> Result<(), &'static str> {
        for (first, total) in [(HEADER, text_bytes), (HEADER + 8 * (self.len + 1), id_bytes)] {
            let mut last = 0;
            for i in 0..=self.len {
                let at = u64_at(&self.index, first + 8 * i);
                if at < last || (i == 0 && at != 0) {
                    return Err("its offsets are out of order");
                }
                last = at;
            }
            if last != total {
                return Err("its offsets do not reach the end");
            }
        }
        if (0..self.len).any(|i| self.sorted(i) as usize >= self.len) {
            return Err("its order of ids is out of range");
        }
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Maps a file that nobody changes: an artifact in the cache, or one just written by this process.
#[expect(
    unsafe_code,
    reason = "a map of an artifact: files of the cache are read-only and replaced by rename"
)]
pub(crate) fn map(path: &Path) -> Result<Mmap, Failure> {
    let file = File::open(path).map_err(|e| place::io(path, e))?;
    // SAFETY: the file is an artifact, which is written once and then only read or unlinked.
    unsafe { Mmap::map(&file) }.map_err(|e| place::io(path, e))
}
