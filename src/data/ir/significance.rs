//! Paired tests over the differences of two systems, one difference a unit (a query of a collection).
//!
//! All are two-sided, and of the mean that [`super::strata`] describes: of several collections the mean of their means.
//! What cannot be computed is `None`, never NaN: nothing with a collection of fewer than two differences or one that is
//! not finite; with no variance the t-test is decided (p = 1 when all differences are 0, else 0) and only the effect
//! size is `None`. Corrections for many tests: [`super::correction`].
//!
//! Must not know: tables, metrics.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::power;
use super::strata::{Moments, Size, Strata};
use xpipe_base::value::rng::Stream;

/// Up to this many differences, the randomisation test goes through all assignments of signs.
pub const EXACT_LIMIT: usize = 20;

/// The differences, as all tests need them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// How many there are.
    pub n: usize,
    /// Their mean; of several collections the mean of the means of each.
    pub mean: f64,
    /// Their standard deviation with n - 1, within collections.
    pub sd: f64,
    /// The effective size of the sample.
    pub size: Size,
    /// Cohen's d_z = mean / sd; `None` without variance.
    pub effect: Option<f64>,
    /// Confidence interval of d_z.
    pub effect_interval: Option<(f64, f64)>,
    /// Hedges' g_z: d_z without its bias in small samples; `None` without variance or for two differences.
    pub hedges: Option<f64>,
    /// Confidence interval of the mean by Student's t.
    pub interval: (f64, f64),
}

