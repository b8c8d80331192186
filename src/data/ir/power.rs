//! What a paired t-test can find: its power, and the smallest effect that it finds with a given power.
//!
//! Effects are Cohen's d_z, the mean difference in standard deviations of the differences. Everything rests on the
//! noncentral t distribution: a paired t-test of n differences with effect d has noncentrality d √n.
//!
//! Must not know: tables, metrics.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

use super::strata::Size;

/// Hedges' correction of d_z for few differences: E[d_z] = δ / J, so that J · d_z has no bias.
///
/// J = Γ(m/2) / (√(m/2) Γ((m-1)/2)) for m degrees of freedom; `None` for m < 2.
/// **Source:** Hedges, "Distribution theory for Glass's estimator of effect size", 1981.
pub fn hedges(size: Size) -> Option<f64> {
    let m = size.freedom;
    if m.is_nan() || m < 2.0 {
        return None;
    }
    Some((ln_gamma(m / 2.0) - ln_gamma((m - 1.0) / 2.0)).exp() / (m / 2.0).sqrt())
}

/// The power of a two-sided paired t-test: the chance that it finds effect `d` at level `alpha`.
///
/// **Source:** Cohen, "Statistical power analysis", 1988; `statsmodels.stats.power.TTestPower`.
pub fn power(size: Size, d: f64, alpha: f64) -> Option<f64> {
    if !(usable(size) && d.is_finite() && alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let freedom = size.freedom;
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let critical = root(0.0, 1e6, |x| alpha / 2.0 - t.sf(x))?;
    let shift = d.abs() * size.n.sqrt();
    Some(
        (1.0 - noncentral(critical, freedom, shift)? + noncentral(-critical, freedom, shift)?)
            .clamp(0.0, 1.0),
    )
}

/// Whether there are two differences or more.
fn usable(size: Size) -> bool {
    size.freedom >= 1.0 && size.n > 0.0 && size.n.is_finite()
}

/// The smallest effect that a two-sided paired t-test over n differences finds with a chance of `wanted`, at level
/// `alpha`; for a Bonferroni bound over m tests give alpha / m.
pub fn detectable(size: Size, wanted: f64, alpha: f64) -> Option<f64> {
    if !(wanted > alpha && wanted < 1.0) {
        return None;
    }
    power(size, 0.0, alpha)?;
    // With three differences or fewer and a small level, even this is not enough.
    root(0.0, 1e4, |d| power(size, d, alpha).unwrap_or(f64::NAN) - wanted)
}

/// The confidence interval of an effect: the noncentralities that the t observed is not too far from, over √n.
///
/// **Source:** Cumming, Finch, "A primer on the understanding, use, and calculation of confidence intervals that are
/// based on central and noncentral distributions", 2001.
pub fn interval(size: Size, d: f64, confidence: f64) -> Option<(f64, f64)> {
    if !(usable(size) && d.is_finite() && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (freedom, scale) = (size.freedom, size.n.sqrt());
    let (t, tail) = (d * scale, 0.5 - confidence / 2.0);
    let reach = 40.0 + 2.0 * t.abs();
    let at =
        |p: f64| root(t - reach, t + reach, |shift| p - noncentral(t, freedom, shift).unwrap_or(f64::NAN));
    Some((at(1.0 - tail)? / scale, at(tail)? / scale))
}

/// P(T ≤ t) of the noncentral t distribution: E[Φ(t S - shift)], S = √(χ²_m / m), by Simpson's rule where S has its
/// mass.
fn noncentral(t: f64, freedom: f64, shift: f64) -> Option<f64> {
    let normal = Normal::new(0.0, 1.0).ok()?;
    // ln of the density of S: 2 (m/2)^(m/2) / Γ(m/2) s^(m-1) e^(-m s² / 2).
    let half = freedom / 2.0;
    let constant = std::f64::consts::LN_2 + half * half.ln() - ln_gamma(half);
    let density = |s: f64| {
        if s > 0.0 {
            (constant + (freedom - 1.0) * s.ln() - half * s * s).exp()
        } else {
            f64::from(freedom == 1.0) * constant.exp()
        }
    };
    let spread = 12.0 / (2.0 * freedom).sqrt();
    let (low, high) = ((1.0 - spread).max(0.0), 1.0 + spread);
    let step = (high - low) / STEPS as f64;
    let sum: f64 = (0..=STEPS)
        .map(|i| {
            let s = low + i as f64 * step;
            let weight = if i == 0 || i == STEPS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
            weight * density(s) * normal.cdf(t * s - shift)
        })
        .sum();
    Some((sum * step / 3.0).clamp(0.0, 1.0))
}

/// Steps of the integral; even.
const STEPS: usize = 600;

/// The place where a rising function passes 0, by bisection; `None` when it does not.
fn root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> Option<f64> {
    if !(f(low) <= 0.0 && f(high) >= 0.0) {
        return None;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Power {
        n: usize,
        alpha: f64,
        effect: f64,
        power: f64,
        detectable: f64,
    }

    #[derive(Deserialize)]
    struct Effect {
        n: usize,
        d: f64,
        hedges: f64,
        low: f64,
        high: f64,
    }

    #[derive(Deserialize)]
    struct Figures {
        powers: Vec<Power>,
        effects: Vec<Effect>,
    }

    fn figures() -> Figures {
        serde_json::from_str(include_str!("../../../tests/data/significance/power.json")).unwrap()
    }

    fn near(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs().max(1e-3), "{a}, expected {b}");
    }

    #[test]
    fn power_is_that_of_statsmodels() {
        let powers = figures().powers;
        assert!(powers.len() >= 12);
        for p in powers {
            near(power(Size::of(p.n), p.effect, p.alpha).unwrap(), p.power, 1e-6);
            near(detectable(Size::of(p.n), 0.8, p.alpha).unwrap(), p.detectable, 1e-6);
        }
    }

    #[test]
    fn effects_are_those_of_scipys_noncentral_t() {
        let effects = figures().effects;
        assert!(effects.len() >= 6);
        for e in effects {
            near(hedges(Size::of(e.n)).unwrap() * e.d, e.hedges, 1e-10);
            let (low, high) = interval(Size::of(e.n), e.d, 0.95).unwrap();
            near(low, e.low, 1e-6);
            near(high, e.high, 1e-6);
        }
    }

    #[test]
    fn what_has_no_answer_has_none() {
        assert!(power(Size::of(1), 0.5, 0.05).is_none() && power(Size::of(10), f64::NAN, 0.05).is_none());
        assert!(
            detectable(Size::of(10), 0.01, 0.05).is_none() && detectable(Size::of(10), 1.0, 0.05).is_none()
        );
        assert!(interval(Size::of(1), 0.5, 0.95).is_none() && hedges(Size::of(2)).is_none());
        assert!((power(Size::of(30), 0.0, 0.05).unwrap() - 0.05).abs() < 1e-8);
    }
}
