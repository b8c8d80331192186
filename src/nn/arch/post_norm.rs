//! Encoders with a norm after every sub-layer: BERT and its relatives. What differs between architectures is data here:
//! names, positions, token types, a projection of the embeddings, relative attention, the head.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use serde_json::{Map, Value};

use super::head::Head;
use super::masked_lm::MaskedLmHead;
use super::{Architecture, Declared, EncoderForm, Init, TensorRole};
use crate::Packed;
use crate::config::Fields;
use crate::layers::activation::Activation;
use crate::layers::disentangled::Relative;
use crate::layers::dropout::Site;
use crate::layers::{EmbeddingRows, ForwardGraph};
use xpipe_base::task::Failure;

/// The names of an architecture and its tensors.
#[derive(Debug)]
pub struct PostNormNames {
    /// `model_type` of the configuration.
    pub kind: &'static str,
    /// The class of one-label models.
    pub class: &'static str,
    /// Prefix of the encoder's tensors, with its dot.
    pub prefix: &'static str,
    /// Beginnings of the encoder's tensors after the prefix.
    pub inside: &'static [&'static str],
    /// Beginnings of unused tensors, with or without the prefix.
    pub ignored: &'static [&'static str],
    /// Token embedding table.
    pub words: &'static str,
    /// Position embedding table.
    pub positions: &'static str,
    /// Token type embedding table.
    pub types: &'static str,
    /// Stem of the embeddings' norm.
    pub norm: &'static str,
    /// Stem of the embeddings' projection.
    pub projection: &'static str,
    /// Stem of the layers; `.{l}.` follows.
    pub layer: &'static str,
    /// Stems in a layer: query, key, value, output, norm after attention, up, down, norm after the feed-forward part.
    pub parts: [&'static str; 8],
}

/// Learned positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionEmbeddings {
    /// Rows of the table.
    pub rows: usize,
    /// Row of the first token.
    pub first: usize,
    /// A token id that takes the row before `first` and is not counted (RoBERTa's padding).
    pub skipped: Option<u32>,
}

/// Token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTypeEmbeddings {
    /// Rows of the table.
    pub rows: usize,
    /// Whether the tokenizer's types are used; otherwise all tokens take row 0.
    pub used: bool,
}

/// A projection of the embeddings to the hidden width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// None: embeddings are as wide as hidden states.
    None,
    /// Without bias, before the norm.
    BeforeNorm,
    /// With bias, after norm and dropout.
    AfterNorm,
}

/// A convolution over the embeddings, added after the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Kernel size in tokens; odd.
    pub kernel: usize,
    /// Activation of its output.
    pub activation: Activation,
}

/// The encoder and head that a configuration describes.
#[derive(Clone, Debug)]
pub struct PostNorm {
    /// PostNormNames of tensors.
    pub names: &'static PostNormNames,
    /// Rows of the token embedding table.
    pub vocabulary: usize,
    /// Width of the embeddings.
    pub width: usize,
    /// Width of the hidden states; a multiple of `heads`.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward network.
    pub intermediate: usize,
    /// Activation of the feed-forward network.
    pub activation: Activation,
    /// Learned positions.
    pub positions: Option<PositionEmbeddings>,
    /// Maximum tokens of a pair.
    pub limit: usize,
    /// Token types.
    pub types: Option<TokenTypeEmbeddings>,
    /// Projection of the embeddings.
    pub projection: Projection,
    /// ε of layer norm.
    pub epsilon: f64,
    /// Dropout of embeddings, of both sub-layers' outputs, and of relative positions.
    pub hidden_dropout: f64,
    /// Dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Relative attention.
    pub relative: Option<Relative>,
    /// Convolution.
    pub convolution: Option<Convolution>,
    /// The ranking head.
    pub head: Head,
    /// The head of its masked language model.
    pub masked_lm: Option<MaskedLmHead>,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The configuration as it was read.
    pub config: Map<String, Value>,
}

