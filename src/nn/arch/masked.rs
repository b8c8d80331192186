//! The head of a masked language model: for each token a logit for every word of the vocabulary.
//!
//! logits = T · norm(activation(dense(state))) + b, where T is the word table itself, or a table of its own when
//! `tie_word_embeddings` is false.
//!
//! **Source:** transformers `BertLMPredictionHead`, `DistilBertForMaskedLM`.

use candle_core::{Result, Tensor};

use super::{Declared, Fresh, Role, regular};
use crate::layers::Graph;
use crate::layers::activation::Activation;

/// What an architecture's masked language model adds to its encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masked {
    /// Stem of the dense layer's names.
    pub dense: &'static str,
    /// Activation of the dense layer.
    pub activation: Activation,
    /// Stem of the norm's names.
    pub norm: &'static str,
    /// ε of the norm.
    pub epsilon: f64,
    /// Stem of the names of the words' table, as checkpoints write it.
    pub decoder: &'static str,
    /// Name of the words' bias.
    pub bias: &'static str,
    /// The encoder's word table, when the words' table is that one.
    pub tied: Option<&'static str>,
}

impl Masked {
    /// Its tensors.
    pub fn declare(&self, hidden: usize, vocabulary: usize, list: &mut Vec<Declared>) {
        let mut add = |name: String, shape: &[usize]| {
            list.push(Declared { name, shape: shape.to_vec(), fresh: Fresh::Never });
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

    /// The name of the words' table.
    pub fn table(&self) -> String {
        self.tied.map_or_else(|| format!("{}.weight", self.decoder), str::to_owned)
    }

    /// What a tensor name of a checkpoint means to this head; `None` when it is none of its own.
    pub fn role(&self, name: &str) -> Option<Role> {
        let name = regular(name);
        if name == format!("{}.weight", self.decoder) {
            return Some(Role::Parameter(self.table()));
        }
        // The same numbers under a second name, in files of some versions.
        if name == self.bias || name == format!("{}.bias", self.decoder) {
            return Some(Role::Parameter(self.bias.into()));
        }
        let own = [self.dense, self.norm].iter().any(|stem| name.starts_with(&format!("{stem}.")));
        own.then_some(Role::Parameter(name))
    }

    /// The logits `[tokens, vocabulary]` of hidden states `[tokens, hidden]`; `table` is the words' table.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn logits(&self, g: &Graph<'_>, states: &Tensor, table: &Tensor) -> Result<Tensor> {
        let y = self.activation.apply(&g.linear(self.dense, states)?)?;
        let y = g.layer_norm(self.norm, &y, self.epsilon)?;
        g.product(&y, &table.t()?)?.broadcast_add(g.parameter(self.bias)?)
    }
}
