//! Texts as weighted terms, on disk: what a learned sparse model makes of a corpus or of queries.
//!
//! | in the folder | what |
//! |---|---|
//! | `vectors.json` | format, terms of the vocabulary and its digest, texts, weights |
//! | `starts.u64` | where each text's weights begin (one more than texts) |
//! | `terms.u32` | the terms of each text by number, rising, little endian |
//! | `weights.f32` | their weights, above 0 |
//! | `ids.bin`, `ids.u64` | the ids of the texts ([`super::ids`]) |
//!
//! The same vectors in the same order give the same bytes. Must not know: models, indexes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::ids::Ids;
use super::words::{self, damaged};
use crate::store::map;
use xpipe_base::task::Failure;

/// The layout of the folder; raised when it changes.
const FORMAT: u32 = 1;
/// The largest weight there can be: log(1 + x) of the largest f32 is below it.
pub const LARGEST: f32 = 100.0;
const HEADER_FILE: &str = "vectors.json";

/// What the numbers of terms mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Terms are numbered from 0 to below this.
    pub terms: u32,
    /// The digest of the words and their numbers: vectors fit together when it is the same.
    pub digest: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    vocabulary: Vocabulary,
    texts: u32,
    weights: u64,
}

/// Vectors, opened for reading in place.
#[derive(Debug)]
pub struct Vectors {
    dir: PathBuf,
    header: Header,
    ids: Ids,
    starts: Vec<u64>,
    terms: Mmap,
    weights: Mmap,
}

impl Vectors {
    /// Opens a folder of vectors.
    ///
    /// # Errors
    /// A folder that holds none, or one that is damaged or of another format.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(HEADER_FILE);
        let json = std::fs::read(&path).map_err(|e| {
            Failure::wrong(format!("{}: no vectors: {e}", dir.display()))
                .help("vectors are the result of `sparse.encode`")
        })?;
        let header: Header = serde_json::from_slice(&json).map_err(|e| damaged(&path, &e.to_string()))?;
        if header.format != FORMAT {
            let message =
                format!("{}: vectors of format {}, expected {FORMAT}", path.display(), header.format);
            return Err(Failure::wrong(message).help("encode the texts again with this version"));
        }
        let n = header.texts as usize;
        let starts = words::read(&dir.join("starts.u64"), n + 1, u64::from_le_bytes)?;
        let (terms, weights) = (map(&dir.join("terms.u32"))?, map(&dir.join("weights.f32"))?);
        let whole = starts.is_sorted()
            && starts.first() == Some(&0)
            && starts.last() == Some(&header.weights)
            && header.weights.checked_mul(4) == Some(terms.len() as u64)
            && terms.len() == weights.len();
        if !whole {
            return Err(damaged(&path, "its files do not fit together"));
        }
        Ok(Self { dir: dir.to_owned(), header, ids: Ids::read(dir, n)?, starts, terms, weights })
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of weights of all texts.
    pub fn weights(&self) -> u64 {
        self.header.weights
    }

    /// What the numbers of terms mean.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.header.vocabulary
    }

    /// The ids of the texts.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Text `i`: its terms, rising, each with its weight.
    ///
    /// # Errors
    /// Terms or weights out of range: a damaged file.
    pub fn read(&self, i: usize, out: &mut Vec<(u32, f32)>) -> Result<(), Failure> {
        out.clear();
        let range = 4 * self.starts[i] as usize..4 * self.starts[i + 1] as usize;
        let (terms, _) = self.terms[range.clone()].as_chunks::<4>();
        let (weights, _) = self.weights[range].as_chunks::<4>();
        let both = terms.iter().zip(weights);
        out.extend(both.map(|(t, w)| (u32::from_le_bytes(*t), f32::from_le_bytes(*w))));
        let sound = out.is_sorted_by(|a, b| a.0 < b.0)
            && out.iter().all(|(t, w)| *t < self.header.vocabulary.terms && in_range(*w));
        if sound {
            Ok(())
        } else {
            Err(damaged(&self.dir, &format!("text {i} has terms or weights out of range")))
        }
    }
}

fn in_range(weight: f32) -> bool {
    weight > 0.0 && weight <= LARGEST
}

/// Writes [`Vectors`] in one pass.
#[derive(Debug)]
pub struct VectorWriter {
    dir: PathBuf,
    vocabulary: Vocabulary,
    ids: Ids,
    starts: Vec<u64>,
    terms: BufWriter<File>,
    weights: BufWriter<File>,
}