impl PostNorm {
    /// Checks what every reader of a configuration must.
    ///
    /// # Errors
    /// When the width is not a multiple of the heads.
    pub fn checked(self, fields: &Fields) -> Result<Self, Failure> {
        if self.hidden.is_multiple_of(self.heads) {
            return Ok(self);
        }
        Err(Failure::wrong(format!(
            "{}: the hidden width {} is not a multiple of the number of attention heads {} (`num_attention_heads`)",
            fields.file(),
            self.hidden,
            self.heads
        )))
    }

    /// The stem of a layer's part, by its index in [`PostNormNames::parts`].
    pub fn part(&self, l: usize, part: usize) -> String {
        format!("{}.{l}.{}", self.names.layer, self.names.parts[part])
    }

    fn convolved(
        &self,
        g: &ForwardGraph<'_>,
        c: &Convolution,
        embedded: &Tensor,
        x: &Tensor,
    ) -> CandleResult<Tensor> {
        let stem = format!("{}encoder.conv", self.names.prefix);
        let y = g.convolution(&format!("{stem}.conv"), embedded, c.kernel)?;
        let y = c.activation.apply(&g.dropout(&y, Site::Convolution, self.hidden_dropout)?)?;
        g.layer_norm(&format!("{stem}.LayerNorm"), &(x + y)?, self.epsilon)
    }
}

