//! Activations that a forward pass saves for backward: memory that grows to the largest batch seen and is used again.

use super::attention::softmax::SoftmaxStats;
use super::buffers::resize;
use super::group::{Group, by_row, by_token};
use crate::Packed;
use crate::explicit::shape::Shape;
use crate::explicit::spec::EncoderSpec;

/// Of one layer and a whole batch, see [`LayerActivationsMut`].
#[derive(Debug, Default)]
pub(super) struct LayerActivations {
    pub qkv: Vec<f32>,
    pub stats: Vec<SoftmaxStats>,
    pub context: Vec<f32>,
    pub pre_activation: Vec<f32>,
    pub x_hat1: Vec<f32>,
    pub rstd1: Vec<f32>,
    pub x_hat2: Vec<f32>,
    pub rstd2: Vec<f32>,
    /// Projected relative positions, if they were dropped: `[2 span, 2 · hidden]`.
    pub projected: Vec<f32>,
}

/// Of one layer and a group. Rows are tokens; all but those of `qkv` are pairs where a layer computes first tokens only.
pub(super) struct LayerActivationsMut<'a> {
    /// Queries, keys, values: 3 · hidden.
    pub qkv: &'a mut [f32],
    /// Softmax statistics: heads.
    pub stats: &'a mut [SoftmaxStats],
    /// Attention output: hidden.
    pub context: &'a mut [f32],
    /// Input of the activation: intermediate, twice with a gate. Backward leaves its output (in the first half of a row).
    pub pre_activation: &'a mut [f32],
    /// x̂ of the first norm: hidden. Backward leaves the norm's output.
    pub x_hat1: &'a mut [f32],
    /// Reciprocal standard deviation of the first norm.
    pub rstd1: &'a mut [f32],
    /// x̂ of the second norm: hidden.
    pub x_hat2: &'a mut [f32],
    /// Reciprocal standard deviation of the second norm.
    pub rstd2: &'a mut [f32],
}

impl LayerActivationsMut<'_> {
    /// The same memory for another forward pass.
    pub(super) fn reborrow(&mut self) -> LayerActivationsMut<'_> {
        LayerActivationsMut {
            qkv: self.qkv,
            stats: self.stats,
            context: self.context,
            pre_activation: self.pre_activation,
            x_hat1: self.x_hat1,
            rstd1: self.rstd1,
            x_hat2: self.x_hat2,
            rstd2: self.rstd2,
        }
    }
}

/// Of a whole batch.
#[derive(Debug, Default)]
pub(super) struct Activations {
    /// x̂ and reciprocal standard deviation of the embeddings' norm.
    pub x_hat: Vec<f32>,
    pub rstd: Vec<f32>,
    /// With recomputation only the last two have memory; that of the first of them moves on in backward.
    pub layers: Vec<LayerActivations>,
    /// With recomputation: the layers' inputs, `[tokens, hidden]` each.
    pub inputs: Vec<Vec<f32>>,
    /// x̂ and reciprocal standard deviation of a pre-norm encoder's final norm.
    pub final_x_hat: Vec<f32>,
    pub final_rstd: Vec<f32>,
    /// What was pooled of each pair, after dropout, and the dense layer's output.
    pub pooled: Vec<f32>,
    pub dense: Vec<f32>,
}

/// Lengths of a layer's buffers for so many tokens and rows of output, in the order of [`LayerActivations`]' fields up to
/// `rstd2`. Statistics count once and are two numbers each.
fn layer_lengths(tokens: usize, rows: usize, shape: &Shape) -> [usize; 8] {
    let Shape { hidden, heads, .. } = *shape;
    let states = rows * hidden;
    [tokens * 3 * hidden, rows * heads, states, rows * shape.ffn_width(), states, rows, states, rows]
}

/// How many of the last layers have memory.
fn saved_layers(layers: usize, recompute: bool) -> usize {
    if recompute { layers.min(2) } else { layers }
}

