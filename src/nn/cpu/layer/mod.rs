//! One encoder layer over a group of whole pairs, forward and backward: [`post_norm`] and [`pre_norm`].
//!
//! A group is one thread's. Every row's result depends on its own pair only, so how pairs are grouped changes no bit.
//! Sums over tokens (gradients of parameters) are not made here: backward leaves what they need, and
//! [`super::weight_grads`] makes them over the whole batch in one order. Only those of the norms begin here, pair by
//! pair.

mod post_norm;
mod pre_norm;

use std::ops::Range;

use super::activations::LayerActivationsMut;
use super::attention::Attention;
use super::attention::positions::RelativePositions;
use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::layout::{Layout, Store};
use super::gemm::pack::PackedRhs;
use super::grad_outputs::GradOutputs;
use super::group::Group;
use super::packed::PackedLayer;
use super::pool::Scratch;
use crate::explicit::masks::LayerMasks;
use crate::explicit::params::{LayerParams, LinearParams};
use crate::explicit::shape::Shape;

/// Rows that pass through a sub-layer together, while they are in the second-level cache.
pub(super) const BLOCK: usize = 96;

/// The attention of a pre-norm layer.
#[derive(Clone, Copy)]
pub(super) struct AttentionContext<'a> {
    /// How far a token sees; without it everything.
    pub window: Option<usize>,
    /// Cosines and sines of the rotary angles, `[positions, head size / 2]`.
    pub angles: (&'a [f32], &'a [f32]),
}

/// One layer with its weights and its dropout.
#[derive(Clone, Copy)]
pub(super) struct LayerView<'a> {
    pub level: Level,
    pub shape: Shape,
    pub params: &'a LayerParams,
    pub weights: &'a [f32],
    pub packed: &'a PackedLayer,
    /// Zeros, as wide as the hidden states: β of norms that have none.
    pub zeros: &'a [f32],
    pub masks: LayerMasks,
    /// Window and rotary positions, for a pre-norm layer.
    pub attention_context: Option<AttentionContext<'a>>,
    /// Relative positions.
    pub positions: Option<RelativePositions<'a>>,
    /// Whether the layer computes only the first token of each pair, because the head reads no other. The output then
    /// stands at the front, a row for each pair.
    pub first_token_only: bool,
}

impl<'a> LayerView<'a> {
    /// Hidden states in, hidden states out, in place.
    pub(super) fn forward(
        &self,
        group: &Group<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
        saved: Option<LayerActivationsMut<'_>>,
    ) {
        match self.attention_context {
            None => self.forward_post_norm(group, x, scratch, saved),
            Some(context) => self.forward_pre_norm(context, group, x, scratch, saved),
        }
    }

    /// Gradient of the output in, of the input out, in place of `d`.
    pub(super) fn backward(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        saved: &mut LayerActivationsMut<'_>,
        grads: &mut GradOutputs<'_>,
    ) {
        match self.attention_context {
            None => self.backward_post_norm(group, d, scratch, saved, grads),
            Some(context) => self.backward_pre_norm(context, group, d, scratch, saved, grads),
        }
    }

    /// `c` = or += `a` · `b` for row-major `a` and `c` without gaps.
    fn gemm(&self, a: &[f32], depth: usize, b: &PackedRhs, columns: usize, c: &mut [f32], store: Store<'_>) {
        let (rows, layout, b) = (c.len() / columns, Layout::RowMajor(depth), b.panels());
        self.level.gemm(Gemm { a, layout, rows, b, depth, columns, c, c_stride: columns, store });
    }

    fn weight(&self, range: &Range<usize>) -> &'a [f32] {
        &self.weights[range.clone()]
    }

    /// γ and β of a norm.
    fn affine(&self, norm: &LinearParams) -> (&'a [f32], &'a [f32]) {
        (self.weight(&norm.weight), if norm.bias.is_empty() { self.zeros } else { self.weight(&norm.bias) })
    }

    /// γ and β of the first norm; empty without one.
    fn affine1(&self) -> (&'a [f32], &'a [f32]) {
        self.params.norm1.as_ref().map_or((&[], &[]), |n| self.affine(n))
    }

    /// The attention of a pair of a group whose first token has this index in the whole batch.
    fn attention(&'a self, first_token: usize, pair: &Range<usize>) -> Attention<'a> {
        Attention {
            level: self.level,
            heads: self.shape.heads,
            size: self.shape.head_size(),
            length: pair.len(),
            queries: if self.first_token_only { 1 } else { pair.len() },
            first_token: first_token + pair.start,
            window: self.attention_context.and_then(|c| c.window),
            positions: self.positions,
            mask: self.masks.attention.as_ref(),
        }
    }

    /// Rows of output of a group.
    fn output_len(&self, group: &Group<'_>) -> usize {
        if self.first_token_only { group.pairs.len() } else { group.tokens().len() }
    }

    /// Output rows and tokens of each pair.
    fn output_rows<'b>(
        &self,
        group: &'b Group<'_>,
    ) -> impl DoubleEndedIterator<Item = (Range<usize>, Range<usize>)> + use<'b> {
        let first_token_only = self.first_token_only;
        let pairs: Vec<_> = group.pair_ranges().collect();
        pairs.into_iter().enumerate().map(move |(i, pair)| {
            let rows = if first_token_only { i..i + 1 } else { pair.clone() };
            (rows, pair)
        })
    }
}

/// Rows of a matrix in blocks of [`BLOCK`].
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |first| first..(first + BLOCK).min(rows))
}

/// Elements of rows of this width.
fn elements(rows: &Range<usize>, width: usize) -> Range<usize> {
    rows.start * width..rows.end * width
}
