//! Cross-encoders of Lightning IR (`model_type` "mono"): the encoder of another architecture, named without its prefix,
//! with a linear layer over the pooled state.
//!
//! Lightning IR truncates query and document to `query_length` and `doc_length` tokens and joins them as the encoder's
//! tokenizer does. Here the study sets the lengths, as for every model; [`lengths`] gives those of the folder.
//!
//! **Source:** Lightning IR `models/cross_encoders/mono.py`, `cross_encoder/cross_encoder_tokenizer.py`,
//! `modeling_utils/embedding_post_processing.py`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::head::{Dense, Head, HeadPooling};
use super::{Architecture, Fields, KNOWN, KnownArchitecture};
use crate::layers::activation::Activation;
use xpipe_base::task::Failure;

/// Fields of Lightning IR; all others are the encoder's.
const OWN: [&str; 12] = [
    "adapter_config",
    "backbone_model_type",
    "doc_length",
    "linear_bias",
    "pooling_strategy",
    "pretrained_adapter_name_or_path",
    "query_length",
    "scoring_strategy",
    "tokenizer_pattern",
    "use_adapter",
    "_bert_pool",
    "model_type",
];

/// Reads the configuration; defaults are those of `MonoConfig`.
///
/// # Errors
/// Names the field that is missing, invalid or unknown.
pub(super) fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    let wrong = |what: String| Failure::wrong(format!("{}: {what}", fields.file()));
    let kind = fields.text("backbone_model_type", "")?;
    let is_encoder = |k: &KnownArchitecture| k.read.is_some() && k.name != "mono";
    let encoder = KNOWN.iter().find(|k| k.name == kind && is_encoder(k));
    let Some(KnownArchitecture { read: Some(read_encoder), .. }) = encoder else {
        let known = super::names(is_encoder);
        return Err(wrong(format!("`backbone_model_type` is \"{kind}\", which is not known"))
            .help(format!("this version runs models of Lightning IR over {known}")));
    };
    fields.only("use_adapter", &[json!(false)])?;
    fields.only("adapter_config", &[])?;
    fields.only("pretrained_adapter_name_or_path", &[])?;
    fields.only("tokenizer_pattern", &[])?;
    let pooling = match fields.text("pooling_strategy", "first")? {
        "first" | "bert_pool" => HeadPooling::First,
        "mean" => HeadPooling::Mean,
        other => {
            return Err(wrong(format!("`pooling_strategy` is \"{other}\""))
                .help("this version runs the pooling strategies first, mean and bert_pool"));
        }
    };
    // With two labels the score would be the log-probability of the second, which the study has to declare.
    match fields.text("scoring_strategy", "rank")? {
        "rank" | "mono" => {}
        other => {
            return Err(wrong(format!("`scoring_strategy` is \"{other}\"; expected rank or mono")));
        }
    }
    for name in ["query_length", "doc_length"] {
        if fields.value(name).is_some() {
            fields.count(name, None)?;
        }
    }
    let pooled = fields.flag("_bert_pool", false)? || fields.text("pooling_strategy", "")? == "bert_pool";
    let head = Head {
        pooling,
        pooled_dropout: 0.0,
        dense: pooled.then_some(Dense { name: "bert_pool.0", bias: true, activation: Activation::Tanh }),
        norm: None,
        dropout: 0.0,
        classifier: "linear",
        classifier_bias: fields.flag("linear_bias", false)?,
    };
    let mut inner: Map<String, Value> = fields
        .map()
        .iter()
        .filter(|(n, _)| !OWN.contains(&n.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    inner.insert("model_type".into(), kind.into());
    let model = read_encoder(&Fields::of(fields.file(), inner))?;
    Ok(model.under(head, fields.map().clone()))
}

/// Tokens of query and document that a model was made for; `None` if its configuration does not say.
pub fn lengths(config: &Map<String, Value>) -> Option<[usize; 2]> {
    let one = |name: &str| config.get(name)?.as_u64().and_then(|n| usize::try_from(n).ok());
    (config.get("model_type")? == "mono").then_some([one("query_length")?, one("doc_length")?])
}

#[cfg(test)]
mod tests {
    use super::super::{TensorRole, from_fields};
    use super::*;

    fn mono(more: &str) -> Result<Arc<dyn Architecture>, Failure> {
        let text = format!(
            r#"{{"model_type": "mono", "backbone_model_type": "electra", "architectures": ["MonoElectraModel"], "vocab_size": 9,
            "hidden_size": 8, "embedding_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
            "query_length": 32, "doc_length": 512 {more}}}"#
        );
        from_fields(&Fields::parse("config.json", text.as_bytes())?)
    }

    #[test]
    fn the_head_is_a_linear_layer_over_what_is_pooled() {
        let model = mono("").unwrap();
        let declared = model.declared();
        let names: Vec<&str> = declared.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names.last(), Some(&"linear.weight"));
        assert!(!names.iter().any(|n| n.starts_with("classifier") || n.contains("pool")), "{names:?}");
        assert_eq!(
            model.role("embeddings.LayerNorm.weight"),
            TensorRole::Parameter("electra.embeddings.LayerNorm.weight".into())
        );
        assert_eq!(lengths(model.config()), Some([32, 512]));
        let names =
            |more: &str| mono(more).unwrap().declared().into_iter().map(|d| d.name).collect::<Vec<_>>();
        let tail = |more: &str| names(more).split_off(names("").len() - 1);
        assert_eq!(tail(r#", "linear_bias": true"#), ["linear.weight", "linear.bias"]);
        for more in
            [r#", "_bert_pool": true, "pooling_strategy": "first""#, r#", "pooling_strategy": "bert_pool""#]
        {
            assert_eq!(tail(more), ["bert_pool.0.weight", "bert_pool.0.bias", "linear.weight"]);
        }
    }

    #[test]
    fn what_has_no_implementation_is_told_by_name() {
        for (more, name) in [
            (r#", "pooling_strategy": "max""#, "pooling_strategy"),
            (r#", "scoring_strategy": "list""#, "scoring_strategy"),
            (r#", "use_adapter": true"#, "use_adapter"),
            (r#", "tokenizer_pattern": "q: A d: B""#, "tokenizer_pattern"),
            (r#", "add_extra_token": true"#, "add_extra_token"),
            (r#", "hidden_act": "mish""#, "hidden_act"),
            (r#", "doc_length": "long""#, "doc_length"),
        ] {
            let failure = mono(more).unwrap_err();
            assert!(failure.message.contains(&format!("`{name}`")), "{more}: {failure}");
        }
        let text = r#"{"model_type": "mono", "backbone_model_type": "t5"}"#;
        let failure = from_fields(&Fields::parse("config.json", text.as_bytes()).unwrap()).unwrap_err();
        assert!(failure.message.contains("\"t5\"") && failure.help.unwrap().contains("modernbert"));
    }
}
