//! The inverted index: postings that tantivy holds on disk, and beside them what scoring needs of each document.
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

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tantivy::indexer::NoMergePolicy;
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager, WhitespaceTokenizer};
use tantivy::{IndexWriter, InvertedIndexReader, SegmentReader, TantivyDocument, Term};

use super::analysis::Analysis;
use crate::task::{Failure, Progress};
use crate::value::Digest;

/// The layout of the folder; raised when it changes.
const FORMAT: u32 = 1;
/// Memory of the writer before it flushes a segment (they are merged at the end), bytes.
const WRITER_MEMORY: usize = 512 << 20;
/// Documents analysed at a time.
const BATCH: usize = 2048;
const POSTINGS: &str = "postings";
const TERMS_FIELD: &str = "terms";
const NUMBER_FIELD: &str = "number";

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
    ids: Vec<u8>,
    starts: Vec<u64>,
    field: Field,
    terms: Arc<InvertedIndexReader>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} documents)", self.header.documents)
    }
}

/// Builds an index of documents (id, text) in a folder, and opens it.
///
/// Analysis runs on the threads of the current rayon pool, writing on one thread more.
///
/// # Errors
/// Two documents of one id, no document at all, a full disk, an interruption.
pub fn build<'a>(
    documents: impl Iterator<Item = (&'a str, &'a str)>,
    total: u64,
    dir: &Path,
    analysis: Analysis,
    progress: &dyn Progress,
) -> Result<Index, Failure> {
    build_in_parts(documents, total, dir, analysis, progress, usize::MAX)
}

/// As [`build`], with a segment flushed after every `part` documents, so that tests see segments merged.
fn build_in_parts<'a>(
    documents: impl Iterator<Item = (&'a str, &'a str)>,
    total: u64,
    dir: &Path,
    analysis: Analysis,
    progress: &dyn Progress,
    part: usize,
) -> Result<Index, Failure> {
    let mut writer = Writer::create(dir)?;
    let (mut lengths, mut ids, mut starts) = (Vec::<u32>::new(), Vec::<u8>::new(), vec![0u64]);
    let mut documents = documents.fuse();
    let mut batch = Vec::with_capacity(BATCH.min(part));
    loop {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        batch.clear();
        batch.extend(documents.by_ref().take(BATCH.min(part)));
        if batch.is_empty() {
            break;
        }
        let analysed: Vec<(u32, String)> = batch.par_iter().map(|(_, text)| joined(analysis, text)).collect();
        for ((id, _), (length, terms)) in batch.iter().zip(analysed) {
            writer.add(lengths.len() as u64, &terms)?;
            lengths.push(length);
            ids.extend_from_slice(id.as_bytes());
            starts.push(ids.len() as u64);
        }
        if u32::try_from(lengths.len()).is_err() {
            return Err(Failure::wrong("the corpus has more than 4,294,967,295 documents"));
        }
        if part != usize::MAX {
            writer.flush()?;
        }
        progress.progress(lengths.len() as u64, total, "documents", "");
    }
    if lengths.is_empty() {
        return Err(
            Failure::wrong("the corpus has no documents").help("name a corpus with at least one document")
        );
    }
    let order = order_of(&ids, &starts)?;
    writer.finish(lengths.len())?;

    let header = Header {
        format: FORMAT,
        analysis,
        documents: lengths.len() as u32,
        with_terms: lengths.iter().filter(|l| **l > 0).count() as u32,
        total_terms: lengths.iter().map(|l| u64::from(*l)).sum(),
    };
    write_words(&dir.join("lengths.u32"), lengths.iter().map(|x| x.to_le_bytes()))?;
    write_words(&dir.join("order.u32"), order.iter().map(|x| x.to_le_bytes()))?;
    write_words(&dir.join("ids.u64"), starts.iter().map(|x| x.to_le_bytes()))?;
    fs::write(dir.join("ids.bin"), &ids)?;
    let json = serde_json::to_vec_pretty(&header).map_err(|e| Failure::bug(e.to_string()))?;
    fs::write(dir.join("index.json"), json)?;
    Index::open(dir)
}

/// The terms of a text, between spaces, and how many.
fn joined(analysis: Analysis, text: &str) -> (u32, String) {
    let (mut count, mut out) = (0u32, String::with_capacity(text.len()));
    analysis.terms(text, &mut |term| {
        if count > 0 {
            out.push(' ');
        }
        out.push_str(term);
        count += 1;
    });
    (count, out)
}

/// The place of each document in the bytewise order of ids.
fn order_of(ids: &[u8], starts: &[u64]) -> Result<Vec<u32>, Failure> {
    let id = |i: u32| &ids[starts[i as usize] as usize..starts[i as usize + 1] as usize];
    let n = starts.len() - 1;
    let mut sorted: Vec<u32> = (0..n as u32).collect();
    sorted.par_sort_unstable_by_key(|i| id(*i));
    let mut order = vec![0u32; n];
    for (place, document) in sorted.iter().enumerate() {
        order[*document as usize] = place as u32;
    }
    if let Some(w) = sorted.windows(2).find(|w| id(w[0]) == id(w[1])) {
        let (a, b) = (w[0].min(w[1]), w[0].max(w[1]));
        return Err(Failure::wrong(format!(
            "documents {} and {} of the corpus have the same id `{}`",
            a + 1,
            b + 1,
            String::from_utf8_lossy(id(a))
        ))
        .help("give every document an id of its own"));
    }
    Ok(order)
}

fn write_words<const N: usize>(path: &Path, words: impl Iterator<Item = [u8; N]>) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    for w in words {
        out.write_all(&w)?;
    }
    Ok(out.flush()?)
}

