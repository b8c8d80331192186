//! ModernBERT and Ettin: a norm before every sub-layer, rotary positions, local windows with a global layer every few,
//! gated feed-forward layers, biases only where the configuration asks for them.
//!
//! **Source:** Warner et al. 2024, Weller et al. 2025; transformers `modeling_modernbert.py`,
//! `ModernBertForSequenceClassification`.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use serde_json::{Map, Value, json};

use super::head::{Dense, Head, HeadNorm, Pooling};
use super::{Architecture, Declared, Form, Fresh, Role};
use crate::Packed;
use crate::config::Fields;
use crate::layers::activation::Activation;
use crate::layers::dropout::Site;
use crate::layers::{Graph, Lookup};
use xpipe_base::task::Failure;

/// Fields that other heads, other kernels or nothing reads.
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

/// Stem of the name of the norm after the last layer.
pub const LAST_NORM: &str = "model.final_norm";

const WORDS: &str = "model.embeddings.tok_embeddings.weight";

/// What one layer's attention sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// How far a token sees; all tokens without it.
    pub window: Option<usize>,
    /// θ of the rotary positions.
    pub theta: f64,
}

/// What `config.json` says, checked.
#[derive(Clone, Debug)]
pub struct ModernBert {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Width of the hidden states; heads times an even number.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer behind its gate.
    pub intermediate: usize,
    /// Activation of the half that is not the gate.
    pub activation: Activation,
    /// The longest pair in tokens.
    pub limit: usize,
    /// Each layer's attention.
    pub layers: Vec<Sight>,
    /// ε of layer norm.
    pub epsilon: f64,
    /// Whether norms have β.
    pub norm_bias: bool,
    /// Whether attention's linear layers have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward part's linear layers have biases.
    pub mlp_bias: bool,
    /// Dropout of the embeddings.
    pub embedding_dropout: f64,
    /// Dropout of attention probabilities and of attention's output.
    pub attention_dropout: f64,
    /// Dropout inside the feed-forward part.
    pub mlp_dropout: f64,
    /// The head.
    pub head: Head,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    config: Map<String, Value>,
}

