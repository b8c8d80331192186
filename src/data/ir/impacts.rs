//! An inverted index of learned sparse vectors: which document has which term with which impact.
//!
//! An impact is round(scale · weight), a whole number from 1 to 65,535. Documents are cut into blocks of [`BLOCK`] by
//! number; a term's postings are stored block by block, each with the largest impact in it, which bounds what the
//! term can add to any score there ([`search`]).
//!
//! | in the folder | what |
//! |---|---|
//! | `impacts.json` | format, vocabulary, scale, documents, postings |
//! | `blocks.u64`, `postings.u64` | where each term's blocks and postings begin (one more than terms) |
//! | `blocks.bin` | 10 bytes a block: its number (4), its first posting among the term's (4), the largest impact (2) |
//! | `postings.bin` | 4 bytes a posting: the document's place in the block (2), the impact (2) |
//! | `order.u32` | the place of each document when ids are sorted bytewise, for ties |
//! | `ids.bin`, `ids.u64` | the document ids ([`super::ids`]) |
//!
//! The same vectors give the same bytes. Must not know: models, collections.

mod build;
mod search;

use std::path::{Path, PathBuf};

pub use build::build;
use memmap2::Mmap;
pub use search::{Scratch, SearchResult};
use serde::{Deserialize, Serialize};

use super::ids::Ids;
use super::vectors::Vocabulary;
use super::words::{self, damaged};
use crate::store::map;
use xpipe_base::task::Failure;

/// Documents of a block: as many as have their sums in the first-level cache. (On 632,000 documents made of MedQuAD's,
/// blocks of 256 cost three times as much: each posting read is a step through memory, and few can be left out.)
const BLOCK: usize = 4096;
/// The layout of the folder; raised when it changes.
const FORMAT: u32 = 2;
const HEADER_FILE: &str = "impacts.json";
/// Bytes of a block's record.
const RECORD: usize = 10;
/// Bytes of a posting.
const POSTING: usize = 4;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    vocabulary: Vocabulary,
    scale: f64,
    documents: u32,
    postings: u64,
}

/// An index, opened for reading in place.
#[derive(Debug)]
pub struct Impacts {
    dir: PathBuf,
    header: Header,
    ids: Ids,
    order: Vec<u32>,
    block_starts: Vec<u64>,
    posting_starts: Vec<u64>,
    blocks: Mmap,
    postings: Mmap,
}

/// A term's part of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    number: u32,
    /// Its first posting among those of the term.
    first: u32,
    largest: u16,
}

impl Block {
    fn of(record: &[u8; RECORD]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = *record;
        Self {
            number: u32::from_le_bytes([a, b, c, d]),
            first: u32::from_le_bytes([e, f, g, h]),
            largest: u16::from_le_bytes([i, j]),
        }
    }

    fn bytes(self) -> [u8; RECORD] {
        let ([a, b, c, d], [e, f, g, h]) = (self.number.to_le_bytes(), self.first.to_le_bytes());
        let [i, j] = self.largest.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }
}

/// A term's blocks and postings in the files.
#[derive(Clone, Copy, Debug)]
struct List<'a> {
    blocks: &'a [[u8; RECORD]],
    postings: &'a [[u8; POSTING]],
}

impl Impacts {
    /// Opens an index; writes nothing.
    ///
    /// # Errors
    /// A folder that is no such index, or one that is damaged or of another format.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(HEADER_FILE);
        let json = std::fs::read(&path).map_err(|e| {
            Failure::wrong(format!("{}: not an index of sparse vectors: {e}", dir.display()))
                .help("such an index is the result of `sparse.index`")
        })?;
        let header: Header = serde_json::from_slice(&json).map_err(|e| damaged(&path, &e.to_string()))?;
        if header.format != FORMAT {
            let message = format!("{}: index format {}, expected {FORMAT}", path.display(), header.format);
            return Err(Failure::wrong(message).help("build the index again with this version"));
        }
        let (n, terms) = (header.documents as usize, header.vocabulary.terms as usize);
        let block_starts = words::read(&dir.join("blocks.u64"), terms + 1, u64::from_le_bytes)?;
        let posting_starts = words::read(&dir.join("postings.u64"), terms + 1, u64::from_le_bytes)?;
        let order = words::read(&dir.join("order.u32"), n, u32::from_le_bytes)?;
        let (blocks, postings) = (map(&dir.join("blocks.bin"))?, map(&dir.join("postings.bin"))?);
        let fits = |starts: &[u64], bytes: usize, each: usize| {
            starts.is_sorted()
                && starts.first() == Some(&0)
                && starts.last().and_then(|e| e.checked_mul(each as u64)) == Some(bytes as u64)
        };
        let whole = fits(&block_starts, blocks.len(), RECORD)
            && fits(&posting_starts, postings.len(), POSTING)
            && posting_starts.last() == Some(&header.postings)
            && header.scale.is_finite()
            && header.scale > 0.0;
        if !whole {
            return Err(damaged(&path, "its files do not fit together"));
        }
        let ids = Ids::read(dir, n)?;
        Ok(Self { dir: dir.to_owned(), header, ids, order, block_starts, posting_starts, blocks, postings })
    }

    /// The number of documents.
    pub fn documents(&self) -> usize {
        self.ids.len()
    }

    /// The number of postings of all terms.
    pub fn postings(&self) -> u64 {
        self.header.postings
    }

    /// The number of terms that a document has.
    pub fn terms(&self) -> usize {
        self.posting_starts.windows(2).filter(|w| w[0] < w[1]).count()
    }

    /// What the numbers of terms mean.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.header.vocabulary
    }

    /// What weights were multiplied with.
    pub fn scale(&self) -> f64 {
        self.header.scale
    }

    /// The id of a document.
    pub fn id(&self, document: u32) -> &str {
        self.ids.get(document)
    }

    /// The number of blocks that the documents are cut into.
    fn blocks(&self) -> usize {
        self.documents().div_ceil(BLOCK)
    }

    /// The lists of a term; empty for one that no document has.
    fn list(&self, term: u32) -> List<'_> {
        let range = |starts: &[u64], each: usize| {
            let at = |i: usize| starts.get(i).map_or(0, |s| *s as usize * each);
            at(term as usize)..at(term as usize + 1)
        };
        let blocks = self.blocks.get(range(&self.block_starts, RECORD)).unwrap_or_default();
        let postings = self.postings.get(range(&self.posting_starts, POSTING)).unwrap_or_default();
        List { blocks: blocks.as_chunks().0, postings: postings.as_chunks().0 }
    }

    fn damaged(&self) -> Failure {
        damaged(&self.dir, "a term's blocks and postings do not fit together")
    }
}

#[cfg(test)]
mod tests;
