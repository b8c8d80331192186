//! Neural re-rankers: tokenizers, weights, encoders, heads, and the engines that run them.
//!
//! Training and scoring see a model only through [`Reranker`]. Two engines implement it: [`reference`](mod@reference)
//! (plain differentiable candle operations, any device) and the explicit CPU engine ([`cpu`]). Batches are packed: pairs
//! one after the other with cumulative lengths, without padding.

pub mod arch;
pub mod bi_encoder;
mod byte_pairs;
pub mod config;
pub mod cpu;
pub mod explicit;
pub mod files;
pub mod flops;
pub mod layers;
pub mod load;
pub mod masked_lm;
pub mod optimiser;
pub mod pooling;
pub mod preflight;
pub mod reference;
pub mod sentence;
mod sentencepiece;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod tokenizer;
pub mod weights;

use std::borrow::Cow;
use std::path::Path;

use optimiser::{AdamW, Moments};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;

/// Maximum tokens of a block over which gradients are summed; a longer pair is a block of its own. The bits of gradients
/// depend on it.
pub const BLOCK: usize = 512;

/// A packed batch: pairs one after the other. It may be a slice of a larger batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Token ids of all pairs, concatenated.
    pub ids: Vec<u32>,
    /// Token types (0 query, 1 document), one for each id. Ignored by architectures without them.
    pub types: Vec<u32>,
    /// Index of each pair's first token, and the number of tokens at the end: `pairs + 1` increasing numbers.
    pub starts: Vec<usize>,
    /// Index of the first pair in the whole batch. Dropout is addressed by indices in the whole batch, so that it is the
    /// same however a batch is split.
    pub first_pair: usize,
    /// Index of the first token in the whole batch.
    pub first_token: usize,
}

impl Packed {
    /// An empty batch.
    pub fn new() -> Self {
        Self { starts: vec![0], ..Self::default() }
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

    /// Indices of the tokens of pair `i`.
    pub fn pair(&self, i: usize) -> std::ops::Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }

    /// The batch in blocks of consecutive pairs, each with as many tokens as [`BLOCK`] allows.
    ///
    /// Gradients are summed block by block. A batch that is split between blocks has the same blocks.
    pub fn blocks(&self) -> Vec<std::ops::Range<usize>> {
        let mut list: Vec<std::ops::Range<usize>> = Vec::new();
        for i in 0..self.len() {
            match list.last_mut() {
                Some(last) if self.starts[i + 1] - self.starts[last.start] <= BLOCK => last.end = i + 1,
                _ => list.push(i..i + 1),
            }
        }
        list
    }

    /// Some pairs of this batch. They keep their indices in the whole batch.
    pub fn slice(&self, pairs: std::ops::Range<usize>) -> Self {
        let first = self.starts[pairs.start];
        let tokens = first..self.starts[pairs.end];
        Self {
            ids: self.ids[tokens.clone()].to_vec(),
            types: self.types[tokens].to_vec(),
            starts: self.starts[pairs.start..=pairs.end].iter().map(|s| s - first).collect(),
            first_pair: self.first_pair + pairs.start,
            first_token: self.first_token + first,
        }
    }

