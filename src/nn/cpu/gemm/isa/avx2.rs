//! AVX2 with FMA: vectors of eight.
#![expect(unsafe_code, reason = "vector instructions of the machine; see each block")]

use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;

use super::tile8::tile8;
use super::{Isa, Kernel, LANES, Microkernel, TileInput, TileOutput, Vector};

/// The token of AVX2 and FMA: it exists only on machines that have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

/// Eight numbers in one register. Made from tokens and other vectors only, so it exists only where AVX2 and FMA do.
#[derive(Clone, Copy)]
pub(crate) struct Avx2F32x8(__m256);

impl Avx2 {
    /// The token, if the machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (has!("avx2") && has!("fma")).then_some(Self(()))
    }
}

impl Isa for Avx2 {
    type Vector = Avx2F32x8;
    #[inline(always)]
    fn splat(self, x: f32) -> Avx2F32x8 {
        // SAFETY: the token proves AVX.
        Avx2F32x8(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> Avx2F32x8 {
        let x = &x[..LANES];
        // SAFETY: the slice has eight numbers; unaligned loads are allowed; the token proves AVX.
        Avx2F32x8(unsafe { _mm256_loadu_ps(x.as_ptr()) })
    }
    #[inline(always)]
    unsafe fn load_at(self, x: *const f32) -> Avx2F32x8 {
        // SAFETY: eight readable numbers by the trait's contract; the token proves AVX.
        Avx2F32x8(unsafe { _mm256_loadu_ps(x) })
    }
    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn compiled<K: Kernel>(isa: Avx2, kernel: K) -> K::Output {
            kernel.run(isa)
        }
        // SAFETY: the token proves the features of the function.
        unsafe { compiled(self, kernel) }
    }
}

impl Microkernel<f32> for Avx2 {
    // With two vectors a row, twelve of the sixteen registers hold sums.
    const ROWS: usize = 6;
    const PANELS: usize = 1;
    #[inline(always)]
    unsafe fn tile<const M: usize, const P: usize, const ROW_MAJOR: bool>(
        self,
        input: TileInput<f32, P>,
        output: TileOutput<'_>,
    ) {
        // SAFETY: the same contract.
        unsafe { tile8::<Self, M, P, ROW_MAJOR>(self, input, output) }
    }
}

/// Wraps intrinsics that touch no memory.
macro_rules! compute {
    ($e:expr) => {{
        // SAFETY: needs AVX2 and FMA, which `self` proves: vectors are made from tokens only.
        Self(unsafe { $e })
    }};
}

impl Vector for Avx2F32x8 {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        compute!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn store(self, x: &mut [f32]) {
        let x = &mut x[..LANES];
        // SAFETY: the slice has eight elements; unaligned stores are allowed; the vector proves AVX.
        unsafe { _mm256_storeu_ps(x.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        compute!(_mm256_add_ps(self.0, b.0))
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        compute!(_mm256_sub_ps(self.0, b.0))
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        compute!(_mm256_mul_ps(self.0, b.0))
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        compute!(_mm256_div_ps(self.0, b.0))
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        compute!(_mm256_fmadd_ps(self.0, b.0, c.0))
    }
    #[inline(always)]
    fn mul_error(self, b: Self, product: Self) -> Self {
        compute!(_mm256_fmsub_ps(self.0, b.0, product.0))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        compute!(_mm256_max_ps(self.0, b.0))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        compute!(_mm256_min_ps(self.0, b.0))
    }
    #[inline(always)]
    fn round(self) -> Self {
        compute!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }
    #[inline(always)]
    fn scale2(self, n: Self) -> Self {
        compute!({
            let bits =
                _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n.0), _mm256_set1_epi32(127)));
            _mm256_mul_ps(self.0, _mm256_castsi256_ps(bits))
        })
    }
    #[inline(always)]
    fn select_less(self, b: Self, yes: Self, no: Self) -> Self {
        compute!(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, b.0)))
    }
}
