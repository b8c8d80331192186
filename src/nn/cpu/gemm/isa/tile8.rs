//! The microkernel of instruction sets that compute on vectors of eight: M rows by one panel of two vectors.

use super::{Isa, LANES, TileInput, TileOutput, Vector};
use crate::cpu::gemm::layout::{NR, Store};

/// Sums a tile and stores it.
///
/// # Safety
/// As [`super::Microkernel::tile`].
#[inline(always)]
#[expect(unsafe_code, reason = "the innermost loop, without bounds checks")]
pub(super) unsafe fn tile8<I: Isa, const M: usize, const P: usize, const ROW_MAJOR: bool>(
    isa: I,
    input: TileInput<f32, P>,
    output: TileOutput<'_>,
) {
    let TileInput { a, stride, depth, b } = input;
    let b = b[0];
    let mut sums = [[isa.splat(0.0); 2]; M];
    // Loops are written out, because iterators are slow in builds without optimisation.
    let mut d = 0;
    while d < depth {
        // SAFETY: d < depth and r < M; the function's contract.
        unsafe {
            let left = isa.load_at(b.add(d * NR));
            let right = isa.load_at(b.add(d * NR + LANES));
            let mut r = 0;
            while r < M {
                let x = isa.splat(*a.add(if ROW_MAJOR { r * stride + d } else { d * stride + r }));
                sums[r][0] = x.mul_add(left, sums[r][0]);
                sums[r][1] = x.mul_add(right, sums[r][1]);
                r += 1;
            }
        }
        d += 1;
    }
    if output.columns == NR { store_whole(isa, sums, output) } else { store_part(sums, output) }
}

/// Stores all columns of a panel.
#[inline(always)]
fn store_whole<I: Isa, const M: usize>(isa: I, sums: [[I::Vector; 2]; M], output: TileOutput<'_>) {
    let TileOutput { c, stride, store, .. } = output;
    for (r, [mut x, mut y]) in sums.into_iter().enumerate() {
        let row = &mut c[r * stride..][..NR];
        match store {
            Store::Set => {}
            Store::Bias(bias) => {
                x = x.add(isa.load(bias));
                y = y.add(isa.load(&bias[LANES..]));
            }
            Store::Add => {
                x = x.add(isa.load(row));
                y = y.add(isa.load(&row[LANES..]));
            }
        }
        x.store(row);
        y.store(&mut row[LANES..]);
    }
}

/// Stores the first columns of a panel.
#[inline(always)]
fn store_part<V: Vector, const M: usize>(sums: [[V; 2]; M], output: TileOutput<'_>) {
    let TileOutput { c, stride, columns, store } = output;
    for (r, [x, y]) in sums.into_iter().enumerate() {
        let mut all = [0.0; NR];
        x.store(&mut all);
        y.store(&mut all[LANES..]);
        let row = &mut c[r * stride..][..columns];
        for (j, (c, x)) in row.iter_mut().zip(all).enumerate() {
            *c = match store {
                Store::Set => x,
                Store::Bias(bias) => x + bias[j],
                Store::Add => x + *c,
            };
        }
    }
}
