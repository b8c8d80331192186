//! Attention of one pair, head by head, over packed queries, keys and values.
//!
//! Rows of `qkv` are a token's queries, keys and values, each `heads · size` wide. Nothing of the size of the
//! probabilities leaves this file: they live for one block of queries and are made again in backward.

use super::lanes::Level;
use super::product::{Lies, Product, Store, WIDTH, pack, pack_transposed, packed_len};
use super::softmax::{DroppedRows, Softmax, SoftmaxBackward, Stat};
use crate::nn::layers::dropout::Mask;

/// Queries taken together.
const BLOCK: usize = 96;

/// Room that calls use again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    grads: Vec<f32>,
    factors: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    other: Vec<f32>,
    block: Vec<f32>,
}

/// The attention of one pair.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    /// Instructions.
    pub level: Level,
    /// Heads.
    pub heads: usize,
    /// Width of one head.
    pub size: usize,
    /// Tokens of the pair.
    pub length: usize,
    /// The first token's place in the batch.
    pub token: usize,
    /// Dropout of the probabilities.
    pub dropped: Option<&'a Mask>,
}

/// A slice of at least `n` numbers, whatever they are.
pub(super) fn room(v: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if v.len() < n {
        v.resize(n, 0.0);
    }
    &mut v[..n]
}

