//! One layer of a post-norm encoder over a group of whole pairs, forward and backward; [`super::pre_layer`] is that of a
//! pre-norm encoder.
//!
//! A group is one thread's; every row's result depends on its own pair only, so how pairs are grouped changes no
//! bit. Sums over tokens (gradients of parameters) are not made here: backward leaves what they need in place and
//! [`super::gradients`] makes them over the whole batch in one order. Only the norms' are begun here, pair by pair.

use std::ops::Range;

use super::activate::{Activate, ActivateBackward, ActivateInPlace};
use super::attention::{Attention, Positions, room};
use super::lanes::Level;
use super::norm::{Affine, At, Dropped, Norm, NormBackward};
use super::pool::Scratch;
use super::product::{Lies, Product, Store};
use super::softmax::Stat;
use super::weights::{Layer, PackedLayer, Pair, with_bias};
use crate::layers::activation::Activation;
use crate::layers::dropout::Mask;

/// Rows that pass through a sub-layer together, while they are in the second cache.
pub(super) const BLOCK: usize = 96;

/// What all layers share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub level: Level,
    /// Width of the embeddings.
    pub width: usize,
    pub hidden: usize,
    pub heads: usize,
    /// Width of the feed-forward layer behind activation and gate.
    pub inner: usize,
    /// Whether the activation is multiplied by a gate.
    pub gated: bool,
    pub epsilon: f32,
    pub activation: Activation,
}

impl Shape {
    /// Width of the feed-forward layer before activation and gate.
    pub(super) fn up(&self) -> usize {
        if self.gated { 2 * self.inner } else { self.inner }
    }
}

/// Dropout of one layer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    pub attention: Option<Mask>,
    pub attention_output: Option<Mask>,
    pub output: Option<Mask>,
}

/// What one layer's attention sees, and of what places.
#[derive(Clone, Copy)]
pub(super) struct Sees<'a> {
    /// How far a token sees; everything without it.
    pub window: Option<usize>,
    /// cos and sin of the rotary angles, `[places, size / 2]`.
    pub angles: (&'a [f32], &'a [f32]),
}

/// One layer's parameters.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub shape: Shape,
    pub places: &'a Layer,
    pub weights: &'a [f32],
    pub packed: &'a PackedLayer,
    /// As wide as the hidden states: β of norms that have none.
    pub zeros: &'a [f32],
    pub masks: Masks,
    /// Windows and rotary positions.
    pub sight: Option<Sees<'a>>,
    /// Relative positions.
    pub positions: Option<Positions<'a>>,
    /// Whether only the first token of each pair leaves the layer, as when the head reads no other. States that leave
    /// stand at the front then, a row for each pair.
    pub first_only: bool,
}

/// Which pairs.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// Places of the pairs in the batch.
    pub pairs: Range<usize>,
    /// Where all pairs of the batch begin.
    pub starts: &'a [usize],
    /// The batch's first token's place in the whole batch.
    pub base: usize,
}

impl Group<'_> {
    /// Their tokens' places in the batch.
    pub(super) fn tokens(&self) -> Range<usize> {
        self.starts[self.pairs.start]..self.starts[self.pairs.end]
    }

    /// The first token's place in the whole batch, which addresses dropout.
    pub(super) fn place(&self) -> usize {
        self.base + self.tokens().start
    }

    /// Each pair's tokens, counted from the group's first.
    pub(super) fn each(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let first = self.starts[self.pairs.start];
        self.pairs.clone().map(move |i| self.starts[i] - first..self.starts[i + 1] - first)
    }
}

/// What a layer's backward pass needs of a group, by token; all but `qkv` by pair where only first tokens leave.
pub(super) struct Kept<'a> {
    /// Queries, keys, values: 3 · hidden.
    pub qkv: &'a mut [f32],
    /// Softmax statistics: heads.
    pub stats: &'a mut [Stat],
    /// Attention output: hidden.
    pub context: &'a mut [f32],
    /// Input of the activation: inner, twice with a gate. Backward leaves the output (in the first halves of rows).
    pub up: &'a mut [f32],
    /// x̂ of the first norm: hidden. Backward leaves the norm's output.
    pub hat1: &'a mut [f32],
    /// ρ of the first norm.
    pub rho1: &'a mut [f32],
    /// x̂ of the second norm: hidden.
    pub hat2: &'a mut [f32],
    /// ρ of the second norm.
    pub rho2: &'a mut [f32],
}

impl Kept<'_> {
    /// The same room for another forward pass.
    pub(super) fn again(&mut self) -> Kept<'_> {
        Kept {
            qkv: self.qkv,
            stats: self.stats,
            context: self.context,
            up: self.up,
            hat1: self.hat1,
            rho1: self.rho1,
            hat2: self.hat2,
            rho2: self.rho2,
        }
    }
}

