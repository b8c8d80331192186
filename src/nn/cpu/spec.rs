//! What the engine computes for a model: sizes, rates of dropout, each layer's sight.

use super::lanes::Level;
use super::layer::{Masks, Shape};
use crate::arch::head::{Head, Pooling};
use crate::arch::modernbert::Sight;
use crate::arch::post_norm::Projection;
use crate::arch::{Architecture, Form};
use crate::layers::disentangled::Relative;
use crate::layers::dropout::{Mask, Site};
use crate::layers::rotary;
use xpipe_base::value::rng::Stream;

/// Probabilities of dropout.
#[derive(Clone, Copy, Debug)]
struct Rates {
    embeddings: f64,
    attention: f64,
    attention_output: f64,
    output: f64,
}

/// A model as the engine sees it.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub shape: Shape,
    pub layers: usize,
    /// Of a pre-norm encoder: windows and rotary positions; empty for a post-norm one.
    pub sights: Vec<Sight>,
    pub relative: Option<Relative>,
    pub head: Head,
    rates: Rates,
}

/// The factors of one batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropout {
    pub embeddings: Option<Mask>,
    pub pooled: Option<Mask>,
    pub classifier: Option<Mask>,
    pub layers: Vec<Masks>,
    /// By layer: of the table of relative positions.
    pub relative: Vec<Option<Mask>>,
}

impl Spec {
    /// Reads a model; `None` when the engine does not run it: a width that is not a multiple of eight, a convolution,
    /// or a projection before the embeddings' norm.
    pub(super) fn of(model: &dyn Architecture) -> Option<Self> {
        let level = Level::detect();
        let spec = match model.form() {
            Form::PostNorm(m) => {
                if m.convolution.is_some() || m.projection == Projection::BeforeNorm {
                    return None;
                }
                Self {
                    shape: Shape {
                        level,
                        width: m.width,
                        hidden: m.hidden,
                        heads: m.heads,
                        inner: m.intermediate,
                        gated: false,
                        epsilon: m.epsilon as f32,
                        activation: m.activation,
                    },
                    layers: m.layers,
                    sights: Vec::new(),
                    relative: m.relative,
                    head: m.head,
                    rates: Rates {
                        embeddings: m.hidden_dropout,
                        attention: m.attention_dropout,
                        attention_output: m.hidden_dropout,
                        output: m.hidden_dropout,
                    },
                }
            }
            Form::PreNorm(m) => Self {
                shape: Shape {
                    level,
                    width: m.hidden,
                    hidden: m.hidden,
                    heads: m.heads,
                    inner: m.intermediate,
                    gated: true,
                    epsilon: m.epsilon as f32,
                    activation: m.activation,
                },
                layers: m.layers.len(),
                sights: m.layers.clone(),
                relative: None,
                head: m.head,
                rates: Rates {
                    embeddings: m.embedding_dropout,
                    attention: m.attention_dropout,
                    attention_output: m.attention_dropout,
                    output: m.mlp_dropout,
                },
            },
        };
        let Shape { width, hidden, inner, .. } = spec.shape;
        [width, hidden, inner].iter().all(|n| n.is_multiple_of(8)).then_some(spec)
    }

    /// Whether only first tokens leave a layer: the last one of a post-norm encoder whose head reads no other.
    pub(super) fn first_only(&self, layer: usize) -> bool {
        !self.pre_norm() && self.head.pooling == Pooling::First && layer + 1 == self.layers
    }

    /// Whether a norm stands before every sub-layer and after the last.
    pub(super) fn pre_norm(&self) -> bool {
        !self.sights.is_empty()
    }

    /// The factors of a batch with this stream.
    pub(super) fn dropout(&self, stream: Option<Stream>) -> Dropout {
        let mask = |site, p: f64| stream.filter(|_| p > 0.0).map(|s| Mask::new(&s, site, p));
        let layer = |l: usize| Masks {
            attention: mask(Site::Attention(l), self.rates.attention),
            attention_output: mask(Site::AttentionOutput(l), self.rates.attention_output),
            output: mask(Site::Output(l), self.rates.output),
        };
        // Relative positions are dropped as other hidden states are.
        let relative = |l| mask(Site::Relative(l), self.rates.output);
        Dropout {
            embeddings: mask(Site::Embeddings, self.rates.embeddings),
            pooled: mask(Site::Pooled, self.head.pooled_dropout),
            classifier: mask(Site::Classifier, self.head.dropout),
            layers: (0..self.layers).map(layer).collect(),
            relative: self.relative.iter().flat_map(|_| (0..self.layers).map(relative)).collect(),
        }
    }
}

/// Rotary angles for each different θ, for as many places as the longest pair had.
#[derive(Debug, Default)]
pub(super) struct Angles {
    places: usize,
    tables: Vec<(f64, Vec<f32>, Vec<f32>)>,
}

impl Angles {
    /// Makes the angles of pairs of up to `places` tokens, if they are not there.
    pub(super) fn reach(&mut self, places: usize, spec: &Spec) {
        if places <= self.places {
            return;
        }
        self.places = places.next_power_of_two();
        self.tables.clear();
        for sight in &spec.sights {
            if !self.tables.iter().any(|t| t.0 == sight.theta) {
                let size = spec.shape.hidden / spec.shape.heads;
                let (cos, sin) = rotary::angles(0..self.places, size, sight.theta);
                self.tables.push((sight.theta, cos, sin));
            }
        }
    }

    /// cos and sin for a θ.
    pub(super) fn of(&self, theta: f64) -> (&[f32], &[f32]) {
        self.tables.iter().find(|t| t.0 == theta).map_or((&[], &[]), |t| (&t.1, &t.2))
    }
}
