//! The choice of an instruction set at run time.

#[cfg(target_arch = "x86_64")]
use super::isa::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::isa::avx512::Avx512;
#[cfg(target_arch = "x86_64")]
use super::isa::bf16::Bf16;
use super::isa::portable::Portable;
use super::isa::{Isa, Kernel};
use xpipe_base::task::{Failure, Kernels};

/// The kernels in use: an instruction set of this machine, and whether the operands of matrix products are rounded to
/// bfloat16. Equal bits are promised within one level; without rounding AVX2 and AVX-512 give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    isa: Best,
    rounds: bool,
}

/// An instruction set with the token that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Best {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16),
}

impl Level {
    /// Plain Rust, for any machine.
    pub const PORTABLE: Self = Self::exact(Best::Portable(Portable));

    const fn exact(isa: Best) -> Self {
        Self { isa, rounds: false }
    }

    /// The fastest level of this machine.
    pub fn detect() -> Self {
        Self::all().last().copied().unwrap_or(Self::PORTABLE)
    }

    /// Every level of this machine, from the slowest to the fastest.
    pub fn all() -> Vec<Self> {
        let all = [Kernels::Portable, Kernels::Avx2, Kernels::Avx512, Kernels::Avx512Bf16];
        all.into_iter().filter_map(Best::detect).map(Self::exact).collect()
    }

    /// The level of the kernels that a run asks for. For the reference engine, which has no level: the portable one.
    ///
    /// # Errors
    /// When this machine lacks the level.
    pub fn of(kernels: Kernels) -> Result<Self, Failure> {
        match kernels {
            Kernels::Auto => Ok(Self::detect()),
            Kernels::Reference => Ok(Self::PORTABLE),
            level => Best::detect(level).map(Self::exact).ok_or_else(|| {
                let here: Vec<_> = Self::all().iter().map(|l| format!("`{}`", l.isa.kernels())).collect();
                let here = here.join(", ");
                Failure::missing(format!("this machine has no kernel level `{level}`; it has {here}"))
                    .help("use `auto`")
            }),
        }
    }

    /// The same instruction set with the operands of matrix products rounded to bfloat16, or not.
    #[must_use]
    pub fn rounding(self, rounds: bool) -> Self {
        Self { rounds, ..self }
    }

    /// Whether the operands of matrix products are rounded to bfloat16.
    pub(crate) fn rounds(self) -> bool {
        self.rounds
    }

    /// The token for products of bfloat16 pairs, if this level computes rounded products that way.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn pairs(self) -> Option<Bf16> {
        match self.isa {
            Best::Bf16(isa) if self.rounds => Some(isa),
            _ => None,
        }
    }

    /// Its name, for manifests.
    pub fn name(self) -> &'static str {
        match self.isa {
            // Without rounding there is nothing to multiply in pairs.
            #[cfg(target_arch = "x86_64")]
            Best::Bf16(_) if !self.rounds => Kernels::Avx512.name(),
            isa => isa.kernels().name(),
        }
    }

    /// Runs a kernel compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.isa {
            Best::Portable(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Best::Avx2(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Best::Avx512(isa) => isa.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Best::Bf16(isa) => isa.avx512().run(kernel),
        }
    }
}

impl Best {
    /// The instruction set of a level, if the machine has it.
    fn detect(level: Kernels) -> Option<Self> {
        match level {
            Kernels::Portable => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512Bf16 => Bf16::detect().map(Self::Bf16),
            _ => None,
        }
    }

    fn kernels(self) -> Kernels {
        match self {
            Self::Portable(_) => Kernels::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Kernels::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Kernels::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_) => Kernels::Avx512Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::isa::Vector;

    #[test]
    fn levels_are_those_asked_for_or_missing() {
        assert_eq!(Level::of(Kernels::Auto).unwrap(), Level::detect());
        assert_eq!(Level::of(Kernels::Reference).unwrap(), Level::PORTABLE);
        for level in Level::all() {
            assert_eq!(Level::of(level.isa.kernels()).unwrap(), level);
        }
        for kernels in Kernels::ALL {
            match Level::of(kernels) {
                Ok(level) => assert!(Level::all().contains(&level)),
                Err(e) => assert_eq!(e.kind, xpipe_base::task::FailureKind::Missing),
            }
        }
    }

    struct All;
    impl Kernel for All {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Vec<f32> {
            let a = isa.load(&[1.5, -2.5, 3.0, 0.0, -0.25, 8.5, -7.0, 100.0]);
            let b = isa.splat(2.0);
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
                b.splat(3.0).scale2(a.round()),
                a.select_less(b, a, b),
                a.mul_error(b, a.mul(b)),
            ] {
                out.extend(x.array());
            }
            out.extend([a.sum(), a.largest()]);
            out
        }
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