fn read_words<const N: usize, T>(path: &Path, count: usize, of: fn([u8; N]) -> T) -> Result<Vec<T>, Failure> {
    let bytes = fs::read(path)?;
    if bytes.len() != count * N {
        return Err(damaged(path, &format!("{} bytes, expected {}", bytes.len(), count * N)));
    }
    let (words, _) = bytes.as_chunks::<N>();
    Ok(words.iter().map(|w| of(*w)).collect())
}

fn damaged(path: &Path, what: &str) -> Failure {
    Failure::wrong(format!("{}: the index is damaged: {what}", path.display()))
        .help("remove the index and build it again")
}

/// Errors of tantivy, with those of the disk kept apart.
fn failed(e: tantivy::TantivyError) -> Failure {
    match e {
        tantivy::TantivyError::IoError(io) => std::io::Error::new(io.kind(), io.to_string()).into(),
        other => Failure::wrong(format!("the index cannot be used: {other}")),
    }
}

/// The writing side of the postings.
struct Writer {
    dir: PathBuf,
    index: tantivy::Index,
    writer: IndexWriter,
    terms: Field,
    number: Field,
}

impl Writer {
    fn create(dir: &Path) -> Result<Self, Failure> {
        let postings = dir.join(POSTINGS);
        fs::create_dir_all(&postings)?;
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(TERMS_FIELD)
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(false);
        let terms = schema.add_text_field(TERMS_FIELD, TextOptions::default().set_indexing_options(indexing));
        let number = schema.add_u64_field(NUMBER_FIELD, FAST);
        let tokenizers = TokenizerManager::default();
        tokenizers.register(TERMS_FIELD, TextAnalyzer::from(WhitespaceTokenizer::default()));
        let index = tantivy::Index::builder()
            .schema(schema.build())
            .tokenizers(tokenizers)
            .create_in_dir(&postings)
            .map_err(failed)?;
        let writer = index.writer_with_num_threads(1, WRITER_MEMORY).map_err(failed)?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(Self { dir: postings, index, writer, terms, number })
    }

    fn add(&self, number: u64, terms: &str) -> Result<(), Failure> {
        let mut document = TantivyDocument::default();
        document.add_text(self.terms, terms);
        document.add_u64(self.number, number);
        self.writer.add_document(document).map_err(failed)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.writer.commit().map_err(failed)?;
        Ok(())
    }

    /// Merges what was flushed into one segment in document order, and checks that it is.
    fn finish(mut self, documents: usize) -> Result<(), Failure> {
        self.flush()?;
        let mut segments = Vec::new();
        for segment in self.index.searchable_segments().map_err(failed)? {
            let reader = SegmentReader::open(&segment).map_err(failed)?;
            let numbers = reader.fast_fields().u64(NUMBER_FIELD).map_err(failed)?;
            segments.push((numbers.first(0), segment.id()));
        }
        segments.sort_unstable();
        if segments.len() > 1 {
            let ids: Vec<_> = segments.iter().map(|(_, id)| *id).collect();
            self.writer.merge(&ids).wait().map_err(failed)?;
        }
        self.writer.garbage_collect_files().wait().map_err(failed)?;
        self.writer.wait_merging_threads().map_err(failed)?;

        let reader = only_segment(&self.index, Path::new(POSTINGS))?;
        let numbers = reader.fast_fields().u64(NUMBER_FIELD).map_err(failed)?;
        let in_order = (0..documents as u32).all(|i| numbers.first(i) == Some(u64::from(i)));
        if reader.max_doc() as usize != documents || !in_order {
            return Err(Failure::bug("the index writer did not keep the order of documents"));
        }
        // Locks of the writer, which is gone; a reader needs none.
        for lock in [".tantivy-writer.lock", ".tantivy-meta.lock"] {
            match fs::remove_file(self.dir.join(lock)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
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
        let lengths = read_words(&dir.join("lengths.u32"), n, u32::from_le_bytes)?;
        let order = read_words(&dir.join("order.u32"), n, u32::from_le_bytes)?;
        let starts = read_words(&dir.join("ids.u64"), n + 1, u64::from_le_bytes)?;
        let ids_path = dir.join("ids.bin");
        let ids = fs::read(&ids_path)?;
        if !starts.is_sorted()
            || starts.last() != Some(&(ids.len() as u64))
            || std::str::from_utf8(&ids).is_err()
        {
            return Err(damaged(&ids_path, "the document ids do not fit their table"));
        }
        let postings = dir.join(POSTINGS);
        let index = tantivy::Index::open_in_dir(&postings).map_err(failed)?;
        let field = index.schema().get_field(TERMS_FIELD).map_err(failed)?;
        let segment = only_segment(&index, &postings)?;
        if segment.max_doc() != header.documents {
            return Err(damaged(&postings, "the number of documents differs from index.json"));
        }
        let terms = segment.inverted_index(field).map_err(failed)?;
        Ok(Self { header, lengths, order, ids, starts, field, terms })
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
        let i = document as usize;
        let bytes = &self.ids[self.starts[i] as usize..self.starts[i + 1] as usize];
        std::str::from_utf8(bytes).unwrap_or_default()
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
        part(&self.starts.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        part(&self.ids);
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
    use crate::task::{FailureKind, Silent};

    /// An index of texts with ids.
    pub(crate) fn small(dir: &Path, documents: &[(&str, &str)], part: usize) -> Result<Index, Failure> {
        build_in_parts(
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
        assert!(!before.iter().any(|p| p.to_string_lossy().ends_with(".lock")), "{before:?}");
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
        fs::write(dir.path().join("lengths.u32"), [0; 7]).unwrap();
        assert!(Index::open(dir.path()).unwrap_err().message.contains("7 bytes, expected 20"));
    }
}
