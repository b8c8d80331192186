//! Neural re-rankers: tokenizers, weights, encoders, heads, and the engines that run them.
//!
//! Training and scoring see a model only through [`Reranker`]. Two kinds stand behind it: the reference (plain
//! differentiable candle operations, any device) and, beside it, the explicit CPU engine. Batches are packed:
//! pairs one after the other with cumulative lengths, no padding anywhere.

pub mod cpu;

use std::path::Path;

use crate::task::Failure;
use crate::value::rng::Stream;

/// Pairs one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Token ids of all pairs, concatenated.
    pub ids: Vec<u32>,
    /// Token types (0 query, 1 document), one for each id; engines of architectures without them ignore it.
    pub types: Vec<u32>,
    /// Where each pair begins, and the total at the end: `pairs + 1` numbers, rising.
    pub starts: Vec<usize>,
}

impl Packed {
    /// An empty batch.
    pub fn new() -> Self {
        Self { ids: Vec::new(), types: Vec::new(), starts: vec![0] }
    }

    /// Adds a pair; `types` is as long as `ids`.
    pub fn push(&mut self, ids: &[u32], types: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.types.extend_from_slice(types);
        self.starts.push(self.ids.len());
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

/// One parameter tensor inside the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The Hugging Face name, for instance `bert.encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// First element in the flat buffer.
    pub offset: usize,
    /// Whether weight decay applies: matrices yes; biases and norms no.
    pub decays: bool,
}

impl Parameter {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A cross-encoder: packed pairs in, one logit a pair out.
///
/// Parameters and gradients are two flat f32 buffers with one layout, so optimiser, clipping, checkpoints and tests
/// need no knowledge of the architecture.
pub trait Reranker: Send {
    /// The tensors of the flat buffers, in order, without gaps.
    fn parameters(&self) -> &[Parameter];
    /// Master weights.
    fn weights(&self) -> &[f32];
    /// Master weights, to be changed by the optimiser or a checkpoint.
    fn weights_mut(&mut self) -> &mut [f32];
    /// Accumulated gradient of the loss, and the weights it is for.
    fn gradients_mut(&mut self) -> (&mut [f32], &mut [f32]);
    /// Logits without dropout and without keeping anything for a backward pass.
    ///
    /// # Errors
    /// When the batch does not fit the model (an id or position out of range).
    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure>;
    /// Logits, keeping what [`Reranker::backward`] needs. `dropout` is the stream of this micro-batch; `None` turns
    /// dropout off. Only the last forward can be followed by a backward.
    ///
    /// # Errors
    /// As [`Reranker::score`].
    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure>;
    /// Adds to the gradients those of Σᵢ `dlogits[i]` · logit i of the last forward.
    ///
    /// # Errors
    /// [`crate::task::FailureKind::Bug`] when there was no forward.
    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure>;
    /// Writes `config.json` and `model.safetensors` as `transformers` reads them.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(&self, folder: &Path) -> Result<(), Failure>;
    /// The kernel level in use, for manifests: equal bits are promised for one level.
    fn kernels(&self) -> &'static str;
}
