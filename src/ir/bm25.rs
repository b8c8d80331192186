//! BM25 over the inverted index, exact, with any k1 and b.
//!
//! score(q, d) = Σ over the different terms t of q: n(t, q) · idf(t) · f / (f + k1 (1 - b + b · |d| / avg)), where f is
//! the frequency of t in d, n(t, q) in q, and idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5)). N and avg are over the
//! documents that have a term. There is no factor (k1 + 1).
//!
//! **Source:** Lucene `BM25Similarity`, whose single-precision arithmetic is repeated here step by step; the terms
//! of a document are added in double precision and rounded once, as Lucene's disjunctions do.
//!
//! Ranking is exact: score as f32 descending, then document id descending bytewise. Documents are scored in windows
//! that stay in the first-level cache, every term's postings moving through all windows side by side, so a query
//! costs its postings and no pass over the corpus.

use tantivy::postings::BlockSegmentPostings;

use super::index::Index;
use super::lengths::Lengths;
use super::top::{Hit, Top};
use crate::task::Failure;

/// The parameters of BM25.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    /// Saturation of frequencies, ≥ 0.
    pub k1: f32,
    /// Weight of the length, in [0, 1].
    pub b: f32,
    /// Which length.
    pub lengths: Lengths,
}

impl Default for Bm25 {
    /// Anserini's defaults: k1 = 0.9, b = 0.4, Lucene's lengths.
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4, lengths: Lengths::default() }
    }
}

/// Documents scored together.
const WINDOW: usize = 4096;

/// An index made ready for one setting of BM25; shared by threads.
#[derive(Debug)]
pub struct Searcher<'a> {
    index: &'a Index,
    /// 1 / (k1 (1 - b + b · |d| / avg)) of each document.
    inverse: Vec<f32>,
}

/// Buffers of one thread, reused over queries.
#[derive(Debug)]
pub struct Scratch {
    scores: Box<[f64; WINDOW]>,
    touched: [u64; WINDOW / 64],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { scores: Box::new([0.0; WINDOW]), touched: [0; WINDOW / 64] }
    }
}

/// A term's postings on their way through the windows.
struct Cursor {
    postings: BlockSegmentPostings,
    /// The place in the current block.
    at: usize,
    weight: f32,
}

impl<'a> Searcher<'a> {
    /// Computes the norms of all documents.
    ///
    /// # Errors
    /// k1 below 0, b outside [0, 1], or either not a number.
    pub fn new(index: &'a Index, bm25: Bm25) -> Result<Self, Failure> {
        let Bm25 { k1, b, lengths } = bm25;
        if !(k1 >= 0.0 && k1.is_finite()) {
            return Err(Failure::wrong(format!("k1 is {k1}, expected a number from 0")));
        }
        if !(0.0..=1.0).contains(&b) {
            return Err(Failure::wrong(format!("b is {b}, expected a number from 0 to 1")));
        }
        let average = (index.total_terms() as f64 / f64::from(index.documents_with_terms().max(1))) as f32;
        let norm = |length: u32| 1.0 / (k1 * ((1.0 - b) + b * length as f32 / average));
        let inverse = index.lengths().iter().map(|l| norm(lengths.of(*l))).collect();
        Ok(Self { index, inverse })
    }

    /// The `depth` best documents of a query, best first; fewer when fewer have a term of it.
    ///
    /// # Errors
    /// An unreadable index.
    pub fn search(&self, query: &str, depth: usize, scratch: &mut Scratch) -> Result<Vec<Hit>, Failure> {
        let mut terms: Vec<(String, f32)> = Vec::new();
        self.index.analysis().terms(query, &mut |term| match terms.iter_mut().find(|(t, _)| t == term) {
            Some((_, n)) => *n += 1.0,
            None => terms.push((term.to_owned(), 1.0)),
        });
        self.search_weighted(&terms, depth, scratch)
    }

    /// The same for different terms, each with a weight above 0 in the place of n(t, q).
    ///
    /// # Errors
    /// An unreadable index.
    pub fn search_weighted(
        &self,
        terms: &[(String, f32)],
        depth: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Hit>, Failure> {
        let mut cursors = self.cursors(terms)?;
        let mut top = Top::new(depth, self.index.order());
        let mut start = 0u32;
        while let Some(first) = cursors.iter().map(|c| c.postings.doc(c.at)).min() {
            // Windows without any document of the query are passed over.
            start = start.max(first - first % WINDOW as u32);
            let end = start.saturating_add(WINDOW as u32);
            cursors.retain_mut(|c| c.add(start, end, &self.inverse, scratch));
            scratch.drain(|place, score| top.push(start + place, score));
            start = end;
        }
        Ok(top.finish())
    }

    /// A cursor for each term that some document has.
    fn cursors(&self, terms: &[(String, f32)]) -> Result<Vec<Cursor>, Failure> {
        let mut cursors = Vec::with_capacity(terms.len());
        for (term, weight) in terms {
            if let Some(postings) = self.index.postings(term)? {
                let idf = idf(self.index.documents_with_terms(), postings.doc_freq());
                cursors.push(Cursor { postings, at: 0, weight: weight * idf });
            }
        }
        Ok(cursors)
    }
}

/// ln(1 + (N - df + 0.5) / (df + 0.5)), rounded to single precision.
pub fn idf(documents: u32, frequency: u32) -> f32 {
    let (n, df) = (f64::from(documents), f64::from(frequency));
    (1.0 + (n - df + 0.5) / (df + 0.5)).ln() as f32
}

impl Cursor {
    /// Adds the scores of documents below `end`; false when no document is left.
    fn add(&mut self, start: u32, end: u32, inverse: &[f32], scratch: &mut Scratch) -> bool {
        loop {
            let docs = &self.postings.docs()[self.at..];
            let freqs = &self.postings.freqs()[self.at..];
            let inside = match docs.last() {
                Some(last) if *last < end => docs.len(),
                Some(_) => docs.partition_point(|d| *d < end),
                None => return false,
            };
            for (doc, freq) in docs[..inside].iter().zip(&freqs[..inside]) {
                let place = (doc - start) as usize;
                // Written as Lucene does, so that rounding is the same.
                let score = self.weight - self.weight / (1.0 + *freq as f32 * inverse[*doc as usize]);
                scratch.scores[place] += f64::from(score);
                scratch.touched[place / 64] |= 1 << (place % 64);
            }
            self.at += inside;
            if self.at < self.postings.block_len() {
                return true;
            }
            self.postings.advance();
            self.at = 0;
            if self.postings.block_len() == 0 {
                return false;
            }
        }
    }
}

impl Scratch {
    /// Gives each touched place with its score, and clears it.
    fn drain(&mut self, mut f: impl FnMut(u32, f32)) {
        for (i, word) in self.touched.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let place = i * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                f(place as u32, std::mem::take(&mut self.scores[place]) as f32);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
