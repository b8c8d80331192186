//! The memory of an engine for a batch. Each engine estimates its own.

/// The size of a batch, or of a micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSize {
    /// Tokens of all pairs.
    pub tokens: usize,
    /// Number of pairs, at least 1.
    pub pairs: usize,
    /// Tokens of the longest pair.
    pub longest: usize,
}

/// Bytes that an engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Independent of the batch: weights, packed weights, gradients.
    pub model: u64,
    /// For the batch.
    pub batch: u64,
}

impl Footprint {
    /// Bytes in total.
    pub fn total(&self) -> u64 {
        self.model + self.batch
    }
}
