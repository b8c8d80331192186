//! Eight f32 numbers at a time: one trait, a portable form and (beside it) AVX2, and the choice between them.
//!
//! A kernel is written once over [`Lanes`] and compiled once for each [`Level`]. Both levels work on the same eight
//! lanes in the same order, so a level's bits are the same on every machine that has it; levels differ from one
//! another because AVX2 multiplies and adds in one rounding.

use xpipe_base::task::Failure;

/// Numbers in a vector.
pub(super) const N: usize = 8;

/// Eight f32 numbers.
pub(super) trait Lanes: Copy {
    /// The same number in every lane.
    fn splat(x: f32) -> Self;
    /// The first eight numbers of a slice, which has them.
    fn load(x: &[f32]) -> Self;
    /// Writes to the first eight places of a slice, which has them.
    fn store(self, x: &mut [f32]);
    /// The eight numbers from an address on.
    ///
    /// # Safety
    /// They must be readable; no alignment is needed.
    #[expect(unsafe_code, reason = "declares a contract; the microkernel reads without bounds checks")]
    unsafe fn load_at(x: *const f32) -> Self;
    /// self + b.
    fn add(self, b: Self) -> Self;
    /// self − b.
    fn sub(self, b: Self) -> Self;
    /// self · b.
    fn mul(self, b: Self) -> Self;
    /// self / b.
    fn div(self, b: Self) -> Self;
    /// self · b + c, in one rounding where the level has that instruction.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// self · b − product, where `product` is self · b rounded: what the rounding lost, exactly.
    fn lost(self, b: Self, product: Self) -> Self;
    /// The larger, by lane; the second where either is not a number.
    fn max(self, b: Self) -> Self;
    /// The smaller, by lane; the second where either is not a number.
    fn min(self, b: Self) -> Self;
    /// The nearest whole number, halves to even.
    fn round(self) -> Self;
    /// self · 2ⁿ for whole n in −126..=127.
    fn scale2(self, n: Self) -> Self;
    /// `yes` where a < b, else `no`.
    fn choose(a: Self, b: Self, yes: Self, no: Self) -> Self;

    /// All lanes as an array.
    #[inline(always)]
    fn array(self) -> [f32; N] {
        let mut out = [0.0; N];
        self.store(&mut out);
        out
    }

    /// The sum, always in the same order.
    #[inline(always)]
    fn sum(self) -> f32 {
        let a = self.array();
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }

    /// The largest.
    #[inline(always)]
    fn largest(self) -> f32 {
        self.array().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// −self.
    #[inline(always)]
    fn neg(self) -> Self {
        Self::splat(0.0).sub(self)
    }

    /// |self|.
    #[inline(always)]
    fn abs(self) -> Self {
        self.max(self.neg())
    }
}

/// [`Lanes`] in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; N]);

/// One expression for each lane, written out: loops would cost unoptimised builds dearly.
macro_rules! by_lane {
    ($f:expr $(, $a:expr)*) => {{
        let f = $f;
        Self([
            f($($a.0[0]),*), f($($a.0[1]),*), f($($a.0[2]),*), f($($a.0[3]),*),
            f($($a.0[4]),*), f($($a.0[5]),*), f($($a.0[6]),*), f($($a.0[7]),*),
        ])
    }};
}

impl Lanes for Portable {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; N])
    }
    #[inline(always)]
    fn load(x: &[f32]) -> Self {
        let x = &x[..N];
        Self([x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]])
    }
    #[inline(always)]
    fn store(self, x: &mut [f32]) {
        x[..N].copy_from_slice(&self.0);
    }
    #[inline(always)]
    #[expect(unsafe_code, reason = "the caller of the trait method promises eight readable numbers")]
    unsafe fn load_at(x: *const f32) -> Self {
        // SAFETY: eight readable numbers by the trait's contract; f32 arrays need no more than f32's alignment,
        // and the pointer comes from a slice of f32.
        Self(unsafe { x.cast::<[f32; N]>().read_unaligned() })
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
    fn lost(self, b: Self, product: Self) -> Self {
        let lost = |x: f32, y: f32, p: f32| (f64::from(x) * f64::from(y) - f64::from(p)) as f32;
        by_lane!(lost, self, b, product)
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
    fn choose(a: Self, b: Self, yes: Self, no: Self) -> Self {
        by_lane!(|a: f32, b: f32, y: f32, n: f32| if a < b { y } else { n }, a, b, yes, no)
    }
}

/// Work written over [`Lanes`]; `run` and all it calls are `#[inline(always)]`, so that each level compiles its own.
pub(super) trait Kernel: Sized {
    /// What comes out.
    type Output;
    /// Whether it rounds what it multiplies where the level says so, see [`Kernel::run_rounding`].
    const ROUNDS: bool = false;
    /// Does the work.
    fn run<L: Lanes>(self) -> Self::Output;
    /// Does the work with operands rounded to bfloat16.
    #[inline(always)]
    fn run_rounding<L: Lanes>(self) -> Self::Output {
        self.run::<L>()
    }
    /// Does the work with registers of sixteen numbers, to the same bits as [`Kernel::run`] over AVX2.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_wide<L: Lanes>(self) -> Self::Output {
        self.run::<L>()
    }
    /// Does the work of [`Kernel::run_rounding`] over pairs of bfloat16 numbers, see [`super::wide`].
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_pairs<L: Lanes>(self) -> Self::Output {
        self.run::<L>()
    }
}

