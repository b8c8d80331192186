//! Drawing without replacement.

use xpipe_base::value::rng::Stream;

/// `k` different numbers of 0..n in random order, a partial Fisher-Yates shuffle that remembers only what it moved.
///
/// Gives all `n` when `k` is larger.
pub fn without_replacement(stream: Stream, n: usize, k: usize) -> Vec<usize> {
    let mut moved: Vec<(usize, usize)> = Vec::new();
    let holds = |moved: &[(usize, usize)], at: usize| {
        moved.iter().rev().find(|(place, _)| *place == at).map_or(at, |(_, item)| *item)
    };
    let mut drawn = Vec::with_capacity(k.min(n));
    for i in 0..k.min(n) {
        let j = i + stream.below(i as u64, (n - i) as u64) as usize;
        drawn.push(holds(&moved, j));
        let displaced = holds(&moved, i);
        moved.push((j, displaced));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_different_and_cover_everything_evenly() {
        let mut seen = [[0u32; 7]; 3];
        for seed in 0..7000 {
            let drawn = without_replacement(Stream::new(seed, &["draw test"]), 7, 3);
            assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);
            drawn.iter().enumerate().for_each(|(place, d)| seen[place][*d] += 1);
        }
        // 1000 expected, standard deviation 29.
        assert!(seen.iter().flatten().all(|n| (850..1150).contains(n)), "{seen:?}");
        let mut all = without_replacement(Stream::new(1, &["draw test"]), 50, 90);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
