//! Activations of the feed-forward layer over whole slices, whose length is a multiple of eight.

use super::gemm::isa::{Isa, Kernel, LANES, Vector};
use super::math::{gelu, gelu_both, tanh};
use crate::layers::activation::Activation;

/// Value and derivative of the tanh form of the Gaussian error linear unit.
#[inline(always)]
fn gelu_tanh<V: Vector>(x: V) -> (V, V) {
    let (half, one) = (x.splat(0.5), x.splat(1.0));
    let (root, cubic) = (x.splat(0.797_884_6), x.splat(0.044_715));
    let square = x.mul(x);
    let t = tanh(x.mul(root).mul(square.mul_add(cubic, one)));
    let both = half.mul(t.add(one));
    let inner = square.mul(x.splat(3.0 * 0.044_715)).add(one).mul(root);
    let slope = one.sub(t.mul(t)).mul(inner).mul(x).mul(half);
    (x.mul(both), both.add(slope))
}

#[inline(always)]
fn relu<V: Vector>(x: V) -> (V, V) {
    let zero = x.splat(0.0);
    (zero.select_less(x, x, zero), zero.select_less(x, x.splat(1.0), zero))
}

#[inline(always)]
fn tanh_both<V: Vector>(x: V) -> (V, V) {
    let t = tanh(x);
    (t, x.splat(1.0).sub(t.mul(t)))
}

/// `to` = activation of `from`.
pub(super) struct Activate<'a> {
    /// Which.
    pub activation: Activation,
    /// Inputs.
    pub from: &'a [f32],
    /// Outputs.
    pub to: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        macro_rules! all {
            ($f:expr) => {
                for (x, y) in self.from.chunks_exact(LANES).zip(self.to.chunks_exact_mut(LANES)) {
                    $f(isa.load(x)).store(y);
                }
            };
        }
        match self.activation {
            Activation::Gelu => all!(gelu),
            Activation::GeluTanh => all!(|x| gelu_tanh(x).0),
            Activation::Relu => all!(|x| relu(x).0),
            Activation::Tanh => all!(tanh),
        }
    }
}

/// [`Activate`] in place.
pub(super) struct ActivateInPlace<'a> {
    /// Which.
    pub activation: Activation,
    /// Inputs before, outputs after.
    pub x: &'a mut [f32],
}

impl Kernel for ActivateInPlace<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        macro_rules! all {
            ($f:expr) => {
                for x in self.x.chunks_exact_mut(LANES) {
                    $f(isa.load(x)).store(x);
                }
            };
        }
        match self.activation {
            Activation::Gelu => all!(gelu),
            Activation::GeluTanh => all!(|x| gelu_tanh(x).0),
            Activation::Relu => all!(|x| relu(x).0),
            Activation::Tanh => all!(tanh),
        }
    }
}

/// Gradient through an activation; its value takes the place of its input (the same bits as [`Activate`]'s).
pub(super) struct ActivateBackward<'a> {
    /// Which.
    pub activation: Activation,
    /// Inputs before, outputs after.
    pub x: &'a mut [f32],
    /// The gradient of the outputs before, of the inputs after.
    pub d: &'a mut [f32],
}

impl Kernel for ActivateBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        macro_rules! all {
            ($f:expr) => {
                for (x, d) in self.x.chunks_exact_mut(LANES).zip(self.d.chunks_exact_mut(LANES)) {
                    let (value, slope) = $f(isa.load(x));
                    value.store(x);
                    isa.load(d).mul(slope).store(d);
                }
            };
        }
        match self.activation {
            Activation::Gelu => all!(gelu_both),
            Activation::GeluTanh => all!(gelu_tanh),
            Activation::Relu => all!(relu),
            Activation::Tanh => all!(tanh_both),
        }
    }
}

/// `to` = activation of the first half of each row of `from`, times the second half.
pub(super) struct Gate<'a> {
    /// Which.
    pub activation: Activation,
    /// Width of a half; a multiple of eight.
    pub width: usize,
    /// `[rows, 2 · width]`.
    pub from: &'a [f32],
    /// `[rows, width]`.
    pub to: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        macro_rules! all {
            ($f:expr) => {
                for (row, to) in
                    self.from.chunks_exact(2 * self.width).zip(self.to.chunks_exact_mut(self.width))
                {
                    let (x, gate) = row.split_at(self.width);
                    let given = x.chunks_exact(LANES).zip(gate.chunks_exact(LANES));
                    for ((x, gate), y) in given.zip(to.chunks_exact_mut(LANES)) {
                        $f(isa.load(x)).mul(isa.load(gate)).store(y);
                    }
                }
            };
        }
        match self.activation {
            Activation::Gelu => all!(gelu),
            Activation::GeluTanh => all!(|x| gelu_tanh(x).0),
            Activation::Relu => all!(|x| relu(x).0),
            Activation::Tanh => all!(tanh),
        }
    }
}

/// Gradient through [`Gate`]; the first half of each row of `x` becomes the value.
pub(super) struct GateBackward<'a> {
    /// Which.
    pub activation: Activation,
    /// Width of a half; a multiple of eight.
    pub width: usize,
    /// `[rows, 2 · width]`: inputs before, values in the first halves after.
    pub x: &'a mut [f32],
    /// The gradient of the values, `[rows, width]`.
    pub d: &'a [f32],
    /// The gradient of the inputs, `[rows, 2 · width]`.
    pub dx: &'a mut [f32],
}

