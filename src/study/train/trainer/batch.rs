//! A batch, split into micro-batches whose gradients add up to the gradient of the whole.

use super::TrainingPlan;
use crate::train::objectives::Group;
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;
use xpipe_nn::{Packed, Reranker};

/// A tokenised (query, document) pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Token types, as many.
    pub types: Vec<u32>,
}

/// A tokenised sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// The query's id, for messages.
    pub query: String,
    /// Its pairs, positives first.
    pub pairs: Vec<Tokens>,
    /// The teacher's scores, as many as pairs.
    pub teacher: Option<Vec<f64>>,
    /// How many of the first pairs are positive.
    pub positives: usize,
}

/// Adds the gradient of the batch's loss to the model's gradients, and returns the loss.
///
/// A loss is over the whole batch: of several micro-batches all are first scored, with the dropout masks that the
/// backward pass will see; then each is computed again and followed by its backward pass. A single one is computed
/// once, and so is the last of several. Neither masks nor sums depend on the split: masks are addressed by places in
/// the whole batch, and gradients are added by [`Packed::blocks`], from the last block to the first.
pub(super) fn accumulate(
    plan: &TrainingPlan<'_>,
    model: &mut dyn Reranker,
    examples: &[Example],
    dropout: Stream,
) -> Result<f64, Failure> {
    let micros = split(examples, plan.micro_batch);
    let mut logits = Vec::new();
    for micro in &micros {
        let part = model.forward(micro, Some(dropout))?;
        if part.len() != micro.len() {
            return Err(Failure::bug(format!("{} logits for {} pairs", part.len(), micro.len())));
        }
        logits.extend(part.into_iter().map(f64::from));
    }
    let mut at = 0;
    let groups: Vec<Group> = examples
        .iter()
        .map(|e| {
            let scores = logits[at..at + e.pairs.len()].to_vec();
            at += e.pairs.len();
            Group { scores, teacher: e.teacher.clone(), positives: e.positives }
        })
        .collect();
    let loss = plan.objective.loss(&groups)?;
    if !loss.value.is_finite() {
        return Ok(loss.value);
    }
    let slopes: Vec<f32> = loss.gradients.iter().flatten().map(|g| *g as f32).collect();
    // The last micro-batch was just computed; the others are computed again.
    for (i, micro) in micros.iter().enumerate().rev() {
        if i + 1 < micros.len() {
            model.forward(micro, Some(dropout))?;
        }
        model.backward(&slopes[micro.first_pair..micro.first_pair + micro.len()])?;
    }
    Ok(loss.value)
}

/// Splits the pairs of a batch between blocks at a token budget; a block is never split.
fn split(examples: &[Example], budget: usize) -> Vec<Packed> {
    let mut batch = Packed::new();
    for pair in examples.iter().flat_map(|e| &e.pairs) {
        batch.push(&pair.ids, &pair.types);
    }
    let mut micros: Vec<std::ops::Range<usize>> = Vec::new();
    for block in batch.blocks() {
        match micros.last_mut() {
            Some(last) if batch.starts[block.end] - batch.starts[last.start] <= budget => {
                last.end = block.end;
            }
            _ => micros.push(block),
        }
    }
    micros.into_iter().map(|pairs| batch.slice(pairs)).collect()
}
