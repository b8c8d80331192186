//! Differences of two systems by collection, and the mean of collections that they are about.
//!
//! A number in a table may be a mean of collections: D = Σ w_c d̄_c, where d̄_c is the mean difference over the queries
//! of collection c and w_c its weight, whatever its number of queries. So each collection is a stratum, and
//!
//! - the variance of D is Σ w_c² s_c² / n_c, with s_c² the variance (n_c - 1) of the differences of c;
//! - it has (Σ v_c)² / Σ (v_c² / (n_c - 1)) degrees of freedom, v_c = w_c² s_c² / n_c;
//! - differences are measured in σ, σ² = Σ w_c s_c²: the variance within collections when each has its weight;
//! - (σ / error)² is the number of queries of one collection that gives the same precision.
//!
//! With one collection all of it is the plain paired test.
//!
//! **Source:** Cochran, "Sampling techniques", 1977, section 5.4; Satterthwaite, "An approximate distribution of
//! estimates of variance components", 1946. For two collections of one weight this is Welch's test.
//!
//! Must not know: tables, metrics.

/// The differences over the queries of one collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Stratum {
    /// The weight of its mean.
    pub weight: f64,
    /// One difference a query.
    pub differences: Vec<f64>,
}

/// The differences of two systems, by collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strata(Vec<Stratum>);

/// The effective size of a sample, which power and confidence intervals depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The number of differences; for several collections, of one collection of equal precision.
    pub n: f64,
    /// Degrees of freedom of the variance.
    pub freedom: f64,
}

/// Mean and error of differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moments {
    /// How many differences there are.
    pub count: usize,
    /// The mean of the means of collections.
    pub mean: f64,
    /// The standard deviation within collections.
    pub sd: f64,
    /// The standard error of the mean.
    pub error: f64,
    /// The effective size of the sample.
    pub size: Size,
}

impl Strata {
    /// Differences of collections with the weights of their means.
    pub fn new(strata: Vec<Stratum>) -> Self {
        Self(strata)
    }

    /// Differences of one collection.
    pub fn one(differences: Vec<f64>) -> Self {
        Self(vec![Stratum { weight: 1.0, differences }])
    }

    /// The collections.
    pub fn strata(&self) -> &[Stratum] {
        &self.0
    }

    pub(super) fn strata_mut(&mut self) -> &mut [Stratum] {
        &mut self.0
    }

    /// How many differences there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|s| s.differences.len()).sum()
    }

    /// All differences, each with its part of a unit of the first collection: Σ part · difference is the mean of means
    /// up to a factor. The parts of a single collection are 1.
    pub(super) fn parts(&self) -> Vec<f64> {
        let of = |s: &Stratum| s.weight / s.differences.len() as f64;
        let first = self.0.first().map_or(1.0, of);
        self.0.iter().flat_map(|s| s.differences.iter().map(move |d| of(s) / first * d)).collect()
    }

    /// `None` when a collection has fewer than two differences, or one that is not finite.
    pub(super) fn moments(&self) -> Option<Moments> {
        if self.0.iter().flat_map(|s| &s.differences).any(|d| !d.is_finite()) {
            return None;
        }
        let of = self.0.iter().map(|s| Some((s.weight, moments(&s.differences)?)));
        let of: Vec<(f64, (usize, f64, f64))> = of.collect::<Option<_>>()?;
        if let [(weight, (n, mean, sd))] = of.as_slice()
            && *weight == 1.0
        {
            let error = sd / (*n as f64).sqrt();
            return Some(Moments { count: *n, mean: *mean, sd: *sd, error, size: Size::of(*n) });
        }
        let (mut mean, mut within, mut variance) = (0.0, 0.0, 0.0);
        for (weight, (n, x, sd)) in &of {
            mean += weight * x;
            within += weight * sd * sd;
            variance += weight * weight * sd * sd / *n as f64;
        }
        // Without variance nothing is read from the size but that it is one.
        let size = if variance > 0.0 {
            let spread = of.iter().map(|(w, (n, _, sd))| (w * w * sd * sd / *n as f64, *n));
            Size { n: within / variance, freedom: freedom(spread) }
        } else {
            Size::alike(of.iter().map(|(w, (n, ..))| (*w, *n)))?
        };
        let count = of.iter().map(|(_, (n, ..))| n).sum();
        Some(Moments { count, mean, sd: within.sqrt(), error: variance.sqrt(), size })
    }
}

/// Satterthwaite's degrees of freedom of Σ v, each v with the number of differences behind it.
fn freedom(parts: impl Iterator<Item = (f64, usize)>) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (v, n) in parts {
        sum += v;
        squares += v * v / (n as f64 - 1.0);
    }
    sum * sum / squares
}

impl Size {
    /// `n` differences of one collection.
    pub fn of(n: usize) -> Self {
        Self { n: n as f64, freedom: n as f64 - 1.0 }
    }

    /// Collections with weights and numbers of queries whose differences vary alike, which is what can be supposed
    /// before there are results. `None` without one, and when one has fewer than two queries.
    pub fn alike(collections: impl Iterator<Item = (f64, usize)>) -> Option<Self> {
        let of: Vec<(f64, usize)> = collections.collect();
        if of.is_empty() || of.iter().any(|(weight, n)| *n < 2 || *weight <= 0.0) {
            return None;
        }
        if let [(_, n)] = of.as_slice() {
            return Some(Self::of(*n));
        }
        let total: f64 = of.iter().map(|(w, _)| w).sum();
        let parts = || of.iter().map(|(w, n)| ((w / total) * (w / total) / *n as f64, *n));
        Some(Self { n: 1.0 / parts().map(|(v, _)| v).sum::<f64>(), freedom: freedom(parts()) })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_that_vary_alike_are_worth_less_than_their_queries() {
        assert_eq!(Size::alike([(1.0, 43)].into_iter()), Some(Size { n: 43.0, freedom: 42.0 }));
        // 1 / (¼/100 + ¼/25) and (1/100 + 1/25)² / (1/100²/99 + 1/25²/24).
        let size = Size::alike([(0.5, 100), (0.5, 25)].into_iter()).unwrap();
        assert!((size.n - 80.0).abs() < 1e-12 && (size.freedom - 36.940_298_507).abs() < 1e-8, "{size:?}");
        // Weights by number of queries lose nothing.
        let size = Size::alike([(0.8, 100), (0.2, 25)].into_iter()).unwrap();
        assert!((size.n - 125.0).abs() < 1e-12);
        assert_eq!(Size::alike([(0.5, 1), (0.5, 25)].into_iter()), None);
        assert_eq!(Size::alike(std::iter::empty()), None);
    }
}
