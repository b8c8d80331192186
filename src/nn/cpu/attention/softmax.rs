//! Softmax of rows of attention scores with dropout, and its backward, which makes the probabilities again.

use crate::cpu::dropout::fill;
use crate::cpu::gemm::isa::{Isa, Kernel, LANES, Vector};
use crate::cpu::math::exp;
use crate::layers::dropout::Mask;

/// Dropout of a block of rows of one head's probabilities.
#[derive(Clone, Copy)]
pub(super) struct ProbabilityDropout<'a> {
    /// The dropout factors.
    pub mask: &'a Mask,
    /// Number of heads, by which elements are counted.
    pub heads: usize,
    /// This head.
    pub head: usize,
    /// Index of the first row's token in the whole batch.
    pub first_token: usize,
    /// Index of the first key in its pair.
    pub first_key: usize,
}

impl ProbabilityDropout<'_> {
    #[inline(always)]
    fn fill(&self, row: usize, out: &mut [f32]) {
        fill(
            self.mask,
            Mask::row(self.first_token + row, self.heads, self.head) + self.first_key as u64,
            out,
        );
    }
}

/// A local window: a row sees the keys at most so far away.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Index of the first row in the pair.
    pub first_row: usize,
    /// Index of the first key in the pair.
    pub first_key: usize,
    /// How far a row sees.
    pub reach: usize,
}

/// Sets the scores of padding and of keys outside the window to −∞.
#[inline(always)]
fn mask_row(row: &mut [f32], length: usize, window: Option<Window>, i: usize) {
    row[length..].fill(f32::NEG_INFINITY);
    if let Some(Window { first_row, first_key, reach }) = window {
        let query = first_row + i;
        row[..query.saturating_sub(first_key + reach)].fill(f32::NEG_INFINITY);
        row[(query + reach + 1 - first_key).min(length)..length].fill(f32::NEG_INFINITY);
    }
}

/// What backward needs of a row besides its scores: the largest scaled score, and 1 / the sum of exponentials.
pub(in super::super) type SoftmaxStats = [f32; 2];

/// Scores in, probabilities after dropout out.
pub(super) struct Softmax<'a> {
    /// `[rows, stride]`. The first `length` of a row count; the others become zero.
    pub scores: &'a mut [f32],
    /// Row stride, a multiple of eight.
    pub stride: usize,
    /// Number of keys.
    pub length: usize,
    /// Factor of the scores, above zero.
    pub scale: f32,
    /// Local window; without it rows see every key.
    pub window: Option<Window>,
    /// Dropout.
    pub dropout: Option<ProbabilityDropout<'a>>,
    /// Memory for a row of factors.
    pub factors: &'a mut [f32],
    /// Where the rows' statistics go: the memory, the index of the first and the stride.
    pub stats: Option<(&'a mut [SoftmaxStats], usize, usize)>,
}

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let scale = isa.splat(self.scale);
        for (i, row) in self.scores.chunks_exact_mut(self.stride).enumerate() {
            mask_row(row, self.length, self.window, i);
            let mut max = isa.splat(f32::NEG_INFINITY);
            for s in row.chunks_exact(LANES) {
                max = max.max(isa.load(s));
            }
            let largest = max.largest() * self.scale;
            let shift = isa.splat(-largest);
            let mut sum = isa.splat(0.0);
            for s in row.chunks_exact_mut(LANES) {
                let e = exp(isa.load(s).mul_add(scale, shift));
                e.store(s);
                sum = sum.add(e);
            }
            let inverse = 1.0 / sum.sum();
            if let Some((stats, first, stride)) = &mut self.stats {
                stats[*first + i * *stride] = [largest, inverse];
            }
            let normalise = isa.splat(inverse);
            if let Some(d) = self.dropout {
                let factors = &mut self.factors[..self.stride];
                d.fill(i, factors);
                for (s, f) in row.chunks_exact_mut(LANES).zip(factors.chunks_exact(LANES)) {
                    isa.load(s).mul(normalise).mul(isa.load(f)).store(s);
                }
            } else {
                for s in row.chunks_exact_mut(LANES) {
                    isa.load(s).mul(normalise).store(s);
                }
            }
        }
    }
}

/// Backward of [`Softmax`]: the probabilities after dropout from the scores again, and the gradient of the unscaled
/// scores.
///
/// With P the probabilities, f the factors and g = f · dP̃: dS = scale · P (g − Σ P g).
pub(super) struct SoftmaxBackward<'a> {
    /// Scores in, probabilities after dropout out; as in [`Softmax`].
    pub scores: &'a mut [f32],
    /// Gradient of the probabilities after dropout in, of the scores out.
    pub d: &'a mut [f32],
    /// As in [`Softmax`].
    pub stride: usize,
    /// Number of keys.
    pub length: usize,
    /// As in [`Softmax`].
    pub scale: f32,
    /// As in [`Softmax`].
    pub window: Option<Window>,
    /// The same dropout as forward.
    pub dropout: Option<ProbabilityDropout<'a>>,
    /// Memory for a row of factors.
    pub factors: &'a mut [f32],
    /// What forward saved: the memory, the index of the first row and the stride.
    pub stats: (&'a [SoftmaxStats], usize, usize),
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let scale = isa.splat(self.scale);
        let (stats, first, stride) = self.stats;
        let rows = self.scores.chunks_exact_mut(self.stride).zip(self.d.chunks_exact_mut(self.stride));
        for (i, (row, d)) in rows.enumerate() {
            let [largest, inverse] = stats[first + i * stride];
            let (shift, normalise) = (isa.splat(-largest), isa.splat(inverse));
            mask_row(row, self.length, self.window, i);
            let mut dot = isa.splat(0.0);
            if let Some(drop) = self.dropout {
                let factors = &mut self.factors[..self.stride];
                drop.fill(i, factors);
                for ((s, d), f) in
                    row.chunks_exact_mut(LANES).zip(d.chunks_exact(LANES)).zip(factors.chunks_exact(LANES))
                {
                    let p = exp(isa.load(s).mul_add(scale, shift)).mul(normalise);
                    dot = p.mul_add(isa.load(d).mul(isa.load(f)), dot);
                    p.store(s);
                }
                let dot = isa.splat(dot.sum());
                for ((s, d), f) in row
                    .chunks_exact_mut(LANES)
                    .zip(d.chunks_exact_mut(LANES))
                    .zip(factors.chunks_exact(LANES))
                {
                    let (p, f) = (isa.load(s), isa.load(f));
                    isa.load(d).mul(f).sub(dot).mul(p).mul(scale).store(d);
                    p.mul(f).store(s);
                }
            } else {
                for (s, d) in row.chunks_exact_mut(LANES).zip(d.chunks_exact(LANES)) {
                    let p = exp(isa.load(s).mul_add(scale, shift)).mul(normalise);
                    dot = p.mul_add(isa.load(d), dot);
                    p.store(s);
                }
                let dot = isa.splat(dot.sum());
                for (s, d) in row.chunks_exact(LANES).zip(d.chunks_exact_mut(LANES)) {
                    isa.load(d).sub(dot).mul(isa.load(s)).mul(scale).store(d);
                }
            }
        }
    }
}
