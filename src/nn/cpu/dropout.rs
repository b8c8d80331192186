//! Dropout factors, drawn eight blocks of the generator at a time and equal to those of [`Mask::fill`].

use super::gemm::isa::{Isa, Kernel};
use crate::layers::dropout::Mask;

/// Blocks drawn together, of four words each.
const BLOCKS: usize = 8;
const WORDS: usize = 4 * BLOCKS;

/// Writes the factors of the elements from `first` on.
#[inline(always)]
pub(super) fn fill(mask: &Mask, first: u64, out: &mut [f32]) {
    let (stream, threshold, scale) = mask.parts();
    let mut block = first / 4;
    let skip = (first % 4) as usize;
    let (head, rest) = out.split_at_mut(if skip == 0 { 0 } else { out.len().min(WORDS - skip) });
    if !head.is_empty() {
        let words = stream.blocks::<BLOCKS>(block);
        for (x, word) in head.iter_mut().zip(&words.as_flattened()[skip..]) {
            *x = if *word >= threshold { scale } else { 0.0 };
        }
        block += BLOCKS as u64;
    }
    for chunk in rest.chunks_mut(WORDS) {
        let words = stream.blocks::<BLOCKS>(block);
        block += BLOCKS as u64;
        for (x, word) in chunk.iter_mut().zip(words.as_flattened()) {
            *x = if *word >= threshold { scale } else { 0.0 };
        }
    }
}

/// Multiplies elements by their dropout factors.
pub(super) struct ApplyDropout<'a> {
    /// The dropout factors.
    pub mask: &'a Mask,
    /// Index of the first element in the whole batch.
    pub first: u64,
    /// The elements.
    pub x: &'a mut [f32],
}

impl Kernel for ApplyDropout<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let mut factors = [0.0; 4 * WORDS];
        let mut first = self.first;
        for chunk in self.x.chunks_mut(4 * WORDS) {
            let factors = &mut factors[..chunk.len()];
            fill(self.mask, first, factors);
            first += chunk.len() as u64;
            for (x, f) in chunk.iter_mut().zip(factors) {
                *x *= *f;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::dispatch::Level;
    use crate::layers::dropout::Site;
    use xpipe_base::value::rng::Stream;

    #[test]
    fn factors_equal_the_definition_from_any_element_on() {
        let mask = Mask::new(&Stream::new(1, &["mask"]), Site::Output(2), 0.3);
        for level in [Level::PORTABLE, Level::detect()] {
            for (first, n) in
                [(0, 1), (0, 384), (3, 2), (5, 300), (31, 33), ((1 << 34) + 2, 65), (7, 0), (6, 1000)]
            {
                let mut x = vec![1.0; n];
                level.run(ApplyDropout { mask: &mask, first, x: &mut x });
                let mut expected = vec![0.0; n];
                mask.fill(first, &mut expected);
                assert_eq!(x, expected, "{first} {n}");
            }
        }
    }
}
