//! Paired tests over the differences of two systems, one difference a unit (a query of a collection).
//!
//! All are two-sided. What cannot be computed is `None`, never NaN: nothing with fewer than two differences or one
//! that is not finite; with no variance the t-test is decided (p = 1 when all differences are 0, else 0) and only
//! the effect size is `None`. Corrections for many tests: [`super::correction`].
//!
//! Must not know: tables, metrics.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::value::rng::Stream;

/// Up to this many differences, the randomisation test goes through all assignments of signs.
pub const EXACT_LIMIT: usize = 20;

/// What is known of the differences, whatever the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// How many there are.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation with n - 1.
    pub sd: f64,
    /// Cohen's d_z = mean / sd; `None` without variance.
    pub effect: Option<f64>,
    /// Confidence interval of the mean by Student's t.
    pub interval: (f64, f64),
}

impl Differences {
    /// Describes differences; `confidence` in (0, 1), for instance 0.95. `None` for fewer than two, for one that is
    /// not finite, and for another confidence.
    pub fn of(differences: &[f64], confidence: f64) -> Option<Self> {
        if differences.iter().any(|d| !d.is_finite()) || !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let (n, mean, sd) = moments(differences)?;
        let effect = if sd > 0.0 { Some(mean / sd) } else { None };
        let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
        let half = quantile(&t, 0.5 + confidence / 2.0) * sd / (n as f64).sqrt();
        Some(Self { n, mean, sd, effect, interval: (mean - half, mean + half) })
    }
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// t of the t-test and of the bootstrap (infinite without variance), the mean for the randomisation test.
    pub statistic: f64,
    /// The two-sided p-value.
    pub p: f64,
}

/// Student's t-test of paired samples: t = mean / (sd / √n) with n - 1 degrees of freedom.
///
/// **Source:** `scipy.stats.ttest_rel`, but p = 1 where all differences are 0 (there: NaN).
pub fn paired_t(differences: &[f64]) -> Option<Tested> {
    let (n, mean, sd) = finite_moments(differences)?;
    let statistic = studentised(n, mean, sd);
    let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    let p = if statistic.is_infinite() { 0.0 } else { (2.0 * t.sf(statistic.abs())).min(1.0) };
    Some(Tested { statistic, p })
}

/// Fisher's randomisation test: under the null hypothesis each difference may as well have the other sign.
///
/// Exact over all 2^n assignments for n ≤ [`EXACT_LIMIT`]; beyond, `draws` random ones, with the observed one
/// counted: p = (1 + more extreme) / (1 + draws).
/// **Source:** Smucker, Allan, Carterette, "A comparison of statistical significance tests for IR evaluation",
/// CIKM 2007.
pub fn randomisation(differences: &[f64], draws: u64, stream: Stream) -> Option<Tested> {
    let (n, mean, _) = finite_moments(differences)?;
    // Sums that differ by rounding only are equal.
    let limit =
        differences.iter().sum::<f64>().abs() - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let extreme = |sign: &dyn Fn(usize) -> bool| {
        let sum: f64 = differences.iter().enumerate().map(|(i, d)| if sign(i) { -d } else { *d }).sum();
        u64::from(sum.abs() >= limit)
    };
    let p = if n <= EXACT_LIMIT {
        // An assignment and its opposite have the same |sum|, so the last sign may stay.
        let half = 1u64 << (n - 1);
        let count: u64 = (0..half).map(|bits| extreme(&|i| bits >> i & 1 == 1)).sum();
        count as f64 / half as f64
    } else {
        let mut signs = vec![0u64; n.div_ceil(64)];
        let mut count = 1;
        for draw in 0..draws {
            let stream = stream.sub(draw);
            signs.iter_mut().enumerate().for_each(|(i, s)| *s = stream.u64(i as u64));
            count += extreme(&|i| signs[i / 64] >> (i % 64) & 1 == 1);
        }
        count as f64 / (draws + 1) as f64
    };
    Some(Tested { statistic: mean, p })
}

/// Paired bootstrap test: resamples the differences, moved to mean 0, and compares studentised means.
///
/// p = (1 + more extreme) / (1 + draws).
/// **Source:** Efron, Tibshirani, "An introduction to the bootstrap", 1993, algorithm 16.2; Sakai, "Evaluating
/// evaluation metrics based on the bootstrap", SIGIR 2006.
pub fn bootstrap(differences: &[f64], draws: u64, stream: Stream) -> Option<Tested> {
    let (n, mean, sd) = finite_moments(differences)?;
    let statistic = studentised(n, mean, sd);
    if statistic == 0.0 || statistic.is_infinite() {
        return Some(Tested { statistic, p: if statistic == 0.0 { 1.0 } else { 0.0 } });
    }
    let mut sample = vec![0.0; n];
    let mut count = 1u64;
    for draw in 0..draws {
        let stream = stream.sub(draw);
        for (i, x) in sample.iter_mut().enumerate() {
            *x = differences[stream.below(i as u64, n as u64) as usize] - mean;
        }
        let (n, mean, sd) = moments(&sample)?;
        count += u64::from(studentised(n, mean, sd).abs() >= statistic.abs());
    }
    Some(Tested { statistic, p: count as f64 / (draws + 1) as f64 })
}

