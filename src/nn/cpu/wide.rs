//! Matrix products by AVX-512: tiles of 12 rows by two panels, in fp32 or as dot products of bfloat16 pairs.
//!
//! In fp32 each result is the same chain of multiply-adds as [`super::product`]'s by AVX2, so the bits are the same.
//! With bfloat16 an operand's places hold two numbers each, of depths 2i (low half) and 2i + 1; a missing last one
//! is zero. One instruction adds both products to an fp32 sum.
#![expect(unsafe_code, reason = "vector instructions of the machine; see each block")]

use std::arch::x86_64::*;

use super::lanes::bf16;
use super::product::{Lies, Product, STRIP, Store, TOGETHER, WIDTH, packed_len, strips_len};

/// Depths (pairs of them with bfloat16) of one pass.
const DEPTH: usize = 384;

/// Two numbers rounded to bfloat16 in one place.
#[inline(always)]
fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(bf16(low).to_bits() >> 16 | (bf16(high).to_bits() & 0xffff_0000))
}

/// Pairs of two lines: place i holds `low[i]` and `high[i]`. All three are equally long.
#[inline(always)]
fn pair_lines(low: &[f32], high: &[f32], out: &mut [f32]) {
    for ((o, l), h) in out.iter_mut().zip(low).zip(high) {
        *o = pair(*l, *h);
    }
}

/// Neighbours of a line as pairs; `out` is half as long, rounded up.
#[inline(always)]
fn pair_neighbours(line: &[f32], out: &mut [f32]) {
    let mut whole = line.chunks_exact(32);
    let mut to = out.chunks_exact_mut(16);
    for (x, o) in (&mut whole).zip(&mut to) {
        // SAFETY: `x` has 32 readable numbers and `o` 16 places of four bytes; the features are those of the level
        // that runs this (see `run_pairs`).
        unsafe {
            let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(o.as_mut_ptr().cast(), both);
        }
    }
    let done = line.len() / 32 * 16;
    for (x, o) in whole.remainder().chunks(2).zip(&mut out[done..]) {
        *o = pair(x[0], x.get(1).copied().unwrap_or(0.0));
    }
}

/// Turns packed panels of this depth into panels of pairs, in place: the second half of each is left as it was.
#[inline(always)]
pub(super) fn pair_panels(panels: &mut [f32], depth: usize) {
    let zero = [0.0; WIDTH];
    for panel in panels.chunks_exact_mut((depth * WIDTH).max(1)) {
        for i in 0..depth.div_ceil(2) {
            let mut out = [0.0; WIDTH];
            let two = &panel[2 * i * WIDTH..];
            pair_lines(&two[..WIDTH], two.get(WIDTH..2 * WIDTH).unwrap_or(&zero), &mut out);
            panel[i * WIDTH..][..WIDTH].copy_from_slice(&out);
        }
    }
}

