//! The loops around the microkernel: over passes of the depth, blocks of rows, panels and tiles.
//!
//! A result is one chain of multiply-adds over the depth, cut only at multiples of [`KC`]. It depends on its own row
//! and column alone, never on how many rows or columns there are beside it. That is what makes a score the same bits
//! in every batch.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::isa::bf16::{Bf16, Bf16Pair, PairKernel};
use super::isa::{Isa, Kernel, Microkernel, TileInput, TileOutput};
use super::layout::{KC, Layout, MC, MR, NR, Store, packed_len};

/// c = (or +=) a · b over elements of one kind: numbers, or pairs of them.
pub(crate) struct Operands<'a, T> {
    /// Left operand, `rows` by `depth`.
    pub a: &'a [T],
    /// Layout of `a`.
    pub layout: Layout,
    /// Rows of the result.
    pub rows: usize,
    /// Right operand in panels, `depth` by `columns`.
    pub b: &'a [T],
    /// Elements of each sum.
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

impl Kernel for Operands<'_, f32> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        multiply(isa, self);
    }
}

#[cfg(target_arch = "x86_64")]
impl PairKernel for Operands<'_, Bf16Pair> {
    #[inline(always)]
    fn run(self, isa: Bf16) {
        multiply(isa, self);
    }
}

/// Computes a product with an instruction set.
#[inline(always)]
fn multiply<T: Copy, I: Microkernel<T>>(isa: I, operands: Operands<'_, T>) {
    let Operands { layout, rows, depth, columns, c_stride, .. } = operands;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(operands.a.len() >= layout.extent(rows, depth), "the left operand is shorter than its shape");
    assert!(operands.b.len() >= packed_len(depth, columns), "the packed operand is shorter than its shape");
    assert!(operands.c.len() >= (rows - 1) * c_stride + columns, "the result is shorter than its shape");
    if let Store::Bias(bias) = operands.store {
        assert!(bias.len() >= columns, "the bias is shorter than the result is wide");
    }
    match layout {
        Layout::RowMajor(stride) => passes::<T, I, true>(isa, operands, stride),
        Layout::ColumnMajor(stride) => passes::<T, I, false>(isa, operands, stride),
        Layout::Strips => passes::<T, I, false>(isa, operands, MR),
    }
}

/// A part of the depth.
#[derive(Clone, Copy)]
struct Pass {
    /// Elements of the sums done before.
    done: usize,
    /// Elements of this pass.
    depth: usize,
    /// Stride of the left operand as [`TileInput`] means it.
    stride: usize,
}

/// [`multiply`] has checked that operands and result are as long as their shapes say.
#[inline(always)]
fn passes<T: Copy, I: Microkernel<T>, const ROW_MAJOR: bool>(
    isa: I,
    mut operands: Operands<'_, T>,
    stride: usize,
) {
    let mut done = 0;
    loop {
        let pass = Pass { done, depth: (operands.depth - done).min(KC), stride };
        if done > 0 {
            operands.store = Store::Add;
        }
        for first in (0..operands.rows).step_by(MC) {
            let rows = first..(first + MC).min(operands.rows);
            for column in (0..operands.columns).step_by(I::PANELS * NR) {
                if I::PANELS == 2 && operands.columns - column > NR {
                    tiles::<T, I, ROW_MAJOR, 2>(isa, &mut operands, pass, rows.clone(), column);
                } else {
                    tiles::<T, I, ROW_MAJOR, 1>(isa, &mut operands, pass, rows.clone(), column);
                }
            }
        }
        done += pass.depth;
        if done >= operands.depth {
            return;
        }
    }
}

/// All rows of a block by P panels, the tallest tiles first.
#[inline(always)]
fn tiles<T: Copy, I: Microkernel<T>, const ROW_MAJOR: bool, const P: usize>(
    isa: I,
    operands: &mut Operands<'_, T>,
    pass: Pass,
    rows: Range<usize>,
    column: usize,
) {
    let mut row = rows.start;
    macro_rules! tiles {
        ($($m:literal),*) => {$(
            if $m <= I::ROWS {
                while rows.end - row >= $m {
                    tile::<T, I, ROW_MAJOR, P, $m>(isa, operands, pass, row, column);
                    row += $m;
                }
            }
        )*};
    }
    tiles!(12, 8, 6, 5, 4, 3, 2, 1);
}

#[inline(always)]
fn tile<T: Copy, I: Microkernel<T>, const ROW_MAJOR: bool, const P: usize, const M: usize>(
    isa: I,
    operands: &mut Operands<'_, T>,
    pass: Pass,
    row: usize,
    column: usize,
) {
    let Operands { a, layout, b, depth, columns, c_stride, store, .. } = *operands;
    // A tile lies within one strip: blocks begin with one, and all tiles but a block's last ones are as tall or divide it.
    let first = layout.index(row, pass.done, depth);
    let output = TileOutput {
        c: &mut operands.c[row * c_stride + column..],
        stride: c_stride,
        columns: (columns - column).min(P * NR),
        store: store.skip_columns(column),
    };
    let mut panels = [b.as_ptr(); P];
    for (p, panel) in panels.iter_mut().enumerate() {
        *panel = b.as_ptr().wrapping_add((column + p * NR) * depth + pass.done * NR);
    }
    let a = a.as_ptr().wrapping_add(first);
    let input = TileInput { a, stride: pass.stride, depth: pass.depth, b: panels };
    #[expect(unsafe_code, reason = "the microkernel reads without bounds checks")]
    // SAFETY: `multiply` has asserted the lengths of the operands, the bias and the result. Rows `row..row + M` and
    // depths `done..done + depth` of the pass are inside, and every panel has `depth` rows of NR elements.
    unsafe {
        isa.tile::<M, P, ROW_MAJOR>(input, output);
    }
}
