//! Matrix products over packed right operands, and the instruction sets that all kernels of the engine run on.
//!
//! - [`layout`]: block sizes and memory layouts; [`pack`]: packing; [`bfloat16`] and [`round`]: rounding;
//! - [`isa`]: instruction sets with their microkernels; [`blocked`]: the loops around a microkernel;
//! - [`dispatch`]: the choice of an instruction set at run time; [`lhs`]: left operands at rounding levels.

mod bfloat16;
mod blocked;
pub(super) mod dispatch;
pub(super) mod isa;
pub(super) mod layout;
mod lhs;
pub(super) mod pack;
mod round;
#[cfg(test)]
mod tests;

use blocked::Operands;
use dispatch::Level;
use layout::{Layout, Store};
use pack::Panels;

/// c = (or +=) a · b.
pub(crate) struct Gemm<'a> {
    /// Left operand, `rows` by `depth`.
    pub a: &'a [f32],
    /// Layout of `a`.
    pub layout: Layout,
    /// Rows of the result.
    pub rows: usize,
    /// Right operand, packed, `depth` by `columns`.
    pub b: Panels<'a>,
    /// Length of the sums.
    pub depth: usize,
    /// Columns of the result.
    pub columns: usize,
    /// The product, `rows` by `columns`.
    pub c: &'a mut [f32],
    /// Row stride of `c`.
    pub c_stride: usize,
    /// How results are written.
    pub store: Store<'a>,
}

impl Level {
    /// Computes a product whose right operand was packed at this level.
    pub(crate) fn gemm(self, gemm: Gemm<'_>) {
        match gemm.b {
            #[cfg(target_arch = "x86_64")]
            Panels::Bf16(isa, b) => lhs::multiply_pairs(isa, gemm, b),
            // Without depth there is nothing to round.
            Panels::F32(b) if self.rounds() && gemm.depth > 0 => lhs::multiply_rounded(self, gemm, b),
            Panels::F32(b) => {
                let Gemm { a, layout, rows, depth, columns, c, c_stride, store, .. } = gemm;
                self.run(Operands { a, layout, rows, b, depth, columns, c, c_stride, store });
            }
        }
    }
}
