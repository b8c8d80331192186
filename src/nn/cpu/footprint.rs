//! The memory that the engine needs, estimated from a model's configuration and the size of a batch.
//!
//! In numbers of four bytes, where N is the number of weights, M that of weights in matrices, T the tokens of a
//! micro-batch, H the hidden width, U the feed-forward width before the activation, I behind it and A the heads:
//!
//! | | scoring | training |
//! |---|---|---|
//! | weights, gradients | N | 2 N |
//! | matrices packed for products | M | 2 M |
//! | activations saved of each layer | – | T (6 H + U + 2 A + 2); with recomputation only of two layers, and T H of each |
//! | buffers of backward | – | T (7 H + U + the embeddings' width) |
//! | inputs packed for the sums over tokens | – | T (3 H + I); one block's with relative positions |
//! | per thread | one group's hidden states, queries, keys, values | one group's hidden states |
//!
//! With relative positions each block also has gradients of the table and of a layer's projected table. The optimiser's
//! moments belong to the trainer and are not counted here. At rounding levels packed matrices may take half as much.

use super::activations::Activations;
use super::engine::{GROUP_TOKENS, MIN_GROUP_TOKENS};
use super::gemm::layout::{packed_len, strips_len};
use super::layer::BLOCK;
use super::weight_grads::STRIPE;
use crate::arch::{self, Architecture};
use crate::explicit::shape::Shape;
use crate::explicit::spec::EncoderSpec;
use crate::explicit::{BatchSize, Footprint};
use crate::{BLOCK as BLOCK_TOKENS, Parameter};

/// The memory of scoring. `None` if the engine does not run this model.
pub fn scoring(model: &dyn Architecture, size: BatchSize, threads: usize) -> Option<Footprint> {
    let e = Estimator::new(model, size, threads)?;
    let (groups, group) = e.parts_of(GROUP_TOKENS);
    let threads = threads.clamp(1, groups.max(1));
    let Shape { hidden, embedding_width, .. } = e.spec.shape;
    let normed = if e.spec.is_pre_norm() { hidden } else { 0 };
    let states = group * (hidden.max(embedding_width) + 4 * hidden + normed);
    let ffn_input = if e.spec.is_pre_norm() { BLOCK * e.spec.shape.ffn_width() } else { 0 };
    let scratch = states + ffn_input + e.layer_blocks() + e.attention(1);
    Some(e.bytes(e.weights + e.packed(false), threads * scratch))
}

/// The memory of a training step over the largest micro-batch. `None` if the engine does not run this model.
pub fn training(
    model: &dyn Architecture,
    size: BatchSize,
    threads: usize,
    recompute: bool,
) -> Option<Footprint> {
    let e = Estimator::new(model, size, threads)?;
    let fixed = 2 * e.weights + e.packed(false) + e.packed(true);
    let activations = Activations::numbers(size.tokens, size.pairs, &e.spec, recompute);
    Some(e.bytes(fixed, activations + e.buffers() + e.states_gradient() + threads * e.training_scratch()))
}

/// A model and a batch.
struct Estimator {
    spec: EncoderSpec,
    size: BatchSize,
    threads: usize,
    /// Numbers in all parameters.
    weights: usize,
    /// Whether a layer projects relative positions with weights of its own.
    own_positions: bool,
}

impl Estimator {
    fn new(model: &dyn Architecture, size: BatchSize, threads: usize) -> Option<Self> {
        let spec = EncoderSpec::of(model)?;
        let weights = arch::layout(&model.declared()).iter().map(Parameter::len).sum();
        let own_positions = spec.relative.is_some_and(|r| !r.shared);
        Some(Self { spec, size, threads, weights, own_positions })
    }

    /// Four bytes a number, and each token's id, type and rows of the tables.
    fn bytes(&self, model: usize, batch: usize) -> Footprint {
        let ids = self.size.tokens * 8;
        Footprint { model: 4 * model as u64, batch: 4 * (batch + ids) as u64 }
    }

    /// How many parts of at most so many tokens the batch has if its pairs have one length, and the tokens of one.
    fn parts_of(&self, limit: usize) -> (usize, usize) {
        let BatchSize { tokens, pairs, longest } = self.size;
        let length = tokens.div_ceil(pairs.max(1)).max(1);
        let pairs_of_part = (limit / length).max(1);
        (pairs.div_ceil(pairs_of_part), (pairs_of_part * length).min(tokens).max(longest))
    }

    /// All matrices as right operands of one direction.
    fn packed(&self, backward: bool) -> usize {
        let Shape { hidden, embedding_width, intermediate, .. } = self.spec.shape;
        let of = |inputs: usize, outputs: usize| {
            if backward { packed_len(outputs, inputs) } else { packed_len(inputs, outputs) }
        };
        let rows = self.spec.relative_rows();
        let own = if self.own_positions { of(hidden, 2 * hidden) } else { 0 };
        let projected = if backward { 0 } else { rows * 2 * hidden };
        let layer = of(hidden, 3 * hidden)
            + of(hidden, hidden)
            + of(hidden, self.spec.shape.ffn_width())
            + of(intermediate, hidden)
            + own
            + projected;
        let table = if backward { 0 } else { 2 * rows * hidden };
        let projection = if embedding_width == hidden { 0 } else { of(embedding_width, hidden) };
        let head = if self.spec.head.dense.is_some() { of(hidden, hidden) } else { 0 };
        self.spec.layers * layer + head + projection + table
    }

