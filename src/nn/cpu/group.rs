//! Groups of whole pairs, which threads take one at a time, and their shares of a batch's buffers.

use std::ops::Range;

use super::buffers::split_lengths;
use crate::Packed;

/// Consecutive pairs of a batch.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// Indices of the pairs in the batch.
    pub pairs: Range<usize>,
    /// First tokens of all pairs of the batch, and its number of tokens at the end.
    pub starts: &'a [usize],
    /// Index of the batch's first token in the whole batch that it is a slice of.
    pub offset: usize,
}

impl<'a> Group<'a> {
    /// Some pairs of a batch.
    pub(super) fn of(batch: &'a Packed, pairs: Range<usize>) -> Self {
        Self { pairs, starts: &batch.starts, offset: batch.first_token }
    }

    /// Pairs in groups of about `tokens` tokens, in order. A longer pair is a group of its own.
    pub(super) fn split(batch: &'a Packed, tokens: usize) -> Vec<Self> {
        let starts = &batch.starts;
        let mut groups = Vec::new();
        let mut first = 0;
        for i in 1..starts.len() {
            let last = i + 1 == starts.len();
            if last || starts[i + 1] - starts[first] > tokens {
                groups.push(Self::of(batch, first..i));
                first = i;
            }
        }
        groups
    }

    /// Indices of its tokens in the batch.
    pub(super) fn tokens(&self) -> Range<usize> {
        self.starts[self.pairs.start]..self.starts[self.pairs.end]
    }

    /// Index of its first token in the whole batch, by which dropout is addressed.
    pub(super) fn first_token(&self) -> usize {
        self.offset + self.tokens().start
    }

    /// Each pair's tokens, counted from the group's first.
    pub(super) fn pair_ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let first = self.starts[self.pairs.start];
        self.pairs.clone().map(move |i| self.starts[i] - first..self.starts[i + 1] - first)
    }
}

/// Cuts a buffer with `width` numbers a token into the groups' shares.
pub(super) fn by_token<'a, T>(v: &'a mut [T], width: usize, groups: &[Group<'_>]) -> Vec<&'a mut [T]> {
    split_lengths(v, groups.iter().map(|g| g.tokens().len() * width))
}

/// Cuts a buffer with `width` numbers a pair into the groups' shares.
pub(super) fn by_pair<'a, T>(v: &'a mut [T], width: usize, groups: &[Group<'_>]) -> Vec<&'a mut [T]> {
    split_lengths(v, groups.iter().map(|g| g.pairs.len() * width))
}

/// Cuts a buffer with `width` numbers a row into the groups' shares; rows are pairs or tokens.
pub(super) fn by_row<'a, T>(
    v: &'a mut [T],
    width: usize,
    groups: &[Group<'_>],
    rows_are_pairs: bool,
) -> Vec<&'a mut [T]> {
    if rows_are_pairs { by_pair(v, width, groups) } else { by_token(v, width, groups) }
}
