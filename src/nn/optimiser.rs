//! AdamW over the flat buffers of a model, with the global-norm clip fused in: the step of engines whose buffers are in
//! main memory, and the definition for others.
//!
//! Decoupled decay only where [`Parameter::decays`], bias-corrected moments, eps outside the square root: PyTorch's
//! `torch.optim.AdamW` after `torch.nn.utils.clip_grad_norm_`, checked on committed figures. The bits do not depend
//! on the number of threads: elements are independent and the norm is summed over fixed chunks in order.

use rayon::prelude::*;

use crate::Parameter;
use xpipe_base::task::Failure;
use xpipe_base::value::Call;

/// Elements in a unit of parallel work; fixed, since the norm is summed unit by unit.
const CHUNK: usize = 1 << 16;

/// The optimiser's arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Peak learning rate, > 0; the schedule scales it.
    pub learning_rate: f64,
    /// Decoupled weight decay, ≥ 0.
    pub weight_decay: f64,
    /// The largest global norm of the gradient; 0 does not clip.
    pub clip_norm: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl AdamW {
    /// Reads `adamw { … }` with its defaults filled in.
    ///
    /// # Errors
    /// When a number is missing or out of its range.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let number = |name: &str| {
            let x = call.args.get(name).and_then(xpipe_base::value::Value::as_f64);
            x.filter(|x| x.is_finite() && *x >= 0.0).ok_or_else(|| {
                Failure::wrong(format!("`{name}` of {} is not a number that is at least 0", call.name))
            })
        };
        let below_one = |name: &str| {
            number(name).and_then(|x| {
                if x < 1.0 {
                    Ok(x)
                } else {
                    Err(Failure::wrong(format!("`{name}` of {} is not below 1", call.name)))
                }
            })
        };
        Ok(Self {
            learning_rate: number("learning_rate")?,
            weight_decay: number("weight_decay")?,
            clip_norm: number("clip_norm")?,
            beta1: below_one("beta1")?,
            beta2: below_one("beta2")?,
            eps: number("eps")?,
        })
    }
}

/// The moments: what a checkpoint must hold besides the weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
    /// Steps taken.
    pub steps: u64,
}

impl Moments {
    /// Zero moments for a flat buffer of `len` elements.
    pub fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }

    /// Checks that they belong to a flat buffer of `len` elements.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when they do not.
    pub fn check(&self, len: usize) -> Result<(), Failure> {
        match [self.first.len(), self.second.len()].iter().find(|n| **n != len) {
            None => Ok(()),
            Some(n) => Err(Failure::bug(format!("{n} moments for {len} weights"))),
        }
    }
}

/// The Euclidean norm of a flat buffer, in f64, summed over fixed chunks in order.
pub fn norm(gradients: &[f32]) -> f64 {
    let sums: Vec<f64> =
        gradients.par_chunks(CHUNK).map(|c| c.iter().map(|&g| f64::from(g) * f64::from(g)).sum()).collect();
    sums.iter().sum::<f64>().sqrt()
}

/// One unit of work of a step.
struct Piece<'a> {
    decays: bool,
    weights: &'a mut [f32],
    gradients: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

