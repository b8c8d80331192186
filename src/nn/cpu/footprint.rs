//! The memory that the engine needs, told from a model's configuration and the size of a batch.
//!
//! In numbers of four bytes, where N is the number of weights, M that of weights in matrices, T the tokens of a
//! micro-batch, H the hidden width, U the feed-forward width before the activation, I behind it and A the heads:
//!
//! | | scoring | training |
//! |---|---|---|
//! | weights, gradients | N | 2 N |
//! | matrices packed for products | M | 2 M |
//! | kept of each layer for backward | – | T (6 H + U + 2 A + 2); with recomputation only of two layers, and T H of each |
//! | backward's own | – | T (7 H + U + the embeddings' width) |
//! | inputs packed for the sums over tokens | – | T (3 H + I); one block's with relative positions |
//! | each thread's | one group's hidden states, queries, keys, values | one group's hidden states |
//!
//! With relative positions each block has gradients of the table and of a layer's projected table besides. The
//! optimiser's moments are the trainer's and not counted here.

use super::engine::{GROUP, SMALL_GROUP};
use super::gradients::STRIPE;
use super::keep::Keep;
use super::layer::{BLOCK, Shape};
use super::product::{packed_len, strips_len};
use super::spec::Spec;
use crate::arch::{self, Architecture};
use crate::{BLOCK as TOKENS, Parameter};

/// The size of a batch, or of a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens of all pairs.
    pub tokens: usize,
    /// Pairs, at least 1.
    pub pairs: usize,
    /// Tokens of the longest pair.
    pub longest: usize,
}

/// Bytes that the engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// What is there whatever the batch: weights, packed weights, gradients.
    pub model: u64,
    /// What the batch makes of it.
    pub batch: u64,
}

impl Footprint {
    /// Of scoring; `None` when the engine does not run this model.
    pub fn scoring(model: &dyn Architecture, load: Load, threads: usize) -> Option<Self> {
        let of = Of::new(model, load, threads)?;
        let (groups, group) = of.together(GROUP);
        let threads = threads.clamp(1, groups.max(1));
        let Shape { hidden, width, .. } = of.spec.shape;
        let states = group * (hidden.max(width) + 4 * hidden + if of.spec.pre_norm() { hidden } else { 0 });
        let up = if of.spec.pre_norm() { BLOCK * of.spec.shape.up() } else { 0 };
        Some(of.bytes(of.weights + of.packed(false), threads * (states + up + of.block() + of.attention(1))))
    }

    /// Of a step of training over the largest micro-batch; `None` when the engine does not run this model.
    pub fn training(model: &dyn Architecture, load: Load, threads: usize, recompute: bool) -> Option<Self> {
        let of = Of::new(model, load, threads)?;
        let fixed = 2 * of.weights + of.packed(false) + of.packed(true);
        let Load { tokens, pairs, .. } = load;
        let keep = Keep::numbers(tokens, pairs, &of.spec, of.spec.pre_norm(), recompute);
        Some(of.bytes(fixed, keep + of.work() + of.stream() + threads * of.training_scratch()))
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.model + self.batch
    }
}

/// A model and a batch.
struct Of {
    spec: Spec,
    load: Load,
    threads: usize,
    /// Numbers in all parameters.
    weights: usize,
    /// Whether a layer projects relative positions with weights of its own.
    own: bool,
}

impl Of {
    fn new(model: &dyn Architecture, load: Load, threads: usize) -> Option<Self> {
        let spec = Spec::of(model)?;
        let weights = arch::layout(&model.declared()).iter().map(Parameter::len).sum();
        let own = spec.relative.is_some_and(|r| !r.shared);
        Some(Self { spec, load, threads, weights, own })
    }

    /// Four bytes a number, and each token's id, type and places in the tables.
    fn bytes(&self, model: usize, batch: usize) -> Footprint {
        let ids = self.load.tokens * 8;
        Footprint { model: 4 * model as u64, batch: 4 * (batch + ids) as u64 }
    }

    /// Rows of the table of relative positions.
    fn rows(&self) -> usize {
        self.spec.relative.map_or(0, |r| 2 * r.span)
    }

    /// How many parts of so many tokens the batch has when its pairs have one length, and tokens in one.
    fn together(&self, limit: usize) -> (usize, usize) {
        let Load { tokens, pairs, longest } = self.load;
        let length = tokens.div_ceil(pairs.max(1)).max(1);
        let together = (limit / length).max(1);
        (pairs.div_ceil(together), (together * length).min(tokens).max(longest))
    }

    /// All matrices as right operands of one direction.
    fn packed(&self, back: bool) -> usize {
        let Shape { hidden, width, inner, .. } = self.spec.shape;
        let of = |inputs: usize, outputs: usize| {
            if back { packed_len(outputs, inputs) } else { packed_len(inputs, outputs) }
        };
        let own = if self.own { of(hidden, 2 * hidden) } else { 0 };
        let projected = if back { 0 } else { self.rows() * 2 * hidden };
        let layer = of(hidden, 3 * hidden)
            + of(hidden, hidden)
            + of(hidden, self.spec.shape.up())
            + of(inner, hidden)
            + own
            + projected;
        let table = if back { 0 } else { 2 * self.rows() * hidden };
        let narrow = if width == hidden { 0 } else { of(width, hidden) };
        let head = if self.spec.head.dense.is_some() { of(hidden, hidden) } else { 0 };
        self.spec.layers * layer + head + narrow + table
    }

