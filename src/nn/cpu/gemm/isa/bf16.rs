//! AVX-512 with dot products of bfloat16 pairs: one instruction adds two products to an fp32 sum.
//!
//! An element holds two numbers, of depths 2i (low half) and 2i + 1. If the depth is odd, the last high half is zero.
#![expect(unsafe_code, reason = "vector instructions of the machine; see each block")]

use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;

use super::avx512::{Avx512, Step, tile16};
use super::{Microkernel, TileInput, TileOutput};
use crate::cpu::gemm::bfloat16::bf16;
use crate::cpu::gemm::layout::{MR, NR};

/// Two numbers rounded to bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16Pair(u32);

impl Bf16Pair {
    #[inline(always)]
    fn new(low: f32, high: f32) -> Self {
        Self(bf16(low).to_bits() >> 16 | (bf16(high).to_bits() & 0xffff_0000))
    }
}

/// The token of AVX-512 with bfloat16 dot products: it exists only on machines that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bf16(Avx512);

/// Work over pairs, compiled for this instruction set only. `run` and all it calls are `#[inline(always)]`.
pub(crate) trait PairKernel {
    /// Does the work.
    fn run(self, isa: Bf16);
}

impl Bf16 {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let avx512 = Avx512::detect()?;
        has!("avx512bf16").then_some(Self(avx512))
    }

    /// The token of what computes everything but products of pairs.
    pub(crate) fn avx512(self) -> Avx512 {
        self.0
    }

    /// Runs a kernel compiled for this instruction set.
    pub(crate) fn run<K: PairKernel>(self, kernel: K) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
        #[inline(never)]
        fn compiled<K: PairKernel>(isa: Bf16, kernel: K) {
            kernel.run(isa);
        }
        // SAFETY: the token proves the features of the function.
        unsafe { compiled(self, kernel) }
    }

    /// Pairs of rows: row i of `out` holds rows 2i and 2i + 1 of `source` (`[depth, width]` with a row stride).
    pub(crate) fn pair_rows(
        self,
        source: &[f32],
        stride: usize,
        depth: usize,
        width: usize,
        out: &mut [Bf16Pair],
    ) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
        #[inline(never)]
        fn compiled(source: &[f32], stride: usize, depth: usize, width: usize, out: &mut [Bf16Pair]) {
            // The usual widths are known when this is compiled.
            match width {
                NR => pair_rows(source, stride, depth, NR, out),
                MR => pair_rows(source, stride, depth, MR, out),
                _ => pair_rows(source, stride, depth, width, out),
            }
        }
        // SAFETY: the token proves the features of the function.
        unsafe { compiled(source, stride, depth, width, out) }
    }

    /// Pairs of neighbours in each of `rows` rows of `source` (`[rows, depth]` with a row stride). Rows of `out` are
    /// half as long, rounded up.
    pub(crate) fn pair_neighbours(
        self,
        source: &[f32],
        stride: usize,
        rows: usize,
        depth: usize,
        out: &mut [Bf16Pair],
    ) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
        #[inline(never)]
        fn compiled(source: &[f32], stride: usize, rows: usize, depth: usize, out: &mut [Bf16Pair]) {
            for (row, out) in out.chunks_exact_mut(depth.div_ceil(2).max(1)).take(rows).enumerate() {
                pair_line(&source[row * stride..][..depth], out);
            }
        }
        // SAFETY: the token proves the features of the function.
        unsafe { compiled(source, stride, rows, depth, out) }
    }
}

#[inline(always)]
fn pair_rows(source: &[f32], stride: usize, depth: usize, width: usize, out: &mut [Bf16Pair]) {
    for (i, out) in out.chunks_exact_mut(width.max(1)).take(depth.div_ceil(2)).enumerate() {
        let low = &source[2 * i * stride..][..width];
        if 2 * i + 1 < depth {
            let high = &source[(2 * i + 1) * stride..][..width];
            for ((o, l), h) in out.iter_mut().zip(low).zip(high) {
                *o = Bf16Pair::new(*l, *h);
            }
        } else {
            for (o, l) in out.iter_mut().zip(low) {
                *o = Bf16Pair::new(*l, 0.0);
            }
        }
    }
}

/// Pairs of neighbours of a line, by the machine's own conversion.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn pair_line(line: &[f32], out: &mut [Bf16Pair]) {
    let mut whole = line.chunks_exact(32);
    for (x, o) in (&mut whole).zip(out.chunks_exact_mut(16)) {
        // SAFETY: `x` has 32 readable numbers and `o` 16 elements of four bytes.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(o.as_mut_ptr().cast(), both);
        }
    }
    let done = line.len() / 32 * 16;
    for (x, o) in whole.remainder().chunks(2).zip(&mut out[done..]) {
        *o = Bf16Pair::new(x[0], x.get(1).copied().unwrap_or(0.0));
    }
}

/// The same bits as pairs of bfloat16 numbers.
#[inline(always)]
fn pairs(x: __m512) -> __m512bh {
    // SAFETY: both are 512 bits of plain numbers.
    unsafe { std::mem::transmute::<__m512, __m512bh>(x) }
}

impl Step for Bf16 {
    type Element = Bf16Pair;
    #[inline(always)]
    fn step(self, sum: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: the token proves the instruction.
        unsafe { _mm512_dpbf16_ps(sum, pairs(x), pairs(y)) }
    }
}

impl Microkernel<Bf16Pair> for Bf16 {
    const ROWS: usize = 12;
    const PANELS: usize = 2;
    #[inline(always)]
    unsafe fn tile<const M: usize, const P: usize, const ROW_MAJOR: bool>(
        self,
        input: TileInput<Bf16Pair, P>,
        output: TileOutput<'_>,
    ) {
        // SAFETY: the same contract; the token proves AVX-512.
        unsafe { tile16::<Self, M, P, ROW_MAJOR>(self, input, output) }
    }
}
