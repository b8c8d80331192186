//! Dot products of vectors that are stored as binary16: all of a block with all of a few, in fp32.
//!
//! A product is one chain of multiply-adds over the width (see [`super::gemm`]): it depends on its two vectors alone,
//! never on what is beside them.

use super::gemm::Gemm;
use super::gemm::dispatch::Level;
use super::gemm::isa::{Isa, Kernel};
use super::gemm::layout::{Layout, Store};
use super::gemm::pack::{PackedRhs, Rhs};
use xpipe_base::value::half::widen;

/// Vectors packed to be multiplied with many others.
#[derive(Debug)]
pub struct PackedVectors {
    level: Level,
    width: usize,
    count: usize,
    packed: PackedRhs,
}

impl PackedVectors {
    /// Packs vectors of this width: little-endian binary16 numbers.
    pub fn new(vectors: &[u8], width: usize, level: Level) -> Self {
        let level = level.rounding(false);
        let mut wide = vec![0.0; vectors.len() / 2];
        level.run(Widen { from: vectors, to: &mut wide });
        let count = wide.len() / width.max(1);
        let mut packed = PackedRhs::default();
        packed.pack(level, &Rhs::transposed(&wide, width, width, count));
        Self { level, width, count, packed }
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Dot products of each vector of a block, stored as those of [`PackedVectors::new`], with each of these:
    /// `[block, count]`. `wide` is memory that calls use again.
    pub fn multiply(&self, block: &[u8], wide: &mut Vec<f32>, out: &mut [f32]) {
        let rows = block.len() / (2 * self.width.max(1));
        wide.resize(rows * self.width, 0.0);
        self.level.run(Widen { from: block, to: wide });
        self.level.gemm(Gemm {
            a: wide,
            layout: Layout::RowMajor(self.width),
            rows,
            b: self.packed.panels(),
            depth: self.width,
            columns: self.count,
            c: out,
            c_stride: self.count,
            store: Store::Set,
        });
    }
}

/// Binary16 numbers as fp32. The loop is plain: each instruction set compiles its own.
struct Widen<'a> {
    from: &'a [u8],
    to: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let (from, _) = self.from.as_chunks::<2>();
        for (x, bits) in self.to.iter_mut().zip(from) {
            *x = widen(u16::from_le_bytes(*bits));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::value::half::narrow;
    use xpipe_base::value::rng::Stream;

    /// Vectors as they are stored.
    fn random(n: usize, width: usize, of: u64) -> Vec<u8> {
        let s = Stream::new(of, &["dots"]);
        (0..n * width).flat_map(|i| narrow(s.normal(i as u64) as f32).unwrap().to_le_bytes()).collect()
    }

    #[test]
    fn products_are_those_of_the_stored_numbers() {
        for (documents, queries, width) in [(1, 1, 1), (100, 33, 8), (97, 5, 384), (13, 40, 800), (3, 0, 8)] {
            let (a, b) = (random(documents, width, 1), random(queries, width, 2));
            let number = |v: &[u8], i: usize| f64::from(widen(u16::from_le_bytes([v[2 * i], v[2 * i + 1]])));
            for level in Level::all() {
                let dots = PackedVectors::new(&b, width, level);
                assert_eq!(dots.count(), queries);
                let (mut wide, mut out) = (Vec::new(), vec![f32::NAN; documents * queries]);
                dots.multiply(&a, &mut wide, &mut out);
                for (at, got) in out.iter().enumerate() {
                    let (d, q) = (at / queries, at % queries);
                    let terms = (0..width).map(|i| number(&a, d * width + i) * number(&b, q * width + i));
                    let (exact, size) = terms.fold((0.0, 1.0), |(s, n), t| (s + t, n + t.abs()));
                    assert!((f64::from(*got) - exact).abs() < 1e-6 * size, "{width}: {got} {exact}");
                }
                // The same bits one at a time.
                for (d, row) in out.chunks_exact(queries.max(1)).enumerate().step_by(7) {
                    for q in (0..queries).step_by(5) {
                        let one = PackedVectors::new(&b[2 * q * width..2 * (q + 1) * width], width, level);
                        let mut alone = [0.0];
                        one.multiply(&a[2 * d * width..2 * (d + 1) * width], &mut wide, &mut alone);
                        assert_eq!(alone[0].to_bits(), row[q].to_bits());
                    }
                }
            }
        }
    }
}
