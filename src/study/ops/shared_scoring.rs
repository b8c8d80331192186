//! Scoring that several jobs of one action share, by chunks of queries.

use std::ops::Range;

use super::chunks::Chunks;
use super::models;
use crate::train::ranker::{QueryDocuments, Ranker};
use crate::train::source::Stores;
use xpipe_base::task::{Failure, Job};
use xpipe_nn::Reranker as _;

/// The most queries of a chunk.
const LARGEST: usize = 1000;

/// Scores of all documents of each query.
pub(super) struct Scored {
    pub(super) scores: Vec<Vec<f32>>,
    /// Pairs that other jobs, or an earlier attempt, have scored.
    pub(super) pairs_elsewhere: usize,
}

/// Scores all pairs, alone or with other jobs of the same action.
///
/// # Errors
/// As [`Ranker::score`]; files of the other jobs cannot be read or written.
pub(super) fn score(
    job: &Job<'_>,
    ranker: &mut Ranker,
    stores: &Stores,
    work: &[QueryDocuments],
) -> Result<Scored, Failure> {
    let batching = models::batching(job);
    let Some(chunks) = Chunks::of(job, ranker.model.kernels(), work.len(), LARGEST) else {
        let scores = ranker.score(stores, work, batching, job.progress)?;
        return Ok(Scored { scores, pairs_elsewhere: 0 });
    };
    let pairs = |range: &Range<usize>| work[range.clone()].iter().map(|w| w.documents.len()).sum::<usize>();
    let mine = chunks.share(job.progress, pairs, |range, progress| {
        let scores = ranker.score(stores, &work[range.clone()], batching, progress)?;
        Ok(scores.iter().flatten().flat_map(|score| score.to_le_bytes()).collect())
    })?;
    let mut scores = Vec::with_capacity(work.len());
    for range in chunks.ranges() {
        let bytes = chunks.read(range)?;
        let mut rest = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        scores.extend(work[range.clone()].iter().map(|w| rest.by_ref().take(w.documents.len()).collect()));
    }
    Ok(Scored { scores, pairs_elsewhere: pairs(&(0..work.len())) - mine })
}
