//! The architectures, one file each: the configuration it reads and the encoder it describes.
//!
//! Two encoders serve them all: [`post_norm`] (BERT and its relatives) and that of [`modernbert`]; [`head`] is every
//! architecture's head, [`masked`] that of its masked language model. To add one: write a file that reads its configuration into an encoder, declare it here and put
//! its `read` into [`KNOWN`]. Nothing else in `nn/` names an architecture.

pub mod bert;
pub mod deberta;
pub mod distilbert;
pub mod electra;
pub mod head;
pub mod masked;
pub mod modernbert;
mod mono;
pub mod post_norm;
pub mod roberta;

pub use mono::lengths;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::Fields;
use super::layers::{Graph, Lookup};
use super::{Packed, Parameter};
use xpipe_base::task::Failure;

/// Reads the configuration of one architecture.
pub type Read = fn(&Fields) -> Result<Arc<dyn Architecture>, Failure>;

/// Every architecture known by name (`model_type`), with its reader when there is an implementation.
const KNOWN: &[(&str, Option<Read>)] = &[
    ("bert", Some(bert::read)),
    ("distilbert", Some(distilbert::read)),
    ("roberta", Some(roberta::read)),
    ("xlm-roberta", Some(roberta::read_xlm)),
    ("electra", Some(electra::read)),
    ("deberta", None),
    ("deberta-v2", Some(deberta::read)),
    ("modernbert", Some(modernbert::read)),
    ("mono", Some(mono::read)),
];

/// Architectures whose masked language models have an implementation ([`Architecture::masked`]).
pub const MASKED: &[&str] = &["bert", "distilbert"];

/// How a parameter that a checkpoint lacks is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fresh {
    /// It must be in the checkpoint.
    Never,
    /// A head: normal numbers of this standard deviation.
    Normal(f64),
    /// A head: zeros (biases).
    Zeros,
    /// A head: ones (norms).
    Ones,
}

/// One tensor of a model, before it has a place in the flat buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Hugging Face name.
    pub name: String,
    /// Shape, row-major; linear weights are `[out, in]`.
    pub shape: Vec<usize>,
    /// What to do when the checkpoint lacks it.
    pub fresh: Fresh,
}

/// What a tensor of a checkpoint is to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The parameter of this name (old names and absent prefixes made regular).
    Parameter(String),
    /// Known and of no use here: a masked-LM head, a buffer.
    Ignored,
}

/// What an encoder is made of: all that an engine needs to know.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// A norm after every sub-layer.
    PostNorm(&'a post_norm::PostNorm),
    /// A norm before every sub-layer.
    PreNorm(&'a modernbert::ModernBert),
}

/// A model without its weights: what the configuration says, and how it computes.
pub trait Architecture: Send + Sync + std::fmt::Debug {
    /// `model_type` of the configuration.
    fn name(&self) -> &'static str;
    /// The class under `architectures` of a saved one-label model.
    fn class(&self) -> &'static str;
    /// The configuration as it was read.
    fn config(&self) -> &Map<String, Value>;
    /// What it is made of.
    fn form(&self) -> Form<'_>;
    /// The tensors in the order of the flat buffer.
    fn declared(&self) -> Vec<Declared>;
    /// What a tensor name of a checkpoint means.
    fn role(&self, name: &str) -> Role;
    /// The same encoder under another head; `config` is the configuration that says so.
    fn under(&self, head: head::Head, config: Map<String, Value>) -> Arc<dyn Architecture>;
    /// The head of its masked language model, where this build has one.
    fn masked(&self) -> Option<&masked::Masked> {
        None
    }
    /// Rows of the word table.
    fn vocabulary(&self) -> usize;
    /// Width of the hidden states.
    fn hidden(&self) -> usize;
    /// Number of layers.
    fn layers(&self) -> usize;
    /// The longest pair in tokens, special tokens included.
    fn position_limit(&self) -> usize;
    /// Checks that ids, types and lengths are inside the tables.
    ///
    /// # Errors
    /// Names the pair and the number that is out of range.
    fn check(&self, batch: &Packed) -> Result<(), Failure>;
    /// The embedding tables whose rows are summed for each token, in the order of summation.
    fn lookups(&self, batch: &Packed) -> Vec<Lookup>;
    /// The logits `[pairs]` from the summed embedding rows `[tokens, width]`, in plain differentiable operations.
    ///
    /// # Errors
    /// A defect of the graph.
    fn logits(
        &self,
        graph: &Graph<'_>,
        embedded: candle_core::Tensor,
    ) -> candle_core::Result<candle_core::Tensor>;
}

/// What a tensor name means to an encoder whose names begin with `prefix` and one of `inside`: the prefix may be absent,
/// norms may have their old names, and what begins with one of `ignored` (with or without the prefix) has no use.
fn role(name: &str, prefix: &str, inside: &[&str], ignored: &[&str]) -> Role {
    let inner = name.strip_prefix(prefix).unwrap_or(name);
    if ignored.iter().any(|i| inner.starts_with(i)) {
        return Role::Ignored;
    }
    let regular = regular(inner);
    let inside = inside.iter().any(|p| regular.starts_with(p));
    Role::Parameter(if inside { format!("{prefix}{regular}") } else { name.to_owned() })
}

/// A tensor's name with the norms' old names made regular.
fn regular(name: &str) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name.to_owned()
}

