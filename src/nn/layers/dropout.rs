//! Dropout that is a function of (stream, site, element), so that every engine drops the same elements and nothing
//! needs to be stored.
//!
//! Each site of the model has a sub-stream of the batch's stream. Element `e` of the site uses word `e mod 4`
//! of block `⌊e/4⌋` and is kept when the word is at least `round(p · 2³²)`; kept elements are multiplied by
//! `1 / (1 - p)`. Elements are numbered over the whole packed batch, never over a part of it:
//! - a hidden state: `token · width + column`;
//! - the pooled state and the classifier's input: `pair · width + column`;
//! - the table of relative positions: `row · width + column`;
//! - an attention probability: `(token · heads + head) · 65536 + key`, where `token` is the index of the query in the
//!   batch and `key` the index of the key in its pair.

use xpipe_base::value::rng::Stream;

/// Elements from one row of attention probabilities to the next.
const ROW: u64 = 1 << 16;

/// A site of dropout in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// After the embeddings' norm: sub-stream 0.
    Embeddings,
    /// Before the classifier: sub-stream 1.
    Classifier,
    /// Attention probabilities of layer l: sub-stream 2 + 3l.
    Attention(usize),
    /// Output of layer l's attention: sub-stream 3 + 3l.
    AttentionOutput(usize),
    /// Output of layer l's feed-forward network (of a gated one: the product of both halves): sub-stream 4 + 3l.
    Output(usize),
    /// The pooled state: sub-stream 2³².
    Pooled,
    /// Output of the convolution: sub-stream 2³² + 1.
    Convolution,
    /// Table of relative positions in layer l: sub-stream 2³³ + l.
    Relative(usize),
}

impl Site {
    fn index(self) -> u64 {
        match self {
            Self::Embeddings => 0,
            Self::Classifier => 1,
            Self::Attention(l) => 2 + 3 * l as u64,
            Self::AttentionOutput(l) => 3 + 3 * l as u64,
            Self::Output(l) => 4 + 3 * l as u64,
            Self::Pooled => 1 << 32,
            Self::Convolution => (1 << 32) + 1,
            Self::Relative(l) => (1 << 33) + l as u64,
        }
    }
}

/// The factors of one site in one batch.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    stream: Stream,
    threshold: u32,
    scale: f32,
}

impl Mask {
    /// The factors of a site for dropout with a probability in [0, 1).
    pub fn new(stream: &Stream, site: Site, probability: f64) -> Self {
        Self {
            stream: stream.sub(site.index()),
            threshold: (probability * 4_294_967_296.0).round() as u32,
            scale: (1.0 / (1.0 - probability)) as f32,
        }
    }

    /// Writes the factors (0 or 1 / (1 - p)) of the elements from `first` on.
    pub fn fill(&self, first: u64, out: &mut [f32]) {
        let mut block = [0; 4];
        for (i, x) in out.iter_mut().enumerate() {
            let e = first + i as u64;
            if i == 0 || e.is_multiple_of(4) {
                block = self.stream.block(e / 4);
            }
            *x = if block[(e % 4) as usize] >= self.threshold { self.scale } else { 0.0 };
        }
    }

    /// The site's stream, the smallest word that is kept, and the factor of kept elements: for vectorised drawing.
    pub(crate) fn parts(&self) -> (&Stream, u32, f32) {
        (&self.stream, self.threshold, self.scale)
    }

    /// Index of the first element of a row of attention probabilities.
    pub fn row(token: usize, heads: usize, head: usize) -> u64 {
        (token as u64 * heads as u64 + head as u64) * ROW
    }

    /// The factors `[heads, length, length]` of one pair whose first token is `token` in the batch.
    pub fn attention(&self, token: usize, length: usize, heads: usize) -> Vec<f32> {
        let mut out = vec![0.0; heads * length * length];
        for (row, chunk) in out.chunks_exact_mut(length).enumerate() {
            self.fill(Self::row(token + row % length, heads, row / length), chunk);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(p: f64) -> Mask {
        Mask::new(&Stream::new(1, &["dropout"]), Site::Output(3), p)
    }

    #[test]
    fn a_piece_is_the_same_as_the_whole() {
        let mut whole = vec![0.0; 64];
        mask(0.3).fill(0, &mut whole);
        for first in 0..16 {
            let mut piece = vec![0.0; 23];
            mask(0.3).fill(first, &mut piece);
            assert_eq!(piece, whole[first as usize..first as usize + 23]);
        }
    }

    #[test]
    fn the_rate_is_the_probability_and_the_mean_is_one() {
        let n = 200_000;
        for p in [0.1, 0.5] {
            let mut x = vec![0.0; n];
            mask(p).fill(7, &mut x);
            let dropped = x.iter().filter(|x| **x == 0.0).count() as f64 / n as f64;
            // Five standard deviations of a binomial proportion.
            assert!((dropped - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt(), "{dropped} for {p}");
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
        }
    }

    #[test]
    fn sites_are_unrelated_and_none_shares_a_stream() {
        let mut seen = std::collections::BTreeSet::new();
        for site in [Site::Embeddings, Site::Classifier, Site::Pooled, Site::Convolution] {
            assert!(seen.insert(site.index()));
        }
        for l in 0..24 {
            for site in [Site::Attention(l), Site::AttentionOutput(l), Site::Output(l), Site::Relative(l)] {
                assert!(seen.insert(site.index()));
            }
        }
        let rows = mask(0.5).attention(3, 2, 2);
        let mut row = vec![0.0; 2];
        mask(0.5).fill(Mask::row(4, 2, 1), &mut row);
        assert_eq!(rows[6..8], row);
    }
}
