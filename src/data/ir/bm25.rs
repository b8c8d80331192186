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
//! costs its postings and no pass over the corpus. Terms that can no longer bring a document among the best are looked
//! up for documents of the others only ([`pruned`]), which changes no bit.

mod cursor;
mod pruned;

use cursor::Cursor;
pub use cursor::Scratch;

use super::index::Index;
use super::lengths::Lengths;
use super::top::{Hit, Top};
use xpipe_base::task::Failure;

/// The parameters of BM25.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    /// Saturation of frequencies, ≥ 0.
    pub k1: f32,
    /// Weight of the length, in [0, 1].
    pub b: f32,
    /// Document length in the normalisation.
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
    /// The largest frequency over its document's length norm that there can be.
    steepest: f32,
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
        let inverse: Vec<f32> = index.lengths().iter().map(|l| norm(lengths.of(*l))).collect();
        // No term is in a document more often than it is long.
        let most = index.lengths().iter().zip(&inverse).map(|(length, inverse)| *length as f32 * inverse);
        let steepest = most.fold(0.0, f32::max);
        Ok(Self { index, inverse, steepest })
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
        let cursors = self.cursors(terms)?;
        let mut top = Top::new(depth, self.index.order());
        if self.order_is_free(&cursors) {
            pruned::search(cursors, &self.inverse, &mut top, scratch);
        } else {
            Self::in_full(cursors, &self.inverse, &mut top, scratch);
        }
        Ok(top.finish())
    }

    /// Scores every document of the query, its terms added in their order.
    fn in_full(mut cursors: Vec<Cursor>, inverse: &[f32], top: &mut Top<'_>, scratch: &mut Scratch) {
        let mut start = 0u32;
        while let Some(first) = cursors.iter().filter_map(Cursor::document).min() {
            // Windows without a document of the query are skipped.
            start = start.max(first - first % WINDOW as u32);
            let end = start.saturating_add(WINDOW as u32);
            cursors.iter_mut().for_each(|c| c.add(start, end, inverse, scratch));
            scratch.drain(|place, score| top.push(start + place, score));
            start = end;
        }
    }

    /// Whether the scores of a document's terms add up to the same bits in any order, as they do when no addition rounds.
    ///
    /// A term's score w - w / (1 + x), with x up to `steepest`, is a multiple of the last place of w / (1 + x), which is
    /// at least 2⁻²⁴ of it. So every sum is a multiple of 2⁻²⁴ · w / (1 + x) of the smallest w, rounded down to a power
    /// of two, and at most the sum of all w. In double precision there is room for 2⁵³ such units; a half of it is left
    /// for what was rounded before.
    fn order_is_free(&self, cursors: &[Cursor]) -> bool {
        let weights = cursors.iter().map(|c| f64::from(c.weight));
        let (sum, least) = (weights.clone().sum::<f64>(), weights.fold(f64::INFINITY, f64::min));
        sum * (1.0 + f64::from(self.steepest)) < least * f64::from(1u32 << 28)
    }

    /// A cursor for each term that some document has.
    fn cursors(&self, terms: &[(String, f32)]) -> Result<Vec<Cursor>, Failure> {
        let mut cursors = Vec::with_capacity(terms.len());
        for (term, weight) in terms {
            if let Some(postings) = self.index.postings(term)? {
                let idf = idf(self.index.documents_with_terms(), postings.doc_freq());
                cursors.push(Cursor::new(postings, weight * idf));
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

#[cfg(test)]
pub(crate) mod tests;
