//! Masked language models: for each text the largest logit of each vocabulary entry over the text's tokens, from which
//! learned sparse retrieval makes term weights.
//!
//! Two engines implement [`MaskedLm`]: the explicit one ([`super::cpu`]) and the reference here. Must not know: term
//! weights.

use candle_core::{Device, Tensor};

use super::Packed;
use super::arch::masked_lm::MaskedLmHead;
use super::reference::Reference;
use super::weights::Checkpoint;
use xpipe_base::task::Failure;

/// A masked language model: packed texts in, the largest logit of each vocabulary entry over a text's tokens out.
pub trait MaskedLm: Send {
    /// Size of the vocabulary.
    fn vocabulary(&self) -> usize;
    /// Maximum tokens of a text, special tokens included.
    fn position_limit(&self) -> usize;
    /// Maximum of the logits over a text's tokens, special tokens included: `[texts, vocabulary]`. A text's numbers have
    /// the same bits in any batch.
    ///
    /// # Errors
    /// When the batch does not fit the model, or a number is not finite.
    fn peaks(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure>;
    /// The logits of every token, `[tokens, vocabulary]`: for tests.
    #[cfg(test)]
    fn logits(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure>;
    /// Name of the kernel level in use, for manifests.
    fn kernels(&self) -> &'static str;
}

/// The reference engine: plain candle operations, a text at a time.
#[derive(Debug)]
pub struct ReferenceMaskedLm {
    encoder: Reference,
    head: MaskedLmHead,
    table: Tensor,
}

impl ReferenceMaskedLm {
    /// The engine of a checkpoint read by [`Checkpoint::load_masked_lm`].
    ///
    /// # Errors
    /// When the checkpoint has no such head, or threads cannot be started.
    pub fn new(checkpoint: Checkpoint, threads: usize, device: Device) -> Result<Self, Failure> {
        let (head, range) = checkpoint.masked_lm()?;
        let shape = (checkpoint.model.vocabulary(), checkpoint.model.hidden());
        let table = Tensor::from_slice(&checkpoint.weights[range], shape, &device).map_err(graph_failure)?;
        Ok(Self { encoder: Reference::new(checkpoint, threads, device)?, head, table })
    }

    /// The same with the operands of matrix products rounded to bfloat16, or not.
    #[must_use]
    pub fn rounding(self, bf16: bool) -> Self {
        Self { encoder: self.encoder.rounding(bf16), ..self }
    }

    /// The logits of each text, `[tokens, vocabulary]`.
    fn texts(&mut self, batch: &Packed) -> Result<Vec<Tensor>, Failure> {
        let width = self.encoder.model().hidden();
        let mut states = self.encoder.hidden(batch)?.pop().unwrap_or_default();
        let mut out = Vec::with_capacity(batch.len());
        let tensors = self.encoder.tensors()?;
        for i in 0..batch.len() {
            let one = batch.slice(i..i + 1);
            let rest = states.split_off(one.tokens() * width);
            let x = Tensor::from_vec(states, (one.tokens(), width), self.table.device())
                .map_err(graph_failure)?;
            states = rest;
            let graph = self.encoder.graph(&tensors, &one, None);
            out.push(self.head.logits(&graph, &x, &self.table).map_err(graph_failure)?);
        }
        Ok(out)
    }
}

impl MaskedLm for ReferenceMaskedLm {
    fn vocabulary(&self) -> usize {
        self.encoder.model().vocabulary()
    }

    fn position_limit(&self) -> usize {
        self.encoder.model().position_limit()
    }

    fn peaks(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let mut out = Vec::with_capacity(batch.len() * self.vocabulary());
        for logits in self.texts(batch)? {
            out.extend(logits.max(0).and_then(|x| x.to_vec1::<f32>()).map_err(graph_failure)?);
        }
        check_finite(&out)?;
        Ok(out)
    }

    #[cfg(test)]
    fn logits(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure> {
        let each = self.texts(batch)?.into_iter().map(|x| x.flatten_all()?.to_vec1::<f32>());
        Ok(each.collect::<candle_core::Result<Vec<_>>>().map_err(graph_failure)?.concat())
    }

    fn kernels(&self) -> &'static str {
        "reference"
    }
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
fn graph_failure(e: candle_core::Error) -> Failure {
    Failure::bug(format!("masked language model: {e}"))
}

/// Checks that all logits are finite.
///
/// # Errors
/// When one is not.
pub(super) fn check_finite(numbers: &[f32]) -> Result<(), Failure> {
    match numbers.iter().find(|x| !x.is_finite()) {
        None => Ok(()),
        Some(x) => Err(Failure::wrong(format!("the masked language model computes {x} as a logit"))
            .help("the model's weights are damaged or its training diverged")),
    }
}

#[cfg(test)]
mod tests;
