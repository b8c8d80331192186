//! Residual, dropout and layer norm of rows, forward and backward.
//!
//! Forward: r = x + factor · z, x̂ = (r − mean) · ρ with the reciprocal standard deviation ρ = 1 / √(variance + ε),
//! y = γ x̂ + β. Backward needs x̂ and ρ. The width of rows is a multiple of eight.

use super::dropout::fill;
use super::gemm::isa::{Isa, Kernel, LANES, Vector};
use crate::layers::dropout::Mask;

/// Dropout of a block of rows.
#[derive(Clone, Copy)]
pub(super) struct RowDropout<'a> {
    /// The dropout factors.
    pub mask: &'a Mask,
    /// Which elements of the whole batch the rows are.
    pub rows: RowIndex<'a>,
}

/// Indices of rows' first elements in the whole batch.
#[derive(Clone, Copy)]
pub(super) enum RowIndex<'a> {
    /// Of the first row; the others follow it.
    From(u64),
    /// Of each row.
    Each(&'a [u64]),
}

/// Norm of `x` plus `z` after dropout, in place of `x`.
pub(super) struct Norm<'a> {
    /// Residual in, y out: `[rows, width]`.
    pub x: &'a mut [f32],
    /// What is added, `[rows, width]`. Its content is lost.
    pub z: Option<&'a mut [f32]>,
    /// Dropout of `z`.
    pub dropout: Option<RowDropout<'a>>,
    /// γ, whose length is the width.
    pub gamma: &'a [f32],
    /// β.
    pub beta: &'a [f32],
    /// ε.
    pub epsilon: f32,
    /// Where x̂ `[rows, width]` and ρ `[rows]` are saved.
    pub save: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl Kernel for Norm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let width = self.gamma.len();
        let inverse_width = 1.0 / width as f32;
        for (row, x) in self.x.chunks_exact_mut(width).enumerate() {
            let mut total = isa.splat(0.0);
            if let Some(z) = self.z.as_mut().map(|z| &mut z[row * width..(row + 1) * width]) {
                if let Some(d) = self.dropout {
                    drop_row(isa, d, row, width, z);
                }
                for (x, z) in x.chunks_exact_mut(LANES).zip(z.chunks_exact(LANES)) {
                    let sum = isa.load(x).add(isa.load(z));
                    sum.store(x);
                    total = total.add(sum);
                }
            } else {
                for x in x.chunks_exact(LANES) {
                    total = total.add(isa.load(x));
                }
            }
            let mean = isa.splat(total.sum() * inverse_width);
            let mut square = isa.splat(0.0);
            for x in x.chunks_exact(LANES) {
                let d = isa.load(x).sub(mean);
                square = d.mul_add(d, square);
            }
            let rstd = 1.0 / (square.sum() * inverse_width + self.epsilon).sqrt();
            let scale = isa.splat(rstd);
            if let Some((x_hat, rstds)) = &mut self.save {
                rstds[row] = rstd;
                for (h, x) in
                    x_hat[row * width..(row + 1) * width].chunks_exact_mut(LANES).zip(x.chunks_exact(LANES))
                {
                    isa.load(x).sub(mean).mul(scale).store(h);
                }
            }
            let affine = self.gamma.chunks_exact(LANES).zip(self.beta.chunks_exact(LANES));
            for (x, (g, b)) in x.chunks_exact_mut(LANES).zip(affine) {
                isa.load(x).sub(mean).mul(scale).mul_add(isa.load(g), isa.load(b)).store(x);
            }
        }
    }
}

/// Multiplies one row by its factors.
#[inline(always)]
fn drop_row<I: Isa>(isa: I, d: RowDropout<'_>, row: usize, width: usize, z: &mut [f32]) {
    let mut factors = [0.0; 128];
    let mut first = match d.rows {
        RowIndex::From(first) => first + (row * width) as u64,
        RowIndex::Each(rows) => rows[row],
    };
    for z in z.chunks_mut(factors.len()) {
        fill(d.mask, first, &mut factors[..z.len()]);
        first += z.len() as u64;
        for (z, f) in z.chunks_exact_mut(LANES).zip(factors.chunks_exact(LANES)) {
            isa.load(z).mul(isa.load(f)).store(z);
        }
    }
}

/// y = γ x̂ + β of rows, in place.
pub(super) struct Affine<'a> {
    /// x̂ in, y out.
    pub x: &'a mut [f32],
    /// γ.
    pub gamma: &'a [f32],
    /// β.
    pub beta: &'a [f32],
}

impl Kernel for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for x in self.x.chunks_exact_mut(self.gamma.len()) {
            let affine = self.gamma.chunks_exact(LANES).zip(self.beta.chunks_exact(LANES));
            for (x, (g, b)) in x.chunks_exact_mut(LANES).zip(affine) {
                isa.load(x).mul_add(isa.load(g), isa.load(b)).store(x);
            }
        }
    }
}

/// Backward of [`Norm`]: dx = ρ (g − mean g − x̂ · mean(g x̂)) with g = γ dy.
pub(super) struct NormBackward<'a> {
    /// dy in, gradient of r out: `[rows, width]`.
    pub d: &'a mut [f32],
    /// Gradient of z, if there was one: that of r times the factors.
    pub dz: Option<&'a mut [f32]>,
    /// Dropout of z.
    pub dropout: Option<RowDropout<'a>>,
    /// x̂.
    pub x_hat: &'a [f32],
    /// ρ.
    pub rstd: &'a [f32],
    /// γ.
    pub gamma: &'a [f32],
    /// Σ dy x̂ over these rows is added here.
    pub dgamma: &'a mut [f32],
    /// Σ dy over these rows is added here.
    pub dbeta: &'a mut [f32],
}