impl Product<'_> {
    /// In fp32.
    #[inline(always)]
    pub(super) fn run_by_16(self) {
        let steps = self.depth;
        self.by_16::<false>(steps);
    }

    /// Over panels of pairs; the left operand is copied as pairs, a block of rows at a time where it lies in rows.
    #[inline(always)]
    pub(super) fn run_pairs(self, copy: &mut Vec<f32>) {
        let Self { a, lies, rows, b, depth, columns, c, c_stride, store } = self;
        let steps = depth.div_ceil(2);
        let room = |copy: &mut Vec<f32>, n: usize| {
            if copy.len() < n {
                copy.resize(n, 0.0);
            }
        };
        match lies {
            Lies::Rows(stride) => {
                room(copy, TOGETHER.min(rows) * steps);
                for first in (0..rows).step_by(TOGETHER) {
                    let rows = TOGETHER.min(rows - first);
                    for (row, to) in copy.chunks_exact_mut(steps.max(1)).take(rows).enumerate() {
                        pair_neighbours(&a[(first + row) * stride..][..depth], to);
                    }
                    let (a, lies, c) = (&copy[..rows * steps], Lies::Rows(steps), &mut c[first * c_stride..]);
                    Product { a, lies, rows, b, depth, columns, c, c_stride, store }.by_16::<true>(steps);
                }
            }
            Lies::Columns(stride) => {
                room(copy, rows * steps);
                let none = vec![0.0; if depth % 2 == 1 { rows } else { 0 }];
                for (i, to) in copy.chunks_exact_mut(rows.max(1)).take(steps).enumerate() {
                    let high = if 2 * i + 1 < depth { &a[(2 * i + 1) * stride..][..rows] } else { &none };
                    pair_lines(&a[2 * i * stride..][..rows], high, to);
                }
                let (a, lies) = (&copy[..rows * steps], Lies::Columns(rows));
                Product { a, lies, rows, b, depth, columns, c, c_stride, store }.by_16::<true>(steps);
            }
            Lies::Strips => {
                room(copy, strips_len(steps, rows));
                let strips = a.chunks_exact((depth * STRIP).max(1));
                for (from, to) in strips.zip(copy.chunks_exact_mut((steps * STRIP).max(1))) {
                    for (two, to) in from.chunks(2 * STRIP).zip(to.chunks_exact_mut(STRIP)) {
                        let mut high = [0.0; STRIP];
                        if two.len() > STRIP {
                            high.copy_from_slice(&two[STRIP..]);
                        }
                        pair_lines(&two[..STRIP], &high, to);
                    }
                }
                let a = &copy[..strips_len(steps, rows)];
                Product { a, lies, rows, b, depth, columns, c, c_stride, store }.by_16::<true>(steps);
            }
        }
    }

    /// The product over so many steps of the depth.
    #[inline(always)]
    fn by_16<const PAIRS: bool>(self, steps: usize) {
        let (rows, stride) = match self.lies {
            Lies::Rows(stride) => ((self.rows.max(1) - 1) * stride + steps, stride),
            Lies::Columns(stride) => ((steps.max(1) - 1) * stride + self.rows, stride),
            Lies::Strips => (strips_len(steps, self.rows), STRIP),
        };
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        assert!(steps == 0 || self.a.len() >= rows, "the left operand is shorter than its shape");
        assert!(
            self.b.len() >= packed_len(self.depth, self.columns),
            "the packed operand is shorter than its shape"
        );
        let reach = (self.rows - 1) * self.c_stride + self.columns;
        assert!(self.c.len() >= reach, "the result is shorter than its shape");
        if let Store::Bias(bias) = self.store {
            assert!(bias.len() >= self.columns, "the bias is shorter than the result is wide");
        }
        match self.lies {
            Lies::Rows(_) => self.passes::<PAIRS, true>(steps, stride),
            _ => self.passes::<PAIRS, false>(steps, stride),
        }
    }

    /// `by_16` has checked that operands and result are as long as their shapes say.
    #[inline(always)]
    fn passes<const PAIRS: bool, const ROWS: bool>(mut self, steps: usize, stride: usize) {
        let mut done = 0;
        loop {
            let deep = (steps - done).min(DEPTH);
            if done > 0 {
                self.store = Store::Add;
            }
            for first_row in (0..self.rows).step_by(TOGETHER) {
                let rows = first_row..(first_row + TOGETHER).min(self.rows);
                for column in (0..self.columns).step_by(2 * WIDTH) {
                    let place = Place { done, deep, stride, steps, column };
                    if self.columns - column > WIDTH {
                        self.tiles::<PAIRS, ROWS, 2>(place, rows.clone());
                    } else {
                        self.tiles::<PAIRS, ROWS, 1>(place, rows.clone());
                    }
                }
            }
            done += deep;
            if done >= steps {
                return;
            }
        }
    }

    /// All rows of a block by P panels.
    #[inline(always)]
    fn tiles<const PAIRS: bool, const ROWS: bool, const P: usize>(
        &mut self,
        place: Place,
        rows: std::ops::Range<usize>,
    ) {
        let mut row = rows.start;
        macro_rules! tall {
            ($($tall:expr),*) => {$(
                while rows.end - row >= $tall {
                    self.tile::<PAIRS, ROWS, P, $tall>(place, row);
                    row += $tall;
                }
            )*};
        }
        tall!(12, 8, 6, 4, 3, 2, 1);
    }

    #[inline(always)]
    fn tile<const PAIRS: bool, const ROWS: bool, const P: usize, const M: usize>(
        &mut self,
        place: Place,
        row: usize,
    ) {
        let Place { done, deep, stride, steps, column } = place;
        let from = match self.lies {
            Lies::Rows(_) => row * stride + done,
            Lies::Columns(_) => done * stride + row,
            // A tile lies within one strip: all tiles but the last are that tall.
            Lies::Strips => row / STRIP * STRIP * steps + done * STRIP + row % STRIP,
        };
        let wide = (self.columns - column).min(P * WIDTH);
        // SAFETY: `by_16` asserted the lengths of the operands, the bias and the result; rows `row..row + M` and
        // depths `done..done + deep` are inside, every panel has `depth · WIDTH` floats of which pairs fill the
        // first half, and masks keep reads and writes to the result's columns. The level that runs this has the
        // features.
        unsafe {
            let a = self.a.as_ptr().add(from);
            let mut b = [self.b.as_ptr(); P];
            for (p, b) in b.iter_mut().enumerate() {
                *b = self.b.as_ptr().add((column + p * WIDTH) * self.depth + done * WIDTH);
            }
            let sums = sums::<PAIRS, ROWS, P, M>(a, stride, deep, b);
            let mut p = 0;
            while p < P {
                let columns = (wide - p * WIDTH).min(WIDTH);
                let mask = ((1u32 << columns) - 1) as u16;
                let bias = match self.store {
                    Store::Bias(bias) => _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(column + p * WIDTH)),
                    _ => _mm512_setzero_ps(),
                };
                let mut r = 0;
                while r < M {
                    let to = self.c.as_mut_ptr().add((row + r) * self.c_stride + column + p * WIDTH);
                    let value = match self.store {
                        Store::Set => sums[r][p],
                        Store::Bias(_) => _mm512_add_ps(sums[r][p], bias),
                        Store::Add => _mm512_add_ps(sums[r][p], _mm512_maskz_loadu_ps(mask, to)),
                    };
                    _mm512_mask_storeu_ps(to, mask, value);
                    r += 1;
                }
                p += 1;
            }
        }
    }
}

