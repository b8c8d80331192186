//! A term's postings on their way through windows of documents, and the scores of one window.

use tantivy::postings::BlockSegmentPostings;

use super::WINDOW;

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

/// A term's postings.
pub(super) struct Cursor {
    postings: BlockSegmentPostings,
    /// The place in the current block; past its end when no document is left.
    at: usize,
    /// Upper bound of the term's contribution to a score.
    pub weight: f32,
}

/// Written as Lucene does, so that rounding is the same.
#[inline(always)]
fn score(weight: f32, frequency: u32, inverse: f32) -> f64 {
    f64::from(weight - weight / (1.0 + frequency as f32 * inverse))
}

impl Cursor {
    pub(super) fn new(postings: BlockSegmentPostings, weight: f32) -> Self {
        Self { postings, at: 0, weight }
    }

    /// The next document.
    pub(super) fn document(&self) -> Option<u32> {
        self.postings.docs().get(self.at).copied()
    }

    /// Adds the scores of documents from the next one to below `end`.
    pub(super) fn add(&mut self, start: u32, end: u32, inverse: &[f32], scratch: &mut Scratch) {
        loop {
            let Some(docs) = self.postings.docs().get(self.at..).filter(|docs| !docs.is_empty()) else {
                return;
            };
            let freqs = &self.postings.freqs()[self.at..];
            let inside = match docs.last() {
                Some(last) if *last < end => docs.len(),
                _ => docs.partition_point(|d| *d < end),
            };
            for (doc, freq) in docs[..inside].iter().zip(&freqs[..inside]) {
                let place = (doc - start) as usize;
                scratch.scores[place] += score(self.weight, *freq, inverse[*doc as usize]);
                scratch.touched[place / 64] |= 1 << (place % 64);
            }
            self.at += inside;
            if self.at < self.postings.block_len() {
                return;
            }
            self.postings.advance();
            self.at = 0;
        }
    }

    /// Adds the scores of the documents that are touched in the window from `start`, and of no other.
    pub(super) fn look_up(&mut self, start: u32, inverse: &[f32], scratch: &mut Scratch) {
        let Scratch { scores, touched } = scratch;
        for (i, word) in touched.iter().enumerate() {
            let mut bits = *word;
            while bits != 0 {
                let place = i * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let document = start + place as u32;
                if !self.reach(document) {
                    return;
                }
                if self.document() == Some(document) {
                    let freq = self.postings.freqs()[self.at];
                    scores[place] += score(self.weight, freq, inverse[document as usize]);
                }
            }
        }
    }

    /// Advances to the first document ≥ `document`; false when there is none.
    fn reach(&mut self, document: u32) -> bool {
        let docs = self.postings.docs();
        match docs.get(self.at..).and_then(<[u32]>::last) {
            None => return false,
            Some(last) if *last >= document => {
                self.at += docs[self.at..].partition_point(|d| *d < document);
            }
            Some(_) => self.at = self.postings.seek(document),
        }
        self.at < self.postings.docs().len()
    }
}

impl Scratch {
    /// Gives each touched place with its score, and clears it.
    pub(super) fn drain(&mut self, mut f: impl FnMut(u32, f32)) {
        for (i, word) in self.touched.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let place = i * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                f(place as u32, std::mem::take(&mut self.scores[place]) as f32);
            }
        }
    }

    /// Forgets the touched places whose score is below `least`.
    pub(super) fn keep_from(&mut self, least: f64) {
        for (i, word) in self.touched.iter_mut().enumerate() {
            let mut bits = *word;
            while bits != 0 {
                let place = i * 64 + bits.trailing_zeros() as usize;
                if self.scores[place] < least {
                    self.scores[place] = 0.0;
                    *word ^= bits & bits.wrapping_neg();
                }
                bits &= bits - 1;
            }
        }
    }
}
