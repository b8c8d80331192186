//! The head of a masked language model: for each token the logits over the vocabulary.
//!
//! logits = T · norm(activation(dense(state))) + b, where T is the token embedding table, or a table of its own if
//! `tie_word_embeddings` is false.
//!
//! **Source:** transformers `BertLMPredictionHead`, `DistilBertForMaskedLM`.

use candle_core::{Result, Tensor};

use super::{Declared, Init, TensorRole, regular};
use crate::layers::ForwardGraph;
use crate::layers::activation::Activation;

/// The head of an architecture's masked language model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedLmHead {
    /// Stem of the dense layer's parameter names.
    pub dense: &'static str,
    /// Activation of the dense layer.
    pub activation: Activation,
    /// Stem of the norm's parameter names.
    pub norm: &'static str,
    /// ε of the norm.
    pub epsilon: f64,
    /// Stem of the output table's names in checkpoints.
    pub decoder: &'static str,
    /// Name of the output bias.
    pub bias: &'static str,
    /// Name of the token embedding table, if the output table is tied to it.
    pub tied: Option<&'static str>,
}

impl MaskedLmHead {
    /// Declares its tensors.
    pub fn declare(&self, hidden: usize, vocabulary: usize, list: &mut Vec<Declared>) {
        let mut add = |name: String, shape: &[usize]| {
            list.push(Declared { name, shape: shape.to_vec(), fresh: Init::Never });
        };
        add(format!("{}.weight", self.dense), &[hidden, hidden]);
        add(format!("{}.bias", self.dense), &[hidden]);
        add(format!("{}.weight", self.norm), &[hidden]);
        add(format!("{}.bias", self.norm), &[hidden]);
        if self.tied.is_none() {
            add(self.table(), &[vocabulary, hidden]);
        }
        add(self.bias.into(), &[vocabulary]);
    }

    /// Name of the output table's parameter.
    pub fn table(&self) -> String {
        self.tied.map_or_else(|| format!("{}.weight", self.decoder), str::to_owned)
    }

    /// The role of a checkpoint's tensor in this head; `None` if it has none.
    pub fn role(&self, name: &str) -> Option<TensorRole> {
        let name = regular(name);
        if name == format!("{}.weight", self.decoder) {
            return Some(TensorRole::Parameter(self.table()));
        }
        // Some versions write the same numbers under a second name.
        if name == self.bias || name == format!("{}.bias", self.decoder) {
            return Some(TensorRole::Parameter(self.bias.into()));
        }
        let own = [self.dense, self.norm].iter().any(|stem| name.starts_with(&format!("{stem}.")));
        own.then_some(TensorRole::Parameter(name))
    }

    /// The logits `[tokens, vocabulary]` of hidden states `[tokens, hidden]`; `table` is the output table.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn logits(&self, g: &ForwardGraph<'_>, states: &Tensor, table: &Tensor) -> Result<Tensor> {
        let y = self.activation.apply(&g.linear(self.dense, states)?)?;
        let y = g.layer_norm(self.norm, &y, self.epsilon)?;
        g.product(&y, &table.t()?)?.broadcast_add(g.parameter(self.bias)?)
    }
}
