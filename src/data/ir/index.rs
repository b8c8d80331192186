//! The inverted index: postings on disk in tantivy's format, and files with the lengths and ids of documents.
//!
//! | in the folder | what |
//! |---|---|
//! | `postings/` | a tantivy index of one segment, document numbers in corpus order, terms with frequencies |
//! | `index.json` | format, analysis, counts |
//! | `lengths.u32` | the exact number of terms of each document, little endian |
//! | `order.u32` | the place of each document when ids are sorted bytewise, for ties |
//! | `ids.bin`, `ids.u64` | the document ids one after the other, and where each begins (one more than documents) |
//!
//! Files carry random names, so the content digest is over what they mean: see [`Index::digest`].
//! Must not know: scoring, collections.

mod build;

use std::fs;
use std::path::Path;
use std::sync::Arc;

pub use build::build;
use serde::{Deserialize, Serialize};
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{InvertedIndexReader, SegmentReader, Term};

use super::analysis::Analysis;
use super::ids::Ids;
use super::words::{self, damaged};
use xpipe_base::task::Failure;
use xpipe_base::value::Digest;

/// The layout of the folder; raised when it changes.
const FORMAT: u32 = 1;
const POSTINGS: &str = "postings";
const TERMS_FIELD: &str = "terms";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: u32,
    analysis: Analysis,
    documents: u32,
    /// Documents with at least one term.
    with_terms: u32,
    /// Terms of all documents.
    total_terms: u64,
}

/// An index, opened for reading.
pub struct Index {
    header: Header,
    lengths: Vec<u32>,
    order: Vec<u32>,
    ids: Ids,
    field: Field,
    terms: Arc<InvertedIndexReader>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} documents)", self.header.documents)
    }
}

/// Errors of tantivy; disk errors keep their kind.
fn failed(e: tantivy::TantivyError) -> Failure {
    match e {
        tantivy::TantivyError::IoError(io) => std::io::Error::new(io.kind(), io.to_string()).into(),
        other => Failure::wrong(format!("the index cannot be used: {other}")),
    }
}

fn only_segment(index: &tantivy::Index, path: &Path) -> Result<SegmentReader, Failure> {
    let segments = index.searchable_segments().map_err(failed)?;
    match segments.as_slice() {
        [one] => SegmentReader::open(one).map_err(failed),
        other => Err(damaged(path, &format!("{} segments, expected one", other.len()))),
    }
}

impl Index {
    /// Opens an index; writes nothing, so a read-only folder will do.
    ///
    /// # Errors
    /// A folder that is no index, or one that is damaged or of another format.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("index.json");
        let json = fs::read(&path).map_err(|e| {
            Failure::wrong(format!("{}: not an index: {e}", dir.display()))
                .help("an index is the result of `bm25.index`")
        })?;
        let header: Header = serde_json::from_slice(&json).map_err(|e| damaged(&path, &e.to_string()))?;
        if header.format != FORMAT {
            return Err(Failure::wrong(format!(
                "{}: index format {}, expected {FORMAT}",
                path.display(),
                header.format
            ))
            .help("build the index again with this version"));
        }
        let n = header.documents as usize;
        let lengths = words::read(&dir.join("lengths.u32"), n, u32::from_le_bytes)?;
        let order = words::read(&dir.join("order.u32"), n, u32::from_le_bytes)?;
        let ids = Ids::read(dir, n)?;
        let postings = dir.join(POSTINGS);
        let index = tantivy::Index::open_in_dir(&postings).map_err(failed)?;
        let field = index.schema().get_field(TERMS_FIELD).map_err(failed)?;
        let segment = only_segment(&index, &postings)?;
        if segment.max_doc() != header.documents {
            return Err(damaged(&postings, "the number of documents differs from index.json"));
        }
        let terms = segment.inverted_index(field).map_err(failed)?;
        Ok(Self { header, lengths, order, ids, field, terms })
    }

    /// The number of documents.
    pub fn documents(&self) -> usize {
        self.lengths.len()
    }

    /// The number of documents that have a term: Lucene's N.
    pub fn documents_with_terms(&self) -> u32 {
        self.header.with_terms
    }

    /// The number of terms of all documents.
    pub fn total_terms(&self) -> u64 {
        self.header.total_terms
    }

    /// The number of different terms.
    pub fn vocabulary(&self) -> usize {
        self.terms.terms().num_terms()
    }

    /// How text became terms.
    pub fn analysis(&self) -> Analysis {
        self.header.analysis
    }

    /// The exact number of terms of each document.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// The place of each document in the bytewise order of ids.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The id of a document.
    pub fn id(&self, document: u32) -> &str {
        self.ids.get(document)
    }

    /// The postings of a term: blocks of document numbers and frequencies. `None` when no document has it.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn postings(&self, term: &str) -> Result<Option<BlockSegmentPostings>, Failure> {
        let term = Term::from_field_text(self.field, term);
        Ok(self.terms.read_block_postings(&term, IndexRecordOption::WithFreqs)?)
    }

    /// The digest of what the index holds: analysis, document ids, exact lengths, and for every term in bytewise
    /// order its document numbers and frequencies.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn digest(&self) -> Result<Digest, Failure> {
        let mut hasher = blake3::Hasher::new_derive_key("xpipe inverted index v1");
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.header.analysis.as_str().as_bytes());
        let words = |xs: &[u32]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        part(&words(&self.lengths));
        part(&self.ids.starts().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        part(self.ids.bytes());
        let mut terms = self.terms.terms().stream()?;
        let mut docs = Vec::new();
        let mut freqs = Vec::new();
        while let Some((term, info)) = terms.next() {
            part(term);
            (docs, freqs) = (cleared(docs), cleared(freqs));
            let mut postings =
                self.terms.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
            while postings.block_len() > 0 {
                docs.extend_from_slice(postings.docs());
                freqs.extend_from_slice(postings.freqs());
                postings.advance();
            }
            part(&words(&docs));
            part(&words(&freqs));
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }
}

