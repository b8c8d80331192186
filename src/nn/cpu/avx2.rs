//! [`Lanes`] by AVX2 and FMA. Used only inside functions compiled for both, which [`super::lanes::Level`] enters
//! after finding them on the machine.
#![expect(unsafe_code, reason = "vector instructions of the machine; see each block")]

use std::arch::x86_64::*;

use super::lanes::{Lanes, N};

/// Eight numbers in one register.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// Wraps intrinsics that touch no memory.
macro_rules! compute {
    ($e:expr) => {{
        // SAFETY: needs AVX2 and FMA only, which the machine has whenever a kernel runs over this type
        // (`Level::run` is the only way to one, and checked).
        Self(unsafe { $e })
    }};
}

impl Lanes for Avx2 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        compute!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        let x = &x[..N];
        // SAFETY: the slice has eight numbers; unaligned loads are allowed; features as in `compute`.
        Self(unsafe { _mm256_loadu_ps(x.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, x: &mut [f32]) {
        let x = &mut x[..N];
        // SAFETY: the slice has eight places; unaligned stores are allowed; features as in `compute`.
        unsafe { _mm256_storeu_ps(x.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    unsafe fn load_at(x: *const f32) -> Self {
        // SAFETY: eight readable numbers by the trait's contract; features as in `compute`.
        Self(unsafe { _mm256_loadu_ps(x) })
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
    fn lost(self, b: Self, product: Self) -> Self {
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
    fn choose(a: Self, b: Self, yes: Self, no: Self) -> Self {
        compute!(_mm256_blendv_ps(no.0, yes.0, _mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0)))
    }
}
