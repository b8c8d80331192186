//! The architectures, one file each: names of tensors and the reader of the configuration.
//!
//! Two encoders serve them all, [`post_norm`] and [`pre_norm`]: an architecture is data of one of them. [`head`] is every
//! architecture's re-ranking head, [`masked_lm`] the head of its masked language model. To add an architecture: write a
//! file that names its tensors and reads its configuration into an encoder, declare it here and put its row into
//! [`KNOWN`]. Nothing outside this folder names an architecture.

mod bert;
mod deberta;
mod distilbert;
mod electra;
pub mod head;
pub mod masked_lm;
mod modernbert;
mod mono;
pub mod post_norm;
pub mod pre_norm;
mod roberta;
mod tokenization;

pub use mono::lengths;
pub(super) use tokenization::{TokenTypes, Tokenization};

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::Fields;
use super::layers::{EmbeddingRows, ForwardGraph};
use super::{Packed, Parameter};
use xpipe_base::task::Failure;

/// Reads the configuration of one architecture.
pub type Read = fn(&Fields) -> Result<Arc<dyn Architecture>, Failure>;

/// An architecture by name.
struct KnownArchitecture {
    /// `model_type` of its configurations.
    name: &'static str,
    /// Its reader, if it is implemented.
    read: Option<Read>,
    /// Whether its masked language model is implemented too ([`Architecture::masked_lm`]).
    masked_lm: bool,
    /// Its tokenisation, if it has one of its own.
    tokenization: Option<Tokenization>,
}

const fn known(name: &'static str, read: Read, tokenization: Tokenization) -> KnownArchitecture {
    KnownArchitecture { name, read: Some(read), masked_lm: false, tokenization: Some(tokenization) }
}

const KNOWN: &[KnownArchitecture] = &[
    KnownArchitecture { masked_lm: true, ..known("bert", bert::read, bert::TOKENIZATION) },
    KnownArchitecture { masked_lm: true, ..known("distilbert", distilbert::read, distilbert::TOKENIZATION) },
    known("roberta", roberta::read, roberta::TOKENIZATION),
    known("xlm-roberta", roberta::read_xlm, roberta::XLM_TOKENIZATION),
    known("electra", electra::read, electra::TOKENIZATION),
    KnownArchitecture { name: "deberta", read: None, masked_lm: false, tokenization: None },
    known("deberta-v2", deberta::read, deberta::TOKENIZATION),
    known("modernbert", modernbert::read, modernbert::TOKENIZATION),
    KnownArchitecture { name: "mono", read: Some(mono::read), masked_lm: false, tokenization: None },
];

/// How a parameter that a checkpoint lacks is initialised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Not at all: it must be in the checkpoint.
    Never,
    /// Of a head: normal numbers with this standard deviation.
    Normal(f64),
    /// Of a head: zeros (biases).
    Zeros,
    /// Of a head: ones (norms).
    Ones,
}

/// One tensor of a model, without its position in the flat buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Hugging Face name.
    pub name: String,
    /// Shape, row-major; linear weights are `[out, in]`.
    pub shape: Vec<usize>,
    /// Initialisation if the checkpoint lacks it.
    pub fresh: Init,
}

/// The role of a checkpoint's tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorRole {
    /// The parameter of this name, after normalisation of old names and absent prefixes.
    Parameter(String),
    /// KnownArchitecture and unused: a masked-LM head, a buffer.
    Ignored,
}

