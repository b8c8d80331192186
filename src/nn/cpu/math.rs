//! Exponential, Gaussian error linear unit and hyperbolic tangent over [`Vector`], without the C library, so that a
//! level's bits do not depend on the machine's.

use super::gemm::isa::Vector;

/// eˣ, within 2 units in the last place; 0 below −87.3, and e⁸⁸ above 88.
///
/// **Source:** Cody and Waite's reduction with the polynomial of Cephes `expf`.
#[inline(always)]
pub(super) fn exp<V: Vector>(x: V) -> V {
    let low = x.splat(-87.3);
    let clamped = x.splat(88.0).min(low.max(x)); // in this order what is not a number stays so
    let n = clamped.mul(x.splat(std::f32::consts::LOG2_E)).round();
    let r = n.mul_add(x.splat(-0.693_359_4), clamped);
    let r = n.mul_add(x.splat(2.121_944_4e-4), r);
    let mut p = x.splat(1.987_569_1e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, x.splat(c));
    }
    let e = p.mul_add(r.mul(r), r).add(x.splat(1.0)).scale2(n);
    x.select_less(low, x.splat(0.0), e)
}

/// Φ(−|x|), the normal distribution's tail, within 5·10⁻⁷ of itself, and e^(−x²/2).
///
/// Φ(−|x|) = e^(−x²/2) · t · P(t) with t = 1 / (1 + 0.35 |x|), P of degree 8 interpolated at Chebyshev nodes over
/// |x| ≤ 14, where it is within 4·10⁻⁸. The exponent's rounding is put back, as it would cost x²/2 units.
#[inline(always)]
fn tail<V: Vector>(x: V) -> (V, V) {
    let half = x.mul(x.splat(0.5));
    let square = half.mul(x);
    let error = half.mul_error(x, square);
    let e = exp(square.neg());
    let e = e.mul_add(error.neg(), e);
    let one = x.splat(1.0);
    let t = one.div(x.abs().mul_add(x.splat(0.35), one));
    let mut p = x.splat(-0.029_679_522);
    for c in [
        0.146_545_83,
        -0.260_961_23,
        0.165_051,
        -0.027_046_608,
        0.107_114_59,
        0.119_444_914,
        0.139_912_29,
        0.139_618_71,
    ] {
        p = p.mul_add(t, x.splat(c));
    }
    (p.mul(t).mul(e), e)
}

/// x · Φ(x), the Gaussian error linear unit with the exact error function.
#[inline(always)]
pub(super) fn gelu<V: Vector>(x: V) -> V {
    let (below, _) = tail(x);
    let zero = x.splat(0.0);
    x.select_less(zero, x.mul(below), x.sub(x.mul(below)))
}

/// [`gelu`] (the same bits) and its derivative Φ(x) + x · φ(x).
#[inline(always)]
pub(super) fn gelu_both<V: Vector>(x: V) -> (V, V) {
    let (below, e) = tail(x);
    let zero = x.splat(0.0);
    let value = x.select_less(zero, x.mul(below), x.sub(x.mul(below)));
    let phi = x.select_less(zero, below, x.splat(1.0).sub(below));
    let density = x.mul(e).mul(x.splat(0.398_942_3));
    (value, phi.add(density))
}

/// tanh x, within 2·10⁻⁷ of itself.
///
/// **Source:** Cephes `tanhf`: an odd polynomial below 0.625, 1 − 2 / (e²ˣ + 1) above.
#[inline(always)]
pub(super) fn tanh<V: Vector>(x: V) -> V {
    let magnitude = x.abs().min(x.splat(20.0));
    let one = x.splat(1.0);
    let e = exp(magnitude.add(magnitude));
    let large = one.sub(x.splat(2.0).div(e.add(one)));
    let large = x.select_less(x.splat(0.0), large.neg(), large);
    let z = x.mul(x);
    let mut p = x.splat(-5.704_988_7e-3);
    for c in [2.063_908_8e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = p.mul_add(z, x.splat(c));
    }
    let small = p.mul(z).mul_add(x, x);
    x.abs().select_less(x.splat(0.625), small, large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::dispatch::Level;
    use crate::cpu::gemm::isa::{Isa, Kernel, LANES};

    struct Apply(Vec<f32>, u8);
    impl Kernel for Apply {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Vec<f32> {
            let mut out = Vec::new();
            for x in self.0.chunks_exact(LANES) {
                let x = isa.load(x);
                let y = match self.1 {
                    0 => exp(x),
                    1 => gelu(x),
                    2 => gelu_both(x).1,
                    3 => tanh(x),
                    _ => gelu_both(x).0,
                };
                out.extend(y.array());
            }
            out
        }
    }

    /// Φ(x) in f64, by its continued fraction in the tail and its series near zero.
    fn phi(x: f64) -> f64 {
        let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                term *= x * x / f64::from(2 * k + 1);
                sum += term;
            }
            return 0.5 + density * sum;
        }
        let mut f = x.abs();
        for k in (1..200).rev() {
            f = x.abs() + f64::from(k) / f;
        }
        if x < 0.0 { density / f } else { 1.0 - density / f }
    }

    fn worst(which: u8, low: f32, high: f32, floor: f64, exact: impl Fn(f64) -> f64) -> f64 {
        let n = 40_000;
        let x: Vec<f32> = (0..n).map(|i| low + (high - low) * i as f32 / n as f32).collect();
        let mut worst = 0.0f64;
        for level in [Level::PORTABLE, Level::detect()] {
            let y = level.run(Apply(x.clone(), which));
            for (x, y) in x.iter().zip(y) {
                let e = exact(f64::from(*x));
                worst = worst.max((f64::from(y) - e).abs() / e.abs().max(floor));
            }
        }
        worst
    }

    #[test]
    fn exp_is_within_two_units() {
        assert!(worst(0, -87.0, 88.0, 0.0, f64::exp) < 2.4e-7);
        assert_eq!(Level::detect().run(Apply(vec![-1e30; 8], 0)), vec![0.0; 8]);
        assert_eq!(Level::detect().run(Apply(vec![0.0; 8], 0)), vec![1.0; 8]);
    }

    #[test]
    fn gelu_is_exact_to_single_precision_also_in_the_tail() {
        let e = worst(1, -6.0, 6.0, 1e-30, |x| x * phi(x));
        assert!(e < 5e-7, "{e}");
        let e = worst(1, -13.0, 13.0, 1e-30, |x| x * phi(x));
        assert!(e < 6e-7, "{e}");
        let e = worst(4, -13.0, 13.0, 1e-30, |x| x * phi(x));
        assert!(e < 6e-7, "{e}");
        assert_eq!(Level::detect().run(Apply(vec![-50.0; 8], 1)), vec![-0.0; 8]);
        assert_eq!(Level::detect().run(Apply(vec![50.0; 8], 1)), vec![50.0; 8]);
    }

    #[test]
    fn the_derivative_of_gelu_is_exact() {
        let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let e = worst(2, -12.0, 12.0, 0.1, |x| phi(x) + x * density(x));
        assert!(e < 2e-6, "{e}");
    }

    #[test]
    fn tanh_is_exact() {
        let e = worst(3, -11.0, 11.0, 1e-30, f64::tanh);
        assert!(e < 2.5e-7, "{e}");
        assert_eq!(Level::detect().run(Apply(vec![40.0; 8], 3)), vec![1.0; 8]);
    }
}
