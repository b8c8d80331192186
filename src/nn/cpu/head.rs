//! The head over what was pooled of each pair: logit = c · drop(norm(f(P drop(x) + b))) + d, where dropout, norm, b, d
//! and all of f(P · + b) may be absent.

use std::ops::Range;

use super::activation_fn::{ActivateBackward, ActivateInPlace, Dot};
use super::buffers::disjoint_slices;
use super::dropout::ApplyDropout;
use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::layout::{Layout, Store};
use super::gemm::pack::{PackedRhs, Rhs};
use super::norm::{Norm, NormBackward};
use super::packed::{PackedLinear, with_bias};
use crate::explicit::params::LinearParams;
use crate::layers::activation::Activation;
use crate::layers::dropout::Mask;

/// The head with its weights and its dropout.
#[derive(Clone, Copy)]
pub(super) struct HeadView<'a> {
    pub level: Level,
    pub hidden: usize,
    /// The dense layer with its activation.
    pub dense: Option<(&'a LinearParams, Activation)>,
    /// The norm with its ε.
    pub norm: Option<(&'a LinearParams, f32)>,
    pub classifier: &'a LinearParams,
    /// The dense layer's weight.
    pub packed: &'a PackedLinear,
    pub weights: &'a [f32],
    /// Zeros, as wide as the hidden states.
    pub zeros: &'a [f32],
    /// Dropout of what was pooled.
    pub pooled_mask: Option<&'a Mask>,
    /// Dropout before the classifier.
    pub classifier_mask: Option<&'a Mask>,
}

/// One pair between the dense layer and the classifier.
struct Row {
    /// What the classifier reads.
    y: Vec<f32>,
    /// x̂ and reciprocal standard deviation of the norm.
    x_hat: Vec<f32>,
    rstd: [f32; 1],
}

/// The head's gradients.
struct Grads<'a> {
    dense_weight: &'a mut [f32],
    dense_bias: &'a mut [f32],
    classifier_weight: &'a mut [f32],
    classifier_bias: &'a mut [f32],
    gamma: &'a mut [f32],
    beta: &'a mut [f32],
}