impl Differences {
    /// Describes differences; `confidence` in (0, 1), for instance 0.95. `None` for a collection of fewer than two, for
    /// one that is not finite, and for another confidence.
    pub fn of(strata: &Strata, confidence: f64) -> Option<Self> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let Moments { count, mean, sd, error, size } = strata.moments()?;
        let effect = if sd > 0.0 { Some(mean / sd) } else { None };
        let t = StudentsT::new(0.0, 1.0, size.freedom).ok()?;
        let half = quantile(&t, 0.5 + confidence / 2.0) * error;
        Some(Self {
            n: count,
            mean,
            sd,
            size,
            effect,
            effect_interval: effect.and_then(|d| power::interval(size, d, confidence)),
            hedges: effect.and_then(|d| Some(d * power::hedges(size)?)),
            interval: (mean - half, mean + half),
        })
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

/// Student's t-test of paired samples: t = mean / error, with n - 1 degrees of freedom in one collection.
///
/// **Source:** `scipy.stats.ttest_rel`, but p = 1 where all differences are 0 (there: NaN); several collections as
/// [`super::strata`] says.
pub fn paired_t(strata: &Strata) -> Option<Tested> {
    let moments = strata.moments()?;
    let statistic = studentised(&moments);
    let t = StudentsT::new(0.0, 1.0, moments.size.freedom).ok()?;
    let p = if statistic.is_infinite() { 0.0 } else { (2.0 * t.sf(statistic.abs())).min(1.0) };
    Some(Tested { statistic, p })
}

/// Fisher's randomisation test: under the null hypothesis each difference may as well have the other sign.
///
/// Exact over all 2^n assignments for n ≤ [`EXACT_LIMIT`]; beyond, `draws` random ones, with the observed one
/// counted: p = (1 + more extreme) / (1 + draws). Signs are drawn for each query of each collection, and what is
/// compared is the mean of means.
/// **Source:** Smucker, Allan, Carterette, "A comparison of statistical significance tests for IR evaluation",
/// CIKM 2007.
pub fn randomisation(strata: &Strata, draws: u64, stream: Stream) -> Option<Tested> {
    let Moments { count: n, mean, .. } = strata.moments()?;
    let parts = strata.parts();
    // Sums that differ by rounding only are equal.
    let limit = parts.iter().sum::<f64>().abs() - 1e-12 * parts.iter().map(|d| d.abs()).sum::<f64>();
    let extreme = |sign: &dyn Fn(usize) -> bool| {
        let sum: f64 = parts.iter().enumerate().map(|(i, d)| if sign(i) { -d } else { *d }).sum();
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

/// Paired bootstrap test: resamples the differences of each collection, moved to mean 0, and compares studentised means.
///
/// p = (1 + more extreme) / (1 + draws).
/// **Source:** Efron, Tibshirani, "An introduction to the bootstrap", 1993, algorithm 16.2; Sakai, "Evaluating
/// evaluation metrics based on the bootstrap", SIGIR 2006.
pub fn bootstrap(strata: &Strata, draws: u64, stream: Stream) -> Option<Tested> {
    let statistic = studentised(&strata.moments()?);
    if statistic == 0.0 || statistic.is_infinite() {
        return Some(Tested { statistic, p: if statistic == 0.0 { 1.0 } else { 0.0 } });
    }
    // Each collection moved to mean 0, and the samples drawn from it.
    let moved: Vec<Vec<f64>> = strata.strata().iter().map(|s| centred(&s.differences)).collect();
    let mut sample = strata.clone();
    let mut count = 1u64;
    for draw in 0..draws {
        let stream = stream.sub(draw);
        let mut place = 0;
        for (drawn, from) in sample.strata_mut().iter_mut().zip(&moved) {
            for x in &mut drawn.differences {
                *x = from[stream.below(place, from.len() as u64) as usize];
                place += 1;
            }
        }
        count += u64::from(studentised(&sample.moments()?).abs() >= statistic.abs());
    }
    Some(Tested { statistic, p: count as f64 / (draws + 1) as f64 })
}

fn centred(xs: &[f64]) -> Vec<f64> {
    let mean = Strata::one(xs.to_vec()).moments().map_or(0.0, |m| m.mean);
    xs.iter().map(|x| x - mean).collect()
}

/// mean / error; 0 where the mean is 0, infinite where only the error is.
fn studentised(moments: &Moments) -> f64 {
    if moments.mean == 0.0 { 0.0 } else { moments.mean / moments.error }
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

    use super::super::strata::Stratum;
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
        serde_json::from_str(include_str!("../../../tests/data/significance/tests.json")).unwrap()
    }

    fn near(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs().max(1e-300), "{a}, expected {b}");
    }

    #[test]
    fn equal_to_scipy() {
        let cases = cases();
        assert!(cases.len() >= 8);
        for c in &cases {
            let differences = Strata::one(c.differences.clone());
            let tested = paired_t(&differences).unwrap();
            near(tested.statistic, c.t, 1e-12);
            near(tested.p, c.p, 1e-10);
            let d = Differences::of(&differences, 0.95).unwrap();
            assert_eq!(d.n, c.differences.len());
            near(d.effect.unwrap(), c.effect, 1e-12);
            near(d.interval.0, c.low, 1e-9);
            near(d.interval.1, c.high, 1e-9);
            let d = Differences::of(&differences, 0.99).unwrap();
            near(d.interval.0, c.low99, 1e-9);
            near(d.interval.1, c.high99, 1e-9);
        }
    }

    #[test]
    fn resampling_is_equal_to_scipys_up_to_its_own_error() {
        let stream = Stream::new(1, &["test"]);
        let mut exact = 0;
        for c in cases() {
            let r = randomisation(&Strata::one(c.differences.clone()), 20_000, stream).unwrap().p;
            if c.exact {
                near(r, c.randomisation, 1e-12);
                exact += 1;
            } else {
                // Five standard errors of 20,000 draws.
                let error = 5.0 * (c.randomisation * (1.0 - c.randomisation) / 20_000.0).sqrt() + 1e-4;
                assert!((r - c.randomisation).abs() < error, "{r} {}", c.randomisation);
            }
            let b = bootstrap(&Strata::one(c.differences.clone()), 20_000, stream).unwrap().p;
            let error = 5.0 * (c.bootstrap * (1.0 - c.bootstrap) / 20_000.0).sqrt() + 1e-4;
            assert!((b - c.bootstrap).abs() < error, "{b} {}", c.bootstrap);
        }
        assert!(exact >= 2);
    }

    #[derive(Deserialize)]
    struct Part {
        weight: f64,
        differences: Vec<f64>,
    }

    #[derive(Deserialize)]
    struct Collections {
        parts: Vec<Part>,
        mean: f64,
        t: f64,
        p: f64,
        freedom: f64,
        sd: f64,
        n: f64,
        effect: f64,
        low: f64,
        high: f64,
        hedges: f64,
        effect_low: f64,
        effect_high: f64,
        detectable: f64,
        exact: bool,
        randomisation: f64,
        bootstrap: f64,
    }

    #[test]
    fn means_of_collections_are_those_of_welch_and_satterthwaite() {
        let cases: Vec<Collections> =
            serde_json::from_str(include_str!("../../../tests/data/significance/strata.json")).unwrap();
        let stream = Stream::new(1, &["test"]);
        let (mut exact, mut drawn) = (0, 0);
        for c in cases {
            let parts = c.parts.into_iter().map(|p| Stratum { weight: p.weight, differences: p.differences });
            let strata = Strata::new(parts.collect());
            let tested = paired_t(&strata).unwrap();
            near(tested.statistic, c.t, 1e-11);
            near(tested.p, c.p, 1e-9);
            let d = Differences::of(&strata, 0.95).unwrap();
            for (own, expected) in [
                (d.mean, c.mean),
                (d.sd, c.sd),
                (d.size.n, c.n),
                (d.size.freedom, c.freedom),
                (d.effect.unwrap(), c.effect),
                (d.interval.0, c.low),
                (d.interval.1, c.high),
                (d.hedges.unwrap(), c.hedges),
            ] {
                near(own, expected, 1e-9);
            }
            let (low, high) = d.effect_interval.unwrap();
            assert!((low - c.effect_low).abs() < 1e-6 && (high - c.effect_high).abs() < 1e-6, "{low} {high}");
            near(power::detectable(d.size, 0.8, 0.05).unwrap(), c.detectable, 1e-6);
            let error = |p: f64| 5.0 * (p * (1.0 - p) / 20_000.0).sqrt() + 2e-3;
            let p = randomisation(&strata, 20_000, stream).unwrap().p;
            if c.exact {
                near(p, c.randomisation, 1e-12);
                exact += 1;
            } else {
                assert!((p - c.randomisation).abs() < error(c.randomisation), "{p} {}", c.randomisation);
                drawn += 1;
            }
            let p = bootstrap(&strata, 20_000, stream).unwrap().p;
            assert!((p - c.bootstrap).abs() < error(c.bootstrap), "{p} {}", c.bootstrap);
        }
        assert!(exact >= 2 && drawn >= 2);
    }

    #[test]
    fn collections_without_variance_are_decided_by_the_others() {
        let of = |weight, xs: &[f64]| Stratum { weight, differences: xs.to_vec() };
        // The second says 0.5 each time: the error is the first's alone, with its two degrees of freedom.
        let strata = Strata::new(vec![of(0.5, &[0.1, 0.2, 0.3]), of(0.5, &[0.5; 9])]);
        let d = Differences::of(&strata, 0.95).unwrap();
        near(d.mean, 0.35, 1e-12);
        near(d.size.freedom, 2.0, 1e-12);
        near(paired_t(&strata).unwrap().statistic, 0.35 / (0.5 * 0.1 / 3f64.sqrt()), 1e-12);
        let strata = Strata::new(vec![of(0.5, &[0.1; 4]), of(0.5, &[0.5; 9])]);
        assert_eq!(paired_t(&strata).unwrap().p, 0.0);
        let d = Differences::of(&strata, 0.95).unwrap();
        assert_eq!((d.sd, d.effect, d.interval), (0.0, None, (0.3, 0.3)));
    }

    #[test]
    fn seeds_decide_and_repeat() {
        let xs = Strata::one((0..40).map(|i| f64::from(i % 7) - 2.5).collect());
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
        let one = |xs: &[f64]| Strata::one(xs.to_vec());
        let with_a_sound_one = |xs: &[f64]| {
            let of = |xs: &[f64]| Stratum { weight: 0.5, differences: xs.to_vec() };
            Strata::new(vec![of(&[0.1, 0.2, 0.3]), of(xs)])
        };
        for bad in [&[][..], &[1.0], &[1.0, f64::NAN], &[1.0, f64::INFINITY, 2.0]] {
            for bad in [one(bad), with_a_sound_one(bad)] {
                assert!(paired_t(&bad).is_none() && Differences::of(&bad, 0.95).is_none());
                assert!(randomisation(&bad, 9, stream).is_none() && bootstrap(&bad, 9, stream).is_none());
            }
        }
        assert!(Differences::of(&one(&[1.0, 2.0]), 1.0).is_none());
        assert!(Differences::of(&one(&[1.0, 2.0]), 0.0).is_none());
        for zeros in [[0.0; 5].as_slice(), &[0.0; 30]] {
            let zeros = &one(zeros);
            assert_eq!(paired_t(zeros), Some(Tested { statistic: 0.0, p: 1.0 }));
            assert_eq!(randomisation(zeros, 99, stream), Some(Tested { statistic: 0.0, p: 1.0 }));
            assert_eq!(bootstrap(zeros, 99, stream), Some(Tested { statistic: 0.0, p: 1.0 }));
        }
        let same = one(&[0.1; 11]);
        assert_eq!(paired_t(&same), Some(Tested { statistic: f64::INFINITY, p: 0.0 }));
        assert_eq!(bootstrap(&same, 99, stream).unwrap().p, 0.0);
        assert_eq!(randomisation(&same, 99, stream).unwrap().p, 2.0 / 2048.0);
        let d = Differences::of(&same, 0.95).unwrap();
        assert_eq!((d.mean, d.sd, d.effect, d.interval), (0.1, 0.0, None, (0.1, 0.1)));
    }
}