/// Where a tile is.
#[derive(Clone, Copy)]
struct Place {
    /// Steps of the depth done before.
    done: usize,
    /// Steps of this pass.
    deep: usize,
    /// Distance between rows of the left operand (between steps where it does not lie in rows).
    stride: usize,
    /// All steps.
    steps: usize,
    /// The first column.
    column: usize,
}

/// The same bits as pairs of bfloat16 numbers.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both are 512 bits of plain numbers.
    unsafe { std::mem::transmute::<__m512, __m512bh>(x) }
}

/// The sums of a tile.
///
/// # Safety
/// `a` is readable at `r * stride + d` (`d * stride + r` without ROWS) for r < M and d < deep, each of `b` for
/// deep · WIDTH places; the machine has AVX-512, for PAIRS its bfloat16 instructions.
#[inline(always)]
unsafe fn sums<const PAIRS: bool, const ROWS: bool, const P: usize, const M: usize>(
    a: *const f32,
    stride: usize,
    deep: usize,
    b: [*const f32; P],
) -> [[__m512; P]; M] {
    // SAFETY: the function's contract.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); P]; M];
        let mut d = 0;
        while d < deep {
            let mut right = [_mm512_setzero_ps(); P];
            let mut p = 0;
            while p < P {
                right[p] = _mm512_loadu_ps(b[p].add(d * WIDTH));
                p += 1;
            }
            let mut r = 0;
            while r < M {
                let x = _mm512_set1_ps(*a.add(if ROWS { r * stride + d } else { d * stride + r }));
                let mut p = 0;
                while p < P {
                    sums[r][p] = if PAIRS {
                        _mm512_dpbf16_ps(sums[r][p], pairs(x), pairs(right[p]))
                    } else {
                        _mm512_fmadd_ps(x, right[p], sums[r][p])
                    };
                    p += 1;
                }
                r += 1;
            }
            d += 1;
        }
        sums
    }
}
