//! The engine of a model: embeddings, layers, head, and the order of work over a batch.
//!
//! Groups of whole pairs go through the whole model on one thread each ([`forward`]), or through one layer at a time
//! ([`backward`], where the sums over tokens of a layer follow its groups). With relative positions the groups of
//! backward are the batch's blocks, because each sums gradients of the positions.

mod backward;
mod bi_encoder;
mod embeddings;
mod forward;
mod masked_lm;
mod packing;
mod position_grads;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub use bi_encoder::CpuBiEncoder;
pub use masked_lm::CpuMaskedLm;

use super::activations::Activations;
use super::gemm::dispatch::Level;
use super::grad_outputs::BackwardBuffers;
use super::group::{Group, by_pair};
use super::packed::{Direction, PackedWeights};
use super::pool::ThreadPool;
use crate::arch::Architecture;
use crate::explicit::masks::DropoutMasks;
use crate::explicit::params::ParamLayout;
use crate::explicit::rotary::RotaryTables;
use crate::explicit::spec::EncoderSpec;
use crate::optimiser::{self, AdamW, Moments};
use crate::weights::{self, Checkpoint};
use crate::{Packed, Parameter, Reranker, replace_weights};
use xpipe_base::task::Failure;
use xpipe_base::value::rng::Stream;

/// Tokens of a group when scoring.
pub(super) const GROUP_TOKENS: usize = 512;
/// Fewest tokens of a group when training, where groups are smaller so that threads end together.
pub(super) const MIN_GROUP_TOKENS: usize = 128;

/// The explicit CPU engine of a cross-encoder.
#[derive(Debug)]
pub struct CpuReranker {
    model: Arc<dyn Architecture>,
    spec: EncoderSpec,
    level: Level,
    parameters: Vec<Parameter>,
    params: ParamLayout,
    weights: Vec<f32>,
    gradients: Vec<f32>,
    moments: Moments,
    packed: PackedWeights,
    rotary: RotaryTables,
    /// As wide as any norm: β of those that have none.
    zeros: Vec<f32>,
    pool: ThreadPool,
    activations: Activations,
    buffers: BackwardBuffers,
    /// The batch and dropout of the last forward pass, until its backward.
    last_forward: Option<(Packed, DropoutMasks)>,
    recompute: bool,
}

/// Whether the explicit engine runs a model: widths are multiples of eight, and there is no convolution.
pub fn supports(model: &dyn Architecture) -> bool {
    EncoderSpec::of(model).is_some()
}

impl CpuReranker {
    /// The engine of a checkpoint with a number of threads (0: all cores), at the fastest level of this machine.
    ///
    /// # Errors
    /// When the engine does not run this model (see [`supports`]), or threads cannot be started.
    pub fn new(checkpoint: Checkpoint, threads: usize) -> Result<Self, Failure> {
        let Checkpoint { model, parameters, weights, .. } = checkpoint;
        let Some(spec) = EncoderSpec::of(&*model) else {
            let message = format!("the explicit engine does not run this `{}` model", model.name());
            return Err(Failure::missing(message).help("use the reference engine"));
        };
        Ok(Self {
            gradients: vec![0.0; weights.len()],
            moments: Moments::default(),
            zeros: vec![0.0; spec.shape.hidden.max(spec.shape.embedding_width)],
            packed: PackedWeights::default(),
            rotary: RotaryTables::default(),
            pool: ThreadPool::new(threads)?,
            activations: Activations::default(),
            buffers: BackwardBuffers::default(),
            last_forward: None,
            recompute: false,
            params: ParamLayout::find(&*model, &parameters)?,
            spec,
            level: Level::detect(),
            model,
            parameters,
            weights,
        })
    }

    /// The same at another kernel level.
    #[must_use]
    pub fn at_level(mut self, level: Level) -> Self {
        self.level = level;
        self.packed.mark_stale();
        self
    }

    /// The same with activation checkpointing, or not: a forward pass saves each layer's input only, and backward
    /// computes the rest again. Less memory, a third more work, the same bits.
    #[must_use]
    pub fn recomputing(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// Numbers held in memory: of the model (weights, gradients, packed weights; not the moments), and of batches.
    pub fn held(&self) -> [usize; 2] {
        let model = self.weights.len() + self.gradients.len() + self.packed.held();
        [model, self.activations.held() + self.buffers.held() + self.pool.held()]
    }

    /// Checks a batch and prepares what a forward pass over it needs.
    fn prepare(&mut self, batch: &Packed) -> Result<(), Failure> {
        self.model.check(batch)?;
        self.pack(Direction::Forward);
        let longest = batch.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        self.rotary.cover(longest, &self.spec);
        Ok(())
    }

    /// Tokens of a group when training: a few groups for each thread.
    fn training_group_tokens(&self, tokens: usize) -> usize {
        (tokens / (4 * self.pool.threads())).clamp(MIN_GROUP_TOKENS, GROUP_TOKENS)
    }
}

impl Reranker for CpuReranker {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn set_weights(&mut self, weights: &[f32]) -> Result<(), Failure> {
        self.packed.mark_stale();
        self.last_forward = None;
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
        self.packed.mark_stale();
        self.last_forward = None;
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
        self.prepare(batch)?;
        let (lookups, masks) = (self.model.lookups(batch), self.spec.masks(None));
        let groups = Group::split(batch, GROUP_TOKENS);
        let mut logits = vec![0.0; batch.len()];
        let tasks = groups.iter().zip(by_pair(&mut logits, 1, &groups)).collect();
        self.pool.each(tasks, |(group, logits), scratch| {
            self.forward_group((batch, &lookups), group, &masks, &[], None, scratch, logits);
        });
        Ok(logits)
    }

    fn forward(&mut self, batch: &Packed, dropout: Option<Stream>) -> Result<Vec<f32>, Failure> {
        self.prepare(batch)?;
        let masks = self.spec.masks(dropout);
        let mut activations = std::mem::take(&mut self.activations);
        activations.resize(batch, &self.spec, self.recompute);
        let logits = self.forward_batch(batch, &masks, &mut activations);
        self.activations = activations;
        self.last_forward = Some((batch.clone(), masks));
        Ok(logits)
    }

    fn backward(&mut self, dlogits: &[f32]) -> Result<(), Failure> {
        let Some((batch, masks)) = self.last_forward.take() else {
            return Err(Failure::bug("a backward pass without a forward pass before it"));
        };
        if dlogits.len() != batch.len() {
            return Err(Failure::bug(format!("{} gradients for {} logits", dlogits.len(), batch.len())));
        }
        self.pack(Direction::Backward);
        let mut activations = std::mem::take(&mut self.activations);
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut gradients = std::mem::take(&mut self.gradients);
        buffers.resize(batch.tokens(), batch.len(), &self.spec.shape);
        if !batch.is_empty() {
            self.backward_batch(&batch, &masks, dlogits, &mut activations, &mut buffers, &mut gradients);
        }
        (self.activations, self.buffers, self.gradients) = (activations, buffers, gradients);
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<(), Failure> {
        weights::save(&*self.model, &self.parameters, &self.weights, folder)
    }

    fn kernels(&self) -> &'static str {
        self.level.name()
    }
}
