//! DeBERTa-v2 and -v3 (and mDeBERTa): BERT's layers with disentangled attention over relative positions.
//!
//! **Source:** He et al. 2021 (DeBERTa), 2023 (DeBERTaV3); transformers `modeling_deberta_v2.py`,
//! `DebertaV2ForSequenceClassification`.

use std::sync::Arc;

use serde_json::json;

use super::head::{Dense, Head, HeadPooling};
use super::post_norm::{
    Convolution, PositionEmbeddings, PostNorm, PostNormNames, Projection, TokenTypeEmbeddings,
};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use crate::layers::disentangled::Relative;
use xpipe_base::task::Failure;

/// Fields without an effect on re-rankers.
const HARMLESS: &[&str] = &["legacy", "pooler_size", "padding_idx", "conv_groups"];

static NAMES: PostNormNames = PostNormNames {
    kind: "deberta-v2",
    class: "DebertaV2ForSequenceClassification",
    prefix: "deberta.",
    inside: &["embeddings.", "encoder."],
    ignored: &["cls.", "lm_predictions.", "mask_predictions.", "lm_head.", "embeddings.position_ids"],
    words: "deberta.embeddings.word_embeddings.weight",
    positions: "deberta.embeddings.position_embeddings.weight",
    types: "deberta.embeddings.token_type_embeddings.weight",
    norm: "deberta.embeddings.LayerNorm",
    projection: "deberta.embeddings.embed_proj",
    layer: "deberta.encoder.layer",
    parts: [
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ],
};

pub(super) const TOKENIZATION: Tokenization = Tokenization::new("DebertaV2Tokenizer", TokenTypes::Used);

/// Reads a DeBERTa-v2 configuration; defaults are those of `DebertaV2Config`.
///
/// # Errors
/// PostNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    let hidden = fields.count("hidden_size", None)?;
    let heads = fields.count("num_attention_heads", None)?;
    let width = fields.count("embedding_size", Some(hidden))?;
    let limit = fields.count("max_position_embeddings", Some(512))?;
    let hidden_dropout = fields.number("hidden_dropout_prob", 0.1, 0.0, 0.99)?;
    fields.only("pooler_hidden_size", &[json!(hidden)])?;
    fields.only("attention_head_size", &[json!(hidden / heads)])?;
    let model = PostNorm {
        names: &NAMES,
        vocabulary: fields.count("vocab_size", None)?,
        width,
        hidden,
        layers: fields.count("num_hidden_layers", None)?,
        heads,
        intermediate: fields.count("intermediate_size", None)?,
        activation: Activation::read(fields, "hidden_act", "gelu")?,
        positions: fields.flag("position_biased_input", true)?.then_some(PositionEmbeddings {
            rows: limit,
            first: 0,
            skipped: None,
        }),
        limit,
        types: match fields.number("type_vocab_size", 0.0, 0.0, 1e9)? as usize {
            0 => None,
            rows => Some(TokenTypeEmbeddings { rows, used: true }),
        },
        projection: if width == hidden { Projection::None } else { Projection::BeforeNorm },
        epsilon: fields.number("layer_norm_eps", 1e-7, 0.0, 1.0)?,
        hidden_dropout,
        attention_dropout: fields.number("attention_probs_dropout_prob", 0.1, 0.0, 0.99)?,
        relative: Some(relative(fields, limit)?),
        convolution: convolution(fields)?,
        head: Head {
            pooling: HeadPooling::First,
            pooled_dropout: fields.number("pooler_dropout", 0.0, 0.0, 0.99)?,
            dense: Some(Dense {
                name: "pooler.dense",
                bias: true,
                activation: Activation::read(fields, "pooler_hidden_act", "gelu")?,
            }),
            norm: None,
            dropout: fields.optional_number("cls_dropout", 0.0, 0.99)?.unwrap_or(hidden_dropout),
            classifier: "classifier",
            classifier_bias: true,
        },
        masked_lm: None,
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(HARMLESS)?;
    Ok(Arc::new(model.checked(fields)?))
}

fn relative(fields: &Fields, limit: usize) -> Result<Relative, Failure> {
    let off = |name: &str, expected: &str| {
        let found = fields.map().get(name).map_or_else(|| "missing".to_owned(), ToString::to_string);
        Failure::wrong(format!("{}: `{name}` is {found}; expected {expected}", fields.file()))
            .help("this build has no implementation of other values")
    };
    if !fields.flag("relative_attention", false)? {
        return Err(off("relative_attention", "true"));
    }
    let mut kinds = fields.words("pos_att_type")?;
    kinds.sort();
    if kinds != ["c2p", "p2c"] {
        return Err(off("pos_att_type", "c2p and p2c"));
    }
    let normed = match &*fields.words("norm_rel_ebd")?.join("|") {
        "" | "none" => false,
        "layer_norm" => true,
        _ => return Err(off("norm_rel_ebd", "none or layer_norm")),
    };
    let whole = |name: &str| fields.number(name, -1.0, -1.0, 1e9).map(|n| n as i64);
    let farthest = match whole("max_relative_positions")? {
        n if n < 1 => limit,
        n => n as usize,
    };
    let buckets = usize::try_from(whole("position_buckets")?).ok().filter(|n| *n > 0);
    if buckets.is_some_and(|b| b < 4 || farthest <= b / 2 + 1) {
        return Err(off("position_buckets", "at least 4, and less than twice the farthest position"));
    }
    Ok(Relative {
        span: buckets.unwrap_or(farthest),
        buckets,
        farthest,
        shared: fields.flag("share_att_key", false)?,
        normed,
    })
}

fn convolution(fields: &Fields) -> Result<Option<Convolution>, Failure> {
    let kernel = fields.number("conv_kernel_size", 0.0, 0.0, 99.0)? as usize;
    let activation = Activation::read(fields, "conv_act", "tanh")?;
    if kernel == 0 {
        return Ok(None);
    }
    fields.only("conv_groups", &[json!(1)])?;
    if kernel.is_multiple_of(2) {
        return Err(Failure::wrong(format!(
            "{}: `conv_kernel_size` is {kernel}; expected an odd number",
            fields.file()
        )));
    }
    Ok(Some(Convolution { kernel, activation }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_change_the_result_are_refused_by_name() {
        let read = |more: &str| {
            let text = r#"{"model_type": "deberta-v2", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 8, "relative_attention": true,
                "pos_att_type": "p2c|c2p", "position_buckets": 8, "max_position_embeddings": 16 @}"#;
            super::super::from_fields(&Fields::parse("config.json", text.replace('@', more).as_bytes())?)
        };
        read("").unwrap();
        read(r#", "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3, "conv_act": "gelu""#).unwrap();
        for (more, name) in [
            (r#", "relative_attention": false"#, "relative_attention"),
            (r#", "pos_att_type": ["c2p"]"#, "pos_att_type"),
            (r#", "norm_rel_ebd": "batch""#, "norm_rel_ebd"),
            (r#", "conv_kernel_size": 4"#, "conv_kernel_size"),
            (r#", "conv_kernel_size": 3, "conv_groups": 2"#, "conv_groups"),
            (r#", "attention_head_size": 3"#, "attention_head_size"),
            (r#", "position_buckets": 64"#, "position_buckets"),
            (r#", "z_steps": 2"#, "z_steps"),
        ] {
            let e = read(more).unwrap_err();
            assert!(e.message.contains(&format!("`{name}`")), "{more}: {e}");
        }
    }
}
