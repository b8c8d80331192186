//! What backward works in: gradients of sub-layers' outputs, from which the sums over tokens are made, and their
//! memory, which grows to the largest batch seen and is used again.

use super::buffers::{resize, split_lengths};
use super::group::{Group, by_pair, by_row, by_token};
use crate::explicit::shape::Shape;

/// Gradients that a layer's backward leaves for [`super::weight_grads`], of one group. Rows are tokens; those of
/// `attention`, `output` and `pre_activation` are pairs where a layer computes first tokens only.
pub(super) struct GradOutputs<'a> {
    /// Of the attention's output projection: hidden.
    pub attention: &'a mut [f32],
    /// Of the feed-forward network: hidden.
    pub output: &'a mut [f32],
    /// Of the activation's input: intermediate, twice with a gate.
    pub pre_activation: &'a mut [f32],
    /// Of queries, keys and values: 3 · hidden.
    pub qkv: &'a mut [f32],
    /// By pair: γ and β of the first norm, γ and β of the second. Zero before.
    pub norms: &'a mut [f32],
    /// Of projected relative positions, `[2 span, …]`. Zero before.
    pub positions: &'a mut [f32],
}

/// Memory of a backward pass, see [`GradOutputs`].
#[derive(Debug, Default)]
pub(super) struct BackwardBuffers {
    /// The gradient of the hidden states.
    pub d: Vec<f32>,
    pub attention: Vec<f32>,
    pub output: Vec<f32>,
    pub pre_activation: Vec<f32>,
    pub qkv: Vec<f32>,
    pub norms: Vec<f32>,
    /// The layer's input.
    pub x: Vec<f32>,
    /// Embeddings after norm and dropout; before their projection, if there is one.
    pub embedded: Vec<f32>,
    /// With a projection: the same before it, then its gradient.
    pub unprojected: Vec<f32>,
    /// By group: gradients of the layer's projected relative positions.
    pub positions: Vec<f32>,
    /// By group: gradients of the table of relative positions.
    pub position_table: Vec<f32>,
    /// Packed inputs of all products.
    pub panels: super::gemm::pack::PackedRhs,
}

impl BackwardBuffers {
    /// Makes room for a batch.
    pub(super) fn resize(&mut self, tokens: usize, pairs: usize, shape: &Shape) {
        let Shape { embedding_width, hidden, .. } = *shape;
        for v in [&mut self.d, &mut self.attention, &mut self.output, &mut self.x] {
            resize(v, tokens * hidden);
        }
        resize(&mut self.pre_activation, tokens * shape.ffn_width());
        resize(&mut self.qkv, tokens * 3 * hidden);
        resize(&mut self.norms, pairs * 4 * hidden.max(embedding_width));
    }

    /// Numbers held after a backward pass, the gradient of the hidden states given back.
    pub(super) fn held(&self) -> usize {
        let Self {
            d,
            attention,
            output,
            pre_activation,
            qkv,
            norms,
            x,
            embedded,
            unprojected,
            positions,
            position_table,
            panels,
        } = self;
        let all = [
            d,
            attention,
            output,
            pre_activation,
            qkv,
            norms,
            x,
            embedded,
            unprojected,
            positions,
            position_table,
        ];
        all.map(Vec::len).iter().sum::<usize>() + panels.len()
    }

    /// The groups' shares, with each group's gradient of the hidden states and layer input.
    pub(super) fn split(
        &mut self,
        shape: &Shape,
        groups: &[Group<'_>],
        pairs: usize,
        first_token_only: bool,
    ) -> Vec<(GradOutputs<'_>, &mut [f32], &mut [f32])> {
        let hidden = shape.hidden;
        let share = |v, width| by_row::<f32>(v, width, groups, first_token_only).into_iter();
        let mut attention = share(&mut self.attention, hidden);
        let mut output = share(&mut self.output, hidden);
        let mut pre_activation = share(&mut self.pre_activation, shape.ffn_width());
        let mut qkv = by_token(&mut self.qkv, 3 * hidden, groups).into_iter();
        let mut norms = by_pair(&mut self.norms[..pairs * 4 * hidden], 4 * hidden, groups).into_iter();
        let positions = self.positions.len() / groups.len().max(1);
        let mut positions = split_lengths(&mut self.positions, groups.iter().map(|_| positions)).into_iter();
        let states = by_token(&mut self.d, hidden, groups).into_iter();
        states
            .zip(by_token(&mut self.x, hidden, groups))
            .map(|(d, x)| {
                let grads = GradOutputs {
                    attention: attention.next().unwrap_or_default(),
                    output: output.next().unwrap_or_default(),
                    pre_activation: pre_activation.next().unwrap_or_default(),
                    qkv: qkv.next().unwrap_or_default(),
                    norms: norms.next().unwrap_or_default(),
                    positions: positions.next().unwrap_or_default(),
                };
                (grads, d, x)
            })
            .collect()
    }
}
