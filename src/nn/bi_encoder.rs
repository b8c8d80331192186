//! Bi-encoders: each text becomes one vector, independently of others.
//!
//! Two engines implement [`BiEncoder`]: the explicit one ([`super::cpu`]) and the reference here. Must not know: what
//! vectors are compared with.

use candle_core::{Device, Tensor};

use super::Packed;
use super::arch::EncoderForm;
use super::pooling::Pooling;
use super::reference::Reference;
use super::weights::Checkpoint;
use xpipe_base::task::Failure;

/// A bi-encoder: packed texts in, one vector per text out.
pub trait BiEncoder: Send {
    /// Dimensions of a vector.
    fn width(&self) -> usize;
    /// Maximum tokens of a text, special tokens included.
    fn position_limit(&self) -> usize;
    /// The vectors of texts, `[texts, width]`. A text's vector has the same bits in any batch.
    ///
    /// # Errors
    /// When the batch does not fit the model, or a number is not finite.
    fn vectors(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure>;
    /// Name of the kernel level in use, for manifests.
    fn kernels(&self) -> &'static str;
}

/// The reference engine: plain candle operations, a text at a time.
#[derive(Debug)]
pub struct ReferenceBiEncoder {
    encoder: Reference,
    pooling: Pooling,
    device: Device,
}

impl ReferenceBiEncoder {
    /// The reference engine of a checkpoint.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(
        checkpoint: Checkpoint,
        pooling: Pooling,
        threads: usize,
        device: Device,
    ) -> Result<Self, Failure> {
        Ok(Self { encoder: Reference::new(checkpoint, threads, device.clone())?, pooling, device })
    }

    /// The same with the operands of matrix products rounded to bfloat16, or not.
    #[must_use]
    pub fn rounding(self, bf16: bool) -> Self {
        Self { encoder: self.encoder.rounding(bf16), ..self }
    }

    /// The last hidden states of all tokens, after the final norm of a pre-norm encoder.
    fn states(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let states = self.encoder.hidden(batch)?.pop().unwrap_or_default();
        let (final_norm, epsilon, width) = match self.encoder.model().form() {
            EncoderForm::PostNorm(_) => return Ok(states),
            EncoderForm::PreNorm(model) => (model.names.final_norm, model.epsilon, model.hidden),
        };
        let tensors = self.encoder.tensors()?;
        let graph = self.encoder.graph(&tensors, batch, None);
        Tensor::from_vec(states, (batch.tokens(), width), &self.device)
            .and_then(|x| graph.layer_norm(final_norm, &x, epsilon)?.flatten_all()?.to_vec1::<f32>())
            .map_err(|e| Failure::bug(format!("bi-encoder: {e}")))
    }
}

impl BiEncoder for ReferenceBiEncoder {
    fn width(&self) -> usize {
        self.pooling.width(self.encoder.model().hidden())
    }

    fn position_limit(&self) -> usize {
        self.encoder.model().position_limit()
    }

    fn vectors(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let (states, hidden, width) = (self.states(batch)?, self.encoder.model().hidden(), self.width());
        let mut vectors = vec![0.0; batch.len() * width];
        for (i, vector) in vectors.chunks_exact_mut(width).enumerate() {
            let text = batch.pair(i);
            self.pooling.pool(&states[text.start * hidden..text.end * hidden], hidden, vector);
        }
        check_finite(&vectors)?;
        Ok(vectors)
    }

    fn kernels(&self) -> &'static str {
        "reference"
    }
}

/// Checks that all numbers of vectors are finite.
///
/// # Errors
/// When one is not.
pub(super) fn check_finite(numbers: &[f32]) -> Result<(), Failure> {
    match numbers.iter().find(|x| !x.is_finite()) {
        None => Ok(()),
        Some(x) => Err(Failure::wrong(format!("the vector of a text contains {x}"))
            .help("the model's weights are damaged or its training diverged")),
    }
}

#[cfg(test)]
mod tests;
