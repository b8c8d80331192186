//! Digests of a stream: the declared one (SHA-256, to be pinned, if none is) and the cache's.

use md5::Digest as _;
use md5::Md5;
use sha2::Sha256;

use xpipe_base::value::{Algorithm, Checksum, Digest};

/// Digests of the bytes read so far.
pub(super) struct Sums {
    declared: Declared,
    content: blake3::Hasher,
    head: Vec<u8>,
}

enum Declared {
    Md5(Md5),
    Sha256(Sha256),
    /// The cache's own.
    Blake3,
}

impl Sums {
    /// Digests of the empty stream; SHA-256 if no algorithm is declared.
    pub(super) fn new(algorithm: Option<Algorithm>) -> Self {
        let declared = match algorithm {
            Some(Algorithm::Md5) => Declared::Md5(Md5::new()),
            Some(Algorithm::Sha256) | None => Declared::Sha256(Sha256::new()),
            Some(Algorithm::Blake3) => Declared::Blake3,
        };
        Self { declared, content: blake3::Hasher::new(), head: Vec::new() }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if self.head.len() < 8 {
            self.head.extend(bytes.iter().take(8 - self.head.len()));
        }
        match &mut self.declared {
            Declared::Md5(h) => h.update(bytes),
            Declared::Sha256(h) => h.update(bytes),
            Declared::Blake3 => {}
        }
        self.content.update(bytes);
    }

    /// The digest by the declared algorithm or by BLAKE3.
    pub(super) fn checksum(&self, algorithm: Algorithm) -> Checksum {
        let hex = match (&self.declared, algorithm) {
            (Declared::Md5(h), Algorithm::Md5) => hex(&h.clone().finalize()),
            (Declared::Sha256(h), Algorithm::Sha256) => hex(&h.clone().finalize()),
            (_, Algorithm::Blake3) => self.content().hex(),
            _ => unreachable!("the digest by an algorithm that was not declared"),
        };
        Checksum { algorithm, hex }
    }

    /// The BLAKE3 digest that the cache uses.
    pub(super) fn content(&self) -> Digest {
        Digest(*self.content.finalize().as_bytes())
    }

    /// Whether the stream starts with these bytes.
    pub(super) fn begins_with(&self, bytes: &[u8]) -> bool {
        self.head.starts_with(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of RFC 1321 and of FIPS 180-4.
    #[test]
    fn digests_are_those_of_the_standards() {
        let sum = |algorithm: Option<Algorithm>| {
            let mut sums = Sums::new(algorithm);
            sums.update(b"a");
            sums.update(b"bc");
            sums
        };
        assert_eq!(
            sum(Some(Algorithm::Md5)).checksum(Algorithm::Md5).to_string(),
            "md5:900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            sum(None).checksum(Algorithm::Sha256).to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let blake = sum(Some(Algorithm::Blake3));
        assert_eq!(blake.checksum(Algorithm::Blake3).hex, Digest::of(b"abc").hex());
        assert!(blake.begins_with(b"ab") && !blake.begins_with(b"b"));
    }
}
