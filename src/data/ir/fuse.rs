//! Fusion: one ranking from several rankings of a query.
//!
//! Must not know: files, operations.

use indexmap::IndexMap;

use crate::run::{Hit, RunQuery};
use xpipe_base::task::Failure;

/// How the scores of a ranking are made comparable with another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As they are.
    Raw,
    /// Mapped to [0, 1] by query; all equal: 0.
    MinMax,
    /// Minus the mean, divided by the standard deviation (of the population), by query; all equal: 0.
    Z,
}

/// Σ weight · score over the rankings. A document that a ranking lacks has its lowest score there; a ranking of no
/// documents (`None`) adds nothing.
///
/// # Errors
/// A sum that is not finite.
pub fn linear(
    query: &str,
    rankings: &[Option<&RunQuery>],
    weights: &[f64],
    scale: Scale,
) -> Result<RunQuery, Failure> {
    fused(query, rankings, |ranking, of| {
        let scores: Vec<f64> = ranking.hits.iter().map(|h| f64::from(h.score)).collect();
        let scaled = scaled(&scores, scale);
        let least = scaled.iter().copied().fold(f64::INFINITY, f64::min);
        let of = weights[of];
        (scaled.into_iter().map(|s| of * s).collect(), of * least)
    })
}

/// Reciprocal rank fusion, Σ 1 / (k + rank) with ranks from 1; a document that a ranking lacks gets nothing from it.
/// Cormack, Clarke and Büttcher, SIGIR 2009, where k is 60.
///
/// # Errors
/// A sum that is not finite.
pub fn reciprocal_rank(query: &str, rankings: &[Option<&RunQuery>], k: f64) -> Result<RunQuery, Failure> {
    fused(query, rankings, |ranking, _| {
        ((0..ranking.hits.len()).map(|i| 1.0 / (k + (i + 1) as f64)).collect(), 0.0)
    })
}

/// Sums what each ranking gives its documents, and the second value to those that it lacks.
fn fused(
    query: &str,
    rankings: &[Option<&RunQuery>],
    gives: impl Fn(&RunQuery, usize) -> (Vec<f64>, f64),
) -> Result<RunQuery, Failure> {
    let mut sums: IndexMap<&str, f64> = IndexMap::new();
    for ranking in rankings.iter().flatten() {
        for hit in &ranking.hits {
            sums.entry(&hit.document).or_insert(0.0);
        }
    }
    for (of, ranking) in rankings.iter().enumerate() {
        let Some(ranking) = ranking.filter(|r| !r.hits.is_empty()) else { continue };
        let (values, otherwise) = gives(ranking, of);
        let own: IndexMap<&str, f64> = ranking.hits.iter().map(|h| h.document.as_str()).zip(values).collect();
        for (document, sum) in &mut sums {
            *sum += own.get(document).copied().unwrap_or(otherwise);
        }
    }
    let hits = sums.into_iter().map(|(d, s)| Hit { document: d.to_owned(), score: s as f32 }).collect();
    RunQuery::new(query, hits)
}

fn scaled(scores: &[f64], scale: Scale) -> Vec<f64> {
    let (shift, spread) = match scale {
        Scale::Raw => (0.0, 1.0),
        Scale::MinMax => {
            let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (least, most - least)
        }
        Scale::Z => {
            let n = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / n;
            (mean, (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt())
        }
    };
    let factor = if spread > 0.0 { 1.0 / spread } else { 0.0 };
    scores.iter().map(|s| (s - shift) * factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(hits: &[(&str, f32)]) -> RunQuery {
        let hits = hits.iter().map(|(d, s)| Hit { document: (*d).into(), score: *s }).collect();
        RunQuery::new("q", hits).unwrap()
    }

    fn rows(fused: &RunQuery) -> Vec<(&str, f32)> {
        fused.hits.iter().map(|h| (h.document.as_str(), h.score)).collect()
    }

    #[test]
    fn sums_of_scaled_scores() {
        let (a, b) = (ranking(&[("x", 10.0), ("y", 5.0), ("z", 0.0)]), ranking(&[("y", 3.0), ("w", -1.0)]));
        let both = [Some(&a), Some(&b)];
        let sum = |scale| linear("q", &both, &[0.5, 2.0], scale).unwrap();
        // b lacks x and z: they have its lowest score.
        assert_eq!(rows(&sum(Scale::Raw)), [("y", 8.5), ("x", 3.0), ("z", -2.0), ("w", -2.0)]);
        assert_eq!(rows(&sum(Scale::MinMax)), [("y", 2.25), ("x", 0.5), ("z", 0.0), ("w", 0.0)]);
        let z = sum(Scale::Z);
        // a: mean 5, deviation sqrt(50/3); b: mean 1, deviation 2.
        let s = 5.0 / (50.0f64 / 3.0).sqrt();
        let expected = [("y", 2.0), ("x", 0.5 * s - 2.0), ("z", -0.5 * s - 2.0), ("w", -0.5 * s - 2.0)];
        for ((d, score), (e, value)) in rows(&z).into_iter().zip(expected) {
            assert_eq!(d, e);
            assert!((f64::from(score) - value).abs() < 1e-6, "{d}: {score} for {value}");
        }
    }

    #[test]
    fn equal_scores_and_absent_queries_add_nothing() {
        let (a, b) = (ranking(&[("x", 2.0), ("y", 2.0)]), ranking(&[("y", 3.0), ("x", 1.0)]));
        for scale in [Scale::MinMax, Scale::Z] {
            let fused = linear("q", &[Some(&a), None, Some(&b)], &[1.0, 1.0, 1.0], scale).unwrap();
            assert_eq!(fused.hits[0].document, "y");
        }
        assert!(linear("q", &[None, None], &[1.0, 1.0], Scale::Raw).unwrap().hits.is_empty());
    }

    #[test]
    fn reciprocal_ranks_as_published() {
        let (a, b) = (ranking(&[("x", 9.0), ("y", 8.0)]), ranking(&[("y", 1.0), ("z", 0.5)]));
        let fused = reciprocal_rank("q", &[Some(&a), Some(&b)], 60.0).unwrap();
        let expected = [("y", 1.0 / 62.0 + 1.0 / 61.0), ("x", 1.0 / 61.0), ("z", 1.0 / 62.0)];
        for ((d, score), (e, value)) in rows(&fused).into_iter().zip(expected) {
            assert_eq!(d, e);
            assert!((f64::from(score) - value).abs() < 1e-8);
        }
    }

    #[test]
    fn a_sum_that_is_not_finite_is_an_error() {
        let a = ranking(&[("x", f32::MAX), ("y", 0.0)]);
        assert!(linear("q", &[Some(&a)], &[1e30], Scale::Raw).is_err());
    }
}
