//! Strict reading of a Hugging Face `config.json`.
//!
//! Every field is either read, known to have no effect, or allowed certain values only. Anything else is an error that
//! names the field: silently ignoring a field could compute another model. Each architecture decides which fields it
//! reads (`nn/arch/`).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use xpipe_base::task::Failure;

/// Fields of any architecture without an effect on a re-ranker: how the file was made, text generation, labels of other
/// tasks, what to return. `architectures`, labels and types are written anew on saving.
const HARMLESS: &[&str] = &[
    "architectures",
    "auto_model",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cls_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "label2id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "min_length",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sbert_ce_default_activation_function",
    "sentence_transformers",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
];

/// The fields of one `config.json`; records which were read.
#[derive(Debug)]
pub struct Fields {
    file: String,
    map: Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl Fields {
    /// Reads `config.json` in a model folder.
    ///
    /// # Errors
    /// When it is missing or is not a JSON object.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("config.json");
        let bytes = std::fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                let failure =
                    Failure::missing(format!("{}: no config.json in this folder", folder.display()));
                failure.help(super::files::instead(folder).unwrap_or_else(|| {
                    "a model folder holds config.json, model.safetensors and tokenizer.json".to_owned()
                }))
            }
            _ => Failure::missing(format!("{}: {e}", path.display())),
        })?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Reads the text of a configuration; `file` is its name in messages.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| Failure::wrong(format!("{file}: not JSON: {e}")))?;
        let Value::Object(map) = value else {
            return Err(Failure::wrong(format!("{file}: expected a JSON object with the model's fields")));
        };
        Ok(Self::of(file, map))
    }

    /// Fields from elsewhere. `file` is their source, for messages.
    pub fn of(file: &str, map: Map<String, Value>) -> Self {
        Self { file: file.to_owned(), map, read: RefCell::default() }
    }

    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// All fields as they were read.
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(name.to_owned());
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn off(&self, name: &str, expected: &str) -> Failure {
        match self.map.get(name) {
            None => {
                Failure::wrong(format!("{}: the field `{name}` is missing; expected {expected}", self.file))
            }
            Some(v) => Failure::wrong(format!("{}: `{name}` is {v}; expected {expected}", self.file)),
        }
    }

    /// An integer above zero, at most what [`largest`] allows. `default` if the field is absent.
    ///
    /// # Errors
    /// When it is absent without a default, or something else.
    pub fn count(&self, name: &str, default: Option<usize>) -> Result<usize, Failure> {
        let most = largest(name);
        match (self.get(name), default) {
            (None, Some(d)) => Ok(d),
            (v, _) => v
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| self.off(name, &format!("a whole number from 1 to {most}"))),
        }
    }

    /// A finite number in `low..=high`. `default` if the field is absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, name: &str, default: f64, low: f64, high: f64) -> Result<f64, Failure> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value
            .as_f64()
            .filter(|x| (low..=high).contains(x))
            .ok_or_else(|| self.off(name, &format!("a number from {low} to {high}")))
    }

    /// A number in `low..=high`, if the field is there and not null.
    ///
    /// # Errors
    /// When it is something else.
    pub fn optional_number(&self, name: &str, low: f64, high: f64) -> Result<Option<f64>, Failure> {
        if self.get(name).is_none() { Ok(None) } else { self.number(name, low, low, high).map(Some) }
    }

    /// A string. `default` if the field is absent.
    ///
    /// # Errors
    /// When it is not a string.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some(v) => v.as_str().ok_or_else(|| self.off(name, "text")),
        }
    }

    /// The value of the field, if it is there and not null.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }

    /// A boolean. `default` if the field is absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| self.off(name, "true or false")),
        }
    }

    /// Strings, as a list or in one string separated by `|`. Empty if the field is absent.
    ///
    /// # Errors
    /// When it is something else.
    pub fn words(&self, name: &str) -> Result<Vec<String>, Failure> {
        let list = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => {
                return Ok(text.split('|').map(|w| w.trim().to_lowercase()).collect());
            }
            Some(Value::Array(list)) => list,
            Some(_) => return Err(self.off(name, "words")),
        };
        let word = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| self.off(name, "words"));
        list.iter().map(word).collect()
    }

    /// Accepts a field only if it is absent, null or one of these values: no others are implemented.
    ///
    /// # Errors
    /// When it has another value.
    pub fn only(&self, name: &str, allowed: &[Value]) -> Result<(), Failure> {
        match self.get(name) {
            None => Ok(()),
            Some(v) if allowed.contains(v) => Ok(()),
            Some(_) => {
                let known: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                let expected = if known.is_empty() { "it to be absent".into() } else { known.join(" or ") };
                Err(self.off(name, &expected).help("this build has no implementation of other values"))
            }
        }
    }

    /// Checks that every field was read, has no effect on any architecture or on this one (`harmless`), or is private to a
    /// library (begins with `_`).
    ///
    /// # Errors
    /// Names the other fields.
    pub fn finish(&self, harmless: &[&str]) -> Result<(), Failure> {
        self.only("is_decoder", &[Value::Bool(false)])?;
        self.only("is_encoder_decoder", &[Value::Bool(false)])?;
        self.only("add_cross_attention", &[Value::Bool(false)])?;
        self.only("cross_attention_hidden_size", &[])?;
        self.only("pruned_heads", &[Value::Object(Map::new())])?;
        self.only("quantization_config", &[])?;
        self.only("auto_map", &[])?;
        let read = self.read.borrow();
        let left: Vec<&str> = self
            .map
            .iter()
            .filter(|(name, value)| !value.is_null() && !name.starts_with('_') && !read.contains(*name))
            .map(|(name, _)| name.as_str())
            .filter(|name| !HARMLESS.contains(name) && !harmless.contains(name))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = left.iter().map(|n| format!("`{n}`")).collect();
        Err(Failure::wrong(format!("{}: unknown fields: {}", self.file, names.join(", ")))
            .help("fields that may change the result are not ignored; remove those without an effect"))
    }
}

