//! Plain Rust, for any machine.

use super::tile8::tile8;
use super::{Isa, Kernel, LANES, Microkernel, TileInput, TileOutput, Vector};

/// The token of plain Rust, which every machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

/// Eight numbers in an array.
#[derive(Clone, Copy)]
pub(crate) struct PortableF32x8([f32; LANES]);

impl Isa for Portable {
    type Vector = PortableF32x8;
    #[inline(always)]
    fn splat(self, x: f32) -> PortableF32x8 {
        PortableF32x8([x; LANES])
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> PortableF32x8 {
        let x = &x[..LANES];
        PortableF32x8([x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]])
    }
    #[inline(always)]
    #[expect(unsafe_code, reason = "the caller promises eight readable numbers")]
    unsafe fn load_at(self, x: *const f32) -> PortableF32x8 {
        // SAFETY: eight readable numbers by the trait's contract, read without alignment.
        PortableF32x8(unsafe { x.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

impl Microkernel<f32> for Portable {
    const ROWS: usize = 6;
    const PANELS: usize = 1;
    #[inline(always)]
    #[expect(unsafe_code, reason = "passes the contract on")]
    unsafe fn tile<const M: usize, const P: usize, const ROW_MAJOR: bool>(
        self,
        input: TileInput<f32, P>,
        output: TileOutput<'_>,
    ) {
        // SAFETY: the same contract.
        unsafe { tile8::<Self, M, P, ROW_MAJOR>(self, input, output) }
    }
}

/// One expression for each lane, written out: loops are slow in builds without optimisation.
macro_rules! by_lane {
    ($f:expr $(, $a:expr)*) => {{
        let f = $f;
        Self([
            f($($a.0[0]),*), f($($a.0[1]),*), f($($a.0[2]),*), f($($a.0[3]),*),
            f($($a.0[4]),*), f($($a.0[5]),*), f($($a.0[6]),*), f($($a.0[7]),*),
        ])
    }};
}

impl Vector for PortableF32x8 {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        Self([x; LANES])
    }
    #[inline(always)]
    fn store(self, x: &mut [f32]) {
        x[..LANES].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| x + y, self, b)
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| x - y, self, b)
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| x * y, self, b)
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| x / y, self, b)
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        by_lane!(|x: f32, y: f32, z: f32| x * y + z, self, b, c)
    }
    #[inline(always)]
    fn mul_error(self, b: Self, product: Self) -> Self {
        let error = |x: f32, y: f32, p: f32| (f64::from(x) * f64::from(y) - f64::from(p)) as f32;
        by_lane!(error, self, b, product)
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| if x > y { x } else { y }, self, b)
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        by_lane!(|x: f32, y: f32| if x < y { x } else { y }, self, b)
    }
    #[inline(always)]
    fn round(self) -> Self {
        by_lane!(f32::round_ties_even, self)
    }
    #[inline(always)]
    fn scale2(self, n: Self) -> Self {
        by_lane!(|x: f32, n: f32| x * f32::from_bits(((n as i32 + 127) << 23) as u32), self, n)
    }
    #[inline(always)]
    fn select_less(self, b: Self, yes: Self, no: Self) -> Self {
        by_lane!(|a: f32, b: f32, y: f32, n: f32| if a < b { y } else { n }, self, b, yes, no)
    }
}
