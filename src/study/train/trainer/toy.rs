//! A model small enough to follow by hand: a logit is the sum of one weight a token, plus a bias.

use std::borrow::Cow;
use std::path::Path;

use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;
use xpipe_nn::optimiser::{self, AdamW, Moments};
use xpipe_nn::{Packed, Parameter, Reranker, replace_weights};

/// A linear model over token ids; with `dropout` > 0 tokens are dropped and the others scaled.
pub(crate) struct Toy {
    parameters: Vec<Parameter>,
    pub(crate) weights: Vec<f32>,
    gradients: Vec<f32>,
    moments: Moments,
    dropout: f64,
    saved: Option<(Packed, Vec<f32>)>,
    /// Forward passes that kept something for a backward pass.
    pub(crate) forwards: usize,
}

impl Toy {
    pub(crate) fn new(vocabulary: usize, dropout: f64) -> Self {
        let parameter =
            |name: &str, n, offset, decays| Parameter { name: name.into(), shape: vec![n], offset, decays };
        Self {
            parameters: vec![
                parameter("weight", vocabulary, 0, true),
                parameter("bias", 1, vocabulary, false),
            ],
            weights: vec![0.0; vocabulary + 1],
            gradients: vec![0.0; vocabulary + 1],
            moments: Moments::default(),
            dropout,
            saved: None,
            forwards: 0,
        }
    }

    fn logits(&self, batch: &Packed, masks: &[f32]) -> Vec<f32> {
        let bias = self.weights[self.weights.len() - 1];
        batch
            .starts
            .windows(2)
            .map(|w| bias + (w[0]..w[1]).map(|i| masks[i] * self.weights[batch.ids[i] as usize]).sum::<f32>())
            .collect()
    }
}

impl Reranker for Toy {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
    fn weights(&self) -> &[f32] {
        &self.weights
    }
    fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure> {
        replace_weights(&mut self.weights, weights)
    }
    fn gradients(&mut self) -> Result<&[f32], Failure> {
        Ok(&self.gradients)
    }
    fn clear_gradients(&mut self) -> Result<(), Failure> {
        self.gradients.fill(0.0);
        Ok(())
    }
    fn step(&mut self, adamw: &AdamW, rate: f64) -> Result<f64, Failure> {
        let buffers = (&mut self.gradients[..], &mut self.weights[..]);
        optimiser::step(adamw, rate, &self.parameters, &mut self.moments, buffers)
    }
    fn moments(&self) -> Result<Cow<'_, Moments>, Failure> {
        Ok(Cow::Borrowed(&self.moments))
    }
    fn set_moments(&mut self, moments: Moments) -> Result<(), Failure> {
        moments.check(self.weights.len())?;
        self.moments = moments;
        Ok(())
    }
    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        Ok(self.logits(batch, &vec![1.0; batch.tokens()]))
    }
    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        self.forwards += 1;
        let keep = 1.0 - self.dropout;
        let masks: Vec<f32> = (0..batch.tokens() as u64)
            .map(|i| match dropout {
                Some(s) if self.dropout > 0.0 => {
                    f32::from(u8::from(s.unit(batch.first_token as u64 + i) < keep)) / keep as f32
                }
                _ => 1.0,
            })
            .collect();
        let logits = self.logits(batch, &masks);
        self.saved = Some((batch.clone(), masks));
        Ok(logits)
    }
    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
        let (batch, masks) = self.saved.take().ok_or_else(|| Failure::bug("no forward"))?;
        let bias = self.gradients.len() - 1;
        for (w, d) in batch.starts.windows(2).zip(dlogits).rev() {
            (w[0]..w[1]).for_each(|i| self.gradients[batch.ids[i] as usize] += masks[i] * d);
            self.gradients[bias] += d;
        }
        Ok(())
    }
    fn save(&self, _: &Path) -> Result<(), Failure> {
        Ok(())
    }
    fn kernels(&self) -> &'static str {
        "toy"
    }
}
