//! The head over what was pooled of each pair: logit = c · drop(norm(f(P drop(x) + b))) + d, where dropout, norm, b, d and
//! the whole of f(P · + b) may be absent.

use std::ops::Range;

use super::activate::{ActivateBackward, ActivateInPlace, Dot};
use super::gradients::carve;
use super::lanes::Level;
use super::mask::Drop;
use super::norm::{Norm, NormBackward};
use super::product::{Lies, Product, Store, pack, packed_len};
use super::weights::{Linear, Pair, with_bias};
use crate::layers::activation::Activation;
use crate::layers::dropout::Mask;

/// The head's parameters.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub level: Level,
    pub hidden: usize,
    /// The dense layer with its activation.
    pub dense: Option<(&'a Pair, Activation)>,
    /// The norm with its ε.
    pub norm: Option<(&'a Pair, f32)>,
    pub classifier: &'a Pair,
    pub packed: &'a Linear,
    pub weights: &'a [f32],
    /// As wide as the hidden states.
    pub zeros: &'a [f32],
    /// Dropout of what was pooled, and before the classifier.
    pub dropped: [Option<&'a Mask>; 2],
}

/// One pair's way from the dense layer to the classifier.
struct Row {
    /// What the classifier reads.
    y: Vec<f32>,
    /// Of the norm.
    hat: Vec<f32>,
    rho: [f32; 1],
}

impl Head<'_> {
    fn drop(&self, which: usize, pair: usize, x: &mut [f32]) {
        if let Some(mask) = self.dropped[which] {
            self.level.run(Drop { mask, first: (pair * self.hidden) as u64, x });
        }
    }

    fn beta(&self, norm: &Pair) -> &[f32] {
        if norm.bias.is_empty() { self.zeros } else { &self.weights[norm.bias.clone()] }
    }

    /// From the dense layer's result to what the classifier reads.
    fn row(&self, pair: usize, before: &[f32], row: &mut Row) {
        row.y.copy_from_slice(before);
        if let Some((_, activation)) = self.dense {
            self.level.run(ActivateInPlace { activation, x: &mut row.y });
        }
        if let Some((norm, epsilon)) = self.norm {
            self.level.run(Norm {
                x: &mut row.y,
                z: None,
                dropped: None,
                gamma: &self.weights[norm.weight.clone()],
                beta: self.beta(norm),
                epsilon,
                keep: Some((&mut row.hat, &mut row.rho)),
            });
        }
        self.drop(1, pair, &mut row.y);
    }

    fn rows(&self) -> Row {
        Row { y: vec![0.0; self.hidden], hat: vec![0.0; self.hidden], rho: [0.0] }
    }

    /// Logits of the pairs from place `pair` in the whole batch on; drops `pooled` in place and leaves the dense layer's
    /// results in `before`.
    pub(super) fn forward(&self, pair: usize, pooled: &mut [f32], before: &mut [f32], logits: &mut [f32]) {
        let (level, hidden) = (self.level, self.hidden);
        self.drop(0, pair, pooled);
        match self.dense {
            Some((dense, _)) => level.run(Product {
                a: pooled,
                lies: Lies::Rows(hidden),
                rows: logits.len(),
                b: &self.packed.forward,
                depth: hidden,
                columns: hidden,
                c: before,
                c_stride: hidden,
                store: with_bias(&self.weights[dense.bias.clone()]),
            }),
            None => before.copy_from_slice(pooled),
        }
        let mut row = self.rows();
        let bias = self.weights[self.classifier.bias.clone()].first().copied().unwrap_or_default();
        for (i, (before, logit)) in before.chunks_exact(hidden).zip(logits).enumerate() {
            self.row(pair + i, before, &mut row);
            *logit = level.run(Dot(&row.y, &self.weights[self.classifier.weight.clone()])) + bias;
        }
    }

    /// Adds the head's gradients, block by block from the last to the first, and writes those of what was pooled,
    /// `[pairs, hidden]`.
    pub(super) fn backward(
        &self,
        place: usize,
        blocks: &[Range<usize>],
        (pooled, before): (&[f32], &[f32]),
        dlogits: &[f32],
        gradients: &mut [f32],
        dpooled: &mut [f32],
    ) {
        let (level, hidden, pairs) = (self.level, self.hidden, dlogits.len());
        let (gamma, beta) = self.norm.map_or((0..0, 0..0), |(n, _)| (n.weight.clone(), n.bias.clone()));
        let (dense, classifier) = (self.dense, self.classifier);
        let (matrix, bias) = dense.map_or((0..0, 0..0), |(d, _)| (d.weight.clone(), d.bias.clone()));
        let ranges = [&matrix, &bias, &classifier.weight, &classifier.bias, &gamma, &beta].map(Clone::clone);
        let mut slices = carve(gradients, &ranges);
        let weight = &self.weights[classifier.weight.clone()];
        let mut dbefore = vec![0.0; pairs * hidden];
        let (mut row, mut spare) = (self.rows(), vec![0.0; hidden]);
        let rows = before.chunks_exact(hidden).zip(dbefore.chunks_exact_mut(hidden));
        for (i, (before, d)) in rows.enumerate().rev() {
            self.row(place + i, before, &mut row);
            for ((g, x), (d, w)) in slices[2].iter_mut().zip(&row.y).zip(d.iter_mut().zip(weight)) {
                *g += dlogits[i] * x;
                *d = dlogits[i] * w;
            }
            slices[3].iter_mut().for_each(|d| *d += dlogits[i]);
            self.drop(1, place + i, d);
            if let Some((norm, _)) = self.norm {
                let [.., dgamma, dbeta] = &mut slices[..] else { continue };
                level.run(NormBackward {
                    d,
                    dz: None,
                    dropped: None,
                    hat: &row.hat,
                    rho: &row.rho,
                    gamma: &self.weights[norm.weight.clone()],
                    dgamma,
                    dbeta: if dbeta.is_empty() { &mut spare } else { dbeta },
                });
            }
            let Some((_, activation)) = dense else { continue };
            row.y.copy_from_slice(before);
            level.run(ActivateBackward { activation, x: &mut row.y, d });
            for (b, d) in slices[1].iter_mut().zip(&*d) {
                *b += *d;
            }
        }
        if dense.is_none() {
            dpooled.copy_from_slice(&dbefore);
            self.drop(0, place, dpooled);
            return;
        }
        for block in blocks.iter().rev() {
            let mut inputs = vec![0.0; packed_len(block.len(), hidden)];
            pack(&pooled[block.start * hidden..], hidden, block.len(), hidden, &mut inputs);
            level.settle(&mut inputs, block.len());
            level.run(Product {
                a: &dbefore[block.start * hidden..],
                lies: Lies::Columns(hidden),
                rows: hidden,
                b: &inputs,
                depth: block.len(),
                columns: hidden,
                c: slices[0],
                c_stride: hidden,
                store: Store::Add,
            });
        }
        level.run(Product {
            a: &dbefore,
            lies: Lies::Rows(hidden),
            rows: pairs,
            b: &self.packed.backward,
            depth: hidden,
            columns: hidden,
            c: dpooled,
            c_stride: hidden,
            store: Store::Set,
        });
        self.drop(0, place, dpooled);
    }
}
