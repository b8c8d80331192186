//! Rounded copies of left operands. (Right operands are rounded when they are packed.)

use std::cell::Cell;

use super::Gemm;
use super::blocked::Operands;
use super::dispatch::Level;
use super::layout::{Layout, MC, strips_len};
use super::round::Round;

thread_local! {
    /// A left operand, rounded.
    static ROUNDED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Computes a product with a rounded copy of the left operand. Row-major operands are copied a block of rows at a time,
/// which stays in the second-level cache.
pub(super) fn multiply_rounded(level: Level, gemm: Gemm<'_>, b: &[f32]) {
    let Gemm { a, layout, rows, depth, columns, c, c_stride, store, .. } = gemm;
    let mut copy = ROUNDED.take();
    let mut part = |a: &mut dyn Iterator<Item = &[f32]>, layout, rows, c: &mut [f32]| {
        copy.clear();
        a.for_each(|line| copy.extend_from_slice(line));
        level.run(Round(&mut copy));
        level.run(Operands { a: &copy, layout, rows, b, depth, columns, c, c_stride, store });
    };
    match layout {
        Layout::RowMajor(stride) => {
            for first in (0..rows).step_by(MC) {
                let rows = MC.min(rows - first);
                let lines = &mut (first..first + rows).map(|r| &a[r * stride..][..depth]);
                part(lines, Layout::RowMajor(depth), rows, &mut c[first * c_stride..]);
            }
        }
        Layout::ColumnMajor(stride) => {
            let lines = &mut (0..depth).map(|d| &a[d * stride..][..rows]);
            part(lines, Layout::ColumnMajor(rows), rows, c);
        }
        Layout::Strips => {
            part(&mut std::iter::once(&a[..strips_len(depth, rows)]), layout, rows, c);
        }
    }
    ROUNDED.set(copy);
}

#[cfg(target_arch = "x86_64")]
pub(super) use pairs::multiply_pairs;

#[cfg(target_arch = "x86_64")]
mod pairs {
    use std::cell::Cell;

    use super::super::isa::bf16::{Bf16, Bf16Pair};
    use super::super::layout::MR;
    use super::{Gemm, Layout, MC, Operands, strips_len};

    thread_local! {
        /// A left operand as pairs.
        static PAIRS: Cell<Vec<Bf16Pair>> = const { Cell::new(Vec::new()) };
    }

    /// Computes a product over pairs, with a copy of the left operand as pairs.
    pub(in super::super) fn multiply_pairs(isa: Bf16, gemm: Gemm<'_>, b: &[Bf16Pair]) {
        let Gemm { a, layout, rows, depth, columns, c, c_stride, store, .. } = gemm;
        let steps = depth.div_ceil(2);
        let mut memory = PAIRS.take();
        let length = match layout {
            Layout::RowMajor(_) => MC.min(rows) * steps,
            Layout::ColumnMajor(_) => rows * steps,
            Layout::Strips => strips_len(steps, rows),
        };
        if memory.len() < length {
            memory.resize(length, Bf16Pair::default());
        }
        let copy = &mut memory[..length];
        let part = |a: &[Bf16Pair], layout, rows, c: &mut [f32]| {
            isa.run(Operands { a, layout, rows, b, depth: steps, columns, c, c_stride, store });
        };
        match layout {
            Layout::RowMajor(stride) => {
                for first in (0..rows).step_by(MC) {
                    let rows = MC.min(rows - first);
                    isa.pair_neighbours(&a[first * stride..], stride, rows, depth, copy);
                    part(copy, Layout::RowMajor(steps), rows, &mut c[first * c_stride..]);
                }
            }
            Layout::ColumnMajor(stride) => {
                isa.pair_rows(a, stride, depth, rows, copy);
                part(copy, Layout::ColumnMajor(rows), rows, c);
            }
            Layout::Strips => {
                let strips = a.chunks_exact((depth * MR).max(1));
                for (from, to) in strips.zip(copy.chunks_exact_mut((steps * MR).max(1))) {
                    isa.pair_rows(from, MR, depth, MR, to);
                }
                part(copy, layout, rows, c);
            }
        }
        PAIRS.set(memory);
    }
}
