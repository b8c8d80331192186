//! Embeddings: sums of table rows, norm, dropout, projection; and their backward.

use std::ops::Range;

use super::CpuReranker;
use crate::Packed;
use crate::cpu::activations::Activations;
use crate::cpu::buffers::{disjoint_slices, resize};
use crate::cpu::dropout::ApplyDropout;
use crate::cpu::gemm::Gemm;
use crate::cpu::gemm::layout::{Layout, Store};
use crate::cpu::grad_outputs::BackwardBuffers;
use crate::cpu::group::{Group, by_pair, by_token};
use crate::cpu::norm::{Affine, Norm, NormBackward};
use crate::cpu::packed::with_bias;
use crate::cpu::weight_grads::{LinearGrads, accumulate};
use crate::explicit::masks::DropoutMasks;
use crate::explicit::params::LinearParams;
use crate::explicit::shape::Shape;
use crate::layers::EmbeddingRows;

impl CpuReranker {
    fn beta(&self, norm: &LinearParams) -> &[f32] {
        if norm.bias.is_empty() { &self.zeros[..norm.weight.len()] } else { &self.weights[norm.bias.clone()] }
    }

    /// γ x̂ + β, in place.
    pub(super) fn affine(&self, x_hat: &mut [f32], norm: &LinearParams) {
        let (gamma, beta) = (&self.weights[norm.weight.clone()], self.beta(norm));
        self.level.run(Affine { x: x_hat, gamma, beta });
    }

    /// A norm of rows, in place; `save` is for x̂ and reciprocal standard deviation.
    pub(super) fn norm(&self, norm: &LinearParams, x: &mut [f32], save: Option<(&mut [f32], &mut [f32])>) {
        let (gamma, beta) = (&self.weights[norm.weight.clone()], self.beta(norm));
        let level = self.level;
        let Shape { epsilon, .. } = self.spec.shape;
        level.run(Norm { x, z: None, dropout: None, gamma, beta, epsilon, save });
    }

    /// Sums of the embedding rows of a group.
    pub(super) fn embed(&self, lookups: &[EmbeddingRows], group: &Group<'_>, x: &mut [f32]) {
        let width = self.spec.shape.embedding_width;
        for (i, (lookup, table)) in lookups.iter().zip(&self.params.embeddings).enumerate() {
            for (x, row) in x.chunks_exact_mut(width).zip(&lookup.rows[group.tokens()]) {
                let row = &self.weights[table.start + *row as usize * width..][..width];
                if i == 0 {
                    x.copy_from_slice(row);
                } else {
                    x.iter_mut().zip(row).for_each(|(x, w)| *x += w);
                }
            }
        }
    }

    pub(super) fn drop_embeddings(&self, masks: &DropoutMasks, group: &Group<'_>, x: &mut [f32]) {
        if let Some(mask) = &masks.embeddings {
            let first = (group.first_token() * self.spec.shape.embedding_width) as u64;
            self.level.run(ApplyDropout { mask, first, x });
        }
    }

    /// The embeddings `[tokens, width]` projected to hidden states, if the model does that.
    pub(super) fn project(&self, embedded: &[f32]) -> Option<Vec<f32>> {
        let params = self.params.projection.as_ref()?;
        let level = self.level;
        let Shape { embedding_width, hidden, .. } = self.spec.shape;
        let rows = embedded.len() / embedding_width;
        let mut x = vec![0.0; rows * hidden];
        level.gemm(Gemm {
            a: embedded,
            layout: Layout::RowMajor(embedding_width),
            rows,
            b: self.packed.projection.forward.panels(),
            depth: embedding_width,
            columns: hidden,
            c: &mut x,
            c_stride: hidden,
            store: with_bias(&self.weights[params.bias.clone()]),
        });
        Some(x)
    }

    /// The embeddings after norm and dropout again, from what forward saved: the first layer's input.
    pub(super) fn embed_again(
        &self,
        masks: &DropoutMasks,
        batch: &Packed,
        saved: &Activations,
        buffers: &mut BackwardBuffers,
    ) {
        buffers.unprojected.clear();
        let mut x = std::mem::take(&mut buffers.embedded);
        x.clear();
        x.extend_from_slice(&saved.x_hat);
        self.affine(&mut x, &self.params.norm);
        self.drop_embeddings(masks, &Group::of(batch, 0..batch.len()), &mut x);
        if let Some(projected) = self.project(&x) {
            buffers.unprojected = x;
            x = projected;
        }
        buffers.embedded = x;
    }

