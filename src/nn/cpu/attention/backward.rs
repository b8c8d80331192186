//! Backward of attention: scores and probabilities are computed again, block by block, from what forward saved.

use super::softmax::{SoftmaxBackward, SoftmaxStats};
use super::{Attention, AttentionScratch, BLOCK, HeadColumns, Layout, NR, Rhs, Span, Store};
use crate::cpu::buffers::grow;

/// What a block of queries of one head goes back from.
struct BlockInput<'a> {
    head: usize,
    span: &'a Span,
    /// Queries from the block's first on, `3 · width` apart.
    queries: &'a [f32],
    /// Gradient of the context from the block's first row on, `width` apart.
    dcontext: &'a [f32],
}

impl Attention<'_> {
    /// Gradients of `qkv` from those of the context rows. Those of the projected positions are added to `dpositions`,
    /// which comes with its row stride.
    pub(in super::super) fn backward(
        &self,
        qkv: &[f32],
        stats: &[SoftmaxStats],
        dcontext: &[f32],
        dqkv: &mut [f32],
        mut dpositions: Option<(&mut [f32], usize)>,
        scratch: &mut AttentionScratch,
    ) {
        let width = self.width();
        self.reserve_backward(scratch);
        for (i, row) in dqkv.chunks_exact_mut(3 * width).take(self.length).enumerate() {
            row[if i < self.queries { width } else { 0 }..].fill(0.0);
        }
        for head in 0..self.heads {
            let q = self.columns(head).q;
            let mut position_rows = 0..0;
            for span in self.spans() {
                let first = span.queries.start;
                if self.has_new_keys(&span) {
                    self.pack_backward(qkv, head, &span, scratch);
                }
                if let Some(p) = self.positions.as_ref().filter(|_| first == 0) {
                    let keys = scratch.keys_transposed.panels();
                    position_rows = self.prepare_positions(p, head, keys, &mut scratch.positions);
                    self.prepare_positions_backward(p, head, &position_rows, &mut scratch.positions);
                }
                let (queries, dcontext) = (&qkv[first * 3 * width + q..], &dcontext[first * width + q..]);
                let block = BlockInput { head, span: &span, queries, dcontext };
                self.scores_backward(&block, &position_rows, stats, scratch);
                self.qkv_gradients(&block, dqkv, scratch);
                if let Some((dpositions, stride)) = &mut dpositions {
                    // `scratch.block` holds the queries.
                    let AttentionScratch { dscores, block, positions, .. } = &mut *scratch;
                    let (dscores, block) = (&dscores[..span.queries.len() * span.stride], block.panels());
                    let to = (&mut **dpositions, *stride);
                    self.block_position_gradients(
                        head,
                        &span,
                        &position_rows,
                        dscores,
                        block,
                        dqkv,
                        to,
                        positions,
                    );
                }
            }
            if let Some((dpositions, stride)) = &mut dpositions {
                let (keys, to) = (scratch.keys.panels(), (&mut **dpositions, *stride));
                self.head_position_gradients(head, &position_rows, keys, dqkv, to, &scratch.positions);
            }
        }
    }

    fn reserve_backward(&self, scratch: &mut AttentionScratch) {
        let Self { level, size, length, .. } = *self;
        let max_keys = self.max_keys();
        let max_stride = max_keys.next_multiple_of(NR);
        grow(&mut scratch.scores, BLOCK.min(length) * max_stride);
        grow(&mut scratch.dscores, BLOCK.min(length) * max_stride);
        grow(&mut scratch.factors, max_stride);
        scratch.keys_transposed.reserve(level, size, max_keys);
        scratch.values.reserve(level, size, max_keys);
        scratch.keys.reserve(level, max_keys, size);
        scratch.block.reserve(level, BLOCK.min(length), size);
    }

    /// Packs a span's keys and values.
    fn pack_backward(&self, qkv: &[f32], head: usize, span: &Span, scratch: &mut AttentionScratch) {
        let Self { level, size, .. } = *self;
        let (HeadColumns { k, v, .. }, stride, n) = (self.columns(head), 3 * self.width(), span.keys.len());
        let from = &qkv[span.keys.start * stride..];
        scratch.keys_transposed.pack(level, &Rhs::transposed(&from[k..], stride, size, n));
        scratch.values.pack(level, &Rhs::transposed(&from[v..], stride, size, n));
        scratch.keys.pack(level, &Rhs::new(&from[k..], stride, n, size));
    }

    /// The probabilities of a block again, into `scores`, and the gradient of its scores, into `dscores`.
    fn scores_backward(
        &self,
        block: &BlockInput<'_>,
        position_rows: &std::ops::Range<usize>,
        stats: &[SoftmaxStats],
        scratch: &mut AttentionScratch,
    ) {
        let BlockInput { head, span, queries, dcontext } = *block;
        let (width, count, stride) = (self.width(), span.queries.len(), span.stride);
        let AttentionScratch { scores, dscores, factors, keys_transposed, values, positions, .. } = scratch;
        let scores = &mut scores[..count * stride];
        let dscores = &mut dscores[..count * stride];
        let shape = [count, self.size, stride];
        let queries_there = (queries, Layout::RowMajor(3 * width));
        self.gemm(queries_there, keys_transposed.panels(), shape, scores, stride, Store::Set);
        let dcontext_there = (dcontext, Layout::RowMajor(width));
        self.gemm(dcontext_there, values.panels(), shape, dscores, stride, Store::Set);
        if self.positions.is_some() {
            self.add_position_bias(queries, position_rows, span, scores, positions);
        }
        self.level.run(SoftmaxBackward {
            scores,
            d: dscores,
            stride,
            length: span.keys.len(),
            scale: self.scale(),
            window: self.window_of(span),
            dropout: self.dropout_of(head, span),
            factors,
            stats: (stats, span.queries.start * self.heads + head, self.heads),
        });
    }

    /// Writes the gradients of a block's queries and adds those of its keys and values. Leaves the block's queries
    /// packed in `scratch.block`.
    fn qkv_gradients(&self, block: &BlockInput<'_>, dqkv: &mut [f32], scratch: &mut AttentionScratch) {
        let BlockInput { head, span, queries, dcontext } = *block;
        let Self { level, size, .. } = *self;
        let (HeadColumns { q, k, v }, width) = (self.columns(head), self.width());
        let (count, n) = (span.queries.len(), span.keys.len());
        let AttentionScratch { scores, dscores, keys, block, .. } = scratch;
        let to = &mut dqkv[span.queries.start * 3 * width + q..];
        let by_row = Layout::RowMajor(span.stride);
        self.gemm((dscores, by_row), keys.panels(), [count, n, size], to, 3 * width, Store::Set);
        let by_column = Layout::ColumnMajor(span.stride);
        for (source, stride, a, column) in
            [(dcontext, width, &*scores, v), (queries, 3 * width, &*dscores, k)]
        {
            let panels = block.pack(level, &Rhs::new(source, stride, count, size));
            let to = &mut dqkv[span.keys.start * 3 * width + column..];
            self.gemm((a, by_column), panels, [n, count, size], to, 3 * width, Store::Add);
        }
    }
}
