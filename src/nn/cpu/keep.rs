//! What a forward pass keeps for backward, and what backward works in: memory that grows to the largest batch seen
//! and is used again.

use super::layer::{Group, Kept, Left, Shape};
use super::softmax::Stat;
use super::spec::Spec;
use crate::Packed;

/// Of one layer, by token; see [`Kept`].
#[derive(Debug, Default)]
pub(super) struct KeptLayer {
    pub qkv: Vec<f32>,
    pub stats: Vec<Stat>,
    pub context: Vec<f32>,
    pub up: Vec<f32>,
    pub hat1: Vec<f32>,
    pub rho1: Vec<f32>,
    pub hat2: Vec<f32>,
    pub rho2: Vec<f32>,
    /// Projected relative positions, when they were dropped: `[2 span, 2 · hidden]`.
    pub projected: Vec<f32>,
}

/// Of a whole batch.
#[derive(Debug, Default)]
pub(super) struct Keep {
    /// x̂ and ρ of the embeddings' norm.
    pub hat: Vec<f32>,
    pub rho: Vec<f32>,
    /// With recomputation only the last two have room; that of the first of them moves on in backward.
    pub layers: Vec<KeptLayer>,
    /// With recomputation: the layers' inputs, `[tokens, hidden]` each.
    pub inputs: Vec<Vec<f32>>,
    /// x̂ and ρ of a pre-norm encoder's last norm.
    pub last_hat: Vec<f32>,
    pub last_rho: Vec<f32>,
    /// What was pooled of each pair, dropped, and the dense layer's result.
    pub pooled: Vec<f32>,
    pub before: Vec<f32>,
}

/// What backward works in; see [`Left`].
#[derive(Debug, Default)]
pub(super) struct Work {
    pub d: Vec<f32>,
    pub attention: Vec<f32>,
    pub output: Vec<f32>,
    pub up: Vec<f32>,
    pub qkv: Vec<f32>,
    pub norms: Vec<f32>,
    /// Inputs of the layer.
    pub x: Vec<f32>,
    /// Embeddings behind norm and dropout, and their gradient.
    pub embedded: Vec<f32>,
    pub dembedded: Vec<f32>,
    /// By group: gradients of a layer's projected relative positions.
    pub positions: Vec<f32>,
    /// By group: gradients of the table of relative positions.
    pub table: Vec<f32>,
    /// Packed inputs of all products.
    pub panels: Vec<f32>,
}

/// Numbers of a layer's buffers for so many tokens, `rows` of which leave it, in the order of [`KeptLayer`]'s fields up to
/// `rho2`; statistics count once and are two numbers each.
fn layer(tokens: usize, rows: usize, shape: &Shape) -> [usize; 8] {
    let Shape { hidden, heads, .. } = *shape;
    let wide = rows * hidden;
    [tokens * 3 * hidden, rows * heads, wide, rows * shape.up(), wide, rows, wide, rows]
}

pub(super) fn size<T: Clone + Default>(v: &mut Vec<T>, n: usize) {
    if v.capacity() < n {
        // Nothing of the old content is needed, and giving it back first keeps the peak low.
        *v = Vec::new();
    }
    v.resize(n, T::default());
}

impl Keep {
    /// Makes room for a batch; `last` where there is a last norm.
    pub(super) fn size(&mut self, batch: &Packed, spec: &Spec, last: bool, recompute: bool) {
        let (tokens, pairs, layers, shape) = (batch.tokens(), batch.len(), spec.layers, &spec.shape);
        let Shape { width, hidden, .. } = *shape;
        size(&mut self.hat, tokens * width);
        size(&mut self.rho, tokens);
        size(&mut self.pooled, pairs * hidden);
        size(&mut self.before, pairs * hidden);
        size(&mut self.last_hat, if last { tokens * hidden } else { 0 });
        size(&mut self.last_rho, if last { tokens } else { 0 });
        self.layers.resize_with(layers, KeptLayer::default);
        self.inputs.resize_with(if recompute { layers } else { 0 }, Vec::new);
        for x in &mut self.inputs {
            size(x, tokens * hidden);
        }
        let roomy = self.layers.iter_mut().enumerate().rev();
        for (i, l) in roomy.take(if recompute { 2 } else { layers }) {
            let rows = if spec.first_only(i) { pairs } else { tokens };
            let [qkv, stats, context, up, hat1, rho1, hat2, rho2] = layer(tokens, rows, shape);
            size(&mut l.qkv, qkv);
            size(&mut l.stats, stats);
            size(&mut l.context, context);
            size(&mut l.up, up);
            size(&mut l.hat1, hat1);
            size(&mut l.rho1, rho1);
            size(&mut l.hat2, hat2);
            size(&mut l.rho2, rho2);
        }
    }

    /// How many numbers [`Self::size`] makes room for, and dropped relative positions.
    pub(super) fn numbers(tokens: usize, pairs: usize, spec: &Spec, last: bool, recompute: bool) -> usize {
        let Shape { width, hidden, .. } = spec.shape;
        let layers = (0..spec.layers).rev().take(if recompute { 2 } else { spec.layers }).map(|l| {
            let all = layer(tokens, if spec.first_only(l) { pairs } else { tokens }, &spec.shape);
            all.iter().sum::<usize>() + all[1]
        });
        let inputs = if recompute { spec.layers * tokens * hidden } else { 0 };
        let last = if last { tokens * (hidden + 1) } else { 0 };
        let positions = spec.relative.map_or(0, |r| spec.layers * 2 * r.span * 2 * hidden);
        layers.sum::<usize>() + inputs + last + positions + tokens * (width + 1) + pairs * 2 * hidden
    }