impl VectorWriter {
    /// Begins a folder of vectors.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(dir: &Path, vocabulary: Vocabulary) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let file =
            |name: &str| Ok::<_, Failure>(BufWriter::with_capacity(1 << 20, File::create(dir.join(name))?));
        let (terms, weights) = (file("terms.u32")?, file("weights.f32")?);
        Ok(Self { dir: dir.to_owned(), vocabulary, ids: Ids::default(), starts: vec![0], terms, weights })
    }

    /// Adds a text: its terms, rising, each with its weight.
    ///
    /// # Errors
    /// A full disk; a bug when terms or weights are out of range.
    pub fn push(&mut self, id: &str, terms: &[(u32, f32)]) -> Result<(), Failure> {
        let sound = terms.is_sorted_by(|a, b| a.0 < b.0)
            && terms.iter().all(|(t, w)| *t < self.vocabulary.terms && in_range(*w));
        if !sound {
            return Err(Failure::bug(format!("terms or weights of text `{id}` are out of range")));
        }
        for (term, weight) in terms {
            self.terms.write_all(&term.to_le_bytes())?;
            self.weights.write_all(&weight.to_le_bytes())?;
        }
        self.starts.push(self.starts[self.starts.len() - 1] + terms.len() as u64);
        self.ids.push(id);
        Ok(())
    }

    /// Completes the files; returns the number of weights.
    ///
    /// # Errors
    /// A full disk, or more than 2³² - 1 texts.
    pub fn finish(mut self) -> Result<u64, Failure> {
        self.terms.flush()?;
        self.weights.flush()?;
        let texts = u32::try_from(self.ids.len())
            .map_err(|_| Failure::wrong("there are more than 4,294,967,295 texts to encode"))?;
        let weights = self.starts[self.starts.len() - 1];
        words::write(&self.dir.join("starts.u64"), self.starts.iter().map(|x| x.to_le_bytes()))?;
        self.ids.write(&self.dir)?;
        let header = Header { format: FORMAT, vocabulary: self.vocabulary, texts, weights };
        let json = serde_json::to_vec_pretty(&header).map_err(|e| Failure::bug(e.to_string()))?;
        std::fs::write(self.dir.join(HEADER_FILE), json)?;
        Ok(weights)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn vocabulary(terms: u32) -> Vocabulary {
        Vocabulary { terms, digest: format!("words of {terms}") }
    }

    /// Vectors of texts with the ids given.
    pub(crate) fn write(dir: &Path, terms: u32, texts: &[(String, Vec<(u32, f32)>)]) -> Vectors {
        let mut writer = VectorWriter::create(dir, vocabulary(terms)).unwrap();
        texts.iter().for_each(|(id, terms)| writer.push(id, terms).unwrap());
        assert_eq!(writer.finish().unwrap(), texts.iter().map(|t| t.1.len() as u64).sum::<u64>());
        Vectors::open(dir).unwrap()
    }

    #[test]
    fn vectors_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let texts = vec![
            ("a".to_owned(), vec![(0, 0.5), (7, 1.25)]),
            ("ü".to_owned(), vec![]),
            ("c".to_owned(), vec![(9, f32::MIN_POSITIVE)]),
        ];
        let vectors = write(dir.path(), 10, &texts);
        assert_eq!((vectors.len(), vectors.weights(), vectors.vocabulary()), (3, 3, &vocabulary(10)));
        let mut row = Vec::new();
        for (i, (id, terms)) in texts.iter().enumerate() {
            vectors.read(i, &mut row).unwrap();
            assert_eq!((vectors.ids().get(i as u32), &row), (&id[..], terms));
        }
        let none = tempfile::tempdir().unwrap();
        assert!(write(none.path(), 1, &[]).is_empty());
    }

    #[test]
    fn what_is_out_of_range_or_damaged_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = VectorWriter::create(dir.path(), vocabulary(10)).unwrap();
        for terms in [&[(10, 1.0)][..], &[(1, 0.0)], &[(1, f32::NAN)], &[(1, 101.0)], &[(2, 1.0), (2, 1.0)]] {
            assert!(writer.push("a", terms).is_err(), "{terms:?}");
        }
        assert!(Vectors::open(dir.path()).unwrap_err().message.contains("no vectors"));
        let vectors = write(dir.path(), 10, &[("a".into(), vec![(1, 1.0), (3, 2.0)])]);
        drop(vectors);
        let spoil = |file: &str, bytes: &[u8]| {
            let path = dir.path().join(file);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let found = Vectors::open(dir.path()).and_then(|v| v.read(0, &mut Vec::new()));
            std::fs::write(path, whole).unwrap();
            found.unwrap_err()
        };
        let newer = br#"{"format": 2, "vocabulary": {"terms": 10, "digest": "words of 10"}, "texts": 1, "weights": 2}"#;
        let told = spoil("vectors.json", newer).message;
        assert!(told.contains("vectors of format 2, expected 1"), "{told}");
        let three = [3u32, 3].map(u32::to_le_bytes).concat();
        for (file, bytes) in [
            ("terms.u32", &three[..]),
            ("terms.u32", &three[..4]),
            ("weights.f32", &[0xff; 8]),
            ("starts.u64", &[0; 16]),
            ("ids.bin", b""),
            ("vectors.json", b"{}"),
        ] {
            assert!(spoil(file, bytes).message.contains("damaged"), "{file}");
        }
    }
}
