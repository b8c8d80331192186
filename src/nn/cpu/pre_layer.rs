//! One layer of a pre-norm encoder over a group of whole pairs, forward and backward: rotary positions, windows, a gated
//! feed-forward part. What [`super::layer`] says of groups and sums holds here too.

use std::ops::Range;

use super::activate::{Gate, GateBackward};
use super::attention::room;
use super::layer::{BLOCK, Group, Kept, Left, Parts, Sees, Shape};
use super::mask::Drop;
use super::norm::{Affine, Norm, NormBackward};
use super::pool::Scratch;
use super::product::Store;
use super::weights::{Pair, with_bias};
use crate::layers::dropout::Mask;

/// Turns queries and keys of a pair's rows by their places, or back.
fn rotate(qkv: &mut [f32], hidden: usize, size: usize, (cos, sin): (&[f32], &[f32]), back: bool) {
    let half = size / 2;
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (row, (cos, sin)) in qkv.chunks_exact_mut(3 * hidden).zip(angles) {
        for head in row[..2 * hidden].chunks_exact_mut(size) {
            let (a, b) = head.split_at_mut(half);
            for ((a, b), (c, s)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                let s = if back { -s } else { *s };
                (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
            }
        }
    }
}

fn add(x: &mut [f32], z: &[f32]) {
    x.iter_mut().zip(z).for_each(|(x, z)| *x += z);
}

impl Parts<'_> {
    fn drop(&self, mask: Option<&Mask>, first: usize, x: &mut [f32]) {
        if let Some(mask) = mask {
            self.shape.level.run(Drop { mask, first: first as u64, x });
        }
    }

    fn norm(&self, norm: &Pair, x: &mut [f32], keep: Option<(&mut [f32], &mut [f32])>) {
        let (gamma, beta) = self.affine(norm);
        let epsilon = self.shape.epsilon;
        self.shape.level.run(Norm { x, z: None, dropped: None, gamma, beta, epsilon, keep });
    }

    /// Backward of a norm before a sub-layer: `y` holds the gradient of its result, which is added to the stream's `d`;
    /// x̂ becomes the norm's result.
    fn norm_backward(
        &self,
        norm: &Pair,
        y: &mut [f32],
        (hat, rho): (&mut [f32], &[f32]),
        shares: &mut [f32],
        d: &mut [f32],
    ) {
        let (gamma, beta) = self.affine(norm);
        let (dgamma, dbeta) = shares.split_at_mut(self.shape.hidden);
        let level = self.shape.level;
        level.run(NormBackward { d: y, dz: None, dropped: None, hat, rho, gamma, dgamma, dbeta });
        add(d, y);
        level.run(Affine { x: hat, gamma, beta });
    }

    /// Hidden states in, hidden states out, in place.
    pub(super) fn forward_pre(
        &self,
        group: &Group<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
        kept: Option<Kept<'_>>,
    ) {
        let Shape { level, hidden, heads, inner, activation, .. } = self.shape;
        let (token, n) = (group.place(), group.tokens().len());
        let (qkv, context, mut stats, mut rest, first) = match kept {
            Some(Kept { qkv, stats, context, up, hat1, rho1, hat2, rho2 }) => {
                (qkv, context, Some(stats), Some((up, hat2, rho2)), Some((hat1, rho1)))
            }
            None => {
                let (qkv, context) = (&mut scratch.qkv, &mut scratch.context);
                (room(qkv, n * 3 * hidden), room(context, n * hidden), None, None, None)
            }
        };
        let y = room(&mut scratch.y, n * hidden);
        y.copy_from_slice(x);
        if let Some(norm) = &self.places.norm1 {
            self.norm(norm, y, first);
        }
        let stack = &self.packed.qkv;
        self.product(y, hidden, &stack.linear.forward, 3 * hidden, qkv, with_bias(&stack.bias));
        for pair in group.each() {
            let qkv = &mut qkv[pair.start * 3 * hidden..pair.end * 3 * hidden];
            if let Some(Sees { angles, .. }) = self.sight {
                rotate(qkv, hidden, hidden / heads, angles, false);
            }
            let stats = stats.as_deref_mut().map(|s| &mut s[pair.start * heads..pair.end * heads]);
            let context = &mut context[pair.start * hidden..pair.end * hidden];
            self.attention(token, &pair).forward(qkv, context, stats, &mut scratch.attention);
        }
        for first in (0..n).step_by(BLOCK) {
            let rows = first..(first + BLOCK).min(n);
            let wide = rows.start * hidden..rows.end * hidden;
            let (x, y) = (&mut x[wide.clone()], &mut y[wide.clone()]);
            let z = room(&mut scratch.z, x.len());
            let bias = with_bias(self.weight(&self.places.output.bias));
            self.product(&context[wide.clone()], hidden, &self.packed.output.forward, hidden, z, bias);
            self.drop(self.masks.attention_output.as_ref(), (token + first) * hidden, z);
            add(x, z);
            y.copy_from_slice(x);
            let keep = rest.as_mut().map(|k| (&mut k.1[wide.clone()], &mut k.2[rows.clone()]));
            self.norm(&self.places.norm2, y, keep);
            let up = match &mut rest {
                Some(k) => &mut k.0[rows.start * 2 * inner..rows.end * 2 * inner],
                None => room(&mut scratch.wide, rows.len() * 2 * inner),
            };
            let bias = with_bias(self.weight(&self.places.up.bias));
            self.product(y, hidden, &self.packed.up.forward, 2 * inner, up, bias);
            let active = room(&mut scratch.inner, rows.len() * inner);
            level.run(Gate { activation, width: inner, from: up, to: active });
            self.drop(self.masks.output.as_ref(), (token + first) * inner, active);
            let bias = with_bias(self.weight(&self.places.down.bias));
            self.product(active, inner, &self.packed.down.forward, hidden, z, bias);
            add(x, z);
        }
    }

    /// Gradient of the output in, of the input out, in place of `d`.
    pub(super) fn backward_pre(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        kept: &mut Kept<'_>,
        left: &mut Left<'_>,
    ) {
        let Shape { level, hidden, heads, inner, activation, .. } = self.shape;
        let (token, n) = (group.place(), group.tokens().len());
        let mut norms: Vec<_> = left.norms.chunks_exact_mut(4 * hidden).collect();
        let y = room(&mut scratch.y, n * hidden);

        left.output.copy_from_slice(d);
        for first in (0..n).step_by(BLOCK) {
            let rows = first..(first + BLOCK).min(n);
            let wide = rows.start * hidden..rows.end * hidden;
            let twice = rows.start * 2 * inner..rows.end * 2 * inner;
            let dactive = room(&mut scratch.inner, rows.len() * inner);
            let (output, packed) = (&left.output[wide.clone()], &self.packed.down.backward);
            self.product(output, hidden, packed, inner, dactive, Store::Set);
            let mask = self.masks.output.as_ref();
            self.drop(mask, (token + first) * inner, dactive);
            let (x, dx) = (&mut kept.up[twice.clone()], &mut left.up[twice]);
            level.run(GateBackward { activation, width: inner, x: &mut *x, d: dactive, dx: &mut *dx });
            for (row, x) in x.chunks_exact_mut(2 * inner).enumerate() {
                self.drop(mask, (token + first + row) * inner, &mut x[..inner]);
            }
            self.product(dx, 2 * inner, &self.packed.up.backward, hidden, &mut y[wide], Store::Set);
        }
        let wide = |pair: &Range<usize>| pair.start * hidden..pair.end * hidden;
        for (pair, norms) in group.each().zip(&mut norms) {
            let at = wide(&pair);
            let states = (&mut kept.hat2[at.clone()], &kept.rho2[pair]);
            self.norm_backward(
                &self.places.norm2,
                &mut y[at.clone()],
                states,
                &mut norms[2 * hidden..],
                &mut d[at],
            );
        }
        left.attention.copy_from_slice(d);
        self.drop(self.masks.attention_output.as_ref(), token * hidden, left.attention);
        let dcontext = room(&mut scratch.context, n * hidden);
        self.product(left.attention, hidden, &self.packed.output.backward, hidden, dcontext, Store::Set);
        for pair in group.each() {
            let at = pair.start * 3 * hidden..pair.end * 3 * hidden;
            self.attention(token, &pair).backward(
                &kept.qkv[at.clone()],
                &kept.stats[pair.start * heads..pair.end * heads],
                &dcontext[wide(&pair)],
                &mut left.qkv[at.clone()],
                None,
                &mut scratch.attention,
            );
            if let Some(Sees { angles, .. }) = self.sight {
                rotate(&mut left.qkv[at], hidden, hidden / heads, angles, true);
            }
        }
        let packed = &self.packed.qkv.linear.backward;
        let Some(norm) = &self.places.norm1 else {
            return self.product(left.qkv, 3 * hidden, packed, hidden, d, Store::Add);
        };
        self.product(left.qkv, 3 * hidden, packed, hidden, y, Store::Set);
        for (pair, norms) in group.each().zip(&mut norms) {
            let at = wide(&pair);
            let states = (&mut kept.hat1[at.clone()], &kept.rho1[pair]);
            self.norm_backward(norm, &mut y[at.clone()], states, &mut norms[..2 * hidden], &mut d[at]);
        }
    }
}
