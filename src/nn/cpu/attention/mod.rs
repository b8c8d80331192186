//! Attention of one pair, head by head, over packed queries, keys and values.
//!
//! A row of `qkv` is a token's queries, keys and values, each `heads · size` wide. Nothing of the size of the
//! probabilities leaves this folder: they live for one block of queries and are computed again in backward. In a local
//! window a block of queries meets only the keys that one of them sees. Relative positions ([`positions`]) add two terms
//! to the scores, from projections of their table that all pairs share.

mod backward;
mod position_bias;
pub(super) mod positions;
pub(super) mod softmax;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::buffers::grow;
use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::layout::{Layout, NR, Store};
use super::gemm::pack::{PackedRhs, Panels, Rhs};
use crate::layers::dropout::Mask;
use positions::{PositionScratch, RelativePositions};
use softmax::{ProbabilityDropout, Softmax, SoftmaxStats, Window};

/// Queries taken together.
const BLOCK: usize = 96;

/// Memory that calls use again.
#[derive(Debug, Default)]
pub(super) struct AttentionScratch {
    /// Scores of a block of queries, then their probabilities.
    scores: Vec<f32>,
    /// Gradient of the scores.
    dscores: Vec<f32>,
    /// A row of dropout factors.
    factors: Vec<f32>,
    /// Keys as right operand, transposed: q · kᵀ.
    keys_transposed: PackedRhs,
    /// Keys as right operand: dS · k.
    keys: PackedRhs,
    /// Values as right operand; transposed in backward.
    values: PackedRhs,
    /// A block of queries, or of gradients of the context, as right operand.
    block: PackedRhs,
    positions: PositionScratch,
}

impl AttentionScratch {
    /// Numbers held.
    pub(super) fn held(&self) -> usize {
        let Self { scores, dscores, factors, keys_transposed, keys, values, block, positions } = self;
        let plain = [scores, dscores, factors].map(Vec::len).iter().sum::<usize>();
        let packed = [keys_transposed, keys, values, block].map(PackedRhs::len).iter().sum::<usize>();
        plain + packed + positions.held()
    }
}

/// The attention of one pair.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    pub level: Level,
    pub heads: usize,
    /// Width of one head.
    pub size: usize,
    /// Tokens of the pair.
    pub length: usize,
    /// How many of the first tokens are queries.
    pub queries: usize,
    /// Index of the pair's first token in the whole batch.
    pub first_token: usize,
    /// How far a token sees; without it everything.
    pub window: Option<usize>,
    /// Relative positions; never with a window.
    pub positions: Option<RelativePositions<'a>>,
    /// Dropout of the probabilities.
    pub mask: Option<&'a Mask>,
}

/// A block of queries and the keys that they meet.
struct Span {
    queries: Range<usize>,
    keys: Range<usize>,
    /// Row stride of the scores.
    stride: usize,
}

/// Where a head's queries, keys and values begin in a row of `qkv`.
struct HeadColumns {
    q: usize,
    k: usize,
    v: usize,
}

impl<'a> Attention<'a> {
    /// Width of the queries of all heads.
    fn width(&self) -> usize {
        self.heads * self.size
    }

    fn columns(&self, head: usize) -> HeadColumns {
        let (q, width) = (head * self.size, self.width());
        HeadColumns { q, k: width + q, v: 2 * width + q }
    }

    fn scale(&self) -> f32 {
        let terms = if self.positions.is_some() { 3 } else { 1 };
        (1.0 / ((terms * self.size) as f64).sqrt()) as f32
    }

