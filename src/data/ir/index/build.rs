//! Building the index: analysis on all threads, writing on one, one segment at the end.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager, WhitespaceTokenizer};
use tantivy::{IndexWriter, SegmentReader, TantivyDocument};

use super::{FORMAT, Header, Index, POSTINGS, TERMS_FIELD, failed, only_segment};
use crate::ir::analysis::Analysis;
use crate::ir::ids::Ids;
use crate::ir::words;
use xpipe_base::task::{Failure, Progress};

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
    let (mut lengths, mut ids) = (Vec::<u32>::new(), Ids::default());
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
            ids.push(id);
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
    let order = ids.order()?;
    writer.finish(lengths.len())?;

    let header = Header {
        format: FORMAT,
        analysis,
        documents: lengths.len() as u32,
        with_terms: lengths.iter().filter(|l| **l > 0).count() as u32,
        total_terms: lengths.iter().map(|l| u64::from(*l)).sum(),
    };
    words::write(&dir.join("lengths.u32"), lengths.iter().map(|x| x.to_le_bytes()))?;
    words::write(&dir.join("order.u32"), order.iter().map(|x| x.to_le_bytes()))?;
    ids.write(dir)?;
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
