//! The random generator: counter-based, so that every draw is a function of (seed, purpose, index).
//!
//! Philox 4×32 with ten rounds. Streams have no state to save: a resumed training, other threads and another order of
//! work all see the same numbers. Streams of different purposes are independent.
//!
//! **Source:** Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// A stream of random numbers addressed by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    lane: [u32; 2],
}

impl Stream {
    /// The stream of a seed and a purpose, for instance `("train.cross_encoder", "dropout")`.
    pub fn new(seed: u64, purpose: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("xpipe random stream v1");
        hasher.update(&seed.to_le_bytes());
        for part in purpose {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let word = |i: usize| {
            let b = digest.as_bytes();
            u32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]])
        };
        Self { key: [word(0), word(1)], lane: [word(2), word(3)] }
    }

    /// A stream inside this one, for instance one per step.
    #[must_use]
    pub fn sub(&self, index: u64) -> Self {
        let a = self.block(index);
        let b = Self { key: [a[0], a[1]], lane: [a[2], a[3]] };
        Self { key: [a[0], a[1]], lane: [b.block(1)[0], b.block(1)[1]] }
    }

    /// Four independent 32-bit words at a position.
    pub fn block(&self, index: u64) -> [u32; 4] {
        philox([index as u32, (index >> 32) as u32, self.lane[0], self.lane[1]], self.key)
    }

    /// The blocks `first`, `first + 1`, …: the same numbers as [`Stream::block`], computed together so that the compiler can
    /// vectorise them where the caller enables it.
    #[inline(always)]
    pub fn blocks<const B: usize>(&self, first: u64) -> [[u32; 4]; B] {
        let mut a = [0u64; B];
        let mut c = [0u64; B];
        let mut b = [0u64; B];
        let mut d = [u64::from(self.lane[1]); B];
        for i in 0..B {
            let index = first.wrapping_add(i as u64);
            (a[i], b[i], c[i]) = (index, index >> 32, u64::from(self.lane[0]));
        }
        let mut k = self.key;
        for _ in 0..10 {
            for i in 0..B {
                // Only the low halves of a, b, c and d are used.
                let p0 = (a[i] & 0xFFFF_FFFF) * 0xD251_1F53;
                let p1 = (c[i] & 0xFFFF_FFFF) * 0xCD9E_8D57;
                a[i] = (p1 >> 32) ^ b[i] ^ u64::from(k[0]);
                b[i] = p1;
                c[i] = (p0 >> 32) ^ d[i] ^ u64::from(k[1]);
                d[i] = p0;
            }
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        let mut out = [[0; 4]; B];
        for i in 0..B {
            out[i] = [a[i] as u32, b[i] as u32, c[i] as u32, d[i] as u32];
        }
        out
    }

    /// A 64-bit word at a position.
    pub fn u64(&self, index: u64) -> u64 {
        let b = self.block(index);
        u64::from(b[0]) | (u64::from(b[1]) << 32)
    }

    /// A number in [0, 1) with 53 random bits.
    pub fn unit(&self, index: u64) -> f64 {
        (self.u64(index) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An integer in [0, n), for n > 0; bias below 2^-64 · n.
    pub fn below(&self, index: u64, n: u64) -> u64 {
        ((u128::from(self.u64(index)) * u128::from(n)) >> 64) as u64
    }

    /// A standard normal number (Box–Muller transform).
    pub fn normal(&self, index: u64) -> f64 {
        let b = self.block(index);
        let u1 = (f64::from(b[0]) + 1.0) / 4_294_967_297.0;
        let u2 = f64::from(b[1]) / 4_294_967_296.0;
        (-2.0 * u1.ln()).sqrt() * (std::f64::consts::TAU * u2).cos()
    }
}

fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let p0 = u64::from(c[0]) * 0xD251_1F53;
        let p1 = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// A seeded permutation of 0..n. Any element is computed in constant time and memory.
///
/// A four-round Feistel network over the smallest even-bit domain that holds n, walked until it lands inside.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    stream: Stream,
    n: u64,
    half: u32,
}

impl Permutation {
    /// The permutation of `n` items drawn from a stream.
    pub fn new(stream: Stream, n: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        Self { stream, n, half: bits.div_ceil(2).max(1) }
    }

    /// The item at place `i`, for i < n.
    pub fn at(&self, i: u64) -> u64 {
        debug_assert!(i < self.n);
        let mask = (1u64 << self.half) - 1;
        let mut x = i;
        loop {
            let (mut left, mut right) = (x >> self.half, x & mask);
            for round in 0..4u64 {
                let f = self.stream.u64(right | (round << 40)) & mask;
                (left, right) = (right, left ^ f);
            }
            x = (left << self.half) | right;
            if x < self.n {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_matches_the_published_vectors() {
        // Random123 kat_vectors, philox4x32-10.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn blocks_side_by_side_are_the_blocks() {
        let s = Stream::new(3, &["blocks"]);
        for first in [0, 1, 1000, (1 << 32) - 3, u64::MAX - 5] {
            let wide = s.blocks::<8>(first);
            for (i, block) in wide.into_iter().enumerate() {
                assert_eq!(block, s.block(first.wrapping_add(i as u64)));
            }
        }
    }

    #[test]
    fn a_permutation_meets_every_item_once() {
        for n in [1u64, 2, 3, 7, 64, 1000, 4097] {
            let p = Permutation::new(Stream::new(7, &["test"]), n);
            let mut seen: Vec<u64> = (0..n).map(|i| p.at(i)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn purposes_and_seeds_separate_streams() {
        let a = Stream::new(1, &["a", "bc"]).u64(0);
        assert_ne!(a, Stream::new(1, &["ab", "c"]).u64(0));
        assert_ne!(a, Stream::new(2, &["a", "bc"]).u64(0));
        assert_eq!(a, Stream::new(1, &["a", "bc"]).u64(0));
    }
}
