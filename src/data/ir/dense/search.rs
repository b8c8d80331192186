//! Exact search: the documents with the largest dot products, over all documents.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Embeddings;
use crate::ir::top::{Hit, Top};
use xpipe_base::task::{Failure, Progress};

/// Documents multiplied at a time: with some hundred queries, operands and products stay in the second cache.
pub const BLOCK: usize = 96;
/// Documents that one thread looks through before it takes others.
const PIECE: usize = 256 * BLOCK;
/// Scores compared with their limits at a time.
const TOGETHER: usize = 16;

/// Gives the products of a block of documents, as they lie in the file, with each query: `[documents, queries]`. The
/// first buffer is memory to work in.
pub type Multiply<'a> = dyn Fn(&[u8], &mut Vec<f32>, &mut [f32]) + Sync + 'a;

/// The `depth` best documents of each query, best first: score descending, then id descending bytewise.
///
/// Runs on the threads of the current rayon pool; which thread looks at what changes nothing. `multiply` must give each
/// product the same bits whatever block it stands in, and no product that is not a number.
///
/// # Errors
/// Cancellation.
pub fn search(
    documents: &Embeddings,
    queries: usize,
    depth: usize,
    multiply: &Multiply<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Hit>>, Failure> {
    let count = documents.len();
    // Small collections are divided too, by whole blocks.
    let share = count.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(BLOCK);
    let piece = share.clamp(BLOCK, PIECE);
    // One per thread: each keeps the best that it has seen.
    let idle: Mutex<Vec<Best<'_>>> = Mutex::default();
    let at = |i: usize| i * piece..((i + 1) * piece).min(count);
    (0..count.div_ceil(piece)).into_par_iter().map(at).try_for_each(|texts| {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let own = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut best = own.unwrap_or_else(|| Best::new(queries, depth, &documents.order));
        best.look(documents, texts, multiply);
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(best);
        Ok(())
    })?;
    let mut all = idle.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter();
    let mut first = all.next().unwrap_or_else(|| Best::new(queries, depth, &documents.order));
    for other in all {
        for (top, other) in first.tops.iter_mut().zip(other.tops) {
            other.finish().iter().for_each(|hit| top.push(hit.document, hit.score));
        }
    }
    Ok(first.tops.into_par_iter().map(Top::finish).collect())
}

/// The best documents of each query among some.
struct Best<'a> {
    tops: Vec<Top<'a>>,
    /// No lower score can be among the best.
    least: Vec<f32>,
    wide: Vec<f32>,
    scores: Vec<f32>,
}

impl<'a> Best<'a> {
    fn new(queries: usize, depth: usize, order: &'a [u32]) -> Self {
        Self {
            tops: (0..queries).map(|_| Top::new(depth, order)).collect(),
            least: vec![f32::NEG_INFINITY; queries],
            wide: Vec::new(),
            scores: vec![0.0; BLOCK * queries],
        }
    }

    fn look(&mut self, documents: &Embeddings, texts: Range<usize>, multiply: &Multiply<'_>) {
        let queries = self.tops.len();
        for first in texts.clone().step_by(BLOCK) {
            let block = first..(first + BLOCK).min(texts.end);
            let scores = &mut self.scores[..block.len() * queries];
            multiply(documents.bytes(block.clone()), &mut self.wide, scores);
            for (document, scores) in block.zip(self.scores.chunks_exact(queries.max(1))) {
                take(document as u32, scores, &mut self.least, &mut self.tops);
            }
        }
    }
}

/// Offers a document's scores to the queries that they may be among the best of.
fn take(document: u32, scores: &[f32], least: &mut [f32], tops: &mut [Top<'_>]) {
    let few = scores.chunks(TOGETHER).zip(least.chunks_mut(TOGETHER)).zip(tops.chunks_mut(TOGETHER));
    for ((scores, least), tops) in few {
        // Without branches inside, as most are below their limits.
        let any = scores.iter().zip(&*least).fold(false, |any, (score, least)| any | (score >= least));
        if !any {
            continue;
        }
        for ((score, least), top) in scores.iter().zip(least).zip(tops) {
            if *score >= *least {
                top.push(document, *score);
                *least = top.least().unwrap_or(f32::NEG_INFINITY);
            }
        }
    }
}
