//! The architectures, one file each: the configuration it reads, its parameters, its reference forward.
//!
//! To add one: write a file with a type that implements [`Architecture`], declare it here and put its `read` into
//! [`KNOWN`]. Nothing else in `nn/` names an architecture.

pub mod bert;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::Fields;
use super::layers::{Graph, Lookup};
use super::{Packed, Parameter};
use crate::task::Failure;

/// Reads the configuration of one architecture.
pub type Read = fn(&Fields) -> Result<Arc<dyn Architecture>, Failure>;

/// Every architecture known by name (`model_type`), with its reader when there is an implementation.
const KNOWN: &[(&str, Option<Read>)] = &[
    ("bert", Some(bert::read)),
    ("distilbert", None),
    ("roberta", None),
    ("xlm-roberta", None),
    ("electra", None),
    ("deberta", None),
    ("deberta-v2", None),
    ("modernbert", None),
];

/// How a parameter that a checkpoint lacks is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fresh {
    /// It must be in the checkpoint.
    Never,
    /// A head: normal numbers of this standard deviation.
    Normal(f64),
    /// A head: zeros (biases).
    Zeros,
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

/// A model without its weights: what the configuration says, and how it computes.
pub trait Architecture: Any + Send + Sync + std::fmt::Debug {
    /// `model_type` of the configuration.
    fn name(&self) -> &'static str;
    /// The class under `architectures` of a saved one-label model.
    fn class(&self) -> &'static str;
    /// The configuration as it was read.
    fn config(&self) -> &Map<String, Value>;
    /// The tensors in the order of the flat buffer.
    fn declared(&self) -> Vec<Declared>;
    /// What a tensor name of a checkpoint means.
    fn role(&self, name: &str) -> Role;
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

/// Reads the configuration of a model folder.
///
/// # Errors
/// [`crate::task::FailureKind::Missing`] when the architecture has no implementation yet,
/// [`crate::task::FailureKind::Wrong`] when the configuration is damaged or has a field this build does not know.
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
    use crate::task::FailureKind;

    #[test]
    fn known_architectures_are_missing_and_others_are_wrong() {
        let kind = |text: &str| {
            let e = from_fields(&Fields::parse("config.json", text.as_bytes()).unwrap()).unwrap_err();
            (e.kind, e.message)
        };
        let (k, m) = kind(r#"{"model_type": "modernbert"}"#);
        assert_eq!(k, FailureKind::Missing);
        assert!(m.contains("no implementation yet"), "{m}");
        assert_eq!(kind(r#"{"model_type": "gpt9"}"#).0, FailureKind::Wrong);
        assert_eq!(kind(r#"{"model_type": 3}"#).0, FailureKind::Wrong);
        assert_eq!(kind("{}").0, FailureKind::Wrong);
    }
}
