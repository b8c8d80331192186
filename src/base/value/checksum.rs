//! Digests of files as publishers state them: `md5:…`, `sha256:…`, `blake3:…`.

/// A hash algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// 128 bits. Detects damage, but not manipulation.
    Md5,
    /// 256 bits.
    Sha256,
    /// 256 bits.
    Blake3,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Blake3];

    /// The prefix before the colon.
    pub fn word(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    /// The number of hexadecimal digits.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Blake3 => 64,
        }
    }
}

/// A digest with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksum {
    /// The hash algorithm.
    pub algorithm: Algorithm,
    /// Lowercase hexadecimal digits.
    pub hex: String,
}

impl Checksum {
    /// Parses `md5:31644046b18952c1386cd4564ba2ae69`, in either case.
    ///
    /// # Errors
    /// What was found and what is expected, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = || Algorithm::ALL.map(|a| format!("`{}:`", a.word())).join(", ");
        let (word, hex) =
            text.split_once(':').ok_or_else(|| format!("a digest begins with one of {}", known()))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|a| a.word() == word)
            .ok_or_else(|| format!("`{word}` is none of {}", known()))?;
        let hex = hex.to_ascii_lowercase();
        match hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            false => Err(format!("`{word}:` is followed by hexadecimal digits only")),
            true if hex.len() != algorithm.digits() => {
                Err(format!("{word} has {} hexadecimal digits, found {}", algorithm.digits(), hex.len()))
            }
            true => Ok(Self { algorithm, hex }),
        }
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm.word(), self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written() {
        for algorithm in Algorithm::ALL {
            let text = format!("{}:{}", algorithm.word(), "a0".repeat(algorithm.digits() / 2));
            let read = Checksum::parse(&text).unwrap();
            assert_eq!((read.algorithm, read.to_string()), (algorithm, text.clone()));
            assert_eq!(Checksum::parse(&text.replace("a0", "A0")), Ok(read));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("31644046b18952c1386cd4564ba2ae69", "begins with one of `md5:`"),
            ("crc:12", "`crc` is none of"),
            ("md5:12", "md5 has 32 hexadecimal digits, found 2"),
            ("md5:3164404zb18952c1386cd4564ba2ae69", "hexadecimal digits only"),
        ] {
            let e = Checksum::parse(text).unwrap_err();
            assert!(e.contains(said), "{text}: {e}");
        }
    }
}