    /// What backward works in, without the gradient of the hidden states: see
    /// [`super::grad_outputs::BackwardBuffers`].
    fn buffers(&self) -> usize {
        let Shape { hidden, embedding_width, intermediate, .. } = self.spec.shape;
        let BatchSize { tokens, pairs, .. } = self.size;
        let unprojected = if embedding_width == hidden { 0 } else { embedding_width };
        let by_token = tokens * (7 * hidden + self.spec.shape.ffn_width() + unprojected);
        let (blocks, block) = self.parts_of(BLOCK_TOKENS);
        let position_grads = if self.own_positions { 2 * hidden } else { 3 * hidden };
        let positions = blocks * self.spec.relative_rows() * (position_grads + hidden);
        let rows = if self.spec.relative.is_some() { block } else { tokens };
        let panels = packed_len(rows, intermediate) + 3 * packed_len(rows, hidden);
        by_token + positions + panels + pairs * 4 * hidden.max(embedding_width)
    }

    /// The gradient of the hidden states, and of what was pooled.
    fn states_gradient(&self) -> usize {
        self.spec.shape.hidden * (self.size.tokens + 2 * self.size.pairs)
    }

    /// One thread's, in a layer's blocks of rows.
    fn layer_blocks(&self) -> usize {
        BLOCK * (self.spec.shape.hidden + self.spec.shape.intermediate)
    }

    /// One thread's, in attention: scores (and their gradient, if `scores` is 2) of a block of queries, a head's keys
    /// and values, a head's positions.
    fn attention(&self, scores: usize) -> usize {
        let (n, size) = (self.size.longest, self.spec.shape.head_size());
        let rows = self.spec.relative_rows().min(2 * n);
        let positions = rows * ((2 * scores - 1) * size + scores * (n + BLOCK.min(n)));
        scores * (BLOCK.min(n) * n + 2 * n * size) + positions
    }

    fn training_scratch(&self) -> usize {
        let Shape { hidden, embedding_width, .. } = self.spec.shape;
        let tokens = self.size.tokens / (4 * self.threads.max(1));
        let tokens = tokens.clamp(MIN_GROUP_TOKENS, GROUP_TOKENS);
        let group = self.parts_of(if self.spec.relative.is_some() { BLOCK_TOKENS } else { tokens }).1;
        let normed =
            if self.spec.is_pre_norm() { group * hidden } else { self.spec.relative_rows() * hidden };
        let strips = strips_len(BLOCK_TOKENS.max(self.size.longest), STRIPE);
        let states = group * (hidden.max(embedding_width) + hidden);
        states + normed + strips + self.layer_blocks() + self.attention(2)
    }
}

#[cfg(test)]
mod tests {
    use super::{scoring, training};
    use crate::Reranker;
    use crate::cpu::CpuReranker;
    use crate::cpu::tests::{random, shapes};
    use crate::explicit::BatchSize;
    use crate::testing::random_batch;
    use xpipe_base::value::rng::Stream;

    /// Of the engine's buffers, not of the process.
    #[test]
    fn the_formula_is_what_the_buffers_hold() {
        let mut off = Vec::new();
        for config in shapes() {
            for (length, recompute) in [(130, false), (60, false), (17, false), (97, true), (33, true)] {
                let pairs = 1100 / length;
                let lengths = vec![length; pairs];
                let size = BatchSize { tokens: pairs * length, pairs, longest: length };
                let (checkpoint, batch) = (random(&config), random_batch(&lengths, 50, 1));
                let model = checkpoint.model.clone();
                let ids = 8 * batch.tokens() as u64;
                let mut check = |what: &str, estimated: u64, held: usize| {
                    let ratio = (estimated / 4) as f64 / held as f64;
                    if !(0.95..1.1).contains(&ratio) {
                        off.push(format!("{what}, {length} tokens, {recompute}: {ratio:.3}: {config}"));
                    }
                };
                let mut engine = CpuReranker::new(checkpoint, 1).unwrap();
                engine.score(&batch).unwrap();
                let estimated = scoring(&*model, size, 1).unwrap();
                let [fixed, scratch] = engine.held();
                check("scoring, model", estimated.model, fixed - engine.weights().len());
                check("scoring, batch", estimated.batch - 4 * ids, scratch);
                let mut engine = CpuReranker::new(random(&config), 1).unwrap().recomputing(recompute);
                engine.forward(&batch, Some(Stream::new(1, &["d"]))).unwrap();
                engine.backward(&vec![0.25; pairs]).unwrap();
                let estimated = training(&*model, size, 1, recompute).unwrap();
                let [fixed, batch] = engine.held();
                check("training, model", estimated.model, fixed);
                // Given back at the end of backward: the gradient of the hidden states, and what the head worked in.
                let given_back = model.hidden() * (size.tokens + 2 * pairs);
                check("training, batch", estimated.batch - 4 * (ids + given_back as u64), batch);
            }
        }
        assert!(off.is_empty(), "{off:#?}");
    }
}
