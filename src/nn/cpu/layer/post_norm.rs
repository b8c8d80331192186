//! A layer of a post-norm encoder: each sub-layer is followed by residual and norm.

use std::ops::Range;

use super::{LayerView, blocks, elements};
use crate::cpu::activation_fn::{Activate, ActivateBackward, ActivateInPlace};
use crate::cpu::activations::LayerActivationsMut;
use crate::cpu::buffers::grow;
use crate::cpu::gemm::layout::Store;
use crate::cpu::grad_outputs::GradOutputs;
use crate::cpu::group::Group;
use crate::cpu::norm::{Affine, Norm, NormBackward, RowDropout, RowIndex};
use crate::cpu::packed::with_bias;
use crate::cpu::pool::Scratch;
use crate::explicit::shape::Shape;
use crate::layers::dropout::Mask;

/// Where a forward pass saves what comes after attention, by row of output.
struct SavedRows<'a> {
    pre_activation: &'a mut [f32],
    /// x̂ and reciprocal standard deviation of both norms.
    norm1: (&'a mut [f32], &'a mut [f32]),
    norm2: (&'a mut [f32], &'a mut [f32]),
}

/// A norm after a sub-layer, going back.
struct ResidualNorm<'a> {
    mask: Option<&'a Mask>,
    x_hat: &'a [f32],
    rstd: &'a [f32],
    gamma: &'a [f32],
    /// Which of a pair's four gradients of norms γ is; β follows.
    part: usize,
}

