//! Rounding of operands to bfloat16.

use super::bfloat16::bf16;
use super::isa::{Isa, Kernel};

/// Rounds numbers in place. The loop is plain: each instruction set compiles its own.
pub(crate) struct Round<'a>(pub &'a mut [f32]);

impl Kernel for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        self.0.iter_mut().for_each(|x| *x = bf16(*x));
    }
}
