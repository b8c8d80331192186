//! A batch, split into micro-batches whose gradients add up to the gradient of the whole.

use super::Plan;
use crate::nn::{Packed, Reranker};
use crate::task::Failure;
use crate::train::objectives::Group;
use crate::value::rng::Stream;

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

/// Consecutive pairs of a batch that are computed together.
struct Micro {
    first: usize,
    packed: Packed,
}

/// Adds the gradient of the batch's loss to the model's gradients, and returns the loss.
///
/// A loss is over the whole batch: of several micro-batches all are first scored, with the dropout masks that the
/// backward pass will see; then each is computed again and followed by its backward pass. A single one is computed
/// once, and so is the last of several. The gradient does not depend on the split but for the rounding of sums.
pub(super) fn accumulate(
    plan: &Plan<'_>,
    model: &mut dyn Reranker,
    examples: &[Example],
    dropout: Stream,
) -> Result<f64, Failure> {
    let micros = split(examples, plan.micro_batch);
    let mut logits = Vec::new();
    for micro in &micros {
        let part = model.forward(&micro.packed, Some(dropout.sub(micro.first as u64)))?;
        if part.len() != micro.packed.len() {
            return Err(Failure::bug(format!("{} logits for {} pairs", part.len(), micro.packed.len())));
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
    let loss = plan.objective.loss(&groups, Some(plan.call))?;
    if !loss.value.is_finite() {
        return Ok(loss.value);
    }
    let slopes: Vec<f32> = loss.gradients.iter().flatten().map(|g| *g as f32).collect();
    // The last micro-batch was just computed; the others are computed again.
    for (i, micro) in micros.iter().enumerate().rev() {
        if i + 1 < micros.len() {
            model.forward(&micro.packed, Some(dropout.sub(micro.first as u64)))?;
        }
        model.backward(&slopes[micro.first..micro.first + micro.packed.len()])?;
    }
    Ok(loss.value)
}

/// Splits the pairs of a batch at a token budget.
fn split(examples: &[Example], budget: usize) -> Vec<Micro> {
    let mut micros: Vec<Micro> = Vec::new();
    for (at, pair) in examples.iter().flat_map(|e| &e.pairs).enumerate() {
        let full = |m: &Micro| m.packed.tokens() + pair.ids.len() > budget;
        if micros.last().is_none_or(full) {
            micros.push(Micro { first: at, packed: Packed::new() });
        }
        if let Some(micro) = micros.last_mut() {
            micro.packed.push(&pair.ids, &pair.types);
        }
    }
    micros
}
