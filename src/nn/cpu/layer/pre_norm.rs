//! A layer of a pre-norm encoder: each sub-layer begins with a norm and adds to the residual stream. Queries and keys
//! are rotated by their positions, attention may have a local window, and the feed-forward network has a gate.

use std::ops::Range;

use super::{AttentionContext, LayerView, blocks, elements};
use crate::cpu::activation_fn::{Gate, GateBackward};
use crate::cpu::activations::LayerActivationsMut;
use crate::cpu::buffers::grow;
use crate::cpu::dropout::ApplyDropout;
use crate::cpu::gemm::layout::Store;
use crate::cpu::grad_outputs::GradOutputs;
use crate::cpu::group::Group;
use crate::cpu::norm::{Affine, Norm, NormBackward};
use crate::cpu::packed::with_bias;
use crate::cpu::pool::Scratch;
use crate::explicit::params::LinearParams;
use crate::explicit::shape::Shape;
use crate::layers::dropout::Mask;

/// Rotates queries and keys of a pair's rows by their positions, or back.
fn rotate(qkv: &mut [f32], hidden: usize, head_size: usize, (cos, sin): (&[f32], &[f32]), back: bool) {
    let half = head_size / 2;
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (row, (cos, sin)) in qkv.chunks_exact_mut(3 * hidden).zip(angles) {
        for head in row[..2 * hidden].chunks_exact_mut(head_size) {
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

/// Where a forward pass saves what comes after attention, by token.
struct SavedRows<'a> {
    pre_activation: &'a mut [f32],
    x_hat2: &'a mut [f32],
    rstd2: &'a mut [f32],
}

impl LayerView<'_> {
    fn drop(&self, mask: Option<&Mask>, first: usize, x: &mut [f32]) {
        if let Some(mask) = mask {
            self.level.run(ApplyDropout { mask, first: first as u64, x });
        }
    }

    fn norm(&self, norm: &LinearParams, x: &mut [f32], save: Option<(&mut [f32], &mut [f32])>) {
        let (gamma, beta) = self.affine(norm);
        let epsilon = self.shape.epsilon;
        self.level.run(Norm { x, z: None, dropout: None, gamma, beta, epsilon, save });
    }

    /// Backward of a norm before a sub-layer: `dy` holds the gradient of its output, which is added to the gradient `d`
    /// of the residual stream. x̂ becomes the norm's output.
    fn norm_backward(
        &self,
        norm: &LinearParams,
        dy: &mut [f32],
        (x_hat, rstd): (&mut [f32], &[f32]),
        dnorm: &mut [f32],
        d: &mut [f32],
    ) {
        let (gamma, beta) = self.affine(norm);
        let (dgamma, dbeta) = dnorm.split_at_mut(self.shape.hidden);
        let level = self.level;
        level.run(NormBackward { d: dy, dz: None, dropout: None, x_hat, rstd, gamma, dgamma, dbeta });
        add(d, dy);
        level.run(Affine { x: x_hat, gamma, beta });
    }

    pub(super) fn forward_pre_norm(
        &self,
        AttentionContext { angles, .. }: AttentionContext<'_>,
        group: &Group<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
        saved: Option<LayerActivationsMut<'_>>,
    ) {
        let Shape { hidden, heads, .. } = self.shape;
        let n = group.tokens().len();
        let (qkv, context, mut stats, norm1, mut saved) = match saved {
            Some(s) => {
                let rows = SavedRows { pre_activation: s.pre_activation, x_hat2: s.x_hat2, rstd2: s.rstd2 };
                (s.qkv, s.context, Some(s.stats), Some((s.x_hat1, s.rstd1)), Some(rows))
            }
            None => {
                let (qkv, context) = (&mut scratch.qkv, &mut scratch.context);
                (grow(qkv, n * 3 * hidden), grow(context, n * hidden), None, None, None)
            }
        };
        let y = grow(&mut scratch.normed, n * hidden);
        y.copy_from_slice(x);
        if let Some(norm) = &self.params.norm1 {
            self.norm(norm, y, norm1);
        }
        let fused = &self.packed.qkv;
        self.gemm(y, hidden, &fused.linear.forward, 3 * hidden, qkv, with_bias(&fused.bias));
        for pair in group.pair_ranges() {
            let qkv = &mut qkv[elements(&pair, 3 * hidden)];
            rotate(qkv, hidden, self.shape.head_size(), angles, false);
            let stats = stats.as_deref_mut().map(|s| &mut s[elements(&pair, heads)]);
            let context = &mut context[elements(&pair, hidden)];
            self.attention(group.first_token(), &pair).forward(qkv, context, stats, &mut scratch.attention);
        }
        for rows in blocks(n) {
            let states = elements(&rows, hidden);
            let (x, y) = (&mut x[states.clone()], &mut y[states.clone()]);
            let memory = [&mut scratch.sublayer, &mut scratch.ffn_input, &mut scratch.ffn];
            self.forward_rows(&rows, group, (x, y), &context[states], saved.as_mut(), memory);
        }
    }

    /// From attention's context to the layer's output, for a block of rows: `x` is the residual stream, `y` memory.
    fn forward_rows(
        &self,
        rows: &Range<usize>,
        group: &Group<'_>,
        (x, y): (&mut [f32], &mut [f32]),
        context: &[f32],
        mut saved: Option<&mut SavedRows<'_>>,
        [sublayer, ffn_input, ffn]: [&mut Vec<f32>; 3],
    ) {
        let level = self.level;
        let Shape { hidden, intermediate, activation, .. } = self.shape;
        let first_token = group.first_token() + rows.start;
        let z = grow(sublayer, x.len());
        let bias = with_bias(self.weight(&self.params.output.bias));
        self.gemm(context, hidden, &self.packed.output.forward, hidden, z, bias);
        self.drop(self.masks.attention_output.as_ref(), first_token * hidden, z);
        add(x, z);
        y.copy_from_slice(x);
        let save =
            saved.as_mut().map(|s| (&mut s.x_hat2[elements(rows, hidden)], &mut s.rstd2[rows.clone()]));
        self.norm(&self.params.norm2, y, save);
        let pre_activation = match saved {
            Some(s) => &mut s.pre_activation[elements(rows, 2 * intermediate)],
            None => grow(ffn_input, rows.len() * 2 * intermediate),
        };
        let bias = with_bias(self.weight(&self.params.up.bias));
        self.gemm(y, hidden, &self.packed.up.forward, 2 * intermediate, pre_activation, bias);
        let active = grow(ffn, rows.len() * intermediate);
        level.run(Gate { activation, width: intermediate, from: pre_activation, to: active });
        self.drop(self.masks.output.as_ref(), first_token * intermediate, active);
        let bias = with_bias(self.weight(&self.params.down.bias));
        self.gemm(active, intermediate, &self.packed.down.forward, hidden, z, bias);
        add(x, z);
    }

    pub(super) fn backward_pre_norm(
        &self,
        context: AttentionContext<'_>,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        saved: &mut LayerActivationsMut<'_>,
        grads: &mut GradOutputs<'_>,
    ) {
        let (hidden, n) = (self.shape.hidden, group.tokens().len());
        let mut dy = std::mem::take(&mut scratch.normed);
        let y = grow(&mut dy, n * hidden);
        self.ffn_backward_pre_norm(group, (d, y), &mut scratch.ffn, saved.pre_activation, grads);
        for (pair, norms) in group.pair_ranges().zip(grads.norms.chunks_exact_mut(4 * hidden)) {
            let states = elements(&pair, hidden);
            let norm = (&mut saved.x_hat2[states.clone()], &saved.rstd2[pair]);
            let (dy, d) = (&mut y[states.clone()], &mut d[states]);
            self.norm_backward(&self.params.norm2, dy, norm, &mut norms[2 * hidden..], d);
        }
        self.attention_backward_pre_norm(context, group, d, scratch, saved, grads);
        let packed = &self.packed.qkv.linear.backward;
        if let Some(norm1) = &self.params.norm1 {
            self.gemm(grads.qkv, 3 * hidden, packed, hidden, y, Store::Set);
            for (pair, norms) in group.pair_ranges().zip(grads.norms.chunks_exact_mut(4 * hidden)) {
                let states = elements(&pair, hidden);
                let norm = (&mut saved.x_hat1[states.clone()], &saved.rstd1[pair]);
                let (dy, d) = (&mut y[states.clone()], &mut d[states]);
                self.norm_backward(norm1, dy, norm, &mut norms[..2 * hidden], d);
            }
        } else {
            self.gemm(grads.qkv, 3 * hidden, packed, hidden, d, Store::Add);
        }
        scratch.normed = dy;
    }

    /// Gradient `d` of the output in, gradient `y` of the feed-forward network's normed input out.
    fn ffn_backward_pre_norm(
        &self,
        group: &Group<'_>,
        (d, y): (&[f32], &mut [f32]),
        ffn: &mut Vec<f32>,
        pre_activation: &mut [f32],
        grads: &mut GradOutputs<'_>,
    ) {
        let level = self.level;
        let Shape { hidden, intermediate, activation, .. } = self.shape;
        let mask = self.masks.output.as_ref();
        grads.output.copy_from_slice(d);
        for rows in blocks(group.tokens().len()) {
            let (states, gated) = (elements(&rows, hidden), elements(&rows, 2 * intermediate));
            let first_token = group.first_token() + rows.start;
            let dactive = grow(ffn, rows.len() * intermediate);
            let (output, packed) = (&grads.output[states.clone()], &self.packed.down.backward);
            self.gemm(output, hidden, packed, intermediate, dactive, Store::Set);
            self.drop(mask, first_token * intermediate, dactive);
            let (x, dx) = (&mut pre_activation[gated.clone()], &mut grads.pre_activation[gated]);
            level.run(GateBackward { activation, width: intermediate, x: &mut *x, d: dactive, dx: &mut *dx });
            for (row, x) in x.chunks_exact_mut(2 * intermediate).enumerate() {
                self.drop(mask, (first_token + row) * intermediate, &mut x[..intermediate]);
            }
            self.gemm(dx, 2 * intermediate, &self.packed.up.backward, hidden, &mut y[states], Store::Set);
        }
    }

    /// Gradient `d` of attention's output in, gradients of queries, keys and values out.
    fn attention_backward_pre_norm(
        &self,
        AttentionContext { angles, .. }: AttentionContext<'_>,
        group: &Group<'_>,
        d: &[f32],
        scratch: &mut Scratch,
        saved: &LayerActivationsMut<'_>,
        grads: &mut GradOutputs<'_>,
    ) {
        let Shape { hidden, heads, .. } = self.shape;
        let first_token = group.first_token();
        grads.attention.copy_from_slice(d);
        self.drop(self.masks.attention_output.as_ref(), first_token * hidden, grads.attention);
        let dcontext = grow(&mut scratch.context, d.len());
        self.gemm(grads.attention, hidden, &self.packed.output.backward, hidden, dcontext, Store::Set);
        for pair in group.pair_ranges() {
            let qkv = elements(&pair, 3 * hidden);
            let dqkv = &mut grads.qkv[qkv.clone()];
            self.attention(first_token, &pair).backward(
                &saved.qkv[qkv],
                &saved.stats[elements(&pair, heads)],
                &dcontext[elements(&pair, hidden)],
                dqkv,
                None,
                &mut scratch.attention,
            );
            rotate(dqkv, hidden, self.shape.head_size(), angles, true);
        }
    }
}
