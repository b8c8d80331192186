//! Memory that is used again, and slices cut into parts.

use std::ops::Range;

/// The first `n` numbers of a buffer, which grows as needed. What they are is not defined.
pub(super) fn grow(v: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if v.len() < n {
        v.resize(n, 0.0);
    }
    &mut v[..n]
}

/// Gives a buffer a length. What it holds is not defined.
pub(super) fn resize<T: Clone + Default>(v: &mut Vec<T>, n: usize) {
    if v.capacity() < n {
        // Giving the old memory back first keeps the peak low.
        *v = Vec::new();
    }
    v.resize(n, T::default());
}

/// A buffer of `n` zeros.
pub(super) fn zeroed(v: &mut Vec<f32>, n: usize) {
    v.clear();
    v.resize(n, 0.0);
}

/// A slice cut into consecutive parts of these lengths.
pub(super) fn split_lengths<T>(mut v: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut parts = Vec::new();
    for n in lengths {
        let (part, rest) = std::mem::take(&mut v).split_at_mut(n);
        parts.push(part);
        v = rest;
    }
    parts
}

/// Disjoint ranges of a slice, in the order asked for.
///
/// # Panics
/// When ranges overlap or leave the slice: a defect of the parameter layout.
pub(super) fn disjoint_slices<'a>(slice: &'a mut [f32], ranges: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|i| (ranges[*i].start, ranges[*i].end));
    let mut parts: Vec<Option<&'a mut [f32]>> = ranges.iter().map(|_| None).collect();
    let (mut rest, mut at) = (slice, 0);
    for i in order {
        let (_, after) = std::mem::take(&mut rest).split_at_mut(ranges[i].start - at);
        let (part, after) = after.split_at_mut(ranges[i].len());
        parts[i] = Some(part);
        (rest, at) = (after, ranges[i].end);
    }
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_in_the_order_asked_for() {
        let mut x: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let parts = disjoint_slices(&mut x, &[7..9, 0..0, 1..3]);
        assert_eq!(parts, [&mut [7.0, 8.0][..], &mut [], &mut [1.0, 2.0]]);
    }
}
