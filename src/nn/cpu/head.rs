//! Pooler and classifier over the pairs' first tokens: logit = c · drop(tanh(P x + b)) + d.

use std::ops::Range;

use super::activate::{Dot, Tanh};
use super::gradients::carve;
use super::lanes::Level;
use super::mask::Drop;
use super::product::{Lies, Product, Store, pack, packed_len};
use super::weights::{Linear, Pair};
use crate::nn::layers::dropout::Mask;

/// The head's parameters.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub level: Level,
    pub hidden: usize,
    pub pooler: &'a Pair,
    pub classifier: &'a Pair,
    pub packed: &'a Linear,
    pub weights: &'a [f32],
    /// Dropout before the classifier.
    pub dropped: Option<&'a Mask>,
}

impl Head<'_> {
    fn drop(&self, pair: usize, x: &mut [f32]) {
        if let Some(mask) = self.dropped {
            self.level.run(Drop { mask, first: (pair * self.hidden) as u64, x });
        }
    }

    /// Logits of the pairs from `pair` on; leaves the pooled states in `pooled`.
    pub(super) fn forward(&self, pair: usize, first: &[f32], pooled: &mut [f32], logits: &mut [f32]) {
        let (level, hidden) = (self.level, self.hidden);
        level.run(Product {
            a: first,
            lies: Lies::Rows(hidden),
            rows: logits.len(),
            b: &self.packed.forward,
            depth: hidden,
            columns: hidden,
            c: pooled,
            c_stride: hidden,
            store: Store::Bias(&self.weights[self.pooler.bias.clone()]),
        });
        level.run(Tanh(pooled));
        let mut row = vec![0.0; hidden];
        let bias = self.weights[self.classifier.bias.start];
        for (i, (pooled, logit)) in pooled.chunks_exact(hidden).zip(logits).enumerate() {
            row.copy_from_slice(pooled);
            self.drop(pair + i, &mut row);
            *logit = level.run(Dot(&row, &self.weights[self.classifier.weight.clone()])) + bias;
        }
    }

    /// Adds the head's gradients and writes those of the first tokens' states, `[pairs, hidden]`; the first pair has
    /// this place in the whole batch.
    pub(super) fn backward(
        &self,
        place: usize,
        blocks: &[Range<usize>],
        first: &[f32],
        pooled: &[f32],
        dlogits: &[f32],
        gradients: &mut [f32],
        dfirst: &mut [f32],
    ) {
        let (level, hidden, pairs) = (self.level, self.hidden, dlogits.len());
        let ranges: [Range<usize>; 4] = [
            self.pooler.weight.clone(),
            self.pooler.bias.clone(),
            self.classifier.weight.clone(),
            self.classifier.bias.clone(),
        ];
        let mut slices = carve(gradients, &ranges);
        let weight = &self.weights[self.classifier.weight.clone()];
        let mut before = vec![0.0; pairs * hidden];
        let mut row = vec![0.0; hidden];
        let rows = pooled.chunks_exact(hidden).zip(before.chunks_exact_mut(hidden));
        for (i, (pooled, d)) in rows.enumerate().rev() {
            row.copy_from_slice(pooled);
            self.drop(place + i, &mut row);
            for (g, x) in slices[2].iter_mut().zip(&row) {
                *g += dlogits[i] * x;
            }
            slices[3][0] += dlogits[i];
            for (d, w) in d.iter_mut().zip(weight) {
                *d = dlogits[i] * w;
            }
            self.drop(place + i, d);
            for ((d, p), b) in d.iter_mut().zip(pooled).zip(slices[1].iter_mut()) {
                *d *= 1.0 - p * p;
                *b += *d;
            }
        }
        for block in blocks.iter().rev() {
            let mut inputs = vec![0.0; packed_len(block.len(), hidden)];
            pack(&first[block.start * hidden..], hidden, block.len(), hidden, &mut inputs);
            level.run(Product {
                a: &before[block.start * hidden..],
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
            a: &before,
            lies: Lies::Rows(hidden),
            rows: pairs,
            b: &self.packed.backward,
            depth: hidden,
            columns: hidden,
            c: dfirst,
            c_stride: hidden,
            store: Store::Set,
        });
    }
}