    fn dropout_of(&self, head: usize, span: &Span) -> Option<ProbabilityDropout<'a>> {
        let (first_token, first_key) = (self.first_token + span.queries.start, span.keys.start);
        self.mask.map(|mask| ProbabilityDropout { mask, heads: self.heads, head, first_token, first_key })
    }

    fn window_of(&self, span: &Span) -> Option<Window> {
        let (first_row, first_key) = (span.queries.start, span.keys.start);
        self.window.map(|reach| Window { first_row, first_key, reach })
    }

    fn spans(&self) -> impl Iterator<Item = Span> + use<> {
        let (length, window, count) = (self.length, self.window, self.queries);
        (0..count).step_by(BLOCK).map(move |first| {
            let queries = first..(first + BLOCK).min(count);
            let keys = match window {
                None => 0..length,
                Some(w) => first.saturating_sub(w)..(queries.end + w).min(length),
            };
            let stride = keys.len().next_multiple_of(NR);
            Span { queries, keys, stride }
        })
    }

    /// Whether a span's keys differ from those of the span before it.
    fn has_new_keys(&self, span: &Span) -> bool {
        span.queries.start == 0 || self.window.is_some()
    }

    /// Most keys that a block meets.
    fn max_keys(&self) -> usize {
        self.window.map_or(self.length, |w| (BLOCK + 2 * w).min(self.length))
    }

    /// `c` (`rows` by `columns`) = or += `a` · `b`.
    fn gemm(
        &self,
        (a, layout): (&[f32], Layout),
        b: Panels<'_>,
        [rows, depth, columns]: [usize; 3],
        c: &mut [f32],
        c_stride: usize,
        store: Store<'_>,
    ) {
        self.level.gemm(Gemm { a, layout, rows, b, depth, columns, c, c_stride, store });
    }

    /// Context rows `[queries, heads · size]` from `qkv`. `stats` `[queries, heads]` keeps what backward needs.
    pub(super) fn forward(
        &self,
        qkv: &[f32],
        context: &mut [f32],
        mut stats: Option<&mut [SoftmaxStats]>,
        scratch: &mut AttentionScratch,
    ) {
        let Self { level, heads, size, .. } = *self;
        let (width, max_keys) = (self.width(), self.max_keys());
        let max_stride = max_keys.next_multiple_of(NR);
        let scores = grow(&mut scratch.scores, BLOCK.min(self.length) * max_stride);
        let factors = grow(&mut scratch.factors, max_stride);
        scratch.keys_transposed.reserve(level, size, max_keys);
        scratch.values.reserve(level, max_keys, size);
        for head in 0..heads {
            let HeadColumns { q, k, v } = self.columns(head);
            let mut position_rows = 0..0;
            for span in self.spans() {
                let (first, n, queries) = (span.queries.start, span.keys.len(), span.queries.len());
                if self.has_new_keys(&span) {
                    let from = &qkv[span.keys.start * 3 * width..];
                    scratch.keys_transposed.pack(level, &Rhs::transposed(&from[k..], 3 * width, size, n));
                    scratch.values.pack(level, &Rhs::new(&from[v..], 3 * width, n, size));
                }
                let keys = scratch.keys_transposed.panels();
                let scores = &mut scores[..queries * span.stride];
                let from = &qkv[first * 3 * width + q..];
                let shape = [queries, size, span.stride];
                self.gemm((from, Layout::RowMajor(3 * width)), keys, shape, scores, span.stride, Store::Set);
                if let Some(p) = &self.positions {
                    if first == 0 {
                        position_rows = self.prepare_positions(p, head, keys, &mut scratch.positions);
                    }
                    self.add_position_bias(from, &position_rows, &span, scores, &mut scratch.positions);
                }
                level.run(Softmax {
                    scores,
                    stride: span.stride,
                    length: n,
                    scale: self.scale(),
                    window: self.window_of(&span),
                    dropout: self.dropout_of(head, &span),
                    factors,
                    stats: stats.as_deref_mut().map(|s| (s, first * heads + head, heads)),
                });
                let to = &mut context[first * width + q..];
                let probabilities = (&*scores, Layout::RowMajor(span.stride));
                let values = scratch.values.panels();
                self.gemm(probabilities, values, [queries, n, size], to, width, Store::Set);
            }
        }
    }
}