/// Gradients that backward leaves for [`super::gradients`], by token; `attention`, `output` and `up` by pair where only
/// first tokens leave.
pub(super) struct Left<'a> {
    /// Of the output projection's result: hidden.
    pub attention: &'a mut [f32],
    /// Of the feed-forward part's result: hidden.
    pub output: &'a mut [f32],
    /// Of the activation's input: inner, twice with a gate.
    pub up: &'a mut [f32],
    /// Of queries, keys and values: 3 · hidden.
    pub qkv: &'a mut [f32],
    /// By pair: γ and β of the first norm, γ and β of the second; zero before.
    pub norms: &'a mut [f32],
    /// Of projected relative positions, `[2 span, …]`; zero before.
    pub positions: &'a mut [f32],
}

impl<'a> Parts<'a> {
    pub(super) fn product(
        &self,
        a: &[f32],
        depth: usize,
        b: &[f32],
        columns: usize,
        c: &mut [f32],
        store: Store<'_>,
    ) {
        let (rows, lies) = (c.len() / columns, Lies::Rows(depth));
        let level = self.shape.level;
        level.run(Product { a, lies, rows, b, depth, columns, c, c_stride: columns, store });
    }

    pub(super) fn weight(&self, range: &Range<usize>) -> &'a [f32] {
        &self.weights[range.clone()]
    }

    /// γ and β of a norm.
    pub(super) fn affine(&self, norm: &Pair) -> (&'a [f32], &'a [f32]) {
        (self.weight(&norm.weight), if norm.bias.is_empty() { self.zeros } else { self.weight(&norm.bias) })
    }

    /// The attention of a pair of a group whose first token has this place.
    pub(super) fn attention(&'a self, token: usize, pair: &Range<usize>) -> Attention<'a> {
        let Shape { level, hidden, heads, .. } = self.shape;
        Attention {
            level,
            heads,
            size: hidden / heads,
            length: pair.len(),
            queries: if self.first_only { 1 } else { pair.len() },
            token: token + pair.start,
            window: self.sight.and_then(|s| s.window),
            positions: self.positions,
            dropped: self.masks.attention.as_ref(),
        }
    }

    /// Rows of those that leave the layer, pair by pair, with the pair's tokens.
    fn leaving<'b>(
        &self,
        group: &'b Group<'_>,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<'b> {
        let first_only = self.first_only;
        group
            .each()
            .enumerate()
            .map(move |(i, pair)| (if first_only { i..i + 1 } else { pair.clone() }, pair))
    }

    /// Hidden states in, hidden states out, in place.
    pub(super) fn forward(
        &self,
        group: &Group<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
        kept: Option<Kept<'_>>,
    ) {
        let Shape { level, hidden, heads, inner, epsilon, activation, .. } = self.shape;
        let token = group.place();
        let n = group.tokens().len();
        // Queries to context go where they are kept, or into scratch; the rest is kept block by block.
        let (qkv, context, mut stats, mut rest) = match kept {
            Some(Kept { qkv, stats, context, up, hat1, rho1, hat2, rho2 }) => {
                (qkv, context, Some(stats), Some((up, (hat1, rho1), (hat2, rho2))))
            }
            None => {
                (room(&mut scratch.qkv, n * 3 * hidden), room(&mut scratch.context, n * hidden), None, None)
            }
        };
        let stack = &self.packed.qkv;
        self.product(x, hidden, &stack.linear.forward, 3 * hidden, qkv, with_bias(&stack.bias));
        let (gamma1, beta1) = self.places.norm1.as_ref().map_or((&[][..], &[][..]), |n| self.affine(n));
        let (gamma2, beta2) = self.affine(&self.places.norm2);
        let (mut leave, mut places) = (n, Vec::new());
        for (rows, pair) in self.leaving(group) {
            let attention = self.attention(token, &pair);
            let stats = stats.as_deref_mut().map(|s| &mut s[rows.start * heads..rows.end * heads]);
            attention.forward(
                &qkv[pair.start * 3 * hidden..pair.end * 3 * hidden],
                &mut context[rows.start * hidden..rows.end * hidden],
                stats,
                &mut scratch.attention,
            );
            if self.first_only {
                // A row moves to the front, past those that were moved before.
                x.copy_within(pair.start * hidden..(pair.start + 1) * hidden, rows.start * hidden);
                places.push(((token + pair.start) * hidden) as u64);
                leave = rows.end;
            }
        }
        for first in (0..leave).step_by(BLOCK) {
            let rows = first..(first + BLOCK).min(leave);
            let wide = rows.start * hidden..rows.end * hidden;
            let x = &mut x[wide.clone()];
            let z = room(&mut scratch.z, x.len());
            let dropped = |mask| {
                let at = match places.get(rows.clone()) {
                    Some(places) if self.first_only => At::Each(places),
                    _ => At::From(((token + first) * hidden) as u64),
                };
                Dropped { mask, at }
            };

            let bias = with_bias(self.weight(&self.places.output.bias));
            self.product(&context[wide.clone()], hidden, &self.packed.output.forward, hidden, z, bias);
            level.run(Norm {
                x,
                z: Some(&mut *z),
                dropped: self.masks.attention_output.as_ref().map(dropped),
                gamma: gamma1,
                beta: beta1,
                epsilon,
                keep: rest.as_mut().map(|(_, k, _)| (&mut k.0[wide.clone()], &mut k.1[rows.clone()])),
            });

            let bias = with_bias(self.weight(&self.places.up.bias));
            let active = room(&mut scratch.inner, rows.len() * inner);
            match &mut rest {
                None => {
                    self.product(x, hidden, &self.packed.up.forward, inner, active, bias);
                    level.run(ActivateInPlace { activation, x: active });
                }
                Some((k, _, _)) => {
                    let before = &mut k[rows.start * inner..rows.end * inner];
                    self.product(x, hidden, &self.packed.up.forward, inner, before, bias);
                    level.run(Activate { activation, from: before, to: active });
                }
            }
            let bias = with_bias(self.weight(&self.places.down.bias));
            self.product(active, inner, &self.packed.down.forward, hidden, z, bias);
            level.run(Norm {
                x,
                z: Some(z),
                dropped: self.masks.output.as_ref().map(dropped),
                gamma: gamma2,
                beta: beta2,
                epsilon,
                keep: rest.as_mut().map(|(_, _, k)| (&mut k.0[wide.clone()], &mut k.1[rows.clone()])),
            });
        }
    }

    /// Gradient of the output in, of the input out, in place of `d`.
    pub(super) fn backward(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        kept: &mut Kept<'_>,
        left: &mut Left<'_>,
    ) {
        let Shape { level, hidden, heads, inner, activation, .. } = self.shape;
        let token = group.place();
        let n = group.tokens().len();
        let (gamma1, beta1) = self.places.norm1.as_ref().map_or((&[][..], &[][..]), |n| self.affine(n));
        let (gamma2, _) = self.affine(&self.places.norm2);
        let mut norms: Vec<_> = left.norms.chunks_exact_mut(4 * hidden).collect();
        let dropped = |mask, pair: &Range<usize>| {
            let at = At::From(((token + pair.start) * hidden) as u64);
            Dropped { mask, at }
        };
        let leave = if self.first_only { group.pairs.len() } else { n };

        for ((rows, pair), norms) in self.leaving(group).zip(&mut norms) {
            let wide = rows.start * hidden..rows.end * hidden;
            let (dgamma, dbeta) = norms[2 * hidden..].split_at_mut(hidden);
            level.run(NormBackward {
                d: &mut d[wide.clone()],
                dz: Some(&mut left.output[wide.clone()]),
                dropped: self.masks.output.as_ref().map(|m| dropped(m, &pair)),
                hat: &kept.hat2[wide],
                rho: &kept.rho2[rows],
                gamma: gamma2,
                dgamma,
                dbeta,
            });
        }
        for first in (0..leave).step_by(BLOCK) {
            let rows = first..(first + BLOCK).min(leave);
            let wide = rows.start * hidden..rows.end * hidden;
            let active = rows.start * inner..rows.end * inner;
            let dinner = &mut left.up[active.clone()];
            self.product(
                &left.output[wide.clone()],
                hidden,
                &self.packed.down.backward,
                inner,
                dinner,
                Store::Set,
            );
            level.run(ActivateBackward { activation, x: &mut kept.up[active], d: dinner });
            self.product(dinner, inner, &self.packed.up.backward, hidden, &mut d[wide], Store::Add);
        }
        for ((rows, pair), norms) in self.leaving(group).zip(&mut norms) {
            let wide = rows.start * hidden..rows.end * hidden;
            let (dgamma, dbeta) = norms[..2 * hidden].split_at_mut(hidden);
            level.run(NormBackward {
                d: &mut d[wide.clone()],
                dz: Some(&mut left.attention[wide.clone()]),
                dropped: self.masks.attention_output.as_ref().map(|m| dropped(m, &pair)),
                hat: &kept.hat1[wide.clone()],
                rho: &kept.rho1[rows],
                gamma: gamma1,
                dgamma,
                dbeta,
            });
            level.run(Affine { x: &mut kept.hat1[wide], gamma: gamma1, beta: beta1 });
        }
        let dcontext = room(&mut scratch.context, leave * hidden);
        self.product(left.attention, hidden, &self.packed.output.backward, hidden, dcontext, Store::Set);
        if self.first_only {
            // Back to their places, the last first; the other tokens have no gradient from here.
            let pairs: Vec<_> = self.leaving(group).collect();
            for (row, pair) in pairs.into_iter().rev() {
                d.copy_within(row.start * hidden..row.end * hidden, pair.start * hidden);
                d[(pair.start + 1) * hidden..pair.end * hidden].fill(0.0);
            }
        }
        for (rows, pair) in self.leaving(group) {
            let attention = self.attention(token, &pair);
            let wide = pair.start * 3 * hidden..pair.end * 3 * hidden;
            let positions = self.positions.map(|p| {
                let apart = left.positions.len() / (2 * p.relative.span);
                (&mut *left.positions, apart)
            });
            attention.backward(
                &kept.qkv[wide.clone()],
                &kept.stats[rows.start * heads..rows.end * heads],
                &dcontext[rows.start * hidden..rows.end * hidden],
                &mut left.qkv[wide],
                positions,
                &mut scratch.attention,
            );
        }
        self.product(left.qkv, 3 * hidden, &self.packed.qkv.linear.backward, hidden, d, Store::Add);
    }
}
