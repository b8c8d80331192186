//! Residual, dropout and layer norm of rows, forward and backward.
//!
//! Forward: r = x + factor · z, x̂ = (r − mean) · ρ with ρ = 1 / √(variance + ε), y = γ x̂ + β. What backward needs
//! is x̂ and ρ. Rows are a multiple of eight wide.

use super::lanes::{Kernel, Lanes, N};
use super::mask::fill;
use crate::layers::dropout::Mask;

/// Dropout of a block of rows: the factors, and which elements they are for.
#[derive(Clone, Copy)]
pub(super) struct Dropped<'a> {
    /// The site's factors.
    pub mask: &'a Mask,
    /// Where the rows are.
    pub at: At<'a>,
}

/// Numbers of rows' first elements.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    /// The first row's; the others follow it.
    From(u64),
    /// Each row's.
    Each(&'a [u64]),
}

/// Norm of `x` plus (dropped) `z`, in place of `x`.
pub(super) struct Norm<'a> {
    /// Residual in, y out: `[rows, width]`.
    pub x: &'a mut [f32],
    /// What is added, `[rows, width]`; destroyed.
    pub z: Option<&'a mut [f32]>,
    /// Dropout of `z`.
    pub dropped: Option<Dropped<'a>>,
    /// γ, whose length is the width.
    pub gamma: &'a [f32],
    /// β.
    pub beta: &'a [f32],
    /// ε.
    pub epsilon: f32,
    /// Where x̂ `[rows, width]` and ρ `[rows]` are kept.
    pub keep: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl Kernel for Norm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let width = self.gamma.len();
        let share = 1.0 / width as f32;
        for (row, x) in self.x.chunks_exact_mut(width).enumerate() {
            let mut total = L::splat(0.0);
            if let Some(z) = self.z.as_mut().map(|z| &mut z[row * width..(row + 1) * width]) {
                if let Some(d) = self.dropped {
                    drop_row::<L>(d, row, width, z);
                }
                for (x, z) in x.chunks_exact_mut(N).zip(z.chunks_exact(N)) {
                    let sum = L::load(x).add(L::load(z));
                    sum.store(x);
                    total = total.add(sum);
                }
            } else {
                for x in x.chunks_exact(N) {
                    total = total.add(L::load(x));
                }
            }
            let mean = L::splat(total.sum() * share);
            let mut square = L::splat(0.0);
            for x in x.chunks_exact(N) {
                let d = L::load(x).sub(mean);
                square = d.mul_add(d, square);
            }
            let rho = 1.0 / (square.sum() * share + self.epsilon).sqrt();
            let scale = L::splat(rho);
            if let Some((hat, rhos)) = &mut self.keep {
                rhos[row] = rho;
                for (h, x) in hat[row * width..(row + 1) * width].chunks_exact_mut(N).zip(x.chunks_exact(N)) {
                    L::load(x).sub(mean).mul(scale).store(h);
                }
            }
            let affine = self.gamma.chunks_exact(N).zip(self.beta.chunks_exact(N));
            for (x, (g, b)) in x.chunks_exact_mut(N).zip(affine) {
                L::load(x).sub(mean).mul(scale).mul_add(L::load(g), L::load(b)).store(x);
            }
        }
    }
}