/// The nearest bfloat16, halves to even; what is not a number stays so.
#[inline(always)]
pub(super) fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let near = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if x.is_nan() { x } else { f32::from_bits(near) }
}

/// Rounds packed panels of a depth in place.
struct Round<'a>(&'a mut [f32], usize);

impl Kernel for Round<'_> {
    type Output = ();
    const ROUNDS: bool = true;
    #[inline(always)]
    fn run_rounding<L: Lanes>(self) {
        self.run::<L>();
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_pairs<L: Lanes>(self) {
        super::wide::pair_panels(self.0, self.1);
    }
    #[inline(always)]
    fn run<L: Lanes>(self) {
        self.0.iter_mut().for_each(|x| *x = bf16(*x));
    }
}

/// Which instructions the kernels use, and whether the operands of matrix products are rounded to bfloat16. Equal bits
/// are promised within one level; without rounding AVX2 and AVX-512 give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    inner: Inner,
    rounds: bool,
}

/// From the slowest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Inner {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// With dot products of bfloat16 numbers.
    #[cfg(target_arch = "x86_64")]
    Bf16,
}

/// Every level by name, from the slowest to the fastest.
const NAMES: &[(&str, Inner)] = &[
    ("portable", Inner::Portable),
    #[cfg(target_arch = "x86_64")]
    ("avx2", Inner::Avx2),
    #[cfg(target_arch = "x86_64")]
    ("avx512", Inner::Avx512),
    #[cfg(target_arch = "x86_64")]
    ("avx512_bf16", Inner::Bf16),
];

impl Level {
    /// Plain Rust, for any machine.
    pub const PORTABLE: Self = Self { inner: Inner::Portable, rounds: false };

    /// The fastest level this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let inner = if !(has!("avx2") && has!("fma")) {
                Inner::Portable
            } else if !(has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq")) {
                Inner::Avx2
            } else if has!("avx512bf16") {
                Inner::Bf16
            } else {
                Inner::Avx512
            };
            Self { inner, rounds: false }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::PORTABLE
    }

    /// Every level that this machine has.
    pub fn all() -> Vec<Self> {
        let best = Self::detect().inner;
        let here = NAMES.iter().filter(|(_, inner)| *inner <= best);
        here.map(|(_, inner)| Self { inner: *inner, rounds: false }).collect()
    }

    /// The level of a name: `auto`, `portable`, `avx2`, `avx512` or `avx512_bf16`.
    ///
    /// # Errors
    /// When the name is not known, or this machine lacks the level.
    pub fn named(name: &str) -> Result<Self, Failure> {
        if name == "auto" {
            return Ok(Self::detect());
        }
        if let Some((_, inner)) = NAMES.iter().find(|(n, _)| *n == name) {
            let level = Self { inner: *inner, rounds: false };
            if Self::all().contains(&level) {
                return Ok(level);
            }
            let here = Self::all().iter().map(|l| format!("`{}`", l.inner.name())).collect::<Vec<_>>();
            return Err(Failure::missing(format!(
                "the kernel level `{name}` was asked for; there is {} here",
                here.join(", ")
            ))
            .help("use `auto`"));
        }
        let names = NAMES.iter().map(|(n, _)| format!("`{n}`")).collect::<Vec<_>>();
        Err(Failure::wrong(format!("unknown kernel level `{name}`"))
            .help(format!("one of `auto`, {}", names.join(", "))))
    }

    /// The same instructions with operands of matrix products rounded to bfloat16, or not.
    #[must_use]
    pub fn rounding(self, rounds: bool) -> Self {
        Self { rounds, ..self }
    }

    /// Rounds a packed operand of this depth in place where the level does, and pairs it up where the level multiplies
    /// pairs.
    pub(super) fn settle(self, panels: &mut [f32], depth: usize) {
        if self.rounds {
            self.run(Round(panels, depth));
        }
    }

    /// Its name, for manifests.
    pub fn name(self) -> &'static str {
        match self.inner {
            // Without rounding there is nothing to multiply in pairs.
            #[cfg(target_arch = "x86_64")]
            Inner::Bf16 if !self.rounds => Inner::Avx512.name(),
            inner => inner.name(),
        }
    }

    /// Runs a kernel at this level.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        let rounds = K::ROUNDS && self.rounds;
        match self.inner {
            Inner::Portable => portable(kernel, rounds),
            #[cfg(target_arch = "x86_64")]
            inner => {
                #[expect(unsafe_code, reason = "calls functions compiled for features of the machine")]
                // SAFETY: these variants are only made by `detect`, or by `named` and `all` up to what it found: the
                // features of each function were found on this machine.
                unsafe {
                    match inner {
                        Inner::Bf16 if rounds => bf16_pairs(kernel),
                        Inner::Portable | Inner::Avx2 => avx2(kernel, rounds),
                        Inner::Avx512 | Inner::Bf16 => avx512(kernel, rounds),
                    }
                }
            }
        }
    }
}

