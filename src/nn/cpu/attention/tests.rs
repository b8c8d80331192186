//! Attention against plain loops in f64 and their finite differences: whole, in windows, with relative positions.

use super::*;
use crate::layers::disentangled::Relative;
use crate::layers::dropout::Site;
use xpipe_base::value::rng::Stream;

fn random(n: usize, of: u64) -> Vec<f32> {
    let s = Stream::new(of, &["attention"]);
    (0..n).map(|i| s.normal(i as u64) as f32).collect()
}

/// What the plain loops add to scores, and who sees whom.
struct Case<'a> {
    heads: usize,
    size: usize,
    length: usize,
    factors: &'a [f32],
    window: Option<usize>,
    relative: Option<&'a Relative>,
}

fn naive(case: &Case<'_>, qkv: &[f64], positions: &[f64]) -> Vec<f64> {
    let Case { heads, size, length, .. } = *case;
    let width = heads * size;
    let at = |t: usize, part: usize, h: usize, d: usize| qkv[t * 3 * width + part * width + h * size + d];
    let dot = |f: &dyn Fn(usize) -> f64| (0..size).map(f).sum::<f64>();
    let scale = ((if case.relative.is_some() { 3 } else { 1 } * size) as f64).sqrt();
    let mut out = vec![0.0; length * width];
    for h in 0..heads {
        for i in 0..length {
            let score = |j: usize| {
                if case.window.is_some_and(|w| i.abs_diff(j) > w) {
                    return f64::NEG_INFINITY;
                }
                let mut s = dot(&|d| at(i, 0, h, d) * at(j, 1, h, d));
                if let Some(r) = case.relative {
                    let row = r.row(i as i64 - j as i64) * 2 * width + h * size;
                    s += dot(&|d| at(i, 0, h, d) * positions[row + width + d]);
                    s += dot(&|d| at(j, 1, h, d) * positions[row + d]);
                }
                s / scale
            };
            let s: Vec<f64> = (0..length).map(score).collect();
            let total: f64 = s.iter().map(|s| s.exp()).sum();
            for (j, s) in s.iter().enumerate() {
                let p = s.exp() / total * f64::from(case.factors[(h * length + i) * length + j]);
                for d in 0..size {
                    out[i * width + h * size + d] += p * at(j, 2, h, d);
                }
            }
        }
    }
    out
}

fn check(
    heads: usize,
    size: usize,
    length: usize,
    drop: bool,
    window: Option<usize>,
    relative: Option<&Relative>,
) {
    let mut scratch = AttentionScratch::default();
    let mask = Mask::new(&Stream::new(5, &["attention"]), Site::Attention(1), 0.3);
    let (width, stride, token) = (heads * size, 3 * heads * size, 11);
    let factors =
        if drop { mask.attention(token, length, heads) } else { vec![1.0; heads * length * length] };
    let qkv = random(length * 3 * width, 1);
    let rows = relative.map_or(0, |r| 2 * r.span);
    let table = random(rows * 2 * width, 3);
    let whole = random(length * width, 2);
    let exact: Vec<f64> = qkv.iter().chain(&table).map(|x| f64::from(*x)).collect();
    let case = Case { heads, size, length, factors: &factors, window, relative };
    // All queries, or the first tokens' only.
    let counts = [length, 1, length.min(3)];
    for (level, queries) in
        [Level::PORTABLE, Level::detect()].into_iter().flat_map(|l| counts.map(|q| (l, q)))
    {
        let dout = &whole[..queries * width];
        let positions = relative.map(|relative| RelativePositions { relative, projected: &table });
        let mask = drop.then_some(&mask);
        let a =
            Attention { level, heads, size, length, queries, first_token: token, window, positions, mask };
        let mut out = vec![f32::NAN; queries * width];
        let mut stats = vec![[0.0; 2]; queries * heads];
        a.forward(&qkv, &mut out, Some(&mut stats), &mut scratch);
        let (x, p) = exact.split_at(qkv.len());
        for (o, e) in out.iter().zip(naive(&case, x, p)) {
            assert!((f64::from(*o) - e).abs() < 1e-5, "{o} {e}");
        }
        let mut got = vec![f32::NAN; qkv.len()];
        let mut dpositions = vec![0.0; rows * stride];
        let to = relative.map(|_| (&mut dpositions[..], stride));
        a.backward(&qkv, &stats, dout, &mut got, to, &mut scratch);
        for row in dpositions.chunks(stride) {
            got.extend(&row[..2 * width]);
        }
        assert!(got.iter().all(|g| g.is_finite()));
        for i in (0..got.len()).step_by(got.len() / 24 + 1) {
            let at = |step: f64| {
                let mut x = exact.clone();
                x[i] += step;
                let (x, p) = x.split_at(qkv.len());
                naive(&case, x, p).iter().zip(dout).map(|(y, d)| y * f64::from(*d)).sum::<f64>()
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (f64::from(got[i]) - slope).abs() < 1e-4,
                "{heads} {size} {length} {i}: {} {slope}",
                got[i]
            );
        }
    }
}

#[test]
fn forward_equals_plain_loops_and_backward_finite_differences() {
    for (heads, size, length, drop) in
        [(1, 1, 1, false), (2, 8, 5, true), (3, 16, 33, true), (2, 12, 17, false), (1, 32, 230, true)]
    {
        check(heads, size, length, drop, None, None);
    }
}

#[test]
fn windows_hide_what_is_far() {
    for (length, window) in [(1, 3), (5, 2), (40, 4), (230, 20), (100, 200)] {
        check(2, 8, length, true, Some(window), None);
    }
}

#[test]
fn relative_positions_add_to_scores() {
    let shared = |buckets, span, farthest| Relative { span, buckets, farthest, shared: true, normed: true };
    for (length, relative) in [
        (1, shared(Some(8), 8, 64)),
        (9, shared(Some(8), 8, 64)),
        (130, shared(Some(16), 16, 64)),
        (20, shared(None, 12, 12)),
    ] {
        check(2, 8, length, true, None, Some(&relative));
    }
}
