//! ModernBERT and Ettin: names of tensors, and the configuration with its older and newer fields for local and global
//! layers.
//!
//! **Source:** Warner et al. 2024, Weller et al. 2025; transformers `modeling_modernbert.py`,
//! `ModernBertForSequenceClassification`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::head::{Dense, Head, HeadNorm, HeadPooling};
use super::pre_norm::{LayerAttention, PreNorm, PreNormNames};
use super::{Architecture, TokenTypes, Tokenization};
use crate::config::Fields;
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

/// Fields that have no effect here: other heads and kernels read them, or nothing does.
const HARMLESS: &[&str] = &[
    "decoder_bias",
    "deterministic_flash_attn",
    "initializer_cutoff_factor",
    "layer_norm_eps",
    "position_embedding_type",
    "reference_compile",
    "repad_logits_with_grad",
    "sparse_pred_ignore_index",
    "sparse_prediction",
];

static NAMES: PreNormNames = PreNormNames {
    kind: "modernbert",
    class: "ModernBertForSequenceClassification",
    prefix: "model.",
    inside: &["embeddings.", "layers.", "final_norm."],
    ignored: &["decoder."],
    words: "model.embeddings.tok_embeddings.weight",
    norm: "model.embeddings.norm",
    final_norm: "model.final_norm",
    layer: "model.layers",
    parts: ["attn_norm", "attn.Wqkv", "attn.Wo", "mlp_norm", "mlp.Wi", "mlp.Wo"],
};

pub(super) const TOKENIZATION: Tokenization = Tokenization {
    // Version 5 takes tokenizer.json as it is, whatever class the folder names.
    reads_class: false,
    ..Tokenization::new("PreTrainedTokenizerFast", TokenTypes::None)
};

/// Reads a ModernBERT configuration; defaults are those of `ModernBertConfig`.
///
/// # Errors
/// PreNormNames the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("causal_mask", &[json!(false)])?;
    fields.only("is_causal", &[json!(false)])?;
    fields.only("rope_scaling", &[])?;
    let epsilon = fields.number("norm_eps", 1e-5, 0.0, 1.0)?;
    let norm_bias = fields.flag("norm_bias", false)?;
    let pooling = match fields.text("classifier_pooling", "cls")? {
        "cls" => HeadPooling::First,
        "mean" => HeadPooling::Mean,
        other => {
            let file = fields.file();
            return Err(Failure::wrong(format!(
                "{file}: `classifier_pooling` is \"{other}\"; expected cls or mean"
            )));
        }
    };
    let model = PreNorm {
        names: &NAMES,
        vocabulary: fields.count("vocab_size", Some(50368))?,
        hidden: fields.count("hidden_size", Some(768))?,
        heads: fields.count("num_attention_heads", Some(12))?,
        intermediate: fields.count("intermediate_size", Some(1152))?,
        activation: Activation::read(fields, "hidden_activation", "gelu")?,
        limit: fields.count("max_position_embeddings", Some(8192))?,
        layers: layers(fields, fields.count("num_hidden_layers", Some(22))?)?,
        epsilon,
        norm_bias,
        attention_bias: fields.flag("attention_bias", false)?,
        mlp_bias: fields.flag("mlp_bias", false)?,
        embedding_dropout: fields.number("embedding_dropout", 0.0, 0.0, 0.99)?,
        attention_dropout: fields.number("attention_dropout", 0.0, 0.0, 0.99)?,
        mlp_dropout: fields.number("mlp_dropout", 0.0, 0.0, 0.99)?,
        head: Head {
            pooling,
            pooled_dropout: 0.0,
            dense: Some(Dense {
                name: "head.dense",
                bias: fields.flag("classifier_bias", false)?,
                activation: Activation::read(fields, "classifier_activation", "gelu")?,
            }),
            norm: Some(HeadNorm { name: "head.norm", epsilon, bias: norm_bias }),
            dropout: fields.number("classifier_dropout", 0.0, 0.0, 0.99)?,
            classifier: "classifier",
            classifier_bias: true,
        },
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(HARMLESS)?;
    Ok(Arc::new(model.checked(fields)?))
}

