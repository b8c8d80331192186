//! Rounding to bfloat16.

use super::isa::{Isa, Kernel};

/// The nearest bfloat16, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let near = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if x.is_nan() { x } else { f32::from_bits(near) }
}

/// Rounds numbers in place. The loop is plain: each instruction set compiles its own.
pub(crate) struct Round<'a>(pub &'a mut [f32]);

impl Kernel for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        self.0.iter_mut().for_each(|x| *x = bf16(*x));
    }
}