impl Activations {
    /// Makes room for a batch.
    pub(super) fn resize(&mut self, batch: &Packed, spec: &EncoderSpec, recompute: bool) {
        let (tokens, pairs, layers, shape) = (batch.tokens(), batch.len(), spec.layers, &spec.shape);
        let Shape { embedding_width, hidden, .. } = *shape;
        resize(&mut self.x_hat, tokens * embedding_width);
        resize(&mut self.rstd, tokens);
        resize(&mut self.pooled, pairs * hidden);
        resize(&mut self.dense, pairs * hidden);
        let final_norm = spec.is_pre_norm();
        resize(&mut self.final_x_hat, if final_norm { tokens * hidden } else { 0 });
        resize(&mut self.final_rstd, if final_norm { tokens } else { 0 });
        self.layers.resize_with(layers, LayerActivations::default);
        self.inputs.resize_with(if recompute { layers } else { 0 }, Vec::new);
        for x in &mut self.inputs {
            resize(x, tokens * hidden);
        }
        for (i, l) in self.layers.iter_mut().enumerate().rev().take(saved_layers(layers, recompute)) {
            let rows = if spec.first_token_only(i) { pairs } else { tokens };
            let [qkv, stats, context, pre_activation, x_hat1, rstd1, x_hat2, rstd2] =
                layer_lengths(tokens, rows, shape);
            resize(&mut l.qkv, qkv);
            resize(&mut l.stats, stats);
            resize(&mut l.context, context);
            resize(&mut l.pre_activation, pre_activation);
            resize(&mut l.x_hat1, x_hat1);
            resize(&mut l.rstd1, rstd1);
            resize(&mut l.x_hat2, x_hat2);
            resize(&mut l.rstd2, rstd2);
        }
    }

    /// The numbers that [`Self::resize`] makes room for, and dropped relative positions.
    pub(super) fn numbers(tokens: usize, pairs: usize, spec: &EncoderSpec, recompute: bool) -> usize {
        let Shape { embedding_width, hidden, .. } = spec.shape;
        let layers = (0..spec.layers).rev().take(saved_layers(spec.layers, recompute)).map(|l| {
            let rows = if spec.first_token_only(l) { pairs } else { tokens };
            let all = layer_lengths(tokens, rows, &spec.shape);
            all.iter().sum::<usize>() + all[1]
        });
        let inputs = if recompute { spec.layers * tokens * hidden } else { 0 };
        let final_norm = if spec.is_pre_norm() { tokens * (hidden + 1) } else { 0 };
        let positions = spec.layers * spec.relative_rows() * 2 * hidden;
        let embeddings = tokens * (embedding_width + 1);
        layers.sum::<usize>() + inputs + final_norm + positions + embeddings + pairs * 2 * hidden
    }

    /// Numbers held.
    pub(super) fn held(&self) -> usize {
        let layer = |l: &LayerActivations| {
            let all = [
                &l.qkv,
                &l.context,
                &l.pre_activation,
                &l.x_hat1,
                &l.rstd1,
                &l.x_hat2,
                &l.rstd2,
                &l.projected,
            ];
            all.map(Vec::len).iter().sum::<usize>() + 2 * l.stats.len()
        };
        let Self { x_hat, rstd, layers, inputs, final_x_hat, final_rstd, pooled, dense } = self;
        let once = [x_hat, rstd, final_x_hat, final_rstd, pooled, dense];
        once.into_iter().chain(inputs).map(Vec::len).sum::<usize>() + layers.iter().map(layer).sum::<usize>()
    }
}

impl LayerActivations {
    /// Takes over another layer's memory, but for dropped positions.
    pub(super) fn take_memory(&mut self, from: &mut Self) {
        let projected = std::mem::take(&mut self.projected);
        let theirs = std::mem::take(&mut from.projected);
        *self = Self { projected, ..std::mem::take(from) };
        from.projected = theirs;
    }

    /// The groups' shares.
    pub(super) fn split(
        &mut self,
        shape: &Shape,
        groups: &[Group<'_>],
        first_token_only: bool,
    ) -> Vec<LayerActivationsMut<'_>> {
        let Shape { hidden, heads, .. } = *shape;
        let mut qkv = by_token(&mut self.qkv, 3 * hidden, groups).into_iter();
        let mut stats = by_row(&mut self.stats, heads, groups, first_token_only).into_iter();
        let share = |v, width| by_row::<f32>(v, width, groups, first_token_only).into_iter();
        let mut context = share(&mut self.context, hidden);
        let mut pre_activation = share(&mut self.pre_activation, shape.ffn_width());
        let mut x_hat1 = share(&mut self.x_hat1, hidden);
        let mut rstd1 = share(&mut self.rstd1, 1);
        let mut x_hat2 = share(&mut self.x_hat2, hidden);
        let mut rstd2 = share(&mut self.rstd2, 1);
        groups
            .iter()
            .map(|_| LayerActivationsMut {
                qkv: qkv.next().unwrap_or_default(),
                stats: stats.next().unwrap_or_default(),
                context: context.next().unwrap_or_default(),
                pre_activation: pre_activation.next().unwrap_or_default(),
                x_hat1: x_hat1.next().unwrap_or_default(),
                rstd1: rstd1.next().unwrap_or_default(),
                x_hat2: x_hat2.next().unwrap_or_default(),
                rstd2: rstd2.next().unwrap_or_default(),
            })
            .collect()
    }
}
