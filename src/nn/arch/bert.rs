//! BERT (and MiniLM, which is a small BERT): post-norm encoder, learned positions, pooler with tanh.
//!
//! **Source:** Devlin et al. 2019; transformers `modeling_bert.py`, `BertForSequenceClassification` with one label.

use std::sync::Arc;

use serde_json::json;

use super::head::{Dense, Head, HeadPooling};
use super::masked_lm::MaskedLmHead;
use super::post_norm::{PositionEmbeddings, PostNorm, PostNormNames, Projection, TokenTypeEmbeddings};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

/// Fields of older BERT files without an effect.
const HARMLESS: &[&str] = &[
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
];

/// Stems in BERT's layers, shared by related architectures.
pub(super) const PARTS: [&str; 8] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];

static NAMES: PostNormNames = PostNormNames {
    kind: "bert",
    class: "BertForSequenceClassification",
    prefix: "bert.",
    inside: &["embeddings.", "encoder.", "pooler."],
    ignored: &["cls.", "embeddings.position_ids"],
    words: "bert.embeddings.word_embeddings.weight",
    positions: "bert.embeddings.position_embeddings.weight",
    types: "bert.embeddings.token_type_embeddings.weight",
    norm: "bert.embeddings.LayerNorm",
    projection: "",
    layer: "bert.encoder.layer",
    parts: PARTS,
};

pub(super) const TOKENIZATION: Tokenization = Tokenization::new("BertTokenizer", TokenTypes::Used);

/// Reads a BERT configuration; defaults are those of `BertConfig`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("position_embedding_type", &[json!("absolute")])?;
    fields.only("pooler_type", &[json!("first_token_transform")])?;
    let hidden = fields.count("hidden_size", None)?;
    let hidden_dropout = fields.number("hidden_dropout_prob", 0.1, 0.0, 0.99)?;
    let rows = fields.count("max_position_embeddings", Some(512))?;
    let model = PostNorm {
        names: &NAMES,
        vocabulary: fields.count("vocab_size", None)?,
        width: hidden,
        hidden,
        layers: fields.count("num_hidden_layers", None)?,
        heads: fields.count("num_attention_heads", None)?,
        intermediate: fields.count("intermediate_size", None)?,
        activation: Activation::read(fields, "hidden_act", "gelu")?,
        positions: Some(PositionEmbeddings { rows, first: 0, skipped: None }),
        limit: rows,
        types: Some(TokenTypeEmbeddings { rows: fields.count("type_vocab_size", Some(2))?, used: true }),
        projection: Projection::None,
        epsilon: fields.number("layer_norm_eps", 1e-12, 0.0, 1.0)?,
        hidden_dropout,
        attention_dropout: fields.number("attention_probs_dropout_prob", 0.1, 0.0, 0.99)?,
        relative: None,
        convolution: None,
        head: Head {
            pooling: HeadPooling::First,
            pooled_dropout: 0.0,
            dense: Some(Dense { name: "bert.pooler.dense", bias: true, activation: Activation::Tanh }),
            norm: None,
            dropout: fields.optional_number("classifier_dropout", 0.0, 0.99)?.unwrap_or(hidden_dropout),
            classifier: "classifier",
            classifier_bias: true,
        },
        masked_lm: Some(MaskedLmHead {
            dense: "cls.predictions.transform.dense",
            activation: Activation::read(fields, "hidden_act", "gelu")?,
            norm: "cls.predictions.transform.LayerNorm",
            epsilon: fields.number("layer_norm_eps", 1e-12, 0.0, 1.0)?,
            decoder: "cls.predictions.decoder",
            bias: "cls.predictions.bias",
            tied: fields.flag("tie_word_embeddings", true)?.then_some(NAMES.words),
        }),
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(HARMLESS)?;
    Ok(Arc::new(model.checked(fields)?))
}

#[cfg(test)]
mod tests {
    use super::super::TensorRole;
    use super::*;

    const SMALL: &str = r#"{"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8 @}"#;

    fn bert(more: &str) -> Result<Arc<dyn Architecture>, Failure> {
        super::super::from_fields(&Fields::parse("config.json", SMALL.replace('@', more).as_bytes())?)
    }

    #[test]
    fn fields_that_change_the_result_are_refused_by_name() {
        bert("").unwrap();
        for (more, name) in [
            (r#", "hidden_act": "mish""#, "hidden_act"),
            (r#", "position_embedding_type": "relative_key""#, "position_embedding_type"),
            (r#", "is_decoder": true"#, "is_decoder"),
            (r#", "add_cross_attention": true"#, "add_cross_attention"),
            (r#", "num_attention_heads": 3"#, "num_attention_heads"),
            (r#", "hidden_dropout_prob": 1.5"#, "hidden_dropout_prob"),
            (r#", "embedding_size": 64"#, "embedding_size"),
            (r#", "vocab_size": "many""#, "vocab_size"),
        ] {
            let e = bert(more).unwrap_err();
            assert!(e.message.contains(&format!("`{name}`")), "{more}: {e}");
            assert_eq!(e.kind, xpipe_base::task::FailureKind::Wrong);
        }
    }

    #[test]
    fn old_and_short_names_become_regular() {
        let b = bert("").unwrap();
        let name = |n: &str| match b.role(n) {
            TensorRole::Parameter(n) => n,
            TensorRole::Ignored => "ignored".into(),
        };
        assert_eq!(
            name("encoder.layer.0.output.LayerNorm.gamma"),
            "bert.encoder.layer.0.output.LayerNorm.weight"
        );
        assert_eq!(name("bert.embeddings.LayerNorm.beta"), "bert.embeddings.LayerNorm.bias");
        assert_eq!(name("embeddings.position_ids"), "ignored");
        assert_eq!(name("bert.embeddings.position_ids"), "ignored");
        assert_eq!(name("cls.predictions.bias"), "ignored");
        assert_eq!(name("classifier.weight"), "classifier.weight");
        assert_eq!(name("qa_outputs.weight"), "qa_outputs.weight");
    }

    #[test]
    fn matrices_decay_and_vectors_do_not() {
        let list = super::super::layout(&bert("").unwrap().declared());
        for p in &list {
            let vector = p.name.ends_with(".bias") || p.name.contains("LayerNorm");
            assert_eq!(p.decays, !vector, "{}", p.name);
        }
        let end = list.last().map(|p| p.offset + p.len()).unwrap();
        assert_eq!(end, list.iter().map(Parameter::len).sum::<usize>());
    }

    use crate::Parameter;
}