/// Which layers are local, and the rotary θ of both kinds, from the fields of older and newer configurations.
fn layers(fields: &Fields, count: usize) -> Result<Vec<LayerAttention>, Failure> {
    let off = |name: &str, expected: &str| {
        let found = fields.map().get(name).map_or_else(|| "missing".to_owned(), ToString::to_string);
        Failure::wrong(format!("{}: `{name}` is {found}; expected {expected}", fields.file()))
    };
    let global = fields.number("global_rope_theta", 160_000.0, 1.0, 1e12)?;
    let null = fields.map().get("local_rope_theta").is_some_and(Value::is_null);
    let local = fields.number("local_rope_theta", if null { global } else { 10_000.0 }, 1.0, 1e12)?;
    let window = fields.count("local_attention", Some(128))? / 2;
    let mut theta = [("full_attention", global), ("sliding_attention", local)];
    if let Some(given) = fields.value("rope_parameters") {
        for (kind, theta) in &mut theta {
            let Some(one) = given.get(*kind).filter(|v| !v.is_null()) else { continue };
            let plain = one.as_object().is_some_and(|o| {
                o.keys().all(|k| k == "rope_theta" || k == "rope_type")
                    && o.get("rope_type").is_none_or(|t| t == "default")
            });
            let number = one.get("rope_theta").map_or(Some(*theta), Value::as_f64).filter(|t| *t >= 1.0);
            *theta = number
                .filter(|_| plain)
                .ok_or_else(|| off("rope_parameters", "`rope_type` default with a `rope_theta`"))?;
        }
    }
    let kinds = fields.words("layer_types")?;
    let every = fields.count("global_attn_every_n_layers", Some(3))?;
    if !kinds.is_empty() && kinds.len() != count {
        return Err(off("layer_types", "a word for each layer"));
    }
    (0..count)
        .map(|l| {
            let sliding = match kinds.get(l).map(String::as_str) {
                None => !l.is_multiple_of(every),
                Some("full_attention") => false,
                Some("sliding_attention") => true,
                Some(_) => return Err(off("layer_types", "full_attention or sliding_attention")),
            };
            let theta = theta[usize::from(sliding)].1;
            Ok(LayerAttention { window: sliding.then_some(window), theta })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::EncoderForm;
    use super::*;

    fn read(more: &str) -> Result<Vec<LayerAttention>, Failure> {
        let text = r#"{"model_type": "modernbert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 4,
            "num_attention_heads": 2, "intermediate_size": 8 @}"#;
        let fields = Fields::parse("config.json", text.replace('@', more).as_bytes())?;
        match super::super::from_fields(&fields)?.form() {
            EncoderForm::PreNorm(m) => Ok(m.layers.clone()),
            EncoderForm::PostNorm(_) => Err(Failure::bug("another form")),
        }
    }

    #[test]
    fn older_and_newer_fields_say_the_same_of_the_layers() {
        let global = |theta| LayerAttention { window: None, theta };
        let local = |window, theta| LayerAttention { window: Some(window), theta };
        let plain = read("").unwrap();
        assert_eq!(plain, [global(160_000.0), local(64, 10_000.0), local(64, 10_000.0), global(160_000.0)]);
        let older =
            read(r#", "global_attn_every_n_layers": 2, "local_attention": 8, "local_rope_theta": null"#);
        let kinds = r#"["full_attention", "sliding_attention", "full_attention", "sliding_attention"]"#;
        let rope = r#"{"full_attention": {"rope_type": "default", "rope_theta": 160000.0},
            "sliding_attention": {"rope_theta": 160000}}"#;
        let newer =
            read(&format!(r#", "layer_types": {kinds}, "rope_parameters": {rope}, "local_attention": 8"#));
        assert_eq!(older.unwrap(), newer.unwrap());
    }

    #[test]
    fn fields_that_change_the_result_are_refused_by_name() {
        for (more, name) in [
            (r#", "layer_types": ["full_attention"]"#, "layer_types"),
            (r#", "layer_types": ["a", "b", "c", "d"]"#, "layer_types"),
            (r#", "rope_parameters": {"full_attention": {"rope_type": "yarn"}}"#, "rope_parameters"),
            (r#", "rope_scaling": {"type": "linear"}"#, "rope_scaling"),
            (r#", "classifier_pooling": "max""#, "classifier_pooling"),
            (r#", "num_attention_heads": 8"#, "num_attention_heads"),
            (r#", "is_causal": true"#, "is_causal"),
            (r#", "head_dim": 3"#, "head_dim"),
        ] {
            let e = read(more).unwrap_err();
            assert!(e.message.contains(&format!("`{name}`")), "{more}: {e}");
        }
    }
}