impl Kernel for GateBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        macro_rules! all {
            ($f:expr) => {
                let rows = self.x.chunks_exact_mut(2 * self.width).zip(self.d.chunks_exact(self.width));
                for ((row, d), dx) in rows.zip(self.dx.chunks_exact_mut(2 * self.width)) {
                    let (x, gate) = row.split_at_mut(self.width);
                    let (dx, dgate) = dx.split_at_mut(self.width);
                    let given =
                        x.chunks_exact_mut(LANES).zip(gate.chunks_exact(LANES)).zip(d.chunks_exact(LANES));
                    let wanted = dx.chunks_exact_mut(LANES).zip(dgate.chunks_exact_mut(LANES));
                    for (((x, gate), d), (dx, dgate)) in given.zip(wanted) {
                        let (value, slope) = $f(isa.load(x));
                        let (gate, d) = (isa.load(gate), isa.load(d));
                        value.mul(gate).store(x);
                        d.mul(gate).mul(slope).store(dx);
                        d.mul(value).store(dgate);
                    }
                }
            };
        }
        match self.activation {
            Activation::Gelu => {
                all!(gelu_both);
            }
            Activation::GeluTanh => {
                all!(gelu_tanh);
            }
            Activation::Relu => {
                all!(relu);
            }
            Activation::Tanh => {
                all!(tanh_both);
            }
        }
    }
}

/// Σ aᵢ bᵢ, for a length that is a multiple of eight.
pub(super) struct Dot<'a>(pub &'a [f32], pub &'a [f32]);

impl Kernel for Dot<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let mut sum = isa.splat(0.0);
        for (a, b) in self.0.chunks_exact(LANES).zip(self.1.chunks_exact(LANES)) {
            sum = isa.load(a).mul_add(isa.load(b), sum);
        }
        sum.sum()
    }
}

/// Adds the columns' sums of `rows` (of which `out.len()` numbers count, from the start of each) to `out`.
pub(super) struct ColumnSums<'a> {
    /// `[rows, stride]`, beginning at the first column that counts.
    pub rows: &'a [f32],
    /// Row length in memory.
    pub stride: usize,
    /// Where sums are added; a multiple of eight long.
    pub out: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        /// Rows summed before their sum is added, which keeps rounding small.
        const TOGETHER: usize = 256;
        for block in self.rows.chunks(TOGETHER * self.stride) {
            for (c, out) in self.out.chunks_exact_mut(LANES).enumerate() {
                let mut sum = isa.splat(0.0);
                for row in block.chunks(self.stride) {
                    sum = sum.add(isa.load(&row[c * LANES..]));
                }
                isa.load(out).add(sum).store(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::dispatch::Level;

    #[test]
    fn slopes_are_those_of_the_values() {
        let x: Vec<f32> = (0..160).map(|i| (i as f32 - 79.5) * 0.06).collect();
        for level in [Level::PORTABLE, Level::detect()] {
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh] {
                let value = |shift: f32| {
                    let from: Vec<f32> = x.iter().map(|x| x + shift).collect();
                    let mut to = vec![0.0; x.len()];
                    level.run(Activate { activation, from: &from, to: &mut to });
                    to
                };
                let (mut y, mut d) = (x.clone(), vec![2.0; x.len()]);
                level.run(ActivateBackward { activation, x: &mut y, d: &mut d });
                assert_eq!(y, value(0.0));
                let h = 0.01;
                for ((d, up), down) in d.iter().zip(value(h)).zip(value(-h)) {
                    assert!((d - (up - down) / h).abs() < 3e-4, "{activation:?} {d} {}", (up - down) / h);
                }
            }
        }
    }

    #[test]
    fn gated_slopes_are_those_of_the_values() {
        let x: Vec<f32> = (0..64).map(|i| ((i * 29 % 64) as f32 - 31.5) * 0.06).collect();
        for level in [Level::PORTABLE, Level::detect()] {
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh] {
                let value = |from: &[f32]| {
                    let mut to = vec![0.0; 32];
                    level.run(Gate { activation, width: 16, from, to: &mut to });
                    to
                };
                let (mut y, mut dx) = (x.clone(), vec![0.0; 64]);
                let d: Vec<f32> = (0..32).map(|i| (i as f32 * 0.7).cos()).collect();
                level.run(GateBackward { activation, width: 16, x: &mut y, d: &d, dx: &mut dx });
                assert_eq!([&y[..16], &y[32..48]].concat(), value(&x));
                for i in 0..64 {
                    let at = |h: f32| {
                        let mut x = x.clone();
                        x[i] += h;
                        value(&x).iter().zip(&d).map(|(y, d)| y * d).sum::<f32>()
                    };
                    let slope = (at(0.01) - at(-0.01)) / 0.02;
                    assert!((dx[i] - slope).abs() < 1e-3, "{activation:?} {i}: {} {slope}", dx[i]);
                }
            }
        }
    }

    #[test]
    fn the_tanh_form_equals_its_formula() {
        let x: Vec<f32> = (0..80).map(|i| (i as f32 - 40.0) * 0.1).collect();
        let mut y = vec![0.0; 80];
        Level::detect().run(Activate { activation: Activation::GeluTanh, from: &x, to: &mut y });
        for (x, y) in x.iter().zip(y) {
            let x = f64::from(*x);
            let e =
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
            assert!((f64::from(y) - e).abs() < 1e-6);
        }
    }

    #[test]
    fn sums_of_columns_and_products() {
        let rows: Vec<f32> = (0..600 * 20).map(|i| (i % 7) as f32).collect();
        let mut out = vec![1.0; 16];
        Level::detect().run(ColumnSums { rows: &rows[3..], stride: 20, out: &mut out });
        for (c, x) in out.iter().enumerate() {
            let expected: f32 = (0..600).map(|r| rows[r * 20 + 3 + c]).sum();
            assert_eq!(*x, 1.0 + expected);
        }
        assert_eq!(Level::detect().run(Dot(&[2.0; 24], &[0.5; 24])), 24.0);
    }
}