fn cleared(mut v: Vec<u32>) -> Vec<u32> {
    v.clear();
    v
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use xpipe_base::task::{FailureKind, Silent};

    /// An index of texts with ids.
    pub(crate) fn small(dir: &Path, documents: &[(&str, &str)], part: usize) -> Result<Index, Failure> {
        build::build_in_parts(
            documents.iter().copied(),
            documents.len() as u64,
            dir,
            Analysis::English,
            &Silent,
            part,
        )
    }

    const TEXTS: [(&str, &str); 5] = [
        ("d2", "the cat sat on the mat"),
        ("d1", "cats and dogs: cats!"),
        ("e", ""),
        ("D", "dogs"),
        ("é", "a mat for a cat"),
    ];

    fn files(dir: &Path) -> Vec<std::path::PathBuf> {
        let mut out = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
        }
        out.sort();
        out
    }

    #[test]
    fn holds_documents_and_postings_in_corpus_order() {
        let dir = tempfile::tempdir().unwrap();
        small(dir.path(), &TEXTS, usize::MAX).unwrap();
        let before = files(dir.path());
        let index = Index::open(dir.path()).unwrap();
        assert_eq!(files(dir.path()), before, "opening writes nothing");
        assert!(
            !before.iter().any(|p| p.file_name().unwrap().to_string_lossy().starts_with('.')),
            "{before:?}"
        );
        assert_eq!((index.documents(), index.documents_with_terms(), index.total_terms()), (5, 4, 9));
        assert_eq!(index.lengths(), [3, 3, 0, 1, 2]);
        assert_eq!(index.order(), [2, 1, 3, 0, 4]);
        assert_eq!((0..5).map(|i| index.id(i)).collect::<Vec<_>>(), ["d2", "d1", "e", "D", "é"]);
        let cat = index.postings("cat").unwrap().unwrap();
        assert_eq!((cat.docs(), cat.freqs()), (&[0, 1, 4][..], &[1, 2, 1][..]));
        assert!(index.postings("the").unwrap().is_none());
        assert_eq!(index.vocabulary(), 4);
    }

    #[test]
    fn the_digest_is_of_the_content() {
        let digest = |texts: &[(&str, &str)], part| {
            let dir = tempfile::tempdir().unwrap();
            let index = small(dir.path(), texts, part).unwrap();
            index.digest().unwrap()
        };
        let whole = digest(&TEXTS, usize::MAX);
        assert_eq!(whole, digest(&TEXTS, usize::MAX), "segments have random names");
        assert_eq!(whole, digest(&TEXTS, 2), "merged from three segments");
        assert_eq!(whole, digest(&TEXTS, 1), "merged from five segments");
        let mut other = TEXTS;
        other[3].1 = "cats";
        assert_ne!(whole, digest(&other, usize::MAX));
        other = TEXTS;
        other[3].0 = "F";
        assert_ne!(whole, digest(&other, usize::MAX));
        other.swap(0, 1);
        assert_ne!(whole, digest(&other, usize::MAX));
    }

    #[test]
    fn bad_input_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let twice = small(dir.path(), &[("a", "x"), ("b", "y"), ("a", "z")], usize::MAX).unwrap_err();
        assert!(twice.message.contains("documents 1 and 3") && twice.message.contains("`a`"), "{twice}");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(small(dir.path(), &[], usize::MAX).unwrap_err().kind, FailureKind::Wrong);
        assert!(Index::open(dir.path()).unwrap_err().message.contains("not an index"));
        let dir = tempfile::tempdir().unwrap();
        small(dir.path(), &TEXTS, usize::MAX).unwrap();
        let header = dir.path().join("index.json");
        let text = fs::read_to_string(&header).unwrap();
        let mut newer: serde_json::Value = serde_json::from_str(&text).unwrap();
        newer["format"] = (FORMAT + 1).into();
        fs::write(&header, newer.to_string()).unwrap();
        assert!(Index::open(dir.path()).unwrap_err().message.contains("index format 2, expected 1"));
        fs::write(header, text).unwrap();
        fs::write(dir.path().join("lengths.u32"), [0; 7]).unwrap();
        assert!(Index::open(dir.path()).unwrap_err().message.contains("7 bytes, expected 20"));
    }
}