    /// How many numbers it holds.
    pub(super) fn held(&self) -> usize {
        let layer = |l: &KeptLayer| {
            let all = [&l.qkv, &l.context, &l.up, &l.hat1, &l.rho1, &l.hat2, &l.rho2, &l.projected];
            all.map(Vec::len).iter().sum::<usize>() + 2 * l.stats.len()
        };
        let one = [&self.hat, &self.rho, &self.last_hat, &self.last_rho, &self.pooled, &self.before];
        one.into_iter().chain(&self.inputs).map(Vec::len).sum::<usize>()
            + self.layers.iter().map(layer).sum::<usize>()
    }
}

impl Work {
    /// Makes room for a batch.
    pub(super) fn size(&mut self, tokens: usize, pairs: usize, shape: &Shape) {
        let Shape { width, hidden, .. } = *shape;
        for v in [&mut self.d, &mut self.attention, &mut self.output, &mut self.x] {
            size(v, tokens * hidden);
        }
        size(&mut self.up, tokens * shape.up());
        size(&mut self.qkv, tokens * 3 * hidden);
        size(&mut self.norms, pairs * 4 * hidden.max(width));
    }

    /// How many numbers it holds after a backward pass, the stream's gradient given back.
    pub(super) fn held(&self) -> usize {
        let Self { d, attention, output, up, qkv, norms, x, embedded, dembedded, positions, table, panels } =
            self;
        [d, attention, output, up, qkv, norms, x, embedded, dembedded, positions, table, panels]
            .map(Vec::len)
            .iter()
            .sum()
    }
}

/// Cuts a buffer with `width` numbers a token into the groups' shares.
pub(super) fn by_token<'a, T>(v: &'a mut [T], width: usize, groups: &[Group<'_>]) -> Vec<&'a mut [T]> {
    cut(v, groups.iter().map(|g| g.tokens().len() * width))
}

/// Cuts a buffer with `width` numbers a pair into the groups' shares.
pub(super) fn by_pair<'a, T>(v: &'a mut [T], width: usize, groups: &[Group<'_>]) -> Vec<&'a mut [T]> {
    cut(v, groups.iter().map(|g| g.pairs.len() * width))
}

/// The one or the other.
fn by_row<'a, T>(v: &'a mut [T], width: usize, groups: &[Group<'_>], by_pairs: bool) -> Vec<&'a mut [T]> {
    if by_pairs { by_pair(v, width, groups) } else { by_token(v, width, groups) }
}

fn cut<T>(mut v: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut out = Vec::new();
    for n in lengths {
        let (own, rest) = std::mem::take(&mut v).split_at_mut(n);
        out.push(own);
        v = rest;
    }
    out
}

impl KeptLayer {
    /// Takes over another layer's room.
    pub(super) fn take_room(&mut self, from: &mut Self) {
        let projected = std::mem::take(&mut self.projected);
        let there = std::mem::take(&mut from.projected);
        *self = Self { projected, ..std::mem::take(from) };
        from.projected = there;
    }

    /// The groups' shares.
    pub(super) fn split(&mut self, shape: &Shape, groups: &[Group<'_>], first_only: bool) -> Vec<Kept<'_>> {
        let Shape { hidden, heads, .. } = *shape;
        let qkv = by_token(&mut self.qkv, 3 * hidden, groups);
        let stats = by_row(&mut self.stats, heads, groups, first_only);
        let context = by_row(&mut self.context, hidden, groups, first_only);
        let up = by_row(&mut self.up, shape.up(), groups, first_only);
        let hat1 = by_row(&mut self.hat1, hidden, groups, first_only);
        let rho1 = by_row(&mut self.rho1, 1, groups, first_only);
        let hat2 = by_row(&mut self.hat2, hidden, groups, first_only);
        let rho2 = by_row(&mut self.rho2, 1, groups, first_only);
        let first = qkv.into_iter().zip(stats).zip(context).zip(up);
        let second = hat1.into_iter().zip(rho1).zip(hat2.into_iter().zip(rho2));
        first
            .zip(second)
            .map(|((((qkv, stats), context), up), ((hat1, rho1), (hat2, rho2)))| Kept {
                qkv,
                stats,
                context,
                up,
                hat1,
                rho1,
                hat2,
                rho2,
            })
            .collect()
    }
}

/// The groups' shares of what backward leaves.
pub(super) fn left<'a>(
    buffers: [&'a mut [f32]; 5],
    positions: &'a mut [f32],
    shape: &Shape,
    groups: &[Group<'_>],
    first_only: bool,
) -> Vec<Left<'a>> {
    let hidden = shape.hidden;
    let [attention, output, up, qkv, norms] = buffers;
    let share = positions.len() / groups.len().max(1);
    let positions = cut(positions, groups.iter().map(|_| share));
    let output = by_row(output, hidden, groups, first_only);
    let first = by_row(attention, hidden, groups, first_only).into_iter().zip(output);
    let up = by_row(up, shape.up(), groups, first_only);
    let second = up.into_iter().zip(by_token(qkv, 3 * hidden, groups));
    first
        .zip(second)
        .zip(by_pair(norms, 4 * hidden, groups).into_iter().zip(positions))
        .map(|(((attention, output), (up, qkv)), (norms, positions))| Left {
            attention,
            output,
            up,
            qkv,
            norms,
            positions,
        })
        .collect()
}