    /// Backward of a norm over a whole batch, in place of `d`; adds the gradients of γ and β.
    pub(super) fn norm_backward(
        &self,
        norm: &LinearParams,
        (x_hat, rstd): (&[f32], &[f32]),
        (batch, groups): (&Packed, &[Group<'_>]),
        (d, norms): (&mut [f32], &mut [f32]),
        gradients: &mut [f32],
    ) {
        let width = norm.weight.len();
        let norms = &mut norms[..batch.len() * 2 * width];
        norms.fill(0.0);
        let shares = by_token(d, width, groups).into_iter().zip(by_pair(norms, 2 * width, groups));
        let tasks = groups.iter().zip(shares).collect();
        self.pool.each(tasks, |(group, (d, norms)), _| {
            let first = group.tokens().start;
            for (pair, norms) in group.pair_ranges().zip(norms.chunks_exact_mut(2 * width)) {
                let (dgamma, dbeta) = norms.split_at_mut(width);
                let here = first + pair.start..first + pair.end;
                self.level.run(NormBackward {
                    d: &mut d[pair.start * width..pair.end * width],
                    dz: None,
                    dropout: None,
                    x_hat: &x_hat[here.start * width..here.end * width],
                    rstd: &rstd[here],
                    gamma: &self.weights[norm.weight.clone()],
                    dgamma,
                    dbeta,
                });
            }
        });
        add_pairs(norms, width, gradients, &[norm.weight.clone(), norm.bias.clone()]);
    }

    /// From the gradient of the first layer's input to those of the projection, the norm and the tables.
    pub(super) fn embeddings_backward(
        &self,
        masks: &DropoutMasks,
        (batch, groups, blocks): (&Packed, &[Group<'_>], &[Range<usize>]),
        saved: &Activations,
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        let width = self.spec.shape.embedding_width;
        if let Some(params) = &self.params.projection {
            self.projection_backward(params, groups, blocks, buffers, gradients);
        }
        let tasks = groups.iter().zip(by_token(&mut buffers.d, width, groups)).collect();
        self.pool.each(tasks, |(group, d), _| self.drop_embeddings(masks, group, d));
        let grads = (&mut buffers.d[..], &mut buffers.norms[..]);
        self.norm_backward(&self.params.norm, (&saved.x_hat, &saved.rstd), (batch, groups), grads, gradients);
        // Tables take the rows from the last token to the first; only rows that occur are touched.
        let lookups = self.model.lookups(batch);
        for (t, d) in buffers.d.chunks_exact(width).enumerate().rev() {
            for (lookup, table) in lookups.iter().zip(&self.params.embeddings) {
                let row = &mut gradients[table.start + lookup.rows[t] as usize * width..][..width];
                row.iter_mut().zip(d).for_each(|(g, d)| *g += d);
            }
        }
        resize(&mut buffers.d, 0);
    }

    /// Backward of the embeddings' projection: `d` becomes the gradient of its input.
    fn projection_backward(
        &self,
        params: &LinearParams,
        groups: &[Group<'_>],
        blocks: &[Range<usize>],
        buffers: &mut BackwardBuffers,
        gradients: &mut [f32],
    ) {
        let level = self.level;
        let Shape { embedding_width, hidden, .. } = self.spec.shape;
        let linear = LinearGrads {
            inputs: &buffers.unprojected,
            width: embedding_width,
            input_stride: embedding_width,
            grads: &buffers.d,
            grad_stride: hidden,
            params: vec![params],
        };
        accumulate(level, &self.pool, blocks, &[linear], &mut buffers.panels, gradients);
        let inputs = by_token(&mut buffers.unprojected, embedding_width, groups).into_iter();
        let tasks = groups.iter().zip(inputs.zip(by_token(&mut buffers.d, hidden, groups))).collect();
        self.pool.each(tasks, |(group, (dinput, d)), _| {
            level.gemm(Gemm {
                a: d,
                layout: Layout::RowMajor(hidden),
                rows: group.tokens().len(),
                b: self.packed.projection.backward.panels(),
                depth: hidden,
                columns: embedding_width,
                c: dinput,
                c_stride: embedding_width,
                store: Store::Set,
            });
        });
        std::mem::swap(&mut buffers.d, &mut buffers.unprojected);
    }
}

/// Adds the pairs' shares `[pairs, parts · width]` to the gradients of the parts, from the last pair to the first.
pub(super) fn add_pairs(shares: &[f32], width: usize, gradients: &mut [f32], parts: &[Range<usize>]) {
    for (i, part) in disjoint_slices(gradients, parts).into_iter().enumerate() {
        for share in shares.chunks_exact(width * parts.len()).rev() {
            for (g, s) in part.iter_mut().zip(&share[i * width..]) {
                *g += s;
            }
        }
    }
}