/// Takes one step at learning rate `rate`, sets the gradients to zero and returns their norm before clipping.
///
/// The clip factor is min(1, `clip_norm` / (norm + 1e-6)). When the norm is not finite nothing but the norm is
/// computed: the caller reports it.
///
/// # Errors
/// As [`Moments::check`].
///
/// **Source:** Loshchilov and Hutter, "Decoupled weight decay regularization", 2019; `torch/optim/adamw.py`.
pub fn step(
    adamw: &AdamW,
    rate: f64,
    parameters: &[Parameter],
    moments: &mut Moments,
    (gradients, weights): (&mut [f32], &mut [f32]),
) -> Result<f64, Failure> {
    moments.check(weights.len())?;
    let norm = norm(gradients);
    if !norm.is_finite() {
        return Ok(norm);
    }
    let clip = if adamw.clip_norm > 0.0 { (adamw.clip_norm / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
    moments.steps += 1;
    let steps = i32::try_from(moments.steps).unwrap_or(i32::MAX);
    let size = (rate / (1.0 - adamw.beta1.powi(steps))) as f32;
    let root = (1.0 - adamw.beta2.powi(steps)).sqrt() as f32;
    let keep = (1.0 - rate * adamw.weight_decay) as f32;
    let (new1, beta2, new2) = ((1.0 - adamw.beta1) as f32, adamw.beta2 as f32, (1.0 - adamw.beta2) as f32);
    let eps = adamw.eps as f32;
    pieces(parameters, moments, gradients, weights).into_par_iter().for_each(|p| {
        let keep = if p.decays { keep } else { 1.0 };
        let all = p.weights.iter_mut().zip(p.gradients).zip(p.first).zip(p.second);
        for (((w, g), m), v) in all {
            let grad = *g * clip;
            *g = 0.0;
            *m += new1 * (grad - *m);
            *v = *v * beta2 + new2 * (grad * grad);
            *w = *w * keep - size * (*m / (v.sqrt() / root + eps));
        }
    });
    Ok(norm)
}

/// Cuts the buffers at tensor ends and every [`CHUNK`] elements.
fn pieces<'a>(
    parameters: &[Parameter],
    moments: &'a mut Moments,
    mut gradients: &'a mut [f32],
    mut weights: &'a mut [f32],
) -> Vec<Piece<'a>> {
    let (mut first, mut second) = (moments.first.as_mut_slice(), moments.second.as_mut_slice());
    let mut pieces = Vec::new();
    for parameter in parameters {
        let mut left = parameter.len();
        while left > 0 {
            let n = left.min(CHUNK);
            left -= n;
            let cut = |all: &mut &'a mut [f32]| {
                let (head, tail) = std::mem::take(all).split_at_mut(n);
                *all = tail;
                head
            };
            pieces.push(Piece {
                decays: parameter.decays,
                weights: cut(&mut weights),
                gradients: cut(&mut gradients),
                first: cut(&mut first),
                second: cut(&mut second),
            });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        clip_norm: f64,
        weight_decay: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        learning_rates: Vec<f64>,
        initial: Vec<f32>,
        gradients: Vec<Vec<f32>>,
        norms: Vec<f64>,
        weights: Vec<Vec<f32>>,
    }

    fn layout() -> Vec<Parameter> {
        let parameter = |name: &str, shape: Vec<usize>, offset, decays| Parameter {
            name: name.into(),
            shape,
            offset,
            decays,
        };
        vec![parameter("a.weight", vec![2, 3], 0, true), parameter("a.bias", vec![4], 6, false)]
    }

    #[test]
    fn five_steps_equal_torch() {
        let text = include_str!("../../tests/data/optimiser/reference.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let adamw = AdamW {
                learning_rate: 1.0,
                weight_decay: case.weight_decay,
                clip_norm: case.clip_norm,
                beta1: case.beta1,
                beta2: case.beta2,
                eps: case.eps,
            };
            let mut weights = case.initial.clone();
            let mut moments = Moments::new(weights.len());
            for (i, rate) in case.learning_rates.iter().enumerate() {
                let mut gradients = case.gradients[i].clone();
                let n = step(&adamw, *rate, &layout(), &mut moments, (&mut gradients, &mut weights)).unwrap();
                assert!((n - case.norms[i]).abs() < 1e-6 * (1.0 + n), "norm {n} is not {}", case.norms[i]);
                assert!(gradients.iter().all(|g| *g == 0.0));
                for (ours, theirs) in weights.iter().zip(&case.weights[i]) {
                    assert!(
                        (ours - theirs).abs() <= 3e-7 * (1.0 + theirs.abs()),
                        "step {i}: {ours}, {theirs}"
                    );
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let n = 3 * CHUNK + 17;
        let parameters = vec![Parameter { name: "w".into(), shape: vec![n], offset: 0, decays: true }];
        let draw = xpipe_base::value::rng::Stream::new(1, &["optimiser test"]);
        let gradient: Vec<f32> = (0..n as u64).map(|i| draw.normal(i) as f32).collect();
        let adamw = AdamW {
            learning_rate: 0.1,
            weight_decay: 0.01,
            clip_norm: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (mut weights, mut moments) = (vec![0.5f32; n], Moments::new(n));
                for _ in 0..3 {
                    step(&adamw, 0.1, &parameters, &mut moments, (&mut gradient.clone(), &mut weights))
                        .unwrap();
                }
                weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>()
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let adamw = AdamW {
            learning_rate: 0.1,
            weight_decay: 0.0,
            clip_norm: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        };
        let (mut weights, mut moments) = (vec![1.0f32; 10], Moments::new(10));
        let mut gradients = vec![f32::NAN; 10];
        let n = step(&adamw, 0.1, &layout(), &mut moments, (&mut gradients, &mut weights)).unwrap();
        assert!(n.is_nan() && weights == vec![1.0; 10] && moments == Moments::new(10));
    }
}