/// Multiplies one row by its factors.
#[inline(always)]
fn drop_row<L: Lanes>(d: Dropped<'_>, row: usize, width: usize, z: &mut [f32]) {
    let mut factors = [0.0; 128];
    let mut first = match d.at {
        At::From(first) => first + (row * width) as u64,
        At::Each(rows) => rows[row],
    };
    for z in z.chunks_mut(factors.len()) {
        fill(d.mask, first, &mut factors[..z.len()]);
        first += z.len() as u64;
        for (z, f) in z.chunks_exact_mut(N).zip(factors.chunks_exact(N)) {
            L::load(z).mul(L::load(f)).store(z);
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
    fn run<L: Lanes>(self) {
        for x in self.x.chunks_exact_mut(self.gamma.len()) {
            let affine = self.gamma.chunks_exact(N).zip(self.beta.chunks_exact(N));
            for (x, (g, b)) in x.chunks_exact_mut(N).zip(affine) {
                L::load(x).mul_add(L::load(g), L::load(b)).store(x);
            }
        }
    }
}

/// Backward of [`Norm`]: dx = ρ (g − mean g − x̂ · mean(g x̂)) with g = γ dy.
pub(super) struct NormBackward<'a> {
    /// dy in, the gradient of r out: `[rows, width]`.
    pub d: &'a mut [f32],
    /// The gradient of z, when there was one: that of r times the factors.
    pub dz: Option<&'a mut [f32]>,
    /// Dropout of z.
    pub dropped: Option<Dropped<'a>>,
    /// x̂.
    pub hat: &'a [f32],
    /// ρ.
    pub rho: &'a [f32],
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
    fn run<L: Lanes>(mut self) {
        let width = self.gamma.len();
        let share = 1.0 / width as f32;
        for (row, d) in self.d.chunks_exact_mut(width).enumerate() {
            let hat = &self.hat[row * width..][..width];
            let (mut total, mut along) = (L::splat(0.0), L::splat(0.0));
            let sums = self.dgamma.chunks_exact_mut(N).zip(self.dbeta.chunks_exact_mut(N));
            let given = d.chunks_exact(N).zip(hat.chunks_exact(N)).zip(self.gamma.chunks_exact(N));
            for (((d, hat), gamma), (dgamma, dbeta)) in given.zip(sums) {
                let (d, hat) = (L::load(d), L::load(hat));
                let g = d.mul(L::load(gamma));
                total = total.add(g);
                along = g.mul_add(hat, along);
                d.mul_add(hat, L::load(dgamma)).store(dgamma);
                d.add(L::load(dbeta)).store(dbeta);
            }
            let mean = L::splat(total.sum() * share);
            let along = L::splat(along.sum() * share);
            let rho = L::splat(self.rho[row]);
            for ((d, hat), gamma) in
                d.chunks_exact_mut(N).zip(hat.chunks_exact(N)).zip(self.gamma.chunks_exact(N))
            {
                let g = L::load(d).mul(L::load(gamma)).sub(mean);
                L::load(hat).neg().mul_add(along, g).mul(rho).store(d);
            }
            if let Some(dz) = self.dz.as_mut().map(|z| &mut z[row * width..(row + 1) * width]) {
                dz.copy_from_slice(d);
                if let Some(drop) = self.dropped {
                    drop_row::<L>(drop, row, width, dz);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Level;
    use super::*;
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
            let rho = 1.0 / (var + 1e-12).sqrt();
            out.extend((0..WIDTH).map(|c| gamma[c] * (r[c] - mean) * rho + beta[c]));
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
            let dropped = Some(Dropped { mask: &mask, at: At::From(first) });
            let (mut y, mut hat, mut rho) = (x.clone(), vec![0.0; n], vec![0.0; ROWS]);
            let mut zz = z.clone();
            level.run(Norm {
                x: &mut y,
                z: Some(&mut zz),
                dropped,
                gamma: &gamma,
                beta: &beta,
                epsilon: 1e-12,
                keep: Some((&mut hat, &mut rho)),
            });
            let args = [double(&x), double(&z), double(&gamma), double(&beta)];
            let f = |a: &[Vec<f64>; 4]| naive(&a[0], &a[1], &factors, &a[2], &a[3]);
            for (y, e) in y.iter().zip(f(&args)) {
                assert!((f64::from(*y) - e).abs() < 2e-6, "{y} {e}");
            }
            let mut again = hat.clone();
            level.run(Affine { x: &mut again, gamma: &gamma, beta: &beta });
            assert_eq!(again, y, "x̂ gives back the same bits");

            let (mut d, mut dz) = (dy.clone(), vec![0.0; n]);
            let (mut dgamma, mut dbeta) = (vec![0.0; WIDTH], vec![0.0; WIDTH]);
            level.run(NormBackward {
                d: &mut d,
                dz: Some(&mut dz),
                dropped,
                hat: &hat,
                rho: &rho,
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
