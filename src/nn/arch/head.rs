//! The head of a one-label re-ranker: pooling, perhaps a dense layer with an activation, and the classifier.
//!
//! All architectures have this form and differ in which parts are there.

use candle_core::{Result, Tensor};

use super::{Declared, Fresh};
use crate::layers::Graph;
use crate::layers::activation::Activation;
use crate::layers::dropout::Site;

/// Which hidden states the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's.
    First,
    /// The mean of all tokens'.
    Mean,
}

/// The layer norm after the head's activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadNorm {
    /// Stem of its parameters' names.
    pub name: &'static str,
    /// ε.
    pub epsilon: f64,
    /// Whether it has β.
    pub bias: bool,
}

/// A dense layer with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dense {
    /// Stem of its names.
    pub name: &'static str,
    /// Whether it has a bias.
    pub bias: bool,
    /// What is applied to its result.
    pub activation: Activation,
}

/// logit = classifier(drop(norm(activation(dense(drop(pooled)))))).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// What it reads.
    pub pooling: Pooling,
    /// Dropout of what it reads.
    pub pooled_dropout: f64,
    /// The layer before the classifier, where there is one.
    pub dense: Option<Dense>,
    /// The norm after it, where there is one.
    pub norm: Option<HeadNorm>,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stem of the classifier's names.
    pub classifier: &'static str,
    /// Whether the classifier has a bias.
    pub classifier_bias: bool,
}

impl Head {
    /// Its tensors; fresh weights have these standard deviations (dense layer, classifier).
    pub fn declare(&self, hidden: usize, deviations: [f64; 2], list: &mut Vec<Declared>) {
        let mut add = |name: String, shape: &[usize], fresh| {
            list.push(Declared { name, shape: shape.to_vec(), fresh });
        };
        if let Some(dense) = self.dense {
            add(format!("{}.weight", dense.name), &[hidden, hidden], Fresh::Normal(deviations[0]));
            if dense.bias {
                add(format!("{}.bias", dense.name), &[hidden], Fresh::Zeros);
            }
        }
        if let Some(norm) = self.norm {
            add(format!("{}.weight", norm.name), &[hidden], Fresh::Ones);
            if norm.bias {
                add(format!("{}.bias", norm.name), &[hidden], Fresh::Zeros);
            }
        }
        add(format!("{}.weight", self.classifier), &[1, hidden], Fresh::Normal(deviations[1]));
        if self.classifier_bias {
            add(format!("{}.bias", self.classifier), &[1], Fresh::Zeros);
        }
    }

    /// The logits `[pairs]` of the last hidden states `[tokens, hidden]`.
    ///
    /// # Errors
    /// A defect of the graph.
    pub fn logits(&self, g: &Graph<'_>, x: &Tensor) -> Result<Tensor> {
        let pooled = match self.pooling {
            Pooling::First => g.first_tokens(x)?,
            Pooling::Mean => g.mean_tokens(x)?,
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
