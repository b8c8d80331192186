//! What an explicit engine computes for a model: sizes, dropout rates, the attention of each layer.

use super::masks::{DropoutMasks, LayerMasks};
use super::shape::Shape;
use crate::arch::head::{Head, HeadPooling};
use crate::arch::post_norm::{PostNorm, Projection};
use crate::arch::pre_norm::{LayerAttention, PreNorm};
use crate::arch::{Architecture, EncoderForm};
use crate::layers::disentangled::Relative;
use crate::layers::dropout::{Mask, Site};
use xpipe_base::value::rng::Stream;

/// Dropout probabilities.
#[derive(Clone, Copy, Debug)]
struct DropoutRates {
    embeddings: f64,
    attention: f64,
    attention_output: f64,
    output: f64,
}

/// A model as an explicit engine sees it.
#[derive(Clone, Debug)]
pub(crate) struct EncoderSpec {
    pub shape: Shape,
    pub layers: usize,
    /// Of a pre-norm encoder: windows and rotary positions. Empty for a post-norm one.
    pub layer_attention: Vec<LayerAttention>,
    pub relative: Option<Relative>,
    pub head: Head,
    rates: DropoutRates,
}

impl EncoderSpec {
    /// Reads a model. `None` if no explicit engine runs it: because of a width that is no multiple of eight, a
    /// convolution, or a projection before the embeddings' norm.
    pub(crate) fn of(model: &dyn Architecture) -> Option<Self> {
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
    pub(crate) fn first_token_only(&self, layer: usize) -> bool {
        !self.is_pre_norm() && self.head.pooling == HeadPooling::First && layer + 1 == self.layers
    }

    /// Whether a norm stands before every sub-layer and after the last layer.
    pub(crate) fn is_pre_norm(&self) -> bool {
        !self.layer_attention.is_empty()
    }

    /// Rows of the table of relative positions; 0 without one.
    pub(crate) fn relative_rows(&self) -> usize {
        self.relative.map_or(0, |r| 2 * r.span)
    }

    /// The dropout of a batch with this stream.
    pub(crate) fn masks(&self, stream: Option<Stream>) -> DropoutMasks {
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