impl Kernel for NormBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let width = self.gamma.len();
        let inverse_width = 1.0 / width as f32;
        for (row, d) in self.d.chunks_exact_mut(width).enumerate() {
            let x_hat = &self.x_hat[row * width..][..width];
            let (mut sum_g, mut sum_gx) = (isa.splat(0.0), isa.splat(0.0));
            let sums = self.dgamma.chunks_exact_mut(LANES).zip(self.dbeta.chunks_exact_mut(LANES));
            let rows =
                d.chunks_exact(LANES).zip(x_hat.chunks_exact(LANES)).zip(self.gamma.chunks_exact(LANES));
            for (((d, x_hat), gamma), (dgamma, dbeta)) in rows.zip(sums) {
                let (d, x_hat) = (isa.load(d), isa.load(x_hat));
                let g = d.mul(isa.load(gamma));
                sum_g = sum_g.add(g);
                sum_gx = g.mul_add(x_hat, sum_gx);
                d.mul_add(x_hat, isa.load(dgamma)).store(dgamma);
                d.add(isa.load(dbeta)).store(dbeta);
            }
            let mean_g = isa.splat(sum_g.sum() * inverse_width);
            let mean_gx = isa.splat(sum_gx.sum() * inverse_width);
            let rstd = isa.splat(self.rstd[row]);
            for ((d, x_hat), gamma) in
                d.chunks_exact_mut(LANES).zip(x_hat.chunks_exact(LANES)).zip(self.gamma.chunks_exact(LANES))
            {
                let g = isa.load(d).mul(isa.load(gamma)).sub(mean_g);
                isa.load(x_hat).neg().mul_add(mean_gx, g).mul(rstd).store(d);
            }
            if let Some(dz) = self.dz.as_mut().map(|z| &mut z[row * width..(row + 1) * width]) {
                dz.copy_from_slice(d);
                if let Some(drop) = self.dropout {
                    drop_row(isa, drop, row, width, dz);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::dispatch::Level;
    use crate::layers::dropout::Site;
    use xpipe_base::value::rng::Stream;

    const ROWS: usize = 3;
    const WIDTH: usize = 40;

    fn random(n: usize, of: u64) -> Vec<f32> {
        let s = Stream::new(of, &["norm"]);
        (0..n).map(|i| s.normal(i as u64) as f32).collect()
    }

    /// The same in f64 and plain loops.
    fn naive(x: &[f64], z: &[f64], f: &[f32], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        for row in 0..ROWS {
            let r: Vec<f64> =
                (row * WIDTH..(row + 1) * WIDTH).map(|i| x[i] + z[i] * f64::from(f[i])).collect();
            let mean = r.iter().sum::<f64>() / WIDTH as f64;
            let var = r.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / WIDTH as f64;
            let rstd = 1.0 / (var + 1e-12).sqrt();
            out.extend((0..WIDTH).map(|c| gamma[c] * (r[c] - mean) * rstd + beta[c]));
        }
        out
    }

    fn double(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    #[test]
    fn forward_equals_plain_loops_and_backward_finite_differences() {
        let n = ROWS * WIDTH;
        let (x, z, gamma, beta) = (random(n, 1), random(n, 2), random(WIDTH, 3), random(WIDTH, 4));
        let dy = random(n, 5);
        let mask = Mask::new(&Stream::new(9, &["norm"]), Site::Embeddings, 0.4);
        let first = 13;
        let mut factors = vec![0.0; n];
        mask.fill(first, &mut factors);
        for level in [Level::PORTABLE, Level::detect()] {
            let dropout = Some(RowDropout { mask: &mask, rows: RowIndex::From(first) });
            let (mut y, mut x_hat, mut rstd) = (x.clone(), vec![0.0; n], vec![0.0; ROWS]);
            let mut zz = z.clone();
            level.run(Norm {
                x: &mut y,
                z: Some(&mut zz),
                dropout,
                gamma: &gamma,
                beta: &beta,
                epsilon: 1e-12,
                save: Some((&mut x_hat, &mut rstd)),
            });
            let args = [double(&x), double(&z), double(&gamma), double(&beta)];
            let f = |a: &[Vec<f64>; 4]| naive(&a[0], &a[1], &factors, &a[2], &a[3]);
            for (y, e) in y.iter().zip(f(&args)) {
                assert!((f64::from(*y) - e).abs() < 2e-6, "{y} {e}");
            }
            let mut again = x_hat.clone();
            level.run(Affine { x: &mut again, gamma: &gamma, beta: &beta });
            assert_eq!(again, y, "x̂ gives back the same bits");

            let (mut d, mut dz) = (dy.clone(), vec![0.0; n]);
            let (mut dgamma, mut dbeta) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
            level.run(NormBackward {
                d: &mut d,
                dz: Some(&mut dz),
                dropout,
                x_hat: &x_hat,
                rstd: &rstd,
                gamma: &gamma,
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
            });
            for (which, got) in [&d, &dz, &dgamma, &dbeta].into_iter().enumerate() {
                for i in (0..got.len()).step_by(7) {
                    let at = |h: f64| {
                        let mut a = args.clone();
                        a[which][i] += h;
                        f(&a).iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum::<f64>()
                    };
                    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((f64::from(got[i]) - slope).abs() < 1e-4, "{which} {i}: {} {slope}", got[i]);
                }
            }
        }
    }
}
