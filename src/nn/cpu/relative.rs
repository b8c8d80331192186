//! Terms of relative positions in attention scores: which distance takes which number, and where gradients go back.
//!
//! Two tables hold the numbers of a head: by query and position, and by position and key. A distance (query's place
//! minus key's) has a position, found in an index that begins at −(length − 1).

/// Adds both terms to a block of scores.
pub(super) struct Bias<'a> {
    /// `[queries, stride]`, of which the first `length` of a row count.
    pub scores: &'a mut [f32],
    /// Row length of the scores in memory.
    pub stride: usize,
    /// Keys.
    pub length: usize,
    /// The first query's place in the pair.
    pub first: usize,
    /// The position of each distance.
    pub index: &'a [u32],
    /// By query and position, with the row length in memory.
    pub content: (&'a [f32], usize),
    /// By position and key; rows are as long as those of the scores.
    pub position: &'a [f32],
}

impl Bias<'_> {
    /// Does it.
    pub(super) fn add(self) {
        let (content, wide) = self.content;
        for (i, row) in self.scores.chunks_exact_mut(self.stride).enumerate() {
            let content = &content[i * wide..][..wide];
            let query = self.first + i;
            // From key 0 (the largest distance) on.
            let index = self.index[query..query + self.length].iter().rev();
            for ((j, s), &r) in row[..self.length].iter_mut().enumerate().zip(index) {
                *s += content[r as usize] + self.position[r as usize * self.stride + j];
            }
        }
    }
}

/// Backward of [`Bias`]: adds a block's gradients to those of both tables.
pub(super) struct Spread<'a> {
    /// `[queries, stride]`, of which the first `length` of a row count.
    pub grads: &'a [f32],
    /// Row length of the gradients in memory.
    pub stride: usize,
    /// Keys.
    pub length: usize,
    /// The first query's place in the pair.
    pub first: usize,
    /// The position of each distance.
    pub index: &'a [u32],
    /// By query and position, with the row length in memory.
    pub content: (&'a mut [f32], usize),
    /// By position and key; rows are as long as those of the gradients.
    pub position: &'a mut [f32],
}

impl Spread<'_> {
    /// Does it.
    pub(super) fn add(self) {
        let (content, wide) = self.content;
        for (i, row) in self.grads.chunks_exact(self.stride).enumerate() {
            let content = &mut content[i * wide..][..wide];
            let query = self.first + i;
            let index = self.index[query..query + self.length].iter().rev();
            for ((j, g), &r) in row[..self.length].iter().enumerate().zip(index) {
                content[r as usize] += g;
                self.position[r as usize * self.stride + j] += g;
            }
        }
    }
}
