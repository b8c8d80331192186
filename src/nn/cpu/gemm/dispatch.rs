//! The choice of an instruction set at run time.

#[cfg(target_arch = "x86_64")]
use super::isa::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::isa::avx512::Avx512;
#[cfg(target_arch = "x86_64")]
use super::isa::bf16::Bf16;
use super::isa::portable::Portable;
use super::isa::{Isa, Kernel};
use xpipe_base::task::Failure;

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

/// Detects an instruction set.
type Detect = fn() -> Option<Best>;

/// Every level by name, from the slowest to the fastest.
const NAMED: &[(&str, Detect)] = &[
    ("portable", || Some(Best::Portable(Portable))),
    #[cfg(target_arch = "x86_64")]
    ("avx2", || Avx2::detect().map(Best::Avx2)),
    #[cfg(target_arch = "x86_64")]
    ("avx512", || Avx512::detect().map(Best::Avx512)),
    #[cfg(target_arch = "x86_64")]
    ("avx512_bf16", || Bf16::detect().map(Best::Bf16)),
];

impl Level {
    /// Plain Rust, for any machine.
    pub const PORTABLE: Self = Self::of(Best::Portable(Portable));

    const fn of(isa: Best) -> Self {
        Self { isa, rounds: false }
    }

    /// The fastest level of this machine.
    pub fn detect() -> Self {
        NAMED.iter().rev().find_map(|(_, detect)| detect()).map_or(Self::PORTABLE, Self::of)
    }

    /// Every level of this machine, from the slowest to the fastest.
    pub fn all() -> Vec<Self> {
        NAMED.iter().filter_map(|(_, detect)| detect()).map(Self::of).collect()
    }

    /// The level of a name: `auto` (the fastest), `portable`, `avx2`, `avx512` or `avx512_bf16`.
    ///
    /// # Errors
    /// When the name is unknown or this machine lacks the level.
    pub fn named(name: &str) -> Result<Self, Failure> {
        if name == "auto" {
            return Ok(Self::detect());
        }
        let quoted = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        };
        match NAMED.iter().find(|(n, _)| *n == name) {
            Some((_, detect)) => detect().map(Self::of).ok_or_else(|| {
                let here = quoted(&mut Self::all().iter().map(|l| l.isa.name()));
                Failure::missing(format!("this machine has no kernel level `{name}`; it has {here}"))
                    .help("use `auto`")
            }),
            None => Err(Failure::wrong(format!("unknown kernel level `{name}`"))
                .help(format!("one of `auto`, {}", quoted(&mut NAMED.iter().map(|(n, _)| *n))))),
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
            Best::Bf16(isa) if !self.rounds => Best::Avx512(isa.avx512()).name(),
            isa => isa.name(),
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
    fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_) => "avx512_bf16",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::isa::Vector;

    #[test]
    fn levels_have_names_and_unknown_ones_are_refused() {
        assert_eq!(Level::named("auto").unwrap(), Level::detect());
        assert_eq!(Level::named("portable").unwrap(), Level::PORTABLE);
        for level in Level::all() {
            assert_eq!(Level::named(level.isa.name()).unwrap(), level);
        }
        for (name, detect) in NAMED {
            match detect() {
                Some(isa) => assert_eq!(isa.name(), *name),
                None => {
                    assert_eq!(Level::named(name).unwrap_err().kind, xpipe_base::task::FailureKind::Missing)
                }
            }
        }
        assert_eq!(Level::named("fast").unwrap_err().kind, xpipe_base::task::FailureKind::Wrong);
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