impl LayerView<'_> {
    pub(super) fn forward_post_norm(
        &self,
        group: &Group<'_>,
        x: &mut [f32],
        scratch: &mut Scratch,
        saved: Option<LayerActivationsMut<'_>>,
    ) {
        let Shape { hidden, heads, .. } = self.shape;
        let first_token = group.first_token();
        let n = group.tokens().len();
        // Queries to context go where they are saved, or into scratch; the rest is saved block by block.
        let (qkv, context, mut stats, mut saved) = match saved {
            Some(s) => {
                let (norm1, norm2) = ((s.x_hat1, s.rstd1), (s.x_hat2, s.rstd2));
                let rows = SavedRows { pre_activation: s.pre_activation, norm1, norm2 };
                (s.qkv, s.context, Some(s.stats), Some(rows))
            }
            None => {
                (grow(&mut scratch.qkv, n * 3 * hidden), grow(&mut scratch.context, n * hidden), None, None)
            }
        };
        let fused = &self.packed.qkv;
        self.gemm(x, hidden, &fused.linear.forward, 3 * hidden, qkv, with_bias(&fused.bias));
        let mut row_indices = Vec::new();
        for (rows, pair) in self.output_rows(group) {
            let stats = stats.as_deref_mut().map(|s| &mut s[elements(&rows, heads)]);
            let (qkv, context) = (&qkv[elements(&pair, 3 * hidden)], &mut context[elements(&rows, hidden)]);
            self.attention(first_token, &pair).forward(qkv, context, stats, &mut scratch.attention);
            if self.first_token_only {
                // A row moves to the front, past those that were moved before.
                x.copy_within(pair.start * hidden..(pair.start + 1) * hidden, rows.start * hidden);
                row_indices.push(((first_token + pair.start) * hidden) as u64);
            }
        }
        for rows in blocks(self.output_len(group)) {
            let index = match row_indices.get(rows.clone()) {
                Some(indices) if self.first_token_only => RowIndex::Each(indices),
                _ => RowIndex::From(((first_token + rows.start) * hidden) as u64),
            };
            let memory = (&mut scratch.sublayer, &mut scratch.ffn);
            self.forward_block(&rows, index, x, context, saved.as_mut(), memory);
        }
    }

    /// From attention's context to the layer's output, for a block of rows.
    fn forward_block(
        &self,
        rows: &Range<usize>,
        index: RowIndex<'_>,
        x: &mut [f32],
        context: &[f32],
        mut saved: Option<&mut SavedRows<'_>>,
        (sublayer, ffn): (&mut Vec<f32>, &mut Vec<f32>),
    ) {
        let level = self.level;
        let Shape { hidden, intermediate, epsilon, activation, .. } = self.shape;
        let ((gamma1, beta1), (gamma2, beta2)) = (self.affine1(), self.affine(&self.params.norm2));
        let states = elements(rows, hidden);
        let x = &mut x[states.clone()];
        let z = grow(sublayer, x.len());
        let dropout = |mask| RowDropout { mask, rows: index };

        let bias = with_bias(self.weight(&self.params.output.bias));
        self.gemm(&context[states.clone()], hidden, &self.packed.output.forward, hidden, z, bias);
        level.run(Norm {
            x,
            z: Some(&mut *z),
            dropout: self.masks.attention_output.as_ref().map(dropout),
            gamma: gamma1,
            beta: beta1,
            epsilon,
            save: saved.as_mut().map(|s| (&mut s.norm1.0[states.clone()], &mut s.norm1.1[rows.clone()])),
        });

        let bias = with_bias(self.weight(&self.params.up.bias));
        let active = grow(ffn, rows.len() * intermediate);
        match &mut saved {
            None => {
                self.gemm(x, hidden, &self.packed.up.forward, intermediate, active, bias);
                level.run(ActivateInPlace { activation, x: active });
            }
            Some(s) => {
                let before = &mut s.pre_activation[elements(rows, intermediate)];
                self.gemm(x, hidden, &self.packed.up.forward, intermediate, before, bias);
                level.run(Activate { activation, from: before, to: active });
            }
        }
        let bias = with_bias(self.weight(&self.params.down.bias));
        self.gemm(active, intermediate, &self.packed.down.forward, hidden, z, bias);
        level.run(Norm {
            x,
            z: Some(z),
            dropout: self.masks.output.as_ref().map(dropout),
            gamma: gamma2,
            beta: beta2,
            epsilon,
            save: saved.map(|s| (&mut s.norm2.0[states], &mut s.norm2.1[rows.clone()])),
        });
    }

    pub(super) fn backward_post_norm(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        saved: &mut LayerActivationsMut<'_>,
        grads: &mut GradOutputs<'_>,
    ) {
        let norm2 = ResidualNorm {
            mask: self.masks.output.as_ref(),
            x_hat: saved.x_hat2,
            rstd: saved.rstd2,
            gamma: self.affine(&self.params.norm2).0,
            part: 2,
        };
        self.residual_norm_backward(group, &norm2, d, grads.output, grads.norms);
        self.ffn_backward(group, d, saved.pre_activation, grads);
        let (gamma, beta) = self.affine1();
        let norm1 = ResidualNorm {
            mask: self.masks.attention_output.as_ref(),
            x_hat: saved.x_hat1,
            rstd: saved.rstd1,
            gamma,
            part: 0,
        };
        self.residual_norm_backward(group, &norm1, d, grads.attention, grads.norms);
        self.level.run(Affine { x: saved.x_hat1, gamma, beta });
        self.attention_backward(group, d, scratch, saved, grads);
    }

    /// Gradient of a norm's output in, of its residual out, in place of `d`; that of the sub-layer's output into `dz`.
    fn residual_norm_backward(
        &self,
        group: &Group<'_>,
        norm: &ResidualNorm<'_>,
        d: &mut [f32],
        dz: &mut [f32],
        norms: &mut [f32],
    ) {
        let level = self.level;
        let Shape { hidden, .. } = self.shape;
        let ResidualNorm { mask, x_hat, rstd, gamma, part } = *norm;
        for ((rows, pair), norms) in self.output_rows(group).zip(norms.chunks_exact_mut(4 * hidden)) {
            let states = elements(&rows, hidden);
            let (dgamma, dbeta) = norms[part * hidden..(part + 2) * hidden].split_at_mut(hidden);
            let first = ((group.first_token() + pair.start) * hidden) as u64;
            level.run(NormBackward {
                d: &mut d[states.clone()],
                dz: Some(&mut dz[states.clone()]),
                dropout: mask.map(|mask| RowDropout { mask, rows: RowIndex::From(first) }),
                x_hat: &x_hat[states],
                rstd: &rstd[rows],
                gamma,
                dgamma,
                dbeta,
            });
        }
    }

    /// Backward of the feed-forward network: adds to the gradient `d` of its input.
    fn ffn_backward(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        pre_activation: &mut [f32],
        grads: &mut GradOutputs<'_>,
    ) {
        let level = self.level;
        let Shape { hidden, intermediate, activation, .. } = self.shape;
        for rows in blocks(self.output_len(group)) {
            let (states, active) = (elements(&rows, hidden), elements(&rows, intermediate));
            let dactive = &mut grads.pre_activation[active.clone()];
            let (dz, down) = (&grads.output[states.clone()], &self.packed.down.backward);
            self.gemm(dz, hidden, down, intermediate, dactive, Store::Set);
            level.run(ActivateBackward { activation, x: &mut pre_activation[active], d: dactive });
            self.gemm(dactive, intermediate, &self.packed.up.backward, hidden, &mut d[states], Store::Add);
        }
    }

    /// Backward of attention: adds to the gradient `d` of the layer's input.
    fn attention_backward(
        &self,
        group: &Group<'_>,
        d: &mut [f32],
        scratch: &mut Scratch,
        saved: &LayerActivationsMut<'_>,
        grads: &mut GradOutputs<'_>,
    ) {
        let Shape { hidden, heads, .. } = self.shape;
        let dcontext = grow(&mut scratch.context, self.output_len(group) * hidden);
        self.gemm(grads.attention, hidden, &self.packed.output.backward, hidden, dcontext, Store::Set);
        if self.first_token_only {
            // Back to their places, the last first; the other tokens have no gradient from here.
            for (row, pair) in self.output_rows(group).rev() {
                d.copy_within(elements(&row, hidden), pair.start * hidden);
                d[(pair.start + 1) * hidden..pair.end * hidden].fill(0.0);
            }
        }
        for (rows, pair) in self.output_rows(group) {
            let attention = self.attention(group.first_token(), &pair);
            let qkv = elements(&pair, 3 * hidden);
            let positions = self.positions.map(|p| {
                let stride = grads.positions.len() / (2 * p.relative.span);
                (&mut *grads.positions, stride)
            });
            attention.backward(
                &saved.qkv[qkv.clone()],
                &saved.stats[elements(&rows, heads)],
                &dcontext[elements(&rows, hidden)],
                &mut grads.qkv[qkv],
                positions,
                &mut scratch.attention,
            );
        }
        self.gemm(grads.qkv, 3 * hidden, &self.packed.qkv.linear.backward, hidden, d, Store::Add);
    }
}
