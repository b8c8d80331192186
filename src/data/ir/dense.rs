//! Texts as dense vectors, on disk, and the exact search among them.
//!
//! | in the folder | what |
//! |---|---|
//! | `dense.json` | format, width, texts |
//! | `vectors.f16` | the vectors one after the other, two bytes a number (binary16, little endian) |
//! | `order.u32` | the place of each text when ids are sorted bytewise, for ties |
//! | `ids.bin`, `ids.u64` | the ids of the texts ([`super::ids`]) |
//!
//! The same vectors in the same order give the same bytes. Must not know: models, how products are computed.

mod search;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
pub use search::{BLOCK, Multiply, search};
use serde::{Deserialize, Serialize};

use super::ids::Ids;
use super::words::{self, damaged};
use crate::store::map;
use xpipe_base::task::Failure;
use xpipe_base::value::half::{narrow, widen};

/// The layout of the folder; raised when it changes.
const FORMAT: u32 = 1;
/// Maximum dimension of a vector.
const WIDEST: u32 = 1 << 16;
const HEADER_FILE: &str = "dense.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    width: u32,
    texts: u32,
}

/// Vectors, opened for reading in place.
#[derive(Debug)]
pub struct Embeddings {
    width: usize,
    ids: Ids,
    order: Vec<u32>,
    numbers: Mmap,
}

impl Embeddings {
    /// Opens a folder of vectors; writes nothing.
    ///
    /// # Errors
    /// A folder that holds none, or one that is damaged or of another format.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(HEADER_FILE);
        let json = std::fs::read(&path).map_err(|e| {
            Failure::wrong(format!("{}: no dense vectors: {e}", dir.display()))
                .help("dense vectors are the result of `dense.encode`")
        })?;
        let header: Header = serde_json::from_slice(&json).map_err(|e| damaged(&path, &e.to_string()))?;
        if header.format != FORMAT {
            let message =
                format!("{}: dense vectors of format {}, expected {FORMAT}", path.display(), header.format);
            return Err(Failure::wrong(message).help("encode the texts again with this version"));
        }
        let (n, width) = (header.texts as usize, header.width as usize);
        let order = words::read(&dir.join("order.u32"), n, u32::from_le_bytes)?;
        let numbers = map(&dir.join("vectors.f16"))?;
        let bytes = 2 * u64::from(header.texts) * u64::from(header.width);
        if !(1..=WIDEST).contains(&header.width)
            || numbers.len() as u64 != bytes
            || order.iter().any(|o| *o >= header.texts)
        {
            return Err(damaged(&path, "its files do not fit together"));
        }
        Ok(Self { width, ids: Ids::read(dir, n)?, order, numbers })
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimension of the vectors.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The ids of the texts.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The vectors of some texts, as bytes of the file.
    ///
    /// # Panics
    /// When there are fewer texts, as a slice does.
    pub fn bytes(&self, texts: std::ops::Range<usize>) -> &[u8] {
        &self.numbers[2 * texts.start * self.width..2 * texts.end * self.width]
    }

    /// The vector of text `i`.
    ///
    /// # Panics
    /// When there are fewer texts, as a slice does.
    pub fn get(&self, i: usize) -> Vec<f32> {
        let (numbers, _) = self.bytes(i..i + 1).as_chunks::<2>();
        numbers.iter().map(|bits| widen(u16::from_le_bytes(*bits))).collect()
    }
}

/// Writes [`Embeddings`] in one pass.
#[derive(Debug)]
pub struct EmbeddingWriter {
    dir: PathBuf,
    width: u32,
    ids: Ids,
    numbers: BufWriter<File>,
}

impl EmbeddingWriter {
    /// Creates a folder of vectors of a dimension.
    ///
    /// # Errors
    /// A width of 0 or above 65,536; a folder that cannot be written.
    pub fn create(dir: &Path, width: usize) -> Result<Self, Failure> {
        let fits = u32::try_from(width).ok().filter(|w| (1..=WIDEST).contains(w));
        let width = fits
            .ok_or_else(|| Failure::wrong(format!("vectors of {width} numbers, expected 1 to {WIDEST}")))?;
        std::fs::create_dir_all(dir)?;
        let numbers = BufWriter::with_capacity(1 << 20, File::create(dir.join("vectors.f16"))?);
        Ok(Self { dir: dir.to_owned(), width, ids: Ids::default(), numbers })
    }

    /// Adds a text.
    ///
    /// # Errors
    /// A full disk; a number that binary16 has no room for (65,520 or more); a bug when the width is another.
    pub fn push(&mut self, id: &str, vector: &[f32]) -> Result<(), Failure> {
        if vector.len() != self.width as usize {
            return Err(Failure::bug(format!(
                "a vector of {} numbers among those of {}",
                vector.len(),
                self.width
            )));
        }
        for x in vector {
            let Some(bits) = narrow(*x) else {
                let message = format!(
                    "the vector of `{id}` has the number {x}, and 65,504 is the largest that is kept"
                );
                return Err(Failure::wrong(message).help("write `normalise = true`"));
            };
            self.numbers.write_all(&bits.to_le_bytes())?;
        }
        self.ids.push(id);
        Ok(())
    }

    /// Completes the files.
    ///
    /// # Errors
    /// A full disk, two texts of one id, or more than 2³² - 1 texts.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.numbers.flush()?;
        let texts = u32::try_from(self.ids.len())
            .map_err(|_| Failure::wrong("there are more than 4,294,967,295 texts to encode"))?;
        words::write(&self.dir.join("order.u32"), self.ids.order()?.iter().map(|x| x.to_le_bytes()))?;
        self.ids.write(&self.dir)?;
        let header = Header { format: FORMAT, width: self.width, texts };
        let json = serde_json::to_vec_pretty(&header).map_err(|e| Failure::bug(e.to_string()))?;
        Ok(std::fs::write(self.dir.join(HEADER_FILE), json)?)
    }
}

#[cfg(test)]
mod tests;
