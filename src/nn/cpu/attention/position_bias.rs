//! Terms of relative positions in attention scores, and their gradients.
//!
//! Two tables hold the terms of a head: by query and position, and by position and key. The position of a distance
//! (index of the query minus index of the key) is found in an index that begins at −(length − 1).

/// Adds both terms to a block of scores.
pub(super) struct PositionBias<'a> {
    /// `[queries, stride]`. The first `length` of a row count.
    pub scores: &'a mut [f32],
    /// Row stride of the scores.
    pub stride: usize,
    /// Number of keys.
    pub length: usize,
    /// Index of the first query in the pair.
    pub first: usize,
    /// The position of each distance.
    pub index: &'a [u32],
    /// Terms by query and position, with their row stride.
    pub content: (&'a [f32], usize),
    /// Terms by position and key, with the row stride of the scores.
    pub position: &'a [f32],
}

impl PositionBias<'_> {
    /// Adds the terms to the scores.
    pub(super) fn add(self) {
        let (content, content_stride) = self.content;
        for (i, row) in self.scores.chunks_exact_mut(self.stride).enumerate() {
            let content = &content[i * content_stride..][..content_stride];
            let query = self.first + i;
            // From key 0 (the largest distance) on.
            let index = self.index[query..query + self.length].iter().rev();
            for ((j, s), &r) in row[..self.length].iter_mut().enumerate().zip(index) {
                *s += content[r as usize] + self.position[r as usize * self.stride + j];
            }
        }
    }
}

/// Backward of [`PositionBias`]: adds a block's gradients to those of both tables.
pub(super) struct PositionBiasBackward<'a> {
    /// `[queries, stride]`. The first `length` of a row count.
    pub grads: &'a [f32],
    /// Row stride of the gradients.
    pub stride: usize,
    /// Number of keys.
    pub length: usize,
    /// Index of the first query in the pair.
    pub first: usize,
    /// The position of each distance.
    pub index: &'a [u32],
    /// Terms by query and position, with their row stride.
    pub content: (&'a mut [f32], usize),
    /// Terms by position and key, with the row stride of the gradients.
    pub position: &'a mut [f32],
}

impl PositionBiasBackward<'_> {
    /// Adds the gradients of a block.
    pub(super) fn add(self) {
        let (content, content_stride) = self.content;
        for (i, row) in self.grads.chunks_exact(self.stride).enumerate() {
            let content = &mut content[i * content_stride..][..content_stride];
            let query = self.first + i;
            let index = self.index[query..query + self.length].iter().rev();
            for ((j, g), &r) in row[..self.length].iter().enumerate().zip(index) {
                content[r as usize] += g;
                self.position[r as usize * self.stride + j] += g;
            }
        }
    }
}