    /// What backward works in, besides the stream's gradient: see [`super::keep::Work`].
    fn work(&self) -> usize {
        let Shape { hidden, width, inner, .. } = self.spec.shape;
        let Load { tokens, pairs, .. } = self.load;
        let narrow = if width == hidden { 0 } else { width };
        let by_token = tokens * (7 * hidden + self.spec.shape.up() + narrow);
        let (blocks, block) = self.together(TOKENS);
        let apart = if self.own { 2 * hidden } else { 3 * hidden };
        let positions = blocks * self.rows() * (apart + hidden);
        let together = if self.spec.relative.is_some() { block } else { tokens };
        let panels = packed_len(together, inner) + 3 * packed_len(together, hidden);
        by_token + positions + panels + pairs * 4 * hidden.max(width)
    }

    /// The gradient of the hidden states, and of what was pooled.
    fn stream(&self) -> usize {
        self.spec.shape.hidden * (self.load.tokens + 2 * self.load.pairs)
    }

    /// One thread's, in a layer's blocks of rows.
    fn block(&self) -> usize {
        BLOCK * (self.spec.shape.hidden + self.spec.shape.inner)
    }

    /// One thread's, in attention: scores (and their gradient, with two) of a block of queries, a head's keys and
    /// values, a head's positions.
    fn attention(&self, scores: usize) -> usize {
        let Shape { hidden, heads, .. } = self.spec.shape;
        let (n, size) = (self.load.longest, hidden / heads);
        let rows = self.rows().min(2 * n);
        let positions = rows * ((2 * scores - 1) * size + scores * (n + BLOCK.min(n)));
        scores * (BLOCK.min(n) * n + 2 * n * size) + positions
    }

    fn training_scratch(&self) -> usize {
        let Shape { hidden, width, .. } = self.spec.shape;
        let small = (self.load.tokens / (4 * self.threads.max(1))).clamp(SMALL_GROUP, GROUP);
        let group = self.together(if self.spec.relative.is_some() { TOKENS } else { small }).1;
        let normed = if self.spec.pre_norm() { group * hidden } else { self.rows() * hidden };
        let strips = strips_len(TOKENS.max(self.load.longest), STRIPE);
        group * (hidden.max(width) + hidden) + normed + strips + self.block() + self.attention(2)
    }
}

#[cfg(test)]
mod tests {
    use crate::Reranker;
    use crate::cpu::tests::{random, shapes};
    use crate::cpu::{Encoder, Footprint, Load};
    use crate::testing::random_batch;
    use xpipe_base::value::rng::Stream;

    /// Not the process: what the engine's buffers really hold.
    #[test]
    fn the_formula_is_what_the_buffers_hold() {
        let mut off = Vec::new();
        for config in shapes() {
            for (length, recompute) in [(130, false), (60, false), (17, false), (97, true), (33, true)] {
                let pairs = 1100 / length;
                let lengths = vec![length; pairs];
                let load = Load { tokens: pairs * length, pairs, longest: length };
                let (checkpoint, batch) = (random(&config), random_batch(&lengths, 50, 1));
                let model = checkpoint.model.clone();
                let ids = 8 * batch.tokens() as u64;
                let mut check = |what: &str, told: u64, held: usize| {
                    let ratio = (told / 4) as f64 / held as f64;
                    if !(0.95..1.1).contains(&ratio) {
                        off.push(format!("{what}, {length} tokens, {recompute}: {ratio:.3}: {config}"));
                    }
                };
                let mut engine = Encoder::new(checkpoint, 1).unwrap();
                engine.score(&batch).unwrap();
                let told = Footprint::scoring(&*model, load, 1).unwrap();
                let [fixed, scratch] = engine.held();
                check("scoring, model", told.model, fixed - engine.weights().len());
                check("scoring, batch", told.batch - 4 * ids, scratch);
                let mut engine = Encoder::new(random(&config), 1).unwrap().recomputing(recompute);
                engine.forward(&batch, Some(Stream::new(1, &["d"]))).unwrap();
                engine.backward(&vec![0.25; pairs]).unwrap();
                let told = Footprint::training(&*model, load, 1, recompute).unwrap();
                let [fixed, batch] = engine.held();
                check("training, model", told.model, fixed);
                // Given back at the end of backward: the stream's gradient, and what the head worked in.
                let given_back = model.hidden() * (load.tokens + 2 * pairs);
                check("training, batch", told.batch - 4 * (ids + given_back as u64), batch);
            }
        }
        assert!(off.is_empty(), "{off:#?}");
    }
}
