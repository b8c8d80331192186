//! Softmax of rows of attention scores with dropout, and its backward, which makes the probabilities again.

use super::lanes::{Kernel, Lanes, N};
use super::mask::fill;
use super::math::exp;
use crate::layers::dropout::Mask;

/// Dropout of a block of rows of one head's probabilities.
#[derive(Clone, Copy)]
pub(super) struct DroppedRows<'a> {
    /// The site's factors.
    pub mask: &'a Mask,
    /// Heads, for the numbers of elements.
    pub heads: usize,
    /// This head.
    pub head: usize,
    /// The first row's place in the whole batch.
    pub token: usize,
    /// The first key's place in its pair.
    pub key: usize,
}

impl DroppedRows<'_> {
    #[inline(always)]
    fn fill(&self, row: usize, out: &mut [f32]) {
        fill(self.mask, Mask::row(self.token + row, self.heads, self.head) + self.key as u64, out);
    }
}

/// What rows see of their keys: those at most so far away.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// The first row's place in the pair.
    pub row: usize,
    /// The first key's place in the pair.
    pub key: usize,
    /// How far a row sees.
    pub reach: usize,
}

/// Hides what does not count of a row of scores.
#[inline(always)]
fn hide(row: &mut [f32], length: usize, window: Option<Window>, i: usize) {
    row[length..].fill(f32::NEG_INFINITY);
    if let Some(Window { row: first, key, reach }) = window {
        let place = first + i;
        row[..place.saturating_sub(key + reach)].fill(f32::NEG_INFINITY);
        row[(place + reach + 1 - key).min(length)..length].fill(f32::NEG_INFINITY);
    }
}

/// What backward needs of a row beside its scores: the largest scaled score, and one over the sum of exponentials.
pub(super) type Stat = [f32; 2];

/// Scores in, dropped probabilities out.
pub(super) struct Softmax<'a> {
    /// `[rows, stride]`, of which the first `length` of a row count; the others become zero.
    pub scores: &'a mut [f32],
    /// Row length in memory, a multiple of eight.
    pub stride: usize,
    /// Keys.
    pub length: usize,
    /// What scores are multiplied by, above zero.
    pub scale: f32,
    /// What rows see; everything without it.
    pub window: Option<Window>,
    /// Dropout.
    pub dropped: Option<DroppedRows<'a>>,
    /// Room for a row of factors.
    pub factors: &'a mut [f32],
    /// Where the rows' statistics are kept, `every` apart from `first` on.
    pub keep: Option<(&'a mut [Stat], usize, usize)>,
}

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let scale = L::splat(self.scale);
        for (i, row) in self.scores.chunks_exact_mut(self.stride).enumerate() {
            hide(row, self.length, self.window, i);
            let mut most = L::splat(f32::NEG_INFINITY);
            for s in row.chunks_exact(N) {
                most = most.max(L::load(s));
            }
            let largest = most.largest() * self.scale;
            let shift = L::splat(-largest);
            let mut sum = L::splat(0.0);
            for s in row.chunks_exact_mut(N) {
                let e = exp(L::load(s).mul_add(scale, shift));
                e.store(s);
                sum = sum.add(e);
            }
            let part = 1.0 / sum.sum();
            if let Some((stats, first, every)) = &mut self.keep {
                stats[*first + i * *every] = [largest, part];
            }
            let part = L::splat(part);
            if let Some(d) = self.dropped {
                let factors = &mut self.factors[..self.stride];
                d.fill(i, factors);
                for (s, f) in row.chunks_exact_mut(N).zip(factors.chunks_exact(N)) {
                    L::load(s).mul(part).mul(L::load(f)).store(s);
                }
            } else {
                for s in row.chunks_exact_mut(N) {
                    L::load(s).mul(part).store(s);
                }
            }
        }
    }
}

/// Backward of [`Softmax`]: dropped probabilities from the scores again, and the gradient of the unscaled scores.
///
/// With P the probabilities, f the factors and g = f · dP̃: dS = scale · P (g − Σ P g).
pub(super) struct SoftmaxBackward<'a> {
    /// Scores in, dropped probabilities out; as in [`Softmax`].
    pub scores: &'a mut [f32],
    /// The gradient of the dropped probabilities in, of the scores out.
    pub d: &'a mut [f32],
    /// As in [`Softmax`].
    pub stride: usize,
    /// Keys.
    pub length: usize,
    /// As in [`Softmax`].
    pub scale: f32,
    /// As in [`Softmax`].
    pub window: Option<Window>,
    /// The same dropout as forward.
    pub dropped: Option<DroppedRows<'a>>,
    /// Room for a row of factors.
    pub factors: &'a mut [f32],
    /// What forward kept.
    pub kept: (&'a [Stat], usize, usize),
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let scale = L::splat(self.scale);
        let (stats, first, every) = self.kept;
        let rows = self.scores.chunks_exact_mut(self.stride).zip(self.d.chunks_exact_mut(self.stride));
        for (i, (row, d)) in rows.enumerate() {
            let [largest, part] = stats[first + i * every];
            let (shift, part) = (L::splat(-largest), L::splat(part));
            hide(row, self.length, self.window, i);
            let mut along = L::splat(0.0);
            if let Some(drop) = self.dropped {
                let factors = &mut self.factors[..self.stride];
                drop.fill(i, factors);
                for ((s, d), f) in row.chunks_exact_mut(N).zip(d.chunks_exact(N)).zip(factors.chunks_exact(N))
                {
                    let p = exp(L::load(s).mul_add(scale, shift)).mul(part);
                    along = p.mul_add(L::load(d).mul(L::load(f)), along);
                    p.store(s);
                }
                let along = L::splat(along.sum());
                for ((s, d), f) in
                    row.chunks_exact_mut(N).zip(d.chunks_exact_mut(N)).zip(factors.chunks_exact(N))
                {
                    let (p, f) = (L::load(s), L::load(f));
                    L::load(d).mul(f).sub(along).mul(p).mul(scale).store(d);
                    p.mul(f).store(s);
                }
            } else {
                for (s, d) in row.chunks_exact_mut(N).zip(d.chunks_exact(N)) {
                    let p = exp(L::load(s).mul_add(scale, shift)).mul(part);
                    along = p.mul_add(L::load(d), along);
                    p.store(s);
                }
                let along = L::splat(along.sum());
                for (s, d) in row.chunks_exact(N).zip(d.chunks_exact_mut(N)) {
                    L::load(d).sub(along).mul(L::load(s)).mul(scale).store(d);
                }
            }
        }
    }
}
