//! BERT (and MiniLM, which is a small BERT): post-norm encoder, learned positions, pooler with tanh.
//!
//! **Source:** Devlin et al. 2019; transformers `modeling_bert.py`, `BertForSequenceClassification` with one label.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use serde_json::{Map, Value, json};

use super::{Architecture, Declared, Fresh, Role};
use crate::nn::Packed;
use crate::nn::config::Fields;
use crate::nn::layers::activation::Activation;
use crate::nn::layers::dropout::Site;
use crate::nn::layers::{Graph, Lookup};
use crate::task::Failure;

/// Fields of older BERT files that their own code never reads.
const HARMLESS: &[&str] = &[
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
];

/// What `config.json` says, checked.
#[derive(Clone, Debug)]
pub struct Bert {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Width of the hidden states; a multiple of `heads`.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Activation of the feed-forward layer.
    pub activation: Activation,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the token type table.
    pub types: usize,
    /// ε of layer norm.
    pub epsilon: f64,
    /// Dropout of embeddings and of both sub-layers' outputs.
    pub hidden_dropout: f64,
    /// Dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Dropout before the classifier (`classifier_dropout`, else the hidden one).
    pub classifier_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    config: Map<String, Value>,
}

/// Reads a BERT configuration; defaults are those of `BertConfig`.
///
/// # Errors
/// Names the field that is missing, wrong or not known.
pub fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("position_embedding_type", &[json!("absolute")])?;
    fields.only("pooler_type", &[json!("first_token_transform")])?;
    let hidden_dropout = fields.number("hidden_dropout_prob", 0.1, 0.0, 0.99)?;
    let bert = Bert {
        vocabulary: fields.count("vocab_size", None)?,
        hidden: fields.count("hidden_size", None)?,
        layers: fields.count("num_hidden_layers", None)?,
        heads: fields.count("num_attention_heads", None)?,
        intermediate: fields.count("intermediate_size", None)?,
        activation: Activation::read(fields, "hidden_act", "gelu")?,
        positions: fields.count("max_position_embeddings", Some(512))?,
        types: fields.count("type_vocab_size", Some(2))?,
        epsilon: fields.number("layer_norm_eps", 1e-12, 0.0, 1.0)?,
        hidden_dropout,
        attention_dropout: fields.number("attention_probs_dropout_prob", 0.1, 0.0, 0.99)?,
        classifier_dropout: fields
            .optional_number("classifier_dropout", 0.0, 0.99)?
            .unwrap_or(hidden_dropout),
        initializer_range: fields.number("initializer_range", 0.02, 0.0, 10.0)?,
        config: fields.map().clone(),
    };
    fields.finish(HARMLESS)?;
    if !bert.hidden.is_multiple_of(bert.heads) {
        return Err(Failure::wrong(format!(
            "{}: `hidden_size` {} is not a multiple of `num_attention_heads` {}",
            fields.file(),
            bert.hidden,
            bert.heads
        )));
    }
    Ok(Arc::new(bert))
}

impl Bert {
    /// Width of one head.
    pub fn head(&self) -> usize {
        self.hidden / self.heads
    }
}

