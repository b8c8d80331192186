//! DistilBERT: BERT's layers without token types, and a head with ReLU.
//!
//! **Source:** Sanh et al. 2019; transformers `modeling_distilbert.py`, `DistilBertForSequenceClassification`.

use std::sync::Arc;

use serde_json::json;

use super::head::{Dense, Head, HeadPooling};
use super::masked_lm::MaskedLmHead;
use super::post_norm::{PositionEmbeddings, PostNorm, PostNormNames, Projection};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

static NAMES: PostNormNames = PostNormNames {
    kind: "distilbert",
    class: "DistilBertForSequenceClassification",
    prefix: "distilbert.",
    inside: &["embeddings.", "transformer."],
    ignored: &["vocab_", "embeddings.position_ids"],
    words: "distilbert.embeddings.word_embeddings.weight",
    positions: "distilbert.embeddings.position_embeddings.weight",
    types: "",
    norm: "distilbert.embeddings.LayerNorm",
    projection: "",
    layer: "distilbert.transformer.layer",
    parts: [
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ],
};

pub(super) const TOKENIZATION: Tokenization = Tokenization::new("DistilBertTokenizer", TokenTypes::None);

/// Reads a DistilBERT configuration; defaults are those of `DistilBertConfig`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    // Sinusoidal positions are a table in the checkpoint, but must not be trained.
    fields.only("sinusoidal_pos_embds", &[json!(false)])?;
    let hidden = fields.count("dim", None)?;
    let rows = fields.count("max_position_embeddings", Some(512))?;
    let model = PostNorm {
        names: &NAMES,
        vocabulary: fields.count("vocab_size", None)?,
        width: hidden,
        hidden,
        layers: fields.count("n_layers", None)?,
        heads: fields.count("n_heads", None)?,
        intermediate: fields.count("hidden_dim", None)?,
        activation: Activation::read(fields, "activation", "gelu")?,
        positions: Some(PositionEmbeddings { rows, first: 0, skipped: None }),
        limit: rows,
        types: None,
        projection: Projection::None,
        epsilon: 1e-12,
        hidden_dropout: fields.number("dropout", 0.1, 0.0, 0.99)?,
        attention_dropout: fields.number("attention_dropout", 0.1, 0.0, 0.99)?,
        relative: None,
        convolution: None,
        head: Head {
            pooling: HeadPooling::First,
            pooled_dropout: 0.0,
            dense: Some(Dense { name: "pre_classifier", bias: true, activation: Activation::Relu }),
            norm: None,
            dropout: fields.number("seq_classif_dropout", 0.2, 0.0, 0.99)?,
            classifier: "classifier",
            classifier_bias: true,
        },
        masked_lm: Some(MaskedLmHead {
            dense: "vocab_transform",
            activation: Activation::read(fields, "activation", "gelu")?,
            norm: "vocab_layer_norm",
            epsilon: 1e-12,
            decoder: "vocab_projector",
            bias: "vocab_projector.bias",
            tied: fields.flag("tie_word_embeddings", true)?.then_some(NAMES.words),
        }),
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(&["qa_dropout", "tie_weights_"])?;
    Ok(Arc::new(model.checked(fields)?))
}
