//! The ids of a folder's documents, by number: `ids.bin` is the ids one after the other, `ids.u64` where each begins
//! (one more than documents).

use std::path::Path;

use rayon::prelude::*;

use super::words;
use xpipe_base::task::Failure;

/// Ids by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    bytes: Vec<u8>,
    starts: Vec<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { bytes: Vec::new(), starts: vec![0] }
    }
}

impl Ids {
    /// Adds the id of the next document.
    pub fn push(&mut self, id: &str) {
        self.bytes.extend_from_slice(id.as_bytes());
        self.starts.push(self.bytes.len() as u64);
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of document `i` of [`Ids::len`].
    ///
    /// # Panics
    /// When there are fewer, as a slice does.
    pub fn get(&self, i: u32) -> &str {
        std::str::from_utf8(self.of(i)).unwrap_or_default()
    }

    fn of(&self, i: u32) -> &[u8] {
        let i = i as usize;
        &self.bytes[self.starts[i] as usize..self.starts[i + 1] as usize]
    }

    /// All ids one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each begins in [`Ids::bytes`], and the end.
    pub fn starts(&self) -> &[u64] {
        &self.starts
    }

    /// The place of each document in the bytewise order of ids, for ties.
    ///
    /// # Errors
    /// Two documents of one id.
    pub fn order(&self) -> Result<Vec<u32>, Failure> {
        let n = self.len();
        let mut sorted: Vec<u32> = (0..n as u32).collect();
        sorted.par_sort_unstable_by_key(|i| self.of(*i));
        let mut order = vec![0u32; n];
        for (place, document) in sorted.iter().enumerate() {
            order[*document as usize] = place as u32;
        }
        if let Some(w) = sorted.windows(2).find(|w| self.of(w[0]) == self.of(w[1])) {
            let (a, b) = (w[0].min(w[1]), w[0].max(w[1]));
            return Err(Failure::wrong(format!(
                "documents {} and {} of the corpus have the same id `{}`",
                a + 1,
                b + 1,
                self.get(a)
            ))
            .help("give every document an id of its own"));
        }
        Ok(order)
    }

    /// Writes the ids into a folder.
    ///
    /// # Errors
    /// A full disk.
    pub fn write(&self, dir: &Path) -> Result<(), Failure> {
        words::write(&dir.join("ids.u64"), self.starts.iter().map(|x| x.to_le_bytes()))?;
        Ok(std::fs::write(dir.join("ids.bin"), &self.bytes)?)
    }

    /// Reads the ids of `count` documents.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn read(dir: &Path, count: usize) -> Result<Self, Failure> {
        let starts = words::read(&dir.join("ids.u64"), count + 1, u64::from_le_bytes)?;
        let path = dir.join("ids.bin");
        let bytes = std::fs::read(&path)?;
        let text = std::str::from_utf8(&bytes);
        let whole = starts.is_sorted()
            && starts.first() == Some(&0)
            && starts.last() == Some(&(bytes.len() as u64))
            && text.is_ok_and(|t| starts.iter().all(|s| t.is_char_boundary(*s as usize)));
        if !whole {
            return Err(words::damaged(&path, "the document ids do not fit their table"));
        }
        Ok(Self { bytes, starts })
    }
}
