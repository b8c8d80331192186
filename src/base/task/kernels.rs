//! Which engine and instruction set models run on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Failure;

/// The kernels that a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kernels {
    /// The explicit engine at the fastest level of the machine, or the reference engine for models that it does not run.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// The reference engine: plain tensor operations, to compare with.
    #[serde(rename = "reference")]
    Reference,
    /// The explicit engine in plain Rust.
    #[serde(rename = "portable")]
    Portable,
    /// The explicit engine with AVX2 and FMA.
    #[serde(rename = "avx2")]
    Avx2,
    /// The explicit engine with AVX-512.
    #[serde(rename = "avx512")]
    Avx512,
    /// The explicit engine with AVX-512 and its bfloat16 dot products.
    #[serde(rename = "avx512_bf16")]
    Avx512Bf16,
}

impl Kernels {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::Reference, Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The name in arguments and manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512_bf16",
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kernels {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(|k| format!("`{k}`")).collect();
            Failure::wrong(format!("unknown kernels `{name}`")).help(format!("one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_text_and_json_are_the_same() {
        for kernels in Kernels::ALL {
            assert_eq!(kernels.name().parse::<Kernels>().unwrap(), kernels);
            assert_eq!(serde_json::to_value(kernels).unwrap(), kernels.name());
        }
        let e = "abacus".parse::<Kernels>().unwrap_err();
        assert!(e.message.contains("`abacus`") && e.help.unwrap().contains("`avx512_bf16`"));
    }
}