impl HeadView<'_> {
    fn drop(&self, mask: Option<&Mask>, pair: usize, x: &mut [f32]) {
        if let Some(mask) = mask {
            self.level.run(ApplyDropout { mask, first: (pair * self.hidden) as u64, x });
        }
    }

    fn beta(&self, norm: &LinearParams) -> &[f32] {
        if norm.bias.is_empty() { self.zeros } else { &self.weights[norm.bias.clone()] }
    }

    /// From the dense layer's output to what the classifier reads.
    fn row(&self, pair: usize, dense: &[f32], row: &mut Row) {
        row.y.copy_from_slice(dense);
        if let Some((_, activation)) = self.dense {
            self.level.run(ActivateInPlace { activation, x: &mut row.y });
        }
        if let Some((norm, epsilon)) = self.norm {
            self.level.run(Norm {
                x: &mut row.y,
                z: None,
                dropout: None,
                gamma: &self.weights[norm.weight.clone()],
                beta: self.beta(norm),
                epsilon,
                save: Some((&mut row.x_hat, &mut row.rstd)),
            });
        }
        self.drop(self.classifier_mask, pair, &mut row.y);
    }

    fn empty_row(&self) -> Row {
        Row { y: vec![0.0; self.hidden], x_hat: vec![0.0; self.hidden], rstd: [0.0] }
    }

    /// Logits of the pairs from `first_pair` in the whole batch on. Drops `pooled` in place and leaves the dense layer's
    /// output in `dense`.
    pub(super) fn forward(
        &self,
        first_pair: usize,
        pooled: &mut [f32],
        dense: &mut [f32],
        logits: &mut [f32],
    ) {
        let (level, hidden) = (self.level, self.hidden);
        self.drop(self.pooled_mask, first_pair, pooled);
        match self.dense {
            Some((params, _)) => level.gemm(Gemm {
                a: pooled,
                layout: Layout::RowMajor(hidden),
                rows: logits.len(),
                b: self.packed.forward.panels(),
                depth: hidden,
                columns: hidden,
                c: dense,
                c_stride: hidden,
                store: with_bias(&self.weights[params.bias.clone()]),
            }),
            None => dense.copy_from_slice(pooled),
        }
        let mut row = self.empty_row();
        let bias = self.weights[self.classifier.bias.clone()].first().copied().unwrap_or_default();
        for (i, (dense, logit)) in dense.chunks_exact(hidden).zip(logits).enumerate() {
            self.row(first_pair + i, dense, &mut row);
            *logit = level.run(Dot(&row.y, &self.weights[self.classifier.weight.clone()])) + bias;
        }
    }

    /// Adds the head's gradients, block by block from the last to the first, and writes those of what was pooled,
    /// `[pairs, hidden]`.
    pub(super) fn backward(
        &self,
        first_pair: usize,
        blocks: &[Range<usize>],
        (pooled, dense): (&[f32], &[f32]),
        dlogits: &[f32],
        gradients: &mut [f32],
        dpooled: &mut [f32],
    ) {
        let mut grads = self.grads(gradients);
        let ddense = self.dense_backward(first_pair, dense, dlogits, &mut grads);
        if self.dense.is_none() {
            dpooled.copy_from_slice(&ddense);
        } else {
            self.pooled_backward(blocks, pooled, &ddense, grads.dense_weight, dpooled);
        }
        self.drop(self.pooled_mask, first_pair, dpooled);
    }

    /// The head's parameters in the flat buffer of gradients; empty where it has none.
    fn grads<'g>(&self, gradients: &'g mut [f32]) -> Grads<'g> {
        let none = LinearParams { weight: 0..0, bias: 0..0 };
        let dense = self.dense.map_or(&none, |(p, _)| p);
        let norm = self.norm.map_or(&none, |(p, _)| p);
        let ranges: Vec<_> = [dense, self.classifier, norm]
            .into_iter()
            .flat_map(|p| [p.weight.clone(), p.bias.clone()])
            .collect();
        let mut slices = disjoint_slices(gradients, &ranges).into_iter();
        let mut next = || slices.next().unwrap_or_default();
        Grads {
            dense_weight: next(),
            dense_bias: next(),
            classifier_weight: next(),
            classifier_bias: next(),
            gamma: next(),
            beta: next(),
        }
    }

    /// From the logits to the gradient of the dense layer's output, a pair at a time from the last to the first.
    fn dense_backward(
        &self,
        first_pair: usize,
        dense: &[f32],
        dlogits: &[f32],
        grads: &mut Grads<'_>,
    ) -> Vec<f32> {
        let (level, hidden) = (self.level, self.hidden);
        let weight = &self.weights[self.classifier.weight.clone()];
        let mut ddense = vec![0.0; dlogits.len() * hidden];
        let (mut row, mut no_beta) = (self.empty_row(), vec![0.0; hidden]);
        let rows = dense.chunks_exact(hidden).zip(ddense.chunks_exact_mut(hidden));
        for (i, (dense, d)) in rows.enumerate().rev() {
            self.row(first_pair + i, dense, &mut row);
            for ((g, x), (d, w)) in
                grads.classifier_weight.iter_mut().zip(&row.y).zip(d.iter_mut().zip(weight))
            {
                *g += dlogits[i] * x;
                *d = dlogits[i] * w;
            }
            grads.classifier_bias.iter_mut().for_each(|g| *g += dlogits[i]);
            self.drop(self.classifier_mask, first_pair + i, d);
            if let Some((norm, _)) = self.norm {
                level.run(NormBackward {
                    d,
                    dz: None,
                    dropout: None,
                    x_hat: &row.x_hat,
                    rstd: &row.rstd,
                    gamma: &self.weights[norm.weight.clone()],
                    dgamma: grads.gamma,
                    dbeta: if grads.beta.is_empty() { &mut no_beta } else { &mut *grads.beta },
                });
            }
            let Some((_, activation)) = self.dense else { continue };
            row.y.copy_from_slice(dense);
            level.run(ActivateBackward { activation, x: &mut row.y, d });
            for (g, d) in grads.dense_bias.iter_mut().zip(&*d) {
                *g += *d;
            }
        }
        ddense
    }

    /// Adds the gradient of the dense layer's weight and writes that of its input.
    fn pooled_backward(
        &self,
        blocks: &[Range<usize>],
        pooled: &[f32],
        ddense: &[f32],
        weight: &mut [f32],
        dpooled: &mut [f32],
    ) {
        let (level, hidden) = (self.level, self.hidden);
        let mut inputs = PackedRhs::default();
        for block in blocks.iter().rev() {
            let from = &pooled[block.start * hidden..];
            level.gemm(Gemm {
                a: &ddense[block.start * hidden..],
                layout: Layout::ColumnMajor(hidden),
                rows: hidden,
                b: inputs.pack(level, &Rhs::new(from, hidden, block.len(), hidden)),
                depth: block.len(),
                columns: hidden,
                c: weight,
                c_stride: hidden,
                store: Store::Add,
            });
        }
        level.gemm(Gemm {
            a: ddense,
            layout: Layout::RowMajor(hidden),
            rows: ddense.len() / hidden,
            b: self.packed.backward.panels(),
            depth: hidden,
            columns: hidden,
            c: dpooled,
            c_stride: hidden,
            store: Store::Set,
        });
    }
}
