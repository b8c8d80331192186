//! What the engine computes for a model: sizes, dropout rates, the attention of each layer.

use super::dropout::{DropoutMasks, LayerMasks};
use super::gemm::dispatch::Level;
use super::shape::Shape;
use crate::arch::head::{Head, HeadPooling};
use crate::arch::post_norm::{PostNorm, Projection};
use crate::arch::pre_norm::{LayerAttention, PreNorm};
use crate::arch::{Architecture, EncoderForm};
use crate::layers::disentangled::Relative;
use crate::layers::dropout::{Mask, Site};
use crate::layers::rotary;
use xpipe_base::value::rng::Stream;

/// Dropout probabilities.
#[derive(Clone, Copy, Debug)]
struct DropoutRates {
    embeddings: f64,
    attention: f64,
    attention_output: f64,
    output: f64,
}

/// A model as the engine sees it.
#[derive(Clone, Debug)]
pub(super) struct EncoderSpec {
    pub shape: Shape,
    pub layers: usize,
    /// Of a pre-norm encoder: windows and rotary positions. Empty for a post-norm one.
    pub layer_attention: Vec<LayerAttention>,
    pub relative: Option<Relative>,
    pub head: Head,
    rates: DropoutRates,
}

impl EncoderSpec {
    /// Reads a model. `None` if the engine does not run it: because of a width that is no multiple of eight, a
    /// convolution, or a projection before the embeddings' norm.
    pub(super) fn of(model: &dyn Architecture) -> Option<Self> {
        let spec = match model.form() {
            EncoderForm::PostNorm(m) => Self::post_norm(m)?,
            EncoderForm::PreNorm(m) => Self::pre_norm(m),
        };
        let Shape { embedding_width, hidden, intermediate, .. } = spec.shape;
        [embedding_width, hidden, intermediate].iter().all(|n| n.is_multiple_of(8)).then_some(spec)
    }

    fn post_norm(m: &PostNorm) -> Option<Self> {
        if m.convolution.is_some() || m.projection == Projection::BeforeNorm {
            return None;
        }
        Some(Self {
            shape: Shape {
                level: Level::detect(),
                embedding_width: m.width,
                hidden: m.hidden,
                heads: m.heads,
                intermediate: m.intermediate,
                gated: false,
                epsilon: m.epsilon as f32,
                activation: m.activation,
            },
            layers: m.layers,
            layer_attention: Vec::new(),
            relative: m.relative,
            head: m.head,
            rates: DropoutRates {
                embeddings: m.hidden_dropout,
                attention: m.attention_dropout,
                attention_output: m.hidden_dropout,
                output: m.hidden_dropout,
            },
        })
    }

    fn pre_norm(m: &PreNorm) -> Self {
        Self {
            shape: Shape {
                level: Level::detect(),
                embedding_width: m.hidden,
                hidden: m.hidden,
                heads: m.heads,
                intermediate: m.intermediate,
                gated: true,
                epsilon: m.epsilon as f32,
                activation: m.activation,
            },
            layers: m.layers.len(),
            layer_attention: m.layers.clone(),
            relative: None,
            head: m.head,
            rates: DropoutRates {
                embeddings: m.embedding_dropout,
                attention: m.attention_dropout,
                attention_output: m.attention_dropout,
                output: m.mlp_dropout,
            },
        }
    }

    /// Whether a layer computes first tokens only: the last layer of a post-norm encoder whose head reads no other.
    pub(super) fn first_token_only(&self, layer: usize) -> bool {
        !self.is_pre_norm() && self.head.pooling == HeadPooling::First && layer + 1 == self.layers
    }

    /// Whether a norm stands before every sub-layer and after the last layer.
    pub(super) fn is_pre_norm(&self) -> bool {
        !self.layer_attention.is_empty()
    }

    /// Rows of the table of relative positions; 0 without one.
    pub(super) fn relative_rows(&self) -> usize {
        self.relative.map_or(0, |r| 2 * r.span)
    }

    /// The dropout of a batch with this stream.
    pub(super) fn masks(&self, stream: Option<Stream>) -> DropoutMasks {
        let mask = |site, p: f64| stream.filter(|_| p > 0.0).map(|s| Mask::new(&s, site, p));
        let layer = |l: usize| LayerMasks {
            attention: mask(Site::Attention(l), self.rates.attention),
            attention_output: mask(Site::AttentionOutput(l), self.rates.attention_output),
            output: mask(Site::Output(l), self.rates.output),
        };
        // Relative positions are dropped as other hidden states are.
        let relative = |l| mask(Site::Relative(l), self.rates.output);
        DropoutMasks {
            embeddings: mask(Site::Embeddings, self.rates.embeddings),
            pooled: mask(Site::Pooled, self.head.pooled_dropout),
            classifier: mask(Site::Classifier, self.head.dropout),
            layers: (0..self.layers).map(layer).collect(),
            relative: self.relative.iter().flat_map(|_| (0..self.layers).map(relative)).collect(),
        }
    }
}

/// Rotary angles for each θ of a model.
#[derive(Debug, Default)]
pub(super) struct RotaryTables {
    /// Positions that the tables cover.
    positions: usize,
    /// θ, cosines and sines `[positions, head size / 2]`.
    tables: Vec<(f64, Vec<f32>, Vec<f32>)>,
}

impl RotaryTables {
    /// Covers pairs of up to `length` tokens.
    pub(super) fn cover(&mut self, length: usize, spec: &EncoderSpec) {
        if length <= self.positions {
            return;
        }
        self.positions = length.next_power_of_two();
        self.tables.clear();
        for layer in &spec.layer_attention {
            if !self.tables.iter().any(|t| t.0 == layer.theta) {
                let (cos, sin) = rotary::angles(0..self.positions, spec.shape.head_size(), layer.theta);
                self.tables.push((layer.theta, cos, sin));
            }
        }
    }

    /// Cosines and sines for a θ.
    pub(super) fn of(&self, theta: f64) -> (&[f32], &[f32]) {
        self.tables.iter().find(|t| t.0 == theta).map_or((&[], &[]), |t| (&t.1, &t.2))
    }
}
