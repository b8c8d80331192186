//! AVX-512. Matrix products use tiles of 12 rows by two panels; everything else computes on vectors of eight, compiled
//! for AVX-512. Each result is the same chain of fused multiply-adds as with AVX2, so the bits are the same.
#![expect(unsafe_code, reason = "vector instructions of the machine; see each block")]

use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;

use super::avx2::{Avx2, Avx2F32x8};
use super::{Isa, Kernel, Microkernel, TileInput, TileOutput};
use crate::cpu::gemm::layout::{NR, Store};

/// The token of AVX-512 F, BW, VL and DQ (and of AVX2 and FMA): it exists only on machines that have them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let avx2 = Avx2::detect()?;
        (has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq")).then_some(Self(avx2))
    }
}

impl Isa for Avx512 {
    type Vector = Avx2F32x8;
    #[inline(always)]
    fn splat(self, x: f32) -> Avx2F32x8 {
        self.0.splat(x)
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> Avx2F32x8 {
        self.0.load(x)
    }
    #[inline(always)]
    unsafe fn load_at(self, x: *const f32) -> Avx2F32x8 {
        // SAFETY: the same contract.
        unsafe { self.0.load_at(x) }
    }
    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
        #[inline(never)]
        fn compiled<K: Kernel>(isa: Avx512, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves the features of the function.
        unsafe { compiled(self, kernel) }
    }
}

/// How one element of either operand adds to a sum of sixteen results.
pub(super) trait Step: Copy {
    /// Four bytes of an operand: one number, or two.
    type Element: Copy;
    /// sum + x · y in each of sixteen places.
    fn step(self, sum: __m512, x: __m512, y: __m512) -> __m512;
}

impl Step for Avx512 {
    type Element = f32;
    #[inline(always)]
    fn step(self, sum: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_fmadd_ps(x, y, sum) }
    }
}

impl Microkernel<f32> for Avx512 {
    // With two panels a row, 24 of the 32 registers hold sums.
    const ROWS: usize = 12;
    const PANELS: usize = 2;
    #[inline(always)]
    unsafe fn tile<const M: usize, const P: usize, const ROW_MAJOR: bool>(
        self,
        input: TileInput<f32, P>,
        output: TileOutput<'_>,
    ) {
        // SAFETY: the same contract; the token proves AVX-512.
        unsafe { tile16::<Self, M, P, ROW_MAJOR>(self, input, output) }
    }
}

/// Sums a tile and stores it, sixteen columns a register.
///
/// # Safety
/// As [`Microkernel::tile`]. The machine has AVX-512.
#[inline(always)]
pub(super) unsafe fn tile16<S: Step, const M: usize, const P: usize, const ROW_MAJOR: bool>(
    isa: S,
    input: TileInput<S::Element, P>,
    output: TileOutput<'_>,
) {
    const { assert!(size_of::<S::Element>() == 4, "an element fills a place of sixteen") };
    // SAFETY: the function's contract.
    let sums = unsafe { sums::<S, M, P, ROW_MAJOR>(isa, input) };
    let TileOutput { c, stride, columns, store } = output;
    debug_assert!(c.len() >= (M - 1) * stride + columns, "the result is shorter than the tile");
    let mut p = 0;
    while p < P {
        let here = (columns - p * NR).min(NR);
        let mask = ((1u32 << here) - 1) as u16;
        // SAFETY: `c` has M rows and the bias all columns by the function's contract; masks keep reads and writes to
        // the columns that exist. The machine has AVX-512.
        unsafe {
            let bias = match store {
                Store::Bias(bias) => _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(p * NR)),
                _ => _mm512_setzero_ps(),
            };
            let mut r = 0;
            while r < M {
                let to = c.as_mut_ptr().add(r * stride + p * NR);
                let value = match store {
                    Store::Set => sums[r][p],
                    Store::Bias(_) => _mm512_add_ps(sums[r][p], bias),
                    Store::Add => _mm512_add_ps(sums[r][p], _mm512_maskz_loadu_ps(mask, to)),
                };
                _mm512_mask_storeu_ps(to, mask, value);
                r += 1;
            }
        }
        p += 1;
    }
}

/// The sums of a tile.
///
/// # Safety
/// The addresses of `input` are readable for M rows. The machine has AVX-512.
#[inline(always)]
unsafe fn sums<S: Step, const M: usize, const P: usize, const ROW_MAJOR: bool>(
    isa: S,
    input: TileInput<S::Element, P>,
) -> [[__m512; P]; M] {
    let TileInput { a, stride, depth, b } = input;
    let a = a.cast::<f32>();
    // SAFETY: the function's contract; an element is four bytes, read as they are.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); P]; M];
        let mut d = 0;
        while d < depth {
            let mut right = [_mm512_setzero_ps(); P];
            let mut p = 0;
            while p < P {
                right[p] = _mm512_loadu_ps(b[p].add(d * NR).cast());
                p += 1;
            }
            let mut r = 0;
            while r < M {
                let x = _mm512_set1_ps(*a.add(if ROW_MAJOR { r * stride + d } else { d * stride + r }));
                let mut p = 0;
                while p < P {
                    sums[r][p] = isa.step(sums[r][p], x, right[p]);
                    p += 1;
                }
                r += 1;
            }
            d += 1;
        }
        sums
    }
}