/// The largest count of a field: far above any model's, and small enough that a model of this size can be described,
/// though not held in memory. (Layers are listed one by one.)
fn largest(field: &str) -> usize {
    match field {
        "num_hidden_layers" | "n_layers" => 1 << 12,
        "num_attention_heads" | "n_heads" | "num_key_value_heads" | "type_vocab_size" => 1 << 14,
        "hidden_size" | "dim" | "embedding_size" | "intermediate_size" | "hidden_dim" => 1 << 20,
        _ => 1 << 28,
    }
}

/// The configuration of a saved one-label re-ranker: the fields of the source, with labels, class and number type of what
/// is written, and the raw logit as the score of sentence-transformers' `CrossEncoder`.
pub fn saved(source: &Map<String, Value>, class: &str) -> Map<String, Value> {
    let dropped = [
        "architectures",
        "num_labels",
        "id2label",
        "label2id",
        "problem_type",
        "torch_dtype",
        "dtype",
        "finetuning_task",
        "name_or_path",
        "sbert_ce_default_activation_function",
        "sentence_transformers",
        "task_specific_params",
    ];
    let mut map: Map<String, Value> = source
        .iter()
        .filter(|(name, _)| !dropped.contains(&name.as_str()) && !name.starts_with('_'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Classes of Lightning IR are unknown to transformers.
    let own = source.get("architectures").filter(|_| source.get("backbone_model_type").is_some());
    map.insert("architectures".into(), own.cloned().unwrap_or_else(|| serde_json::json!([class])));
    map.insert("id2label".into(), serde_json::json!({"0": "LABEL_0"}));
    map.insert("label2id".into(), serde_json::json!({"LABEL_0": 0}));
    map.insert("torch_dtype".into(), "float32".into());
    map.insert(
        "sentence_transformers".into(),
        serde_json::json!({"activation_fn": "torch.nn.modules.linear.Identity"}),
    );
    map.sort_keys();
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse("config.json", text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_left_over_is_named() {
        let f =
            fields(r#"{"hidden_size": 4, "use_cache": true, "_x": 1, "rope_theta": 1e4, "nothing": null}"#);
        assert_eq!(f.count("hidden_size", None).unwrap(), 4);
        let e = f.finish(&[]).unwrap_err();
        assert!(e.message.contains("`rope_theta`"), "{e}");
        assert!(!e.message.contains("nothing") && !e.message.contains("use_cache"), "{e}");
        f.finish(&["rope_theta"]).unwrap();
    }

    #[test]
    fn sizes_that_no_model_has_are_refused() {
        for (name, n) in [
            ("num_hidden_layers", 1_000_000_000u64),
            ("n_layers", 4097),
            ("hidden_size", 1 << 21),
            ("vocab_size", 1 << 29),
            ("max_position_embeddings", u64::MAX),
            ("type_vocab_size", 1 << 20),
        ] {
            let text = format!("{{\"{name}\": {n}}}");
            let e = fields(&text).count(name, None).unwrap_err();
            assert!(
                e.message.contains(&format!("`{name}` is {n}; expected a whole number from 1 to")),
                "{e}"
            );
        }
        assert_eq!(fields(r#"{"num_hidden_layers": 4096}"#).count("num_hidden_layers", None).unwrap(), 4096);
    }

    #[test]
    fn a_decoder_is_refused_by_name() {
        let e = fields(r#"{"is_decoder": true}"#).finish(&[]).unwrap_err();
        assert!(e.message.contains("`is_decoder` is true"), "{e}");
    }

    #[test]
    fn wrong_kinds_are_named_with_what_was_found() {
        let f = fields(r#"{"a": "4", "b": -1, "c": 0, "d": 1.5}"#);
        for name in ["a", "b", "c", "d", "e"] {
            let e = f.count(name, None).unwrap_err();
            assert!(e.message.contains(&format!("`{name}`")), "{e}");
        }
        assert!(f.number("d", 0.0, 0.0, 1.0).is_err());
        assert!(Fields::parse("x", b"[]").is_err() && Fields::parse("x", b"{").is_err());
    }

    #[test]
    fn a_saved_configuration_has_one_label() {
        let f = fields(
            r#"{"_name_or_path": "a", "id2label": {"0": "A", "1": "B"}, "vocab_size": 5, "problem_type": "x"}"#,
        );
        let s = saved(f.map(), "BertForSequenceClassification");
        assert_eq!(s["id2label"], serde_json::json!({"0": "LABEL_0"}));
        assert_eq!(s["vocab_size"], 5);
        assert!(!s.contains_key("problem_type") && !s.contains_key("_name_or_path"));
    }
}
