//! Building the index: analysis on all threads, writing on one, one segment at the end.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager, WhitespaceTokenizer};
use tantivy::{IndexWriter, SegmentReader, TantivyDocument};

use super::{FORMAT, Header, Index, POSTINGS, TERMS_FIELD, failed, only_segment};
use crate::ir::analysis::Analysis;
use crate::task::{Failure, Progress};

/// Memory of the writer before it flushes a segment (they are merged at the end), bytes.
const WRITER_MEMORY: usize = 512 << 20;
/// Documents analysed at a time.
const BATCH: usize = 2048;
const NUMBER_FIELD: &str = "number";

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
pub(super) fn build_in_parts<'a>(
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
        // Locks and the list of files to collect, of a writer that is gone; a reader needs none.
        for name in [".tantivy-writer.lock", ".tantivy-meta.lock", ".managed.json"] {
            match fs::remove_file(self.dir.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