impl Architecture for Bert {
    fn name(&self) -> &'static str {
        "bert"
    }

    fn class(&self) -> &'static str {
        "BertForSequenceClassification"
    }

    fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    fn declared(&self) -> Vec<Declared> {
        let (h, i) = (self.hidden, self.intermediate);
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize], fresh: Fresh| {
            list.push(Declared { name, shape: shape.to_vec(), fresh });
        };
        add("bert.embeddings.word_embeddings.weight".into(), &[self.vocabulary, h], Fresh::Never);
        add("bert.embeddings.position_embeddings.weight".into(), &[self.positions, h], Fresh::Never);
        add("bert.embeddings.token_type_embeddings.weight".into(), &[self.types, h], Fresh::Never);
        let mut both = |name: String, weight: &[usize], fresh: (Fresh, Fresh)| {
            add(format!("{name}.weight"), weight, fresh.0);
            add(format!("{name}.bias"), &weight[..1], fresh.1);
        };
        let never = (Fresh::Never, Fresh::Never);
        both("bert.embeddings.LayerNorm".into(), &[h], never);
        for l in 0..self.layers {
            let layer = format!("bert.encoder.layer.{l}");
            for part in ["query", "key", "value"] {
                both(format!("{layer}.attention.self.{part}"), &[h, h], never);
            }
            both(format!("{layer}.attention.output.dense"), &[h, h], never);
            both(format!("{layer}.attention.output.LayerNorm"), &[h], never);
            both(format!("{layer}.intermediate.dense"), &[i, h], never);
            both(format!("{layer}.output.dense"), &[h, i], never);
            both(format!("{layer}.output.LayerNorm"), &[h], never);
        }
        let head = (Fresh::Normal(self.initializer_range), Fresh::Zeros);
        both("bert.pooler.dense".into(), &[h, h], head);
        both("classifier".into(), &[1, h], head);
        list
    }

    fn role(&self, name: &str) -> Role {
        let inner = name.strip_prefix("bert.").unwrap_or(name);
        if name.starts_with("cls.") || inner == "embeddings.position_ids" {
            return Role::Ignored;
        }
        let mut regular = inner.to_owned();
        for (old, new) in [(".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias")]
        {
            if let Some(stem) = regular.strip_suffix(old) {
                regular = format!("{stem}{new}");
            }
        }
        let inside = ["embeddings.", "encoder.", "pooler."].iter().any(|p| regular.starts_with(p));
        Role::Parameter(if inside { format!("bert.{regular}") } else { name.to_owned() })
    }

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn layers(&self) -> usize {
        self.layers
    }

    fn position_limit(&self) -> usize {
        self.positions
    }

    fn check(&self, batch: &Packed) -> Result<(), Failure> {
        batch.check(self.vocabulary, Some(self.types), self.positions)
    }

    fn lookups(&self, batch: &Packed) -> Vec<Lookup> {
        let positions = batch.starts.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        vec![
            Lookup { parameter: "bert.embeddings.word_embeddings.weight", rows: batch.ids.clone() },
            Lookup { parameter: "bert.embeddings.token_type_embeddings.weight", rows: batch.types.clone() },
            Lookup { parameter: "bert.embeddings.position_embeddings.weight", rows: positions },
        ]
    }

    fn logits(&self, g: &Graph<'_>, embedded: Tensor) -> CandleResult<Tensor> {
        let x = g.layer_norm("bert.embeddings.LayerNorm", &embedded, self.epsilon)?;
        let mut x = g.dropout(&x, Site::Embeddings, self.hidden_dropout)?;
        g.keep(&x);
        for l in 0..self.layers {
            let layer = format!("bert.encoder.layer.{l}");
            let q = g.linear(&format!("{layer}.attention.self.query"), &x)?;
            let k = g.linear(&format!("{layer}.attention.self.key"), &x)?;
            let v = g.linear(&format!("{layer}.attention.self.value"), &x)?;
            let context = g.attention(&q, &k, &v, self.heads, Site::Attention(l), self.attention_dropout)?;
            let y = g.linear(&format!("{layer}.attention.output.dense"), &context)?;
            let y = g.dropout(&y, Site::AttentionOutput(l), self.hidden_dropout)?;
            let y = g.layer_norm(&format!("{layer}.attention.output.LayerNorm"), &(y + &x)?, self.epsilon)?;
            let z = self.activation.apply(&g.linear(&format!("{layer}.intermediate.dense"), &y)?)?;
            let z = g.linear(&format!("{layer}.output.dense"), &z)?;
            let z = g.dropout(&z, Site::Output(l), self.hidden_dropout)?;
            x = g.layer_norm(&format!("{layer}.output.LayerNorm"), &(z + &y)?, self.epsilon)?;
            g.keep(&x);
        }
        let pooled = g.linear("bert.pooler.dense", &g.first_tokens(&x)?)?.tanh()?;
        let pooled = g.dropout(&pooled, Site::Classifier, self.classifier_dropout)?;
        g.linear("classifier", &pooled)?.squeeze(1)
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(e.kind, crate::task::FailureKind::Wrong);
        }
    }

    #[test]
    fn old_and_short_names_become_regular() {
        let b = bert("").unwrap();
        let name = |n: &str| match b.role(n) {
            Role::Parameter(n) => n,
            Role::Ignored => "ignored".into(),
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

    use crate::nn::Parameter;
}
