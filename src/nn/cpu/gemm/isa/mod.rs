//! Instruction sets: a portable one, AVX2 with FMA, AVX-512, and AVX-512 with dot products of bfloat16 pairs.
//!
//! Each instruction set is a zero-sized token ([`Isa`]) that only detection makes, so a function that takes the token
//! needs no further proof that the machine has the instructions. Vectors come from tokens only, hence their methods
//! are safe too. A [`Kernel`] is written once over [`Isa`] and compiled once for each of them.
//!
//! All of them compute on the same eight lanes in the same order, so one instruction set gives the same bits on every
//! machine that has it. AVX2 and AVX-512 differ from the portable one because a fused multiply-add rounds once.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod bf16;
pub(super) mod portable;
mod tile8;

use super::layout::Store;

/// Numbers in a vector.
pub(crate) const LANES: usize = 8;

/// A token of an instruction set: whoever has one may execute its instructions.
pub(crate) trait Isa: Microkernel<f32> {
    /// Eight numbers.
    type Vector: Vector;
    /// The same number in every lane.
    fn splat(self, x: f32) -> Self::Vector;
    /// The first eight numbers of a slice. Panics if there are fewer.
    fn load(self, x: &[f32]) -> Self::Vector;
    /// The eight numbers from an address on.
    ///
    /// # Safety
    /// They must be readable. No alignment is needed.
    #[expect(unsafe_code, reason = "declares a contract: the microkernel reads without bounds checks")]
    unsafe fn load_at(self, x: *const f32) -> Self::Vector;
    /// Runs a kernel compiled for this instruction set.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;
}

/// Eight `f32` numbers.
pub(crate) trait Vector: Copy {
    /// A number in every lane of a vector of this kind.
    fn splat(self, x: f32) -> Self;
    /// Writes to the first eight elements of a slice. Panics if there are fewer.
    fn store(self, x: &mut [f32]);
    /// self + b.
    fn add(self, b: Self) -> Self;
    /// self − b.
    fn sub(self, b: Self) -> Self;
    /// self · b.
    fn mul(self, b: Self) -> Self;
    /// self / b.
    fn div(self, b: Self) -> Self;
    /// self · b + c, rounded once where the instruction set has a fused multiply-add.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// self · b − product, where `product` is self · b rounded: the rounding error of the product, exactly.
    fn mul_error(self, b: Self, product: Self) -> Self;
    /// The larger, by lane; `b` where either is NaN.
    fn max(self, b: Self) -> Self;
    /// The smaller, by lane; `b` where either is NaN.
    fn min(self, b: Self) -> Self;
    /// The nearest integer, ties to even.
    fn round(self) -> Self;
    /// self · 2ⁿ for integers n in −126..=127.
    fn scale2(self, n: Self) -> Self;
    /// By lane: `yes` where self < b, else `no`.
    fn select_less(self, b: Self, yes: Self, no: Self) -> Self;

    /// All lanes as an array.
    #[inline(always)]
    fn array(self) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        self.store(&mut out);
        out
    }

    /// The sum of all lanes, always in the same order.
    #[inline(always)]
    fn sum(self) -> f32 {
        let a = self.array();
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }

    /// The largest lane.
    #[inline(always)]
    fn largest(self) -> f32 {
        self.array().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// 0 − self.
    #[inline(always)]
    fn neg(self) -> Self {
        self.splat(0.0).sub(self)
    }

    /// |self|.
    #[inline(always)]
    fn abs(self) -> Self {
        self.max(self.neg())
    }
}

/// Work written over [`Isa`]. `run` and all it calls are `#[inline(always)]`, so that each instruction set compiles its
/// own.
pub(crate) trait Kernel {
    /// What [`Kernel::run`] returns.
    type Output;
    /// Runs on an instruction set.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// The innermost part of a matrix product over elements `T`: one tile, summed in registers.
pub(crate) trait Microkernel<T>: Copy {
    /// Most rows of a tile.
    const ROWS: usize;
    /// Most panels of a tile: 1 or 2.
    const PANELS: usize;
    /// Sums a tile of M rows by P panels and stores it.
    ///
    /// # Safety
    /// The addresses of `input` are readable as [`TileInput`] says for M rows. `output.c` has M rows, and the bias, if
    /// any, has `output.columns` numbers.
    #[expect(unsafe_code, reason = "declares a contract: the microkernel reads without bounds checks")]
    unsafe fn tile<const M: usize, const P: usize, const ROW_MAJOR: bool>(
        self,
        input: TileInput<T, P>,
        output: TileOutput<'_>,
    );
}

/// The operands of a tile.
#[derive(Clone, Copy)]
pub(crate) struct TileInput<T, const P: usize> {
    /// The left operand: element (r, d) is at `r * stride + d` if row-major, else at `d * stride + r`.
    pub a: *const T,
    /// Row stride of the left operand (stride between depths if it is not row-major).
    pub stride: usize,
    /// Length of the sums.
    pub depth: usize,
    /// Panels of the right operand, each `[depth, NR]`.
    pub b: [*const T; P],
}

/// Where a tile's results go.
pub(crate) struct TileOutput<'a> {
    /// The result matrix from the tile's first element on.
    pub c: &'a mut [f32],
    /// Row stride of `c`.
    pub stride: usize,
    /// Columns of the tile that exist; at least one in each panel.
    pub columns: usize,
    /// How results are written; a bias begins at the tile's first column.
    pub store: Store<'a>,
}