impl Architecture for PostNorm {
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
        EncoderForm::PostNorm(self)
    }

    fn declared(&self) -> Vec<Declared> {
        let (names, h, i) = (self.names, self.hidden, self.intermediate);
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            list.push(Declared { name, shape: shape.to_vec(), fresh: Init::Never });
        };
        add(names.words.into(), &[self.vocabulary, self.width]);
        if let Some(p) = self.positions {
            add(names.positions.into(), &[p.rows, self.width]);
        }
        if let Some(t) = self.types {
            add(names.types.into(), &[t.rows, self.width]);
        }
        let mut both = |name: &str, weight: &[usize]| {
            add(format!("{name}.weight"), weight);
            add(format!("{name}.bias"), &weight[..1]);
        };
        let before = self.projection == Projection::BeforeNorm;
        both(names.norm, &[if before { h } else { self.width }]);
        if self.projection == Projection::AfterNorm {
            both(names.projection, &[h, self.width]);
        }
        for l in 0..self.layers {
            let shapes: [&[usize]; 8] = [&[h, h], &[h, h], &[h, h], &[h, h], &[h], &[i, h], &[h, i], &[h]];
            for (part, shape) in shapes.iter().enumerate() {
                both(&self.part(l, part), shape);
            }
            if let Some(r) = self.relative.filter(|r| !r.shared) {
                r.own(&self.part(l, 0)).iter().for_each(|name| both(name, &[h, h]));
            }
        }
        let encoder = format!("{}encoder", names.prefix);
        if self.relative.is_some_and(|r| r.normed) {
            both(&format!("{encoder}.LayerNorm"), &[h]);
        }
        if let Some(c) = self.convolution {
            both(&format!("{encoder}.conv.LayerNorm"), &[h]);
            add(format!("{encoder}.conv.conv.weight"), &[h, h, c.kernel]);
            add(format!("{encoder}.conv.conv.bias"), &[h]);
        }
        if let Some(r) = self.relative {
            add(format!("{encoder}.rel_embeddings.weight"), &[2 * r.span, h]);
        }
        if before {
            add(format!("{}.weight", names.projection), &[h, self.width]);
        }
        self.head.declare(h, [self.initializer_range; 2], &mut list);
        list
    }

    fn role(&self, name: &str) -> TensorRole {
        // A pooler that the head does not use.
        let inner = name.strip_prefix(self.names.prefix).unwrap_or(name);
        if inner.starts_with("pooler.") && self.head.dense.is_none_or(|d| !d.name.contains("pooler.")) {
            return TensorRole::Ignored;
        }
        super::role(name, self.names.prefix, self.names.inside, self.names.ignored)
    }

    fn under(&self, head: Head, config: Map<String, Value>) -> Arc<dyn Architecture> {
        Arc::new(Self { head, config, masked_lm: None, ..self.clone() })
    }

    fn masked_lm(&self) -> Option<&MaskedLmHead> {
        self.masked_lm.as_ref()
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn position_limit(&self) -> usize {
        self.limit
    }

    fn check(&self, batch: &Packed) -> Result<(), Failure> {
        batch.check(self.vocabulary, self.types.filter(|t| t.used).map(|t| t.rows), self.limit)
    }

    fn lookups(&self, batch: &Packed) -> Vec<EmbeddingRows> {
        let mut list = vec![EmbeddingRows { parameter: self.names.words, rows: batch.ids.clone() }];
        if let Some(t) = self.types {
            let rows = if t.used { batch.types.clone() } else { vec![0; batch.tokens()] };
            list.push(EmbeddingRows { parameter: self.names.types, rows });
        }
        if let Some(p) = self.positions {
            let mut rows = Vec::with_capacity(batch.tokens());
            for i in 0..batch.len() {
                let mut next = p.first as u32;
                for id in &batch.ids[batch.pair(i)] {
                    let skipped = p.skipped == Some(*id);
                    rows.push(if skipped { p.first as u32 - 1 } else { next });
                    next += u32::from(!skipped);
                }
            }
            list.push(EmbeddingRows { parameter: self.names.positions, rows });
        }
        list
    }

    fn logits(&self, g: &ForwardGraph<'_>, embedded: Tensor) -> CandleResult<Tensor> {
        let names = self.names;
        let x = match self.projection {
            Projection::BeforeNorm => g.linear(names.projection, &embedded)?,
            _ => embedded,
        };
        let x = g.layer_norm(names.norm, &x, self.epsilon)?;
        let mut x = g.dropout(&x, Site::Embeddings, self.hidden_dropout)?;
        if self.projection == Projection::AfterNorm {
            x = g.linear(names.projection, &x)?;
        }
        g.keep(&x);
        let first = x.clone();
        let encoder = format!("{}encoder", names.prefix);
        let table = match self.relative {
            Some(r) => {
                let table = g.parameter(&format!("{encoder}.rel_embeddings.weight"))?;
                let norm = format!("{encoder}.LayerNorm");
                Some((r, if r.normed { g.layer_norm(&norm, table, self.epsilon)? } else { table.clone() }))
            }
            None => None,
        };
        for l in 0..self.layers {
            let linear = |part: usize, x: &Tensor| g.linear(&self.part(l, part), x);
            let (q, k, v) = (linear(0, &x)?, linear(1, &x)?, linear(2, &x)?);
            let (site, p) = (Site::Attention(l), self.attention_dropout);
            let context = match &table {
                None => g.attention(&q, &k, &v, self.heads, None, site, p)?,
                Some((r, table)) => {
                    let table = g.table_dropout(table, Site::Relative(l), self.hidden_dropout)?;
                    let own = r.own(&self.part(l, 0));
                    let stem = |i: usize| if r.shared { self.part(l, 1 - i) } else { own[i].clone() };
                    let (keys, queries) = (g.linear(&stem(0), &table)?, g.linear(&stem(1), &table)?);
                    g.disentangled(r, [&q, &k, &v], [&keys, &queries], self.heads, site, p)?
                }
            };
            let y = g.dropout(&linear(3, &context)?, Site::AttentionOutput(l), self.hidden_dropout)?;
            let y = g.layer_norm(&self.part(l, 4), &(y + &x)?, self.epsilon)?;
            let z = linear(6, &self.activation.apply(&linear(5, &y)?)?)?;
            let z = g.dropout(&z, Site::Output(l), self.hidden_dropout)?;
            x = g.layer_norm(&self.part(l, 7), &(z + &y)?, self.epsilon)?;
            if let Some(c) = self.convolution.as_ref().filter(|_| l == 0) {
                x = self.convolved(g, c, &first, &x)?;
            }
            g.keep(&x);
        }
        self.head.logits(g, &x)
    }
}