impl Attention<'_> {
    fn scale(&self) -> f32 {
        (1.0 / (self.size as f64).sqrt()) as f32
    }

    fn rows(&self, head: usize, first: usize) -> Option<DroppedRows<'_>> {
        self.dropped.map(|mask| DroppedRows { mask, heads: self.heads, head, token: self.token + first })
    }

    /// Context rows `[length, heads · size]` from `qkv`; `stats` `[length, heads]` keeps what backward needs.
    pub(super) fn forward(
        &self,
        qkv: &[f32],
        context: &mut [f32],
        mut stats: Option<&mut [Stat]>,
        scratch: &mut Scratch,
    ) {
        let Self { level, heads, size, length, .. } = *self;
        let width = heads * size;
        let stride = length.next_multiple_of(WIDTH);
        let scores = room(&mut scratch.scores, BLOCK.min(length) * stride);
        let factors = room(&mut scratch.factors, stride);
        let keys = room(&mut scratch.keys, packed_len(size, length));
        let values = room(&mut scratch.values, packed_len(length, size));
        for head in 0..heads {
            let column = head * size;
            pack_transposed(&qkv[width + column..], 3 * width, size, length, keys);
            pack(&qkv[2 * width + column..], 3 * width, length, size, values);
            for first in (0..length).step_by(BLOCK) {
                let rows = (length - first).min(BLOCK);
                let scores = &mut scores[..rows * stride];
                level.run(Product {
                    a: &qkv[first * 3 * width + column..],
                    lies: Lies::Rows(3 * width),
                    rows,
                    b: keys,
                    depth: size,
                    columns: stride,
                    c: scores,
                    c_stride: stride,
                    store: Store::Set,
                });
                level.run(Softmax {
                    scores,
                    stride,
                    length,
                    scale: self.scale(),
                    dropped: self.rows(head, first),
                    factors,
                    keep: stats.as_deref_mut().map(|s| (s, first * heads + head, heads)),
                });
                level.run(Product {
                    a: scores,
                    lies: Lies::Rows(stride),
                    rows,
                    b: values,
                    depth: length,
                    columns: size,
                    c: &mut context[first * width + column..],
                    c_stride: width,
                    store: Store::Set,
                });
            }
        }
    }

    /// Gradients of `qkv` from those of the context rows.
    pub(super) fn backward(
        &self,
        qkv: &[f32],
        stats: &[Stat],
        dcontext: &[f32],
        dqkv: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Self { level, heads, size, length, .. } = *self;
        let width = heads * size;
        let stride = length.next_multiple_of(WIDTH);
        let scores = room(&mut scratch.scores, BLOCK.min(length) * stride);
        let grads = room(&mut scratch.grads, BLOCK.min(length) * stride);
        let factors = room(&mut scratch.factors, stride);
        let keys = room(&mut scratch.keys, packed_len(size, length));
        let values = room(&mut scratch.values, packed_len(size, length));
        let straight = room(&mut scratch.other, packed_len(length, size));
        let block = room(&mut scratch.block, packed_len(BLOCK.min(length), size));
        for head in 0..heads {
            let (q, k, v) = (head * size, width + head * size, 2 * width + head * size);
            pack_transposed(&qkv[k..], 3 * width, size, length, keys);
            pack_transposed(&qkv[v..], 3 * width, size, length, values);
            pack(&qkv[k..], 3 * width, length, size, straight);
            for first in (0..length).step_by(BLOCK) {
                let rows = (length - first).min(BLOCK);
                let (scores, grads) = (&mut scores[..rows * stride], &mut grads[..rows * stride]);
                let queries = &qkv[first * 3 * width + q..];
                let given = &dcontext[first * width + q..];
                for (a, a_stride, b, c) in
                    [(queries, 3 * width, &*keys, &mut *scores), (given, width, &*values, &mut *grads)]
                {
                    level.run(Product {
                        a,
                        lies: Lies::Rows(a_stride),
                        rows,
                        b,
                        depth: size,
                        columns: stride,
                        c,
                        c_stride: stride,
                        store: Store::Set,
                    });
                }
                level.run(SoftmaxBackward {
                    scores,
                    d: grads,
                    stride,
                    length,
                    scale: self.scale(),
                    dropped: self.rows(head, first),
                    factors,
                    kept: (stats, first * heads + head, heads),
                });
                level.run(Product {
                    a: grads,
                    lies: Lies::Rows(stride),
                    rows,
                    b: straight,
                    depth: length,
                    columns: size,
                    c: &mut dqkv[first * 3 * width + q..],
                    c_stride: 3 * width,
                    store: Store::Set,
                });
                let store = if first == 0 { Store::Set } else { Store::Add };
                for (source, source_stride, a, to) in
                    [(given, width, &*scores, v), (queries, 3 * width, &*grads, k)]
                {
                    pack(source, source_stride, rows, size, block);
                    level.run(Product {
                        a,
                        lies: Lies::Columns(stride),
                        rows: length,
                        b: block,
                        depth: rows,
                        columns: size,
                        c: &mut dqkv[to..],
                        c_stride: 3 * width,
                        store,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::dropout::Site;
    use crate::value::rng::Stream;

    fn random(n: usize, of: u64) -> Vec<f32> {
        let s = Stream::new(of, &["attention"]);
        (0..n).map(|i| s.normal(i as u64) as f32).collect()
    }

    fn naive(qkv: &[f64], heads: usize, size: usize, length: usize, factors: &[f32]) -> Vec<f64> {
        let width = heads * size;
        let at = |t: usize, part: usize, h: usize, d: usize| qkv[t * 3 * width + part * width + h * size + d];
        let mut out = vec![0.0; length * width];
        for h in 0..heads {
            for i in 0..length {
                let s: Vec<f64> = (0..length)
                    .map(|j| {
                        (0..size).map(|d| at(i, 0, h, d) * at(j, 1, h, d)).sum::<f64>() / (size as f64).sqrt()
                    })
                    .collect();
                let total: f64 = s.iter().map(|s| s.exp()).sum();
                for j in 0..length {
                    let p = s[j].exp() / total * f64::from(factors[(h * length + i) * length + j]);
                    for d in 0..size {
                        out[i * width + h * size + d] += p * at(j, 2, h, d);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn forward_equals_plain_loops_and_backward_finite_differences() {
        let mut scratch = Scratch::default();
        let mask = Mask::new(&Stream::new(5, &["attention"]), Site::Attention(1), 0.3);
        for (heads, size, length, drop) in
            [(1, 1, 1, false), (2, 8, 5, true), (3, 16, 33, true), (2, 12, 17, false), (1, 32, 230, true)]
        {
            let (width, token) = (heads * size, 11);
            let factors =
                if drop { mask.attention(token, length, heads) } else { vec![1.0; heads * length * length] };
            let qkv = random(length * 3 * width, 1);
            let dout = random(length * width, 2);
            let exact: Vec<f64> = qkv.iter().map(|x| f64::from(*x)).collect();
            for level in [Level::PORTABLE, Level::detect()] {
                let a = Attention { level, heads, size, length, token, dropped: drop.then_some(&mask) };
                let mut out = vec![f32::NAN; length * width];
                let mut stats = vec![[0.0; 2]; length * heads];
                a.forward(&qkv, &mut out, Some(&mut stats), &mut scratch);
                for (o, e) in out.iter().zip(naive(&exact, heads, size, length, &factors)) {
                    assert!((f64::from(*o) - e).abs() < 1e-5, "{o} {e}");
                }
                let mut got = vec![f32::NAN; qkv.len()];
                a.backward(&qkv, &stats, &dout, &mut got, &mut scratch);
                assert!(got.iter().all(|g| g.is_finite()));
                for i in (0..qkv.len()).step_by(qkv.len() / 12 + 1) {
                    let at = |step: f64| {
                        let mut x = exact.clone();
                        x[i] += step;
                        let y = naive(&x, heads, size, length, &factors);
                        y.iter().zip(&dout).map(|(y, d)| y * f64::from(*d)).sum::<f64>()
                    };
                    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!(
                        (f64::from(got[i]) - slope).abs() < 1e-4,
                        "{heads} {size} {length} {i}: {} {slope}",
                        got[i]
                    );
                }
            }
        }
    }
}