/// Reads the configuration of a model folder.
///
/// # Errors
/// [`xpipe_base::task::FailureKind::Missing`] when the architecture has no implementation yet,
/// [`xpipe_base::task::FailureKind::Wrong`] when the configuration is damaged or has a field this build does not know.
pub fn read(folder: &Path) -> Result<Arc<dyn Architecture>, Failure> {
    from_fields(&Fields::open(folder)?)
}

/// The same from fields already read.
///
/// # Errors
/// As [`read`].
pub fn from_fields(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    let kind = fields.text("model_type", "")?;
    match KNOWN.iter().find(|(name, _)| *name == kind) {
        Some((_, Some(read))) => read(fields),
        Some((name, None)) => Err(Failure::missing(format!(
            "{}: the architecture `{name}` has no implementation yet",
            fields.file()
        ))
        .help(format!("this version runs {}", implemented()))),
        None if kind.is_empty() => {
            Err(Failure::wrong(format!("{}: the field `model_type` is missing", fields.file()))
                .help(format!("it names the architecture, one of {}", implemented())))
        }
        None => {
            Err(Failure::wrong(format!("{}: `model_type` is \"{kind}\", which is not known", fields.file()))
                .help(format!("this version runs {}", implemented())))
        }
    }
}

/// Whether this build runs an architecture, by its `model_type`.
pub fn is_implemented(name: &str) -> bool {
    implemented().split(", ").any(|n| n == name)
}

fn implemented() -> String {
    let names: Vec<&str> = KNOWN.iter().filter(|(_, r)| r.is_some()).map(|(n, _)| *n).collect();
    names.join(", ")
}

/// Lays the tensors out in one flat buffer without gaps. Matrices decay; vectors (biases, norms) do not.
pub fn layout(declared: &[Declared]) -> Vec<Parameter> {
    let mut offset = 0;
    declared
        .iter()
        .map(|d| {
            let p = Parameter {
                name: d.name.clone(),
                shape: d.shape.clone(),
                offset,
                decays: d.shape.len() >= 2,
            };
            offset += p.len();
            p
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::task::FailureKind;

    #[test]
    fn known_architectures_are_missing_and_others_are_wrong() {
        let kind = |text: &str| {
            let e = from_fields(&Fields::parse("config.json", text.as_bytes()).unwrap()).unwrap_err();
            (e.kind, e.message)
        };
        let (k, m) = kind(r#"{"model_type": "deberta"}"#);
        assert_eq!(k, FailureKind::Missing);
        assert!(m.contains("no implementation yet"), "{m}");
        assert_eq!(kind(r#"{"model_type": "gpt9"}"#).0, FailureKind::Wrong);
        assert_eq!(kind(r#"{"model_type": 3}"#).0, FailureKind::Wrong);
        assert_eq!(kind("{}").0, FailureKind::Wrong);
    }
}