/// The description of an encoder for engines.
#[derive(Clone, Copy, Debug)]
pub enum EncoderForm<'a> {
    /// A norm after every sub-layer.
    PostNorm(&'a post_norm::PostNorm),
    /// A norm before every sub-layer.
    PreNorm(&'a pre_norm::PreNorm),
}

/// A model without its weights: its configuration and computation.
pub trait Architecture: Send + Sync + std::fmt::Debug {
    /// `model_type` of the configuration.
    fn name(&self) -> &'static str;
    /// The class under `architectures` of a saved one-label model.
    fn class(&self) -> &'static str;
    /// The configuration as it was read.
    fn config(&self) -> &Map<String, Value>;
    /// The description of its encoder.
    fn form(&self) -> EncoderForm<'_>;
    /// The tensors in the order of the flat buffer.
    fn declared(&self) -> Vec<Declared>;
    /// The role of a checkpoint's tensor.
    fn role(&self, name: &str) -> TensorRole;
    /// The same encoder with another head and the configuration that describes both.
    fn under(&self, head: head::Head, config: Map<String, Value>) -> Arc<dyn Architecture>;
    /// The head of its masked language model, if this version has it.
    fn masked_lm(&self) -> Option<&masked_lm::MaskedLmHead> {
        None
    }
    /// Rows of the token embedding table.
    fn vocabulary(&self) -> usize;
    /// Width of the hidden states.
    fn hidden(&self) -> usize;
    /// Number of layers.
    fn layers(&self) -> usize;
    /// Maximum tokens of a pair, special tokens included.
    fn position_limit(&self) -> usize;
    /// Checks that ids, types and lengths of a batch are inside the tables.
    ///
    /// # Errors
    /// Names the pair and the number that is out of range.
    fn check(&self, batch: &Packed) -> Result<(), Failure>;
    /// The embedding tables whose rows are summed for each token, in the order of summation.
    fn lookups(&self, batch: &Packed) -> Vec<EmbeddingRows>;
    /// The logits `[pairs]` from the summed embedding rows `[tokens, width]`, in plain differentiable operations.
    ///
    /// # Errors
    /// A defect of the graph.
    fn logits(
        &self,
        graph: &ForwardGraph<'_>,
        embedded: candle_core::Tensor,
    ) -> candle_core::Result<candle_core::Tensor>;
}

/// The role of a tensor in an encoder whose names begin with `prefix` and one of `inside`. The prefix may be absent, norms
/// may have their old names, and names that begin with one of `ignored` (with or without the prefix) are ignored.
fn role(name: &str, prefix: &str, inside: &[&str], ignored: &[&str]) -> TensorRole {
    let inner = name.strip_prefix(prefix).unwrap_or(name);
    if ignored.iter().any(|i| inner.starts_with(i)) {
        return TensorRole::Ignored;
    }
    let regular = regular(inner);
    let inside = inside.iter().any(|p| regular.starts_with(p));
    TensorRole::Parameter(if inside { format!("{prefix}{regular}") } else { name.to_owned() })
}

/// A tensor's name with old names of norms replaced.
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
/// [`xpipe_base::task::FailureKind::Wrong`] when the configuration is damaged or has an unknown field.
pub fn read(folder: &Path) -> Result<Arc<dyn Architecture>, Failure> {
    from_fields(&Fields::open(folder)?)
}

/// The same from fields already read.
///
/// # Errors
/// As [`read`].
pub fn from_fields(fields: &Fields) -> Result<Arc<dyn Architecture>, Failure> {
    let kind = fields.text("model_type", "")?;
    match KNOWN.iter().find(|k| k.name == kind) {
        Some(KnownArchitecture { read: Some(read), .. }) => read(fields),
        Some(KnownArchitecture { name, read: None, .. }) => Err(Failure::missing(format!(
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

/// Whether this version runs an architecture, by its `model_type`.
pub fn is_implemented(name: &str) -> bool {
    KNOWN.iter().any(|k| k.name == name && k.read.is_some())
}

/// Whether this version runs the masked language models of an architecture, by its `model_type`.
pub fn has_masked_lm(name: &str) -> bool {
    KNOWN.iter().any(|k| k.name == name && k.masked_lm)
}

/// How transformers tokenises for an architecture, by its `model_type`; `None` if it is unknown.
pub(super) fn tokenization(name: &str) -> Option<Tokenization> {
    KNOWN.iter().find(|k| k.name == name)?.tokenization
}

/// The architectures that [`has_masked_lm`] accepts, for messages.
pub(super) fn masked_lms() -> String {
    names(|k| k.masked_lm)
}

fn implemented() -> String {
    names(|k| k.read.is_some())
}

fn names(which: impl Fn(&KnownArchitecture) -> bool) -> String {
    KNOWN.iter().filter(|k| which(k)).map(|k| k.name).collect::<Vec<_>>().join(", ")
}

/// The layout of tensors in one flat buffer without gaps. Weight decay applies to matrices, not to vectors (biases, norms).
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
