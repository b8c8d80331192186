//! ELECTRA's discriminator: BERT's layers, projected embeddings if those are narrower, and a head with GELU.
//!
//! **Source:** Clark et al. 2020; transformers `modeling_electra.py`, `ElectraForSequenceClassification`.

use std::sync::Arc;

use serde_json::json;

use super::bert::PARTS;
use super::head::{Dense, Head, HeadPooling};
use super::post_norm::{PositionEmbeddings, PostNorm, PostNormNames, Projection, TokenTypeEmbeddings};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

/// Fields of `ElectraSequenceSummary`, which other heads use.
const HARMLESS: &[&str] =
    &["summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj", "generator_size"];

static NAMES: PostNormNames = PostNormNames {
    kind: "electra",
    class: "ElectraForSequenceClassification",
    prefix: "electra.",
    inside: &["embeddings.", "embeddings_project.", "encoder."],
    ignored: &["discriminator_predictions.", "generator_", "embeddings.position_ids"],
    words: "electra.embeddings.word_embeddings.weight",
    positions: "electra.embeddings.position_embeddings.weight",
    types: "electra.embeddings.token_type_embeddings.weight",
    norm: "electra.embeddings.LayerNorm",
    projection: "electra.embeddings_project",
    layer: "electra.encoder.layer",
    parts: PARTS,
};

pub(super) const TOKENIZATION: Tokenization = Tokenization::new("ElectraTokenizer", TokenTypes::Used);

/// Reads an ELECTRA configuration; defaults are those of `ElectraConfig`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("position_embedding_type", &[json!("absolute")])?;
    let hidden = fields.count("hidden_size", None)?;
    let width = fields.count("embedding_size", Some(128))?;
    let hidden_dropout = fields.number("hidden_dropout_prob", 0.1, 0.0, 0.99)?;
    let dropout = fields.optional_number("classifier_dropout", 0.0, 0.99)?.unwrap_or(hidden_dropout);
    let rows = fields.count("max_position_embeddings", Some(512))?;
    let model = PostNorm {
        names: &NAMES,
        vocabulary: fields.count("vocab_size", None)?,
        width,
        hidden,
        layers: fields.count("num_hidden_layers", None)?,
        heads: fields.count("num_attention_heads", None)?,
        intermediate: fields.count("intermediate_size", None)?,
        activation: Activation::read(fields, "hidden_act", "gelu")?,
        positions: Some(PositionEmbeddings { rows, first: 0, skipped: None }),
        limit: rows,
        types: Some(TokenTypeEmbeddings { rows: fields.count("type_vocab_size", Some(2))?, used: true }),
        projection: if width == hidden { Projection::None } else { Projection::AfterNorm },
        epsilon: fields.number("layer_norm_eps", 1e-12, 0.0, 1.0)?,
        hidden_dropout,
        attention_dropout: fields.number("attention_probs_dropout_prob", 0.1, 0.0, 0.99)?,
        relative: None,
        convolution: None,
        head: Head {
            pooling: HeadPooling::First,
            pooled_dropout: dropout,
            dense: Some(Dense { name: "classifier.dense", bias: true, activation: Activation::Gelu }),
            norm: None,
            dropout,
            classifier: "classifier.out_proj",
            classifier_bias: true,
        },
        masked_lm: None,
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(HARMLESS)?;
    Ok(Arc::new(model.checked(fields)?))
}
