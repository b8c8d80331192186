//! Encoders with a norm before every sub-layer: rotary positions, local windows, gated feed-forward networks, biases
//! only where the configuration asks for them. What differs between architectures is data here.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use serde_json::{Map, Value};

use super::head::Head;
use super::{Architecture, Declared, EncoderForm, Init, TensorRole};
use crate::Packed;
use crate::config::Fields;
use crate::layers::activation::Activation;
use crate::layers::dropout::Site;
use crate::layers::{EmbeddingRows, ForwardGraph};
use xpipe_base::task::Failure;

/// The names of an architecture and its tensors.
#[derive(Debug)]
pub struct PreNormNames {
    /// `model_type` of the configuration.
    pub kind: &'static str,
    /// The class of one-label models.
    pub class: &'static str,
    /// Prefix of the encoder's tensors.
    pub prefix: &'static str,
    /// Beginnings of the encoder's tensors after the prefix.
    pub inside: &'static [&'static str],
    /// Beginnings of tensors without use here.
    pub ignored: &'static [&'static str],
    /// Token embedding table.
    pub words: &'static str,
    /// Stem of the embeddings' norm.
    pub norm: &'static str,
    /// Stem of the norm after the last layer.
    pub final_norm: &'static str,
    /// Stem of the layers; `.{l}.` follows.
    pub layer: &'static str,
    /// Stems in a layer: attention's norm, its input and output projections, the feed-forward norm, its input and output
    /// projections.
    pub parts: [&'static str; 6],
}

/// The attention of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerAttention {
    /// How far a token sees; without it all tokens.
    pub window: Option<usize>,
    /// θ of the rotary positions.
    pub theta: f64,
}

/// The encoder and head that a configuration describes.
#[derive(Clone, Debug)]
pub struct PreNorm {
    /// PreNormNames of tensors.
    pub names: &'static PreNormNames,
    /// Rows of the token embedding table.
    pub vocabulary: usize,
    /// Width of the hidden states; an even multiple of `heads`.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward network behind its gate.
    pub intermediate: usize,
    /// Activation of the half that is not the gate.
    pub activation: Activation,
    /// Maximum length of a pair in tokens.
    pub limit: usize,
    /// The attention of each layer.
    pub layers: Vec<LayerAttention>,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether norms have β.
    pub norm_bias: bool,
    /// Whether attention's linear layers have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward network's linear layers have biases.
    pub mlp_bias: bool,
    /// Dropout of the embeddings.
    pub embedding_dropout: f64,
    /// Dropout of attention probabilities and of attention's output.
    pub attention_dropout: f64,
    /// Dropout inside the feed-forward network.
    pub mlp_dropout: f64,
    /// The ranking head.
    pub head: Head,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The configuration as it was read.
    pub config: Map<String, Value>,
}

impl PreNorm {
    /// Checks what every reader of a configuration must.
    ///
    /// # Errors
    /// When the width is not an even multiple of the heads, as rotary positions need.
    pub fn checked(self, fields: &Fields) -> Result<Self, Failure> {
        if self.hidden.is_multiple_of(2 * self.heads) {
            return Ok(self);
        }
        Err(Failure::wrong(format!(
            "{}: `hidden_size` {} is not an even multiple of `num_attention_heads` {}",
            fields.file(),
            self.hidden,
            self.heads
        )))
    }

    /// Stems of a layer's tensors, in the order of [`PreNormNames::parts`].
    pub fn parts(&self, l: usize) -> [String; 6] {
        self.names.parts.map(|part| format!("{}.{l}.{part}", self.names.layer))
    }
}

impl Architecture for PreNorm {
    fn name(&self) -> &'static str {
        self.names.kind
    }

    fn class(&self) -> &'static str {
        self.names.class
    }

    fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    fn form(&self) -> EncoderForm<'_> {
        EncoderForm::PreNorm(self)
    }

    fn under(&self, head: Head, config: Map<String, Value>) -> Arc<dyn Architecture> {
        Arc::new(Self { head, config, ..self.clone() })
    }

    fn declared(&self) -> Vec<Declared> {
        let (h, i) = (self.hidden, self.intermediate);
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            list.push(Declared { name, shape: shape.to_vec(), fresh: Init::Never });
        };
        add(self.names.words.into(), &[self.vocabulary, h]);
        let mut both = |name: &str, shape: &[usize], bias: bool| {
            add(format!("{name}.weight"), shape);
            if bias {
                add(format!("{name}.bias"), &shape[..1]);
            }
        };
        both(self.names.norm, &[h], self.norm_bias);
        for l in 0..self.layers.len() {
            let [norm1, qkv, output, norm2, up, down] = self.parts(l);
            if l > 0 {
                both(&norm1, &[h], self.norm_bias);
            }
            both(&qkv, &[3 * h, h], self.attention_bias);
            both(&output, &[h, h], self.attention_bias);
            both(&norm2, &[h], self.norm_bias);
            both(&up, &[2 * i, h], self.mlp_bias);
            both(&down, &[h, i], self.mlp_bias);
        }
        both(self.names.final_norm, &[h], self.norm_bias);
        let out = self.initializer_range / (2.0 * self.layers.len() as f64).sqrt();
        self.head.declare(h, [out, (h as f64).powf(-0.5)], &mut list);
        list
    }

    fn role(&self, name: &str) -> TensorRole {
        super::role(name, self.names.prefix, self.names.inside, self.names.ignored)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn position_limit(&self) -> usize {
        self.limit
    }

    fn check(&self, batch: &Packed) -> Result<(), Failure> {
        batch.check(self.vocabulary, None, self.limit)
    }

    fn lookups(&self, batch: &Packed) -> Vec<EmbeddingRows> {
        vec![EmbeddingRows { parameter: self.names.words, rows: batch.ids.clone() }]
    }

    fn logits(&self, g: &ForwardGraph<'_>, embedded: Tensor) -> CandleResult<Tensor> {
        let (h, i, e) = (self.hidden, self.intermediate, self.epsilon);
        let x = g.layer_norm(self.names.norm, &embedded, e)?;
        let mut x = g.dropout(&x, Site::Embeddings, self.embedding_dropout)?;
        for (l, layer) in self.layers.iter().enumerate() {
            g.keep(&x);
            let [norm1, qkv, output, norm2, up, down] = self.parts(l);
            let y = if l == 0 { x.clone() } else { g.layer_norm(&norm1, &x, e)? };
            let qkv = g.linear(&qkv, &y)?;
            let rotated =
                |part| g.rotate(&qkv.narrow(1, part * h, h)?.contiguous()?, self.heads, layer.theta);
            let (q, k, v) = (rotated(0)?, rotated(1)?, qkv.narrow(1, 2 * h, h)?);
            let (site, p) = (Site::Attention(l), self.attention_dropout);
            let context = g.attention(&q, &k, &v, self.heads, layer.window, site, p)?;
            let y = g.dropout(&g.linear(&output, &context)?, Site::AttentionOutput(l), p)?;
            x = (x + y)?;
            let z = g.linear(&up, &g.layer_norm(&norm2, &x, e)?)?;
            let z = (self.activation.apply(&z.narrow(1, 0, i)?.contiguous()?)? * z.narrow(1, i, i)?)?;
            let z = g.linear(&down, &g.dropout(&z, Site::Output(l), self.mlp_dropout)?)?;
            x = (x + z)?;
        }
        g.keep(&x);
        let x = g.layer_norm(self.names.final_norm, &x, e)?;
        self.head.logits(g, &x)
    }
}