    /// Checks that the batch is well formed and that ids, types and lengths are inside a model's tables. `types` is `None`
    /// for an architecture without token types.
    ///
    /// # Errors
    /// Names the pair and the number that is out of range.
    pub fn check(&self, vocabulary: usize, types: Option<usize>, positions: usize) -> Result<(), Failure> {
        let form = self.starts.first() == Some(&0)
            && self.starts.last() == Some(&self.ids.len())
            && self.types.len() == self.ids.len()
            && self.starts.windows(2).all(|w| w[0] <= w[1]);
        if !form {
            return Err(Failure::bug("a packed batch whose ids, types and starts do not belong together"));
        }
        for i in 0..self.len() {
            let pair = self.pair(i);
            if pair.is_empty() || pair.len() > positions {
                return Err(Failure::wrong(format!(
                    "pair {i} of the batch has {} tokens; the model takes 1 to {positions}",
                    pair.len()
                ))
                .help("lower the input limits"));
            }
            if let Some(id) = self.ids[pair.clone()].iter().find(|id| **id as usize >= vocabulary) {
                return Err(Failure::wrong(format!(
                    "pair {i} of the batch has token id {id}; the model's table has {vocabulary} rows"
                ))
                .help("the tokenizer does not belong to these weights"));
            }
            let off = types.and_then(|n| self.types[pair].iter().find(|t| **t as usize >= n));
            if let Some(t) = off {
                return Err(Failure::wrong(format!(
                    "pair {i} of the batch has token type {t}; the model has fewer"
                )));
            }
        }
        Ok(())
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
    /// Whether weight decay applies: to matrices, not to biases and norms.
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

/// Replaces the weights of an engine that keeps them in main memory.
///
/// # Errors
/// [`xpipe_base::task::FailureKind::Bug`] when their number is another one.
pub fn replace_weights(weights: &mut [f32], by: &[f32]) -> Result<(), Failure> {
    if weights.len() != by.len() {
        return Err(Failure::bug(format!("{} weights in place of {}", by.len(), weights.len())));
    }
    weights.copy_from_slice(by);
    Ok(())
}

/// A cross-encoder: packed pairs in, one logit per pair out.
///
/// Parameters, gradients and moments are flat f32 buffers with one layout, so optimiser, clipping, checkpoints and tests
/// need no knowledge of the architecture. They belong to the engine, which may keep them on another device: callers read
/// and replace them as a whole.
pub trait Reranker: Send {
    /// The tensors of the flat buffers, in order, without gaps.
    fn parameters(&self) -> &[Parameter];
    /// Master weights.
    fn weights(&self) -> &[f32];
    /// Replaces the master weights. A forward pass before can no longer be followed by a backward pass.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when their number is another one.
    fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure>;
    /// The gradients summed since they were last zero.
    ///
    /// # Errors
    /// When they cannot be read from the engine's device.
    fn gradients(&mut self) -> Result<&[f32], Failure>;
    /// Sets the gradients to zero.
    ///
    /// # Errors
    /// When the engine's device fails.
    fn clear_gradients(&mut self) -> Result<(), Failure>;
    /// Takes one optimiser step at learning rate `rate`, sets the gradients to zero and returns their norm before
    /// clipping: see [`optimiser::step`]. When the norm is not finite, nothing changes. A forward pass before can no longer
    /// be followed by a backward pass.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when no moments were set.
    fn step(&mut self, adamw: &AdamW, rate: f64) -> Result<f64, Failure>;
    /// The optimiser's moments; empty until they are set.
    ///
    /// # Errors
    /// When they cannot be read from the engine's device.
    fn moments(&self) -> Result<Cow<'_, Moments>, Failure>;
    /// Replaces the optimiser's moments; [`Moments::new`] before the first step.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when they belong to another number of weights.
    fn set_moments(&mut self, moments: Moments) -> Result<(), Failure>;
    /// Logits without dropout. Saves nothing for a backward pass.
    ///
    /// # Errors
    /// When the batch does not fit the model (an id or position out of range).
    fn score(&mut self, batch: &Packed) -> Result<Vec<f32>, Failure>;
    /// Logits. Saves what [`Reranker::backward`] needs. `dropout` is the stream of the whole batch; `None` turns dropout
    /// off. Only the last forward pass can be followed by a backward pass.
    ///
    /// # Errors
    /// As [`Reranker::score`].
    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure>;
    /// Adds the gradients of Σᵢ `dlogits[i]` · logit i of the last forward pass, block by block from the last of
    /// [`Packed::blocks`] to the first. A batch in parts of whole blocks, the last part first, gives the same bits as the
    /// whole batch.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] when there was no forward pass.
    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure>;
    /// Writes `config.json` and `model.safetensors` as `transformers` reads them.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(&self, folder: &Path) -> Result<(), Failure>;
    /// Name of the kernel level in use, for manifests. Equal bits are promised within one level.
    fn kernels(&self) -> &'static str;
}