/// Reads a ModernBERT configuration; defaults are those of `ModernBertConfig`.
///
/// # Errors
/// Names the field that is missing, wrong or not known.
pub fn read(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    fields.only("causal_mask", &[json!(false)])?;
    fields.only("is_causal", &[json!(false)])?;
    fields.only("rope_scaling", &[])?;
    let epsilon = fields.number("norm_eps", 1e-5, 0.0, 1.0)?;
    let norm_bias = fields.flag("norm_bias", false)?;
    let pooling = match fields.text("classifier_pooling", "cls")? {
        "cls" => Pooling::First,
        "mean" => Pooling::Mean,
        other => {
            let file = fields.file();
            return Err(Failure::wrong(format!(
                "{file}: `classifier_pooling` is \"{other}\"; expected cls or mean"
            )));
        }
    };
    let model = ModernBert {
        vocabulary: fields.count("vocab_size", Some(50368))?,
        hidden: fields.count("hidden_size", Some(768))?,
        heads: fields.count("num_attention_heads", Some(12))?,
        intermediate: fields.count("intermediate_size", Some(1152))?,
        activation: Activation::read(fields, "hidden_activation", "gelu")?,
        limit: fields.count("max_position_embeddings", Some(8192))?,
        layers: sights(fields, fields.count("num_hidden_layers", Some(22))?)?,
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
    if !model.hidden.is_multiple_of(2 * model.heads) {
        return Err(Failure::wrong(format!(
            "{}: `hidden_size` {} is not an even multiple of `num_attention_heads` {}",
            fields.file(),
            model.hidden,
            model.heads
        )));
    }
    Ok(Arc::new(model))
}

/// Which layers are local, and the rotary θ of both kinds: in the fields of older and of newer configurations.
fn sights(fields: &Fields, layers: usize) -> Result<Vec<Sight>, Failure> {
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
    if !kinds.is_empty() && kinds.len() != layers {
        return Err(off("layer_types", "a word for each layer"));
    }
    (0..layers)
        .map(|l| {
            let sliding = match kinds.get(l).map(String::as_str) {
                None => !l.is_multiple_of(every),
                Some("full_attention") => false,
                Some("sliding_attention") => true,
                Some(_) => return Err(off("layer_types", "full_attention or sliding_attention")),
            };
            let theta = theta[usize::from(sliding)].1;
            Ok(Sight { window: sliding.then_some(window), theta })
        })
        .collect()
}

impl ModernBert {
    /// Stems of a layer's tensors: attention's norm, its input and output, the feed-forward norm, its input and output.
    pub fn parts(l: usize) -> [String; 6] {
        ["attn_norm", "attn.Wqkv", "attn.Wo", "mlp_norm", "mlp.Wi", "mlp.Wo"]
            .map(|part| format!("model.layers.{l}.{part}"))
    }
}

impl Architecture for ModernBert {
    fn name(&self) -> &'static str {
        "modernbert"
    }

    fn class(&self) -> &'static str {
        "ModernBertForSequenceClassification"
    }

    fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    fn form(&self) -> Form<'_> {
        Form::PreNorm(self)
    }

    fn under(&self, head: Head, config: Map<String, Value>) -> Arc<dyn Architecture> {
        Arc::new(Self { head, config, ..self.clone() })
    }

    fn declared(&self) -> Vec<Declared> {
        let (h, i) = (self.hidden, self.intermediate);
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            list.push(Declared { name, shape: shape.to_vec(), fresh: Fresh::Never });
        };
        add(WORDS.into(), &[self.vocabulary, h]);
        let mut both = |name: &str, shape: &[usize], bias: bool| {
            add(format!("{name}.weight"), shape);
            if bias {
                add(format!("{name}.bias"), &shape[..1]);
            }
        };
        both("model.embeddings.norm", &[h], self.norm_bias);
        for l in 0..self.layers.len() {
            let [norm1, qkv, output, norm2, up, down] = Self::parts(l);
            if l > 0 {
                both(&norm1, &[h], self.norm_bias);
            }
            both(&qkv, &[3 * h, h], self.attention_bias);
            both(&output, &[h, h], self.attention_bias);
            both(&norm2, &[h], self.norm_bias);
            both(&up, &[2 * i, h], self.mlp_bias);
            both(&down, &[h, i], self.mlp_bias);
        }
        both(LAST_NORM, &[h], self.norm_bias);
        let out = self.initializer_range / (2.0 * self.layers.len() as f64).sqrt();
        self.head.declare(h, [out, (h as f64).powf(-0.5)], &mut list);
        list
    }

    fn role(&self, name: &str) -> Role {
        super::role(name, "model.", &["embeddings.", "layers.", "final_norm."], &["decoder."])
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

    fn lookups(&self, batch: &Packed) -> Vec<Lookup> {
        vec![Lookup { parameter: WORDS, rows: batch.ids.clone() }]
    }

    fn logits(&self, g: &Graph<'_>, embedded: Tensor) -> CandleResult<Tensor> {
        let (h, i, e) = (self.hidden, self.intermediate, self.epsilon);
        let x = g.layer_norm("model.embeddings.norm", &embedded, e)?;
        let mut x = g.dropout(&x, Site::Embeddings, self.embedding_dropout)?;
        for (l, sight) in self.layers.iter().enumerate() {
            g.keep(&x);
            let [norm1, qkv, output, norm2, up, down] = Self::parts(l);
            let y = if l == 0 { x.clone() } else { g.layer_norm(&norm1, &x, e)? };
            let qkv = g.linear(&qkv, &y)?;
            let turned = |part| g.rotate(&qkv.narrow(1, part * h, h)?.contiguous()?, self.heads, sight.theta);
            let (q, k, v) = (turned(0)?, turned(1)?, qkv.narrow(1, 2 * h, h)?);
            let (site, p) = (Site::Attention(l), self.attention_dropout);
            let context = g.attention(&q, &k, &v, self.heads, sight.window, site, p)?;
            let y = g.dropout(&g.linear(&output, &context)?, Site::AttentionOutput(l), p)?;
            x = (x + y)?;
            let z = g.linear(&up, &g.layer_norm(&norm2, &x, e)?)?;
            let z = (self.activation.apply(&z.narrow(1, 0, i)?.contiguous()?)? * z.narrow(1, i, i)?)?;
            let z = g.linear(&down, &g.dropout(&z, Site::Output(l), self.mlp_dropout)?)?;
            x = (x + z)?;
        }
        g.keep(&x);
        let x = g.layer_norm(LAST_NORM, &x, e)?;
        self.head.logits(g, &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<Vec<Sight>, Failure> {
        let text = r#"{"model_type": "modernbert", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 4,
            "num_attention_heads": 2, "intermediate_size": 8 @}"#;
        let fields = Fields::parse("config.json", text.replace('@', more).as_bytes())?;
        match super::super::from_fields(&fields)?.form() {
            Form::PreNorm(m) => Ok(m.layers.clone()),
            Form::PostNorm(_) => Err(Failure::bug("another form")),
        }
    }

    #[test]
    fn older_and_newer_fields_say_the_same_of_the_layers() {
        let global = |theta| Sight { window: None, theta };
        let local = |window, theta| Sight { window: Some(window), theta };
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