/// Number, mean and standard deviation; `None` for fewer than two.
fn moments(xs: &[f64]) -> Option<(usize, f64, f64)> {
    let n = xs.len();
    if n < 2 {
        return None;
    }
    // Equal differences have no variance, which their rounded mean must not hide.
    if xs.iter().all(|x| *x == xs[0]) {
        return Some((n, xs[0], 0.0));
    }
    let mean = xs.iter().sum::<f64>() / n as f64;
    let squares: f64 = xs.iter().map(|x| (x - mean) * (x - mean)).sum();
    Some((n, mean, (squares / (n - 1) as f64).sqrt()))
}

fn finite_moments(xs: &[f64]) -> Option<(usize, f64, f64)> {
    if xs.iter().all(|x| x.is_finite()) { moments(xs) } else { None }
}

/// mean / (sd / √n); 0 where the mean is 0, infinite where only the deviation is.
fn studentised(n: usize, mean: f64, sd: f64) -> f64 {
    if mean == 0.0 { 0.0 } else { mean / (sd / (n as f64).sqrt()) }
}

/// The quantile of Student's t for q ≥ 1/2, by bisection of the upper tail.
fn quantile(t: &StudentsT, q: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while t.sf(high) > 1.0 - q && high < 1e300 {
        high *= 2.0;
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if t.sf(middle) > 1.0 - q { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        differences: Vec<f64>,
        t: f64,
        p: f64,
        effect: f64,
        low: f64,
        high: f64,
        low99: f64,
        high99: f64,
        randomisation: f64,
        exact: bool,
        bootstrap: f64,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("../../tests/data/significance/tests.json")).unwrap()
    }

    fn near(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs().max(1e-300), "{a}, expected {b}");
    }

    #[test]
    fn equal_to_scipy() {
        let cases = cases();
        assert!(cases.len() >= 8);
        for c in &cases {
            let tested = paired_t(&c.differences).unwrap();
            near(tested.statistic, c.t, 1e-12);
            near(tested.p, c.p, 1e-10);
            let d = Differences::of(&c.differences, 0.95).unwrap();
            assert_eq!(d.n, c.differences.len());
            near(d.effect.unwrap(), c.effect, 1e-12);
            near(d.interval.0, c.low, 1e-9);
            near(d.interval.1, c.high, 1e-9);
            let d = Differences::of(&c.differences, 0.99).unwrap();
            near(d.interval.0, c.low99, 1e-9);
            near(d.interval.1, c.high99, 1e-9);
        }
    }

    #[test]
    fn resampling_is_equal_to_scipys_up_to_its_own_error() {
        let stream = Stream::new(1, &["test"]);
        let mut exact = 0;
        for c in cases() {
            let r = randomisation(&c.differences, 20_000, stream).unwrap().p;
            if c.exact {
                near(r, c.randomisation, 1e-12);
                exact += 1;
            } else {
                // Five standard errors of 20,000 draws.
                let error = 5.0 * (c.randomisation * (1.0 - c.randomisation) / 20_000.0).sqrt() + 1e-4;
                assert!((r - c.randomisation).abs() < error, "{r} {}", c.randomisation);
            }
            let b = bootstrap(&c.differences, 20_000, stream).unwrap().p;
            let error = 5.0 * (c.bootstrap * (1.0 - c.bootstrap) / 20_000.0).sqrt() + 1e-4;
            assert!((b - c.bootstrap).abs() < error, "{b} {}", c.bootstrap);
        }
        assert!(exact >= 2);
    }

    #[test]
    fn seeds_decide_and_repeat() {
        let xs: Vec<f64> = (0..40).map(|i| f64::from(i % 7) - 2.5).collect();
        let p = |seed| {
            let stream = Stream::new(seed, &["x"]);
            (randomisation(&xs, 999, stream).unwrap().p, bootstrap(&xs, 999, stream).unwrap().p)
        };
        assert_eq!(p(1), p(1));
        assert_ne!(p(1), p(2));
    }

    #[test]
    fn nothing_to_test_is_none_and_no_variance_is_decided() {
        let stream = Stream::new(1, &["x"]);
        for bad in [&[][..], &[1.0], &[1.0, f64::NAN], &[1.0, f64::INFINITY, 2.0]] {
            assert!(paired_t(bad).is_none() && Differences::of(bad, 0.95).is_none());
            assert!(randomisation(bad, 9, stream).is_none() && bootstrap(bad, 9, stream).is_none());
        }
        assert!(Differences::of(&[1.0, 2.0], 1.0).is_none() && Differences::of(&[1.0, 2.0], 0.0).is_none());
        for zeros in [[0.0; 5].as_slice(), &[0.0; 30]] {
            assert_eq!(paired_t(zeros), Some(Tested { statistic: 0.0, p: 1.0 }));
            assert_eq!(randomisation(zeros, 99, stream), Some(Tested { statistic: 0.0, p: 1.0 }));
            assert_eq!(bootstrap(zeros, 99, stream), Some(Tested { statistic: 0.0, p: 1.0 }));
        }
        let same = [0.1; 11];
        assert_eq!(paired_t(&same), Some(Tested { statistic: f64::INFINITY, p: 0.0 }));
        assert_eq!(bootstrap(&same, 99, stream).unwrap().p, 0.0);
        assert_eq!(randomisation(&same, 99, stream).unwrap().p, 2.0 / 2048.0);
        let d = Differences::of(&same, 0.95).unwrap();
        assert_eq!((d.mean, d.sd, d.effect, d.interval), (0.1, 0.0, None, (0.1, 0.1)));
    }
}
