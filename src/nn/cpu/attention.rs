//! Attention of one pair, head by head, over packed queries, keys and values.
//!
//! Rows of `qkv` are a token's queries, keys and values, each `heads · size` wide. Nothing of the size of the
//! probabilities leaves this file: they live for one block of queries and are made again in backward. In a local window
//! a block of queries meets only the keys that one of them sees. Relative positions add two terms to the scores, from
//! projections of their table that all pairs share.

use std::ops::Range;

use super::lanes::Level;
use super::product::{Lies, Product, Store, WIDTH, pack, pack_transposed, packed_len};
use super::relative::{Bias, Spread};
use super::softmax::{DroppedRows, Softmax, SoftmaxBackward, Stat, Window};
use crate::layers::disentangled::Relative;
use crate::layers::dropout::Mask;

/// Queries taken together.
const BLOCK: usize = 96;

/// Room that calls use again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    grads: Vec<f32>,
    factors: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    other: Vec<f32>,
    block: Vec<f32>,
    relative: RelativeScratch,
}

/// Room for relative positions.
#[derive(Debug, Default)]
struct RelativeScratch {
    /// For each distance from −(length − 1) on: the row, counted from the first that occurs.
    index: Vec<u32>,
    /// Projected position keys as right operand, transposed and straight.
    keys: Vec<f32>,
    straight: Vec<f32>,
    /// Projected position queries as right operand.
    queries: Vec<f32>,
    /// Scores of queries with positions, and their gradient: a row for each query of a block.
    content: Vec<f32>,
    dcontent: Vec<f32>,
    /// Scores of positions with keys, and their gradient: a row for each position.
    position: Vec<f32>,
    dposition: Vec<f32>,
}

impl Scratch {
    /// How many numbers it holds.
    pub(super) fn held(&self) -> usize {
        let r = &self.relative;
        let own =
            [&self.scores, &self.grads, &self.factors, &self.keys, &self.values, &self.other, &self.block];
        let positions =
            [&r.keys, &r.straight, &r.queries, &r.content, &r.dcontent, &r.position, &r.dposition];
        own.into_iter().chain(positions).map(Vec::len).sum::<usize>() + r.index.len()
    }
}

/// Projected relative positions of one layer.
#[derive(Clone, Copy)]
pub(super) struct Positions<'a> {
    /// Which row belongs to which distance.
    pub relative: &'a Relative,
    /// `[2 span, 2 · heads · size]`: queries, then keys.
    pub projected: &'a [f32],
}

/// The attention of one pair.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    /// Instructions.
    pub level: Level,
    /// Heads.
    pub heads: usize,
    /// Width of one head.
    pub size: usize,
    /// Tokens of the pair.
    pub length: usize,
    /// Queries: so many of the first tokens.
    pub queries: usize,
    /// The first token's place in the whole batch.
    pub token: usize,
    /// How far a token sees; everything without it.
    pub window: Option<usize>,
    /// Relative positions; never with a window.
    pub positions: Option<Positions<'a>>,
    /// Dropout of the probabilities.
    pub dropped: Option<&'a Mask>,
}

/// A slice of at least `n` numbers, whatever they are.
pub(super) fn room(v: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if v.len() < n {
        v.resize(n, 0.0);
    }
    &mut v[..n]
}

/// The queries of a block and the keys that they meet.
struct Span {
    queries: Range<usize>,
    keys: Range<usize>,
    /// Length of a row of scores in memory.
    stride: usize,
}

impl<'a> Attention<'a> {
    fn scale(&self) -> f32 {
        let terms = if self.positions.is_some() { 3 } else { 1 };
        (1.0 / ((terms * self.size) as f64).sqrt()) as f32
    }

