//! The re-ranking head: pooling, an optional dense layer with activation and norm, and a classifier of one label.

use candle_core::{Result, Tensor};

use super::{Declared, Init};
use crate::layers::ForwardGraph;
use crate::layers::activation::Activation;
use crate::layers::dropout::Site;

/// How the head pools the hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadPooling {
    /// State of the first token.
    First,
    /// Mean over all tokens.
    Mean,
}

/// The layer norm after the head's activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadNorm {
    /// Stem of the parameter names.
    pub name: &'static str,
    /// ε of the norm.
    pub epsilon: f64,
    /// Whether it has β.
    pub bias: bool,
}

/// A dense layer with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dense {
    /// Stem of the parameter names.
    pub name: &'static str,
    /// Whether it has a bias.
    pub bias: bool,
    /// Activation of its output.
    pub activation: Activation,
}

/// logit = classifier(drop(norm(activation(dense(drop(pooled)))))).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// HeadPooling of the hidden states.
    pub pooling: HeadPooling,
    /// Dropout of the pooled state.
    pub pooled_dropout: f64,
    /// The dense layer before the classifier, if any.
    pub dense: Option<Dense>,
    /// The norm after the dense layer, if any.
    pub norm: Option<HeadNorm>,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stem of the classifier's parameter names.
    pub classifier: &'static str,
    /// Whether the classifier has a bias.
    pub classifier_bias: bool,
}

impl Head {
    /// Declares its tensors. Drawn weights have these standard deviations (dense layer, classifier).
    pub fn declare(&self, hidden: usize, deviations: [f64; 2], list: &mut Vec<Declared>) {
        let mut add = |name: String, shape: &[usize], fresh| {
            list.push(Declared { name, shape: shape.to_vec(), fresh });
        };
        if let Some(dense) = self.dense {
            add(format!("{}.weight", dense.name), &[hidden, hidden], Init::Normal(deviations[0]));
            if dense.bias {
                add(format!("{}.bias", dense.name), &[hidden], Init::Zeros);
            }
        }
        if let Some(norm) = self.norm {
            add(format!("{}.weight", norm.name), &[hidden], Init::Ones);
            if norm.bias {
                add(format!("{}.bias", norm.name), &[hidden], Init::Zeros);
            }
        }
        add(format!("{}.weight", self.classifier), &[1, hidden], Init::Normal(deviations[1]));
        if self.classifier_bias {
            add(format!("{}.bias", self.classifier), &[1], Init::Zeros);
        }
    }

    /// The logits `[pairs]` of the last hidden states `[tokens, hidden]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn logits(&self, g: &ForwardGraph<'_>, x: &Tensor) -> Result<Tensor> {
        let pooled = match self.pooling {
            HeadPooling::First => g.first_tokens(x)?,
            HeadPooling::Mean => g.mean_tokens(x)?,
        };
        let pooled = g.dropout(&pooled, Site::Pooled, self.pooled_dropout)?;
        let mut y = match self.dense {
            Some(dense) => dense.activation.apply(&g.linear(dense.name, &pooled)?)?,
            None => pooled,
        };
        if let Some(norm) = self.norm {
            y = g.layer_norm(norm.name, &y, norm.epsilon)?;
        }
        let y = g.dropout(&y, Site::Classifier, self.dropout)?;
        g.linear(self.classifier, &y)?.squeeze(1)
    }
}
