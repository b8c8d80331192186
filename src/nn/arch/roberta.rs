//! RoBERTa and XLM-RoBERTa: BERT's layers, positions that begin after the padding's row, token type 0 throughout, and a
//! head with dropout of its input.
//!
//! **Source:** Liu et al. 2019, Conneau et al. 2020; transformers `modeling_roberta.py` and `modeling_xlm_roberta.py`,
//! `RobertaForSequenceClassification`.

use std::sync::Arc;

use serde_json::json;

use super::bert::PARTS;
use super::head::{Dense, Head, HeadPooling};
use super::post_norm::{PositionEmbeddings, PostNorm, PostNormNames, Projection, TokenTypeEmbeddings};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

static ROBERTA: PostNormNames =
    PostNormNames { kind: "roberta", class: "RobertaForSequenceClassification", ..BASE };
static XLM_ROBERTA: PostNormNames =
    PostNormNames { kind: "xlm-roberta", class: "XLMRobertaForSequenceClassification", ..BASE };

const BASE: PostNormNames = PostNormNames {
    kind: "",
    class: "",
    prefix: "roberta.",
    inside: &["embeddings.", "encoder."],
    ignored: &["lm_head.", "pooler.", "embeddings.position_ids"],
    words: "roberta.embeddings.word_embeddings.weight",
    positions: "roberta.embeddings.position_embeddings.weight",
    types: "roberta.embeddings.token_type_embeddings.weight",
    norm: "roberta.embeddings.LayerNorm",
    projection: "",
    layer: "roberta.encoder.layer",
    parts: PARTS,
};

pub(super) const TOKENIZATION: Tokenization = Tokenization::new("RobertaTokenizer", TokenTypes::Zero);
pub(super) const XLM_TOKENIZATION: Tokenization = Tokenization::new("XLMRobertaTokenizer", TokenTypes::Zero);

/// Reads a RoBERTa configuration; defaults are those of `RobertaConfig`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    read_as(fields, &ROBERTA)
}

/// Reads an XLM-RoBERTa configuration; defaults are those of `XLMRobertaConfig`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read_xlm(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    read_as(fields, &XLM_ROBERTA)
}

fn read_as(fields: &Fields, names: &'static PostNormNames) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("position_embedding_type", &[json!("absolute")])?;
    let hidden = fields.count("hidden_size", None)?;
    let hidden_dropout = fields.number("hidden_dropout_prob", 0.1, 0.0, 0.99)?;
    let dropout = fields.optional_number("classifier_dropout", 0.0, 0.99)?.unwrap_or(hidden_dropout);
    let padding = fields.number("pad_token_id", 1.0, 0.0, 1e9)? as usize;
    let rows = fields.count("max_position_embeddings", Some(512))?;
    let Some(limit) = rows.checked_sub(padding + 1).filter(|n| *n > 0) else {
        return Err(Failure::wrong(format!(
            "{}: `max_position_embeddings` {rows} leaves no position after `pad_token_id` {padding}",
            fields.file()
        )));
    };
    let model = PostNorm {
        names,
        vocabulary: fields.count("vocab_size", None)?,
        width: hidden,
        hidden,
        layers: fields.count("num_hidden_layers", None)?,
        heads: fields.count("num_attention_heads", None)?,
        intermediate: fields.count("intermediate_size", None)?,
        activation: Activation::read(fields, "hidden_act", "gelu")?,
        positions: Some(PositionEmbeddings { rows, first: padding + 1, skipped: Some(padding as u32) }),
        limit,
        types: Some(TokenTypeEmbeddings { rows: fields.count("type_vocab_size", Some(2))?, used: false }),
        projection: Projection::None,
        epsilon: fields.number("layer_norm_eps", 1e-12, 0.0, 1.0)?,
        hidden_dropout,
        attention_dropout: fields.number("attention_probs_dropout_prob", 0.1, 0.0, 0.99)?,
        relative: None,
        convolution: None,
        head: Head {
            pooling: HeadPooling::First,
            pooled_dropout: dropout,
            dense: Some(Dense { name: "classifier.dense", bias: true, activation: Activation::Tanh }),
            norm: None,
            dropout,
            classifier: "classifier.out_proj",
            classifier_bias: true,
        },
        masked_lm: None,
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(&[])?;
    Ok(Arc::new(model.checked(fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Packed;

    #[test]
    fn positions_begin_after_the_padding_which_does_not_count() {
        let text = br#"{"model_type": "xlm-roberta", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 7, "type_vocab_size": 1}"#;
        let model = super::super::from_fields(&Fields::parse("config.json", text).unwrap()).unwrap();
        assert_eq!((model.name(), model.position_limit()), ("xlm-roberta", 5));
        let mut batch = Packed::new();
        batch.push(&[0, 5, 1, 6, 2], &[0, 0, 0, 1, 1]);
        batch.push(&[0, 2], &[0, 0]);
        model.check(&batch).unwrap();
        let lookups = model.lookups(&batch);
        assert_eq!(lookups[1].rows, [0; 7]);
        assert_eq!(lookups[2].rows, [2, 3, 1, 4, 5, 2, 3]);
        batch.push(&[3; 6], &[0; 6]);
        assert!(model.check(&batch).is_err());
    }
}