    fn rows(&self, head: usize, span: &Span) -> Option<DroppedRows<'a>> {
        let (token, key) = (self.token + span.queries.start, span.keys.start);
        self.dropped.map(|mask| DroppedRows { mask, heads: self.heads, head, token, key })
    }

    fn sight(&self, span: &Span) -> Option<Window> {
        self.window.map(|reach| Window { row: span.queries.start, key: span.keys.start, reach })
    }

    fn spans(&self) -> impl Iterator<Item = Span> + use<> {
        let (length, window, count) = (self.length, self.window, self.queries);
        (0..count).step_by(BLOCK).map(move |first| {
            let queries = first..(first + BLOCK).min(count);
            let keys = match window {
                None => 0..length,
                Some(w) => first.saturating_sub(w)..(queries.end + w).min(length),
            };
            let stride = keys.len().next_multiple_of(WIDTH);
            Span { queries, keys, stride }
        })
    }

    /// Most keys that a block meets.
    fn most(&self) -> usize {
        self.window.map_or(self.length, |w| (BLOCK + 2 * w).min(self.length))
    }

    /// `c` (`rows` by `columns`) = or += `a` · `b`.
    fn product(
        &self,
        a: (&[f32], Lies),
        b: &[f32],
        [rows, depth, columns]: [usize; 3],
        c: &mut [f32],
        c_stride: usize,
        store: Store<'_>,
    ) {
        let (a, lies) = a;
        self.level.run(Product { a, lies, rows, b, depth, columns, c, c_stride, store });
    }

    /// Rows of the table of relative positions that this pair's distances have.
    fn reach(&self, relative: &Relative) -> Range<usize> {
        let far = self.length as i64 - 1;
        relative.row(-far)..relative.row(far) + 1
    }

    /// Fills the index of distances, and packs a head's position keys; the scores of its positions with the keys.
    fn prepare(
        &self,
        p: &Positions<'_>,
        head: usize,
        keys: &[f32],
        room_for: &mut RelativeScratch,
    ) -> Range<usize> {
        let (size, width, rows) = (self.size, self.heads * self.size, self.reach(p.relative));
        let (far, stride) = (self.length as i64 - 1, self.length.next_multiple_of(WIDTH));
        room_for.index.clear();
        room_for.index.extend((-far..=far).map(|d| (p.relative.row(d) - rows.start) as u32));
        let from = &p.projected[rows.start * 2 * width..];
        let own = room(&mut room_for.keys, packed_len(size, rows.len()));
        pack_transposed(&from[width + head * size..], 2 * width, size, rows.len(), own);
        self.level.settle(own, size);
        let position = room(&mut room_for.position, rows.len() * stride);
        let queries = (&from[head * size..], Lies::Rows(2 * width));
        self.product(queries, keys, [rows.len(), size, stride], position, stride, Store::Set);
        rows
    }

    /// Adds the terms of relative positions to a block's scores.
    fn bias(
        &self,
        queries: &[f32],
        rows: usize,
        span: &Span,
        scores: &mut [f32],
        room_for: &mut RelativeScratch,
    ) {
        let width = self.heads * self.size;
        let stride = rows.next_multiple_of(WIDTH);
        let content = room(&mut room_for.content, span.queries.len() * stride);
        let sizes = [span.queries.len(), self.size, stride];
        self.product((queries, Lies::Rows(3 * width)), &room_for.keys, sizes, content, stride, Store::Set);
        Bias {
            scores,
            stride: span.stride,
            length: self.length,
            first: span.queries.start,
            index: &room_for.index,
            content: (content, stride),
            position: &room_for.position,
        }
        .add();
    }

    /// Context rows `[queries, heads · size]` from `qkv`; `stats` `[queries, heads]` keeps what backward needs.
    pub(super) fn forward(
        &self,
        qkv: &[f32],
        context: &mut [f32],
        mut stats: Option<&mut [Stat]>,
        scratch: &mut Scratch,
    ) {
        let Self { level, heads, size, .. } = *self;
        let width = heads * size;
        let most = self.most();
        let widest = most.next_multiple_of(WIDTH);
        let scores = room(&mut scratch.scores, BLOCK.min(self.length) * widest);
        let factors = room(&mut scratch.factors, widest);
        let keys = room(&mut scratch.keys, packed_len(size, most));
        let values = room(&mut scratch.values, packed_len(most, size));
        for head in 0..heads {
            let column = head * size;
            let mut rows = 0..0;
            for span in self.spans() {
                let (queries, n) = (span.queries.start, span.keys.len());
                if queries == 0 || self.window.is_some() {
                    let from = &qkv[span.keys.start * 3 * width + column..];
                    pack_transposed(&from[width..], 3 * width, size, n, keys);
                    pack(&from[2 * width..], 3 * width, n, size, values);
                    level.settle(&mut keys[..packed_len(size, n)], size);
                    level.settle(&mut values[..packed_len(n, size)], n);
                }
                let scores = &mut scores[..span.queries.len() * span.stride];
                let from = &qkv[queries * 3 * width + column..];
                let sizes = [span.queries.len(), size, span.stride];
                self.product((from, Lies::Rows(3 * width)), keys, sizes, scores, span.stride, Store::Set);
                if let Some(p) = &self.positions {
                    if queries == 0 {
                        rows = self.prepare(p, head, keys, &mut scratch.relative);
                    }
                    self.bias(from, rows.len(), &span, scores, &mut scratch.relative);
                }
                level.run(Softmax {
                    scores,
                    stride: span.stride,
                    length: n,
                    scale: self.scale(),
                    window: self.sight(&span),
                    dropped: self.rows(head, &span),
                    factors,
                    keep: stats.as_deref_mut().map(|s| (s, queries * heads + head, heads)),
                });
                let sizes = [span.queries.len(), n, size];
                let to = &mut context[queries * width + column..];
                self.product((scores, Lies::Rows(span.stride)), values, sizes, to, width, Store::Set);
            }
        }
    }

    /// Gradients of `qkv` from those of the context rows; those of the projected positions are added to `dpositions`,
    /// rows of which are so far apart.
    pub(super) fn backward(
        &self,
        qkv: &[f32],
        stats: &[Stat],
        dcontext: &[f32],
        dqkv: &mut [f32],
        mut dpositions: Option<(&mut [f32], usize)>,
        scratch: &mut Scratch,
    ) {
        let Self { level, heads, size, length, .. } = *self;
        let width = heads * size;
        let most = self.most();
        let widest = most.next_multiple_of(WIDTH);
        let scores = room(&mut scratch.scores, BLOCK.min(length) * widest);
        let grads = room(&mut scratch.grads, BLOCK.min(length) * widest);
        let factors = room(&mut scratch.factors, widest);
        let keys = room(&mut scratch.keys, packed_len(size, most));
        let values = room(&mut scratch.values, packed_len(size, most));
        let straight = room(&mut scratch.other, packed_len(most, size));
        let block = room(&mut scratch.block, packed_len(BLOCK.min(length), size));
        for (i, row) in dqkv.chunks_exact_mut(3 * width).take(length).enumerate() {
            row[if i < self.queries { width } else { 0 }..].fill(0.0);
        }
        for head in 0..heads {
            let (q, k, v) = (head * size, width + head * size, 2 * width + head * size);
            let mut rows = 0..0;
            for span in self.spans() {
                let (first, n, tall) = (span.queries.start, span.keys.len(), span.queries.len());
                if first == 0 || self.window.is_some() {
                    let from = &qkv[span.keys.start * 3 * width..];
                    pack_transposed(&from[k..], 3 * width, size, n, keys);
                    pack_transposed(&from[v..], 3 * width, size, n, values);
                    pack(&from[k..], 3 * width, n, size, straight);
                    level.settle(&mut keys[..packed_len(size, n)], size);
                    level.settle(&mut values[..packed_len(size, n)], size);
                    level.settle(&mut straight[..packed_len(n, size)], n);
                }
                let scores = &mut scores[..tall * span.stride];
                let grads = &mut grads[..tall * span.stride];
                let queries = &qkv[first * 3 * width + q..];
                let given = &dcontext[first * width + q..];
                let sizes = [tall, size, span.stride];
                self.product((queries, Lies::Rows(3 * width)), keys, sizes, scores, span.stride, Store::Set);
                self.product((given, Lies::Rows(width)), values, sizes, grads, span.stride, Store::Set);
                if let Some(p) = &self.positions {
                    if first == 0 {
                        rows = self.prepare(p, head, keys, &mut scratch.relative);
                        self.prepare_back(p, head, &rows, &mut scratch.relative);
                    }
                    self.bias(queries, rows.len(), &span, scores, &mut scratch.relative);
                }
                level.run(SoftmaxBackward {
                    scores,
                    d: grads,
                    stride: span.stride,
                    length: n,
                    scale: self.scale(),
                    window: self.sight(&span),
                    dropped: self.rows(head, &span),
                    factors,
                    kept: (stats, first * heads + head, heads),
                });
                let by_row = Lies::Rows(span.stride);
                let to = &mut dqkv[first * 3 * width + q..];
                self.product((grads, by_row), straight, [tall, n, size], to, 3 * width, Store::Set);
                let by_column = Lies::Columns(span.stride);
                for (source, source_stride, a, to) in
                    [(given, width, &*scores, v), (queries, 3 * width, &*grads, k)]
                {
                    pack(source, source_stride, tall, size, block);
                    level.settle(&mut block[..packed_len(tall, size)], tall);
                    let to = &mut dqkv[span.keys.start * 3 * width + to..];
                    self.product((a, by_column), block, [n, tall, size], to, 3 * width, Store::Add);
                }
                if let Some((dpositions, apart)) = &mut dpositions {
                    // `block` holds the queries.
                    let room_for = &mut scratch.relative;
                    let stride = rows.len().next_multiple_of(WIDTH);
                    let dcontent = room(&mut room_for.dcontent, tall * stride);
                    dcontent.fill(0.0);
                    Spread {
                        grads,
                        stride: span.stride,
                        length,
                        first,
                        index: &room_for.index,
                        content: (&mut *dcontent, stride),
                        position: &mut room_for.dposition,
                    }
                    .add();
                    let to = &mut dqkv[first * 3 * width + q..];
                    let sizes = [tall, rows.len(), size];
                    self.product(
                        (dcontent, Lies::Rows(stride)),
                        &room_for.straight,
                        sizes,
                        to,
                        3 * width,
                        Store::Add,
                    );
                    let to = &mut dpositions[rows.start * *apart + k..];
                    let sizes = [rows.len(), tall, size];
                    self.product((dcontent, Lies::Columns(stride)), block, sizes, to, *apart, Store::Add);
                }
            }
            if let Some((dpositions, apart)) = &mut dpositions {
                let (room_for, stride) = (&scratch.relative, length.next_multiple_of(WIDTH));
                let sizes = [length, rows.len(), size];
                let by_column = (&room_for.dposition[..], Lies::Columns(stride));
                self.product(by_column, &room_for.queries, sizes, &mut dqkv[k..], 3 * width, Store::Add);
                let to = &mut dpositions[rows.start * *apart + q..];
                let by_row = (&room_for.dposition[..], Lies::Rows(stride));
                self.product(by_row, straight, [rows.len(), length, size], to, *apart, Store::Add);
            }
        }
    }

    /// Packs what only backward needs of a head's positions.
    fn prepare_back(
        &self,
        p: &Positions<'_>,
        head: usize,
        rows: &Range<usize>,
        room_for: &mut RelativeScratch,
    ) {
        let (size, width) = (self.size, self.heads * self.size);
        let from = &p.projected[rows.start * 2 * width..];
        let straight = room(&mut room_for.straight, packed_len(rows.len(), size));
        pack(&from[width + head * size..], 2 * width, rows.len(), size, straight);
        self.level.settle(straight, rows.len());
        let queries = room(&mut room_for.queries, packed_len(rows.len(), size));
        pack(&from[head * size..], 2 * width, rows.len(), size, queries);
        self.level.settle(queries, rows.len());
        room(&mut room_for.dposition, rows.len() * self.length.next_multiple_of(WIDTH)).fill(0.0);
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