impl Inner {
    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, inner)| *inner == self).map_or("", |(name, _)| name)
    }
}

#[inline(never)]
fn portable<K: Kernel>(kernel: K, rounds: bool) -> K::Output {
    if rounds { kernel.run_rounding::<Portable>() } else { kernel.run::<Portable>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn avx2<K: Kernel>(kernel: K, rounds: bool) -> K::Output {
    use super::avx2::Avx2;
    if rounds { kernel.run_rounding::<Avx2>() } else { kernel.run::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")]
#[inline(never)]
fn avx512<K: Kernel>(kernel: K, rounds: bool) -> K::Output {
    use super::avx2::Avx2;
    if rounds { kernel.run_rounding::<Avx2>() } else { kernel.run_wide::<Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
#[inline(never)]
fn bf16_pairs<K: Kernel>(kernel: K) -> K::Output {
    kernel.run_pairs::<super::avx2::Avx2>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_unknown_ones_are_refused() {
        assert_eq!(Level::named("auto").unwrap(), Level::detect());
        assert_eq!(Level::named("portable").unwrap(), Level::PORTABLE);
        for level in Level::all() {
            assert_eq!(Level::named(level.inner.name()).unwrap(), level);
        }
        for (name, _) in NAMES.iter().skip(Level::all().len()) {
            assert_eq!(Level::named(name).unwrap_err().kind, xpipe_base::task::FailureKind::Missing);
        }
        assert_eq!(Level::named("fast").unwrap_err().kind, xpipe_base::task::FailureKind::Wrong);
    }

    struct All;
    impl Kernel for All {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<L: Lanes>(self) -> Vec<f32> {
            let a = L::load(&[1.5, -2.5, 3.0, 0.0, -0.25, 8.5, -7.0, 100.0]);
            let b = L::splat(2.0);
            let mut out = Vec::new();
            for x in [
                a.add(b),
                a.sub(b),
                a.mul(b),
                a.div(b),
                a.mul_add(b, b),
                a.max(b),
                a.min(b),
                a.round(),
                a.abs(),
                a.neg(),
                L::splat(3.0).scale2(a.round()),
                L::choose(a, b, a, b),
                a.lost(b, a.mul(b)),
            ] {
                out.extend(x.array());
            }
            out.extend([a.sum(), a.largest()]);
            out
        }
    }

    #[test]
    fn bfloat16_is_the_nearest_with_halves_to_even() {
        // 8 bits of significand: 1 + 2⁻⁸ and 1 + 3 · 2⁻⁸ lie halfway.
        let (half, step) = (2f32.powi(-8), 2f32.powi(-7));
        let cases = [
            (1.0, 1.0),
            (1.0 + half, 1.0),
            (1.0 + half * 1.001, 1.0 + step),
            (1.0 + 3.0 * half, 1.0 + 2.0 * step),
            (-3.3, -3.296_875),
            (0.0, 0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ];
        for (x, near) in cases {
            assert_eq!(bf16(x), near, "{x}");
        }
        assert!(bf16(f32::NAN).is_nan() && bf16(f32::from_bits(0x7fff_ffff)).is_nan());
        let mut x: Vec<f32> = (0..37).map(|i| (i as f32).sqrt()).collect();
        let expected: Vec<f32> = x.iter().map(|x| bf16(*x)).collect();
        Level::PORTABLE.settle(&mut x, 1);
        assert_ne!(x, expected);
        Level::PORTABLE.rounding(true).settle(&mut x, 1);
        assert_eq!(x, expected);
    }

    #[test]
    fn the_levels_agree_where_rounding_plays_no_part() {
        let expected = Level::PORTABLE.run(All);
        for level in Level::all() {
            assert_eq!(level.run(All), expected);
        }
        assert_eq!(&expected[..3], &[3.5, -0.5, 5.0]);
        assert_eq!(expected[expected.len() - 2..], [103.25, 100.0]);
    }
}
