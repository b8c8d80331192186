//! Relative positions of one pair's attention: their terms of the scores, and the gradients of their projections.

use std::ops::Range;

use super::position_bias::{PositionBias, PositionBiasBackward};
use super::{Attention, HeadColumns, Layout, NR, PackedRhs, Panels, Rhs, Span, Store};
use crate::cpu::buffers::grow;
use crate::layers::disentangled::Relative;

/// Projected relative positions of one layer.
#[derive(Clone, Copy)]
pub(in super::super) struct RelativePositions<'a> {
    /// Which row belongs to which distance.
    pub relative: &'a Relative,
    /// `[2 span, 2 · heads · size]`: queries, then keys.
    pub projected: &'a [f32],
}

/// Memory that calls use again.
#[derive(Debug, Default)]
pub(super) struct PositionScratch {
    /// For each distance from −(length − 1) on: its row, counted from the first that occurs.
    index: Vec<u32>,
    /// Projected position keys as right operand, transposed and not.
    keys_transposed: PackedRhs,
    keys: PackedRhs,
    /// Projected position queries as right operand.
    queries: PackedRhs,
    /// Scores of queries with positions, and their gradient: a row for each query of a block.
    content: Vec<f32>,
    dcontent: Vec<f32>,
    /// Scores of positions with keys, and their gradient: a row for each position.
    position: Vec<f32>,
    dposition: Vec<f32>,
}

impl PositionScratch {
    /// Numbers held.
    pub(super) fn held(&self) -> usize {
        let Self { index, keys_transposed, keys, queries, content, dcontent, position, dposition } = self;
        let plain = [content, dcontent, position, dposition].map(Vec::len).iter().sum::<usize>();
        index.len() + plain + [keys_transposed, keys, queries].map(PackedRhs::len).iter().sum::<usize>()
    }
}

impl Attention<'_> {
    /// Rows of the table of relative positions that the pair's distances have.
    fn position_rows(&self, relative: &Relative) -> Range<usize> {
        let farthest = self.length as i64 - 1;
        relative.row(-farthest)..relative.row(farthest) + 1
    }

    /// Fills the index of distances, packs a head's position keys and scores its positions with the keys. Returns the
    /// rows of the table that occur.
    pub(super) fn prepare_positions(
        &self,
        p: &RelativePositions<'_>,
        head: usize,
        keys: Panels<'_>,
        scratch: &mut PositionScratch,
    ) -> Range<usize> {
        let (size, width, rows) = (self.size, self.width(), self.position_rows(p.relative));
        let (farthest, stride) = (self.length as i64 - 1, self.length.next_multiple_of(NR));
        scratch.index.clear();
        scratch.index.extend((-farthest..=farthest).map(|d| (p.relative.row(d) - rows.start) as u32));
        let from = &p.projected[rows.start * 2 * width..];
        let position_keys = &from[width + head * size..];
        let rhs = Rhs::transposed(position_keys, 2 * width, size, rows.len());
        scratch.keys_transposed.pack(self.level, &rhs);
        let position = grow(&mut scratch.position, rows.len() * stride);
        let queries = (&from[head * size..], Layout::RowMajor(2 * width));
        self.gemm(queries, keys, [rows.len(), size, stride], position, stride, Store::Set);
        rows
    }

    /// Packs what only backward needs of a head's positions.
    pub(super) fn prepare_positions_backward(
        &self,
        p: &RelativePositions<'_>,
        head: usize,
        rows: &Range<usize>,
        scratch: &mut PositionScratch,
    ) {
        let (size, width) = (self.size, self.width());
        let from = &p.projected[rows.start * 2 * width..];
        let keys = &from[width + head * size..];
        scratch.keys.pack(self.level, &Rhs::new(keys, 2 * width, rows.len(), size));
        scratch.queries.pack(self.level, &Rhs::new(&from[head * size..], 2 * width, rows.len(), size));
        grow(&mut scratch.dposition, rows.len() * self.length.next_multiple_of(NR)).fill(0.0);
    }

    /// Adds the terms of relative positions to a block's scores.
    pub(super) fn add_position_bias(
        &self,
        queries: &[f32],
        rows: &Range<usize>,
        span: &Span,
        scores: &mut [f32],
        scratch: &mut PositionScratch,
    ) {
        let (count, stride) = (span.queries.len(), rows.len().next_multiple_of(NR));
        let content = grow(&mut scratch.content, count * stride);
        let (queries, keys) =
            ((queries, Layout::RowMajor(3 * self.width())), scratch.keys_transposed.panels());
        self.gemm(queries, keys, [count, self.size, stride], content, stride, Store::Set);
        PositionBias {
            scores,
            stride: span.stride,
            length: self.length,
            first: span.queries.start,
            index: &scratch.index,
            content: (content, stride),
            position: &scratch.position,
        }
        .add();
    }

    /// Adds what a block's scores give to the gradients of its queries and of the projected position keys; `queries` are
    /// the block's, packed.
    pub(super) fn block_position_gradients(
        &self,
        head: usize,
        span: &Span,
        rows: &Range<usize>,
        dscores: &[f32],
        queries: Panels<'_>,
        dqkv: &mut [f32],
        (dpositions, dstride): (&mut [f32], usize),
        scratch: &mut PositionScratch,
    ) {
        let (HeadColumns { q, k, .. }, width, size) = (self.columns(head), self.width(), self.size);
        let (first, count, stride) =
            (span.queries.start, span.queries.len(), rows.len().next_multiple_of(NR));
        let dcontent = grow(&mut scratch.dcontent, count * stride);
        dcontent.fill(0.0);
        PositionBiasBackward {
            grads: dscores,
            stride: span.stride,
            length: self.length,
            first,
            index: &scratch.index,
            content: (&mut *dcontent, stride),
            position: &mut scratch.dposition,
        }
        .add();
        let (dcontent, keys) = (&*dcontent, scratch.keys.panels());
        let to = &mut dqkv[first * 3 * width + q..];
        let by_row = (dcontent, Layout::RowMajor(stride));
        self.gemm(by_row, keys, [count, rows.len(), size], to, 3 * width, Store::Add);
        let to = &mut dpositions[rows.start * dstride + k..];
        let by_column = (dcontent, Layout::ColumnMajor(stride));
        self.gemm(by_column, queries, [rows.len(), count, size], to, dstride, Store::Add);
    }

    /// Adds what the scores of positions with keys give to the gradients of a head's keys and of the projected position
    /// queries; `keys` are the head's, packed.
    pub(super) fn head_position_gradients(
        &self,
        head: usize,
        rows: &Range<usize>,
        keys: Panels<'_>,
        dqkv: &mut [f32],
        (dpositions, dstride): (&mut [f32], usize),
        scratch: &PositionScratch,
    ) {
        let (HeadColumns { q, k, .. }, size, length) = (self.columns(head), self.size, self.length);
        let stride = length.next_multiple_of(NR);
        let by_column = (&scratch.dposition[..], Layout::ColumnMajor(stride));
        let shape = [length, rows.len(), size];
        let queries = scratch.queries.panels();
        self.gemm(by_column, queries, shape, &mut dqkv[k..], 3 * self.width(), Store::Add);
        let to = &mut dpositions[rows.start * dstride + q..];
        let by_row = (&scratch.dposition[..], Layout::RowMajor(stride));
        self.gemm(by_row, keys, [rows.len(), length, size], to, dstride, Store::Add);
    }
}
