//! The best documents of a query, exactly, without scoring those that cannot be among them.
//!
//! score(q, d) = Σ over terms t of round(2²⁴ · w(t, q)) · i(t, d) / (2²⁴ · scale), where w is the query's weight and i the
//! document's impact. Sums are of whole numbers, so they are exact, and neither the order of terms nor what was
//! passed over can change a score. Ranked by score as f32 descending, then by document id descending bytewise; a document
//! that shares no term with the query is not ranked.
//!
//! A block's bound is Σ of weight · largest impact over its terms. Blocks are scored from the highest bound down, until
//! the next bound is below what the best documents so far have.
//!
//! **Source:** Mallia, Suel and Tonellotto 2024, "Faster Learned Sparse Retrieval with Block-Max Pruning" (its exact
//! form).

use std::collections::BinaryHeap;

use super::{BLOCK, Block, Impacts, List, POSTING};
use crate::ir::top::{Hit, Top};
use xpipe_base::task::Failure;

/// What a query's weight is multiplied with to be a whole number.
const ONE: f64 = (1u64 << 24) as f64;

/// Buffers of one thread, reused over queries.
#[derive(Debug)]
pub struct Scratch {
    bounds: Vec<u64>,
    sums: Box<[u64; BLOCK]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { bounds: Vec::new(), sums: Box::new([0; BLOCK]) }
    }
}

/// What a query found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult {
    /// The best documents, best first.
    pub hits: Vec<Hit>,
    /// Blocks whose documents were scored.
    pub scored: u64,
    /// Blocks that have a term of the query.
    pub touched: u64,
}

impl Impacts {
    /// The `depth` best documents of a query, whose terms rise; fewer when fewer share a term with it.
    ///
    /// # Errors
    /// A damaged index.
    pub fn search(
        &self,
        query: &[(u32, f32)],
        depth: usize,
        scratch: &mut Scratch,
    ) -> Result<SearchResult, Failure> {
        let lists =
            query.iter().map(|(term, weight)| ((f64::from(*weight) * ONE).round() as u64, self.list(*term)));
        let lists: Vec<(u64, List<'_>)> =
            lists.filter(|(w, l)| depth > 0 && *w > 0 && !l.postings.is_empty()).collect();
        let Scratch { bounds, sums } = scratch;
        bounds.clear();
        bounds.resize(self.blocks(), 0);
        // No sum comes near 2⁶⁴: weights are below 2³¹, impacts below 2¹⁶, terms fewer than 2¹⁷. A damaged index may wrap.
        for (weight, list) in &lists {
            for block in list.blocks.iter().map(Block::of) {
                let bound = bounds.get_mut(block.number as usize).ok_or_else(|| self.damaged())?;
                *bound = bound.wrapping_add(weight.wrapping_mul(u64::from(block.largest)));
            }
        }
        let bounded = bounds.iter().zip(0u32..).filter(|(b, _)| **b > 0).map(|(b, number)| (*b, number));
        let mut rest: BinaryHeap<(u64, u32)> = bounded.collect();
        let (touched, mut scored) = (rest.len() as u64, 0);
        let mut top = Top::new(depth, &self.order);
        while let Some((bound, number)) = rest.pop() {
            // A little less, for rounding; such documents are offered in vain.
            let least =
                top.least().map_or(1, |least| (f64::from(least) * (1.0 - 1e-6) * self.unit()) as u64).max(1);
            if bound < least {
                break;
            }
            for (weight, list) in &lists {
                for [a, b, low, high] in list.block(number).ok_or_else(|| self.damaged())? {
                    let place = usize::from(u16::from_le_bytes([*a, *b])) % BLOCK;
                    let impact = u64::from(u16::from_le_bytes([*low, *high]));
                    sums[place] = sums[place].wrapping_add(weight.wrapping_mul(impact));
                }
            }
            let first = number as usize * BLOCK;
            for (document, sum) in (first..self.documents()).zip(sums.iter()) {
                if *sum >= least {
                    top.push(document as u32, self.score(*sum));
                }
            }
            sums.fill(0);
            scored += 1;
        }
        Ok(SearchResult { hits: top.finish(), scored, touched })
    }

    /// What a sum is divided by.
    fn unit(&self) -> f64 {
        ONE * self.scale()
    }

    /// A sum as the score that is written.
    fn score(&self, sum: u64) -> f32 {
        (sum as f64 / self.unit()) as f32
    }
}

impl<'a> List<'a> {
    /// The term's postings in a block; `None` when the index is damaged.
    fn block(&self, number: u32) -> Option<&'a [[u8; POSTING]]> {
        let at = self.blocks.partition_point(|b| Block::of(b).number < number);
        match self.blocks.get(at).map(Block::of) {
            Some(block) if block.number == number => {
                let end =
                    self.blocks.get(at + 1).map_or(self.postings.len(), |b| Block::of(b).first as usize);
                self.postings.get(block.first as usize..end)
            }
            _ => Some(&[]),
        }
    }
}
