//! The training objectives: one file each, and one line in [`objectives!`] below. [`Objective`] is what a study asks
//! for: one of them, or a weighted sum.
//!
//! An objective sees scores, teacher scores and which documents are positive, over the *whole* batch of a step, and
//! gives the loss and its derivative by every score, in f64. It must not know: models, tokens, files. That is what
//! lets the trainer split a batch into micro-batches without changing the gradient.
//!
//! Checked against PyTorch's autograd on fixed scores: `tests/data/objectives`.

pub mod sum;

pub use sum::Objective;

pub use xpipe_lang::types::SampleForm;

use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Value};

/// The documents of one query in a batch, as an objective sees them.
///
/// A pair is a group of two. The positives come first. A ranked list has no positives; its documents stand in
/// teacher order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The model's raw logits.
    pub scores: Vec<f64>,
    /// The teacher's scores, as many as `scores`.
    pub teacher: Option<Vec<f64>>,
    /// How many of the first documents are positive.
    pub positives: usize,
}

/// The loss of a batch and its derivative by every score, in the order of the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The loss.
    pub value: f64,
    /// One list for each group, as long as its scores.
    pub gradients: Vec<Vec<f64>>,
}

impl Loss {
    /// A loss of zero with zero derivatives.
    pub fn zero(batch: &[Group]) -> Self {
        Self { value: 0.0, gradients: batch.iter().map(|g| vec![0.0; g.scores.len()]).collect() }
    }

    /// The same divided by `n`; unchanged when `n` is 0 (nothing was summed).
    fn over(mut self, n: usize) -> Self {
        if n > 0 {
            let n = n as f64;
            self.value /= n;
            self.gradients.iter_mut().flatten().for_each(|g| *g /= n);
        }
        self
    }
}

/// What an objective asks of the teacher for every document of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Teacher {
    /// Nothing.
    Nothing,
    /// The order of documents: given by a ranked list, and by scores in pairs and groups.
    Order,
    /// Scores whose sizes mean something. The order of a ranked list is not enough.
    Scores,
}

/// What an argument of an objective may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// A finite number above zero, with its default.
    Positive(f64),
    /// A finite number not below zero, with its default.
    NotNegative(f64),
    /// One of these words; the first is the default.
    Words(&'static [&'static str]),
}

/// An argument of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument {
    /// The name as studies write it.
    pub name: &'static str,
    /// Accepted values.
    pub range: Range,
    /// Documentation.
    pub doc: &'static str,
}

/// The argument of every objective with a softmax or a sigmoid in it.
const TEMPERATURE: Argument =
    Argument { name: "temperature", range: Range::Positive(1.0), doc: "T: scores are divided by it." };

/// An objective: what it is called, what it needs, and its formula.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The constructor, for instance `objective.infonce`.
    pub name: &'static str,
    /// What it is, with its formula and source.
    pub doc: &'static str,
    /// Its arguments in positional order.
    pub arguments: &'static [Argument],
    /// The forms of data it can use.
    pub forms: &'static [SampleForm],
    /// What it asks of the teacher, under its arguments.
    pub teacher: fn(&Arguments<'_>) -> Teacher,
    /// The loss of a whole batch.
    pub loss: LossFn,
}

/// The loss of a whole batch under an objective's arguments.
pub type LossFn = fn(&[Group], &Arguments<'_>) -> Result<Loss, Failure>;

/// The arguments of an objective's call, with defaults.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    of: &'static [Argument],
    call: Option<&'a Call>,
}

impl Arguments<'_> {
    /// A number.
    fn number(&self, name: &str) -> f64 {
        let given = self.call.and_then(|c| c.args.get(name)).and_then(Value::as_f64);
        given.unwrap_or_else(|| match self.of.iter().find(|a| a.name == name).map(|a| a.range) {
            Some(Range::Positive(d) | Range::NotNegative(d)) => d,
            _ => f64::NAN,
        })
    }

    /// A word.
    fn word(&self, name: &str) -> &str {
        let given = self.call.and_then(|c| c.args.get(name)).and_then(Value::as_str);
        given.unwrap_or_else(|| match self.of.iter().find(|a| a.name == name).map(|a| a.range) {
            Some(Range::Words(words)) => words.first().copied().unwrap_or(""),
            _ => "",
        })
    }
}

impl Definition {
    /// The errors in the arguments of a call, each with the argument's name.
    pub fn faults(&self, call: &Call) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for argument in self.arguments {
            let value = call.args.get(argument.name).unwrap_or(&Value::Null);
            if matches!(value, Value::Null | Value::Pending(_)) {
                continue;
            }
            let (ok, wanted) = match argument.range {
                Range::Positive(_) => {
                    (value.as_f64().is_some_and(|x| x > 0.0), "a number above 0".to_owned())
                }
                Range::NotNegative(_) => {
                    (value.as_f64().is_some_and(|x| x >= 0.0), "a number not below 0".to_owned())
                }
                Range::Words(words) => (
                    value.as_str().is_some_and(|w| words.contains(&w)),
                    format!("one of {}", words.join(", ")),
                ),
            };
            if !ok {
                faults.push((argument.name, format!("`{}` of {} is not {wanted}", argument.name, self.name)));
            }
        }
        faults
    }

    /// What it asks of the teacher under the arguments of `call`; defaults without one.
    pub fn asks(&self, call: Option<&Call>) -> Teacher {
        (self.teacher)(&Arguments { of: self.arguments, call })
    }

    /// The loss of a whole batch under the arguments of `call`; defaults without one.
    ///
    /// # Errors
    /// When a group does not have what the objective needs (a teacher score for each document, a positive).
    pub fn loss(&self, batch: &[Group], call: Option<&Call>) -> Result<Loss, Failure> {
        for g in batch {
            if g.teacher.as_ref().is_some_and(|t| t.len() != g.scores.len()) || g.positives > g.scores.len() {
                return Err(Failure::bug(format!("{}: a group whose parts differ in length", self.name)));
            }
        }
        (self.loss)(batch, &Arguments { of: self.arguments, call })
    }
}

/// The objective of a constructor's name.
pub fn find(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|d| d.name == name)
}

/// Teacher scores of a group; an error when there are none.
fn teacher<'a>(name: &str, group: &'a Group) -> Result<&'a [f64], Failure> {
    group.teacher.as_deref().ok_or_else(|| {
        Failure::wrong(format!("{name} needs a teacher score for each document, and a sample has none"))
            .help("give the source `scores`, for instance of `score.cross_encoder`")
    })
}

/// The places of documents by falling teacher score; ties keep the order of the list.
fn order(teacher: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..teacher.len()).collect();
    order.sort_by(|&a, &b| teacher[b].total_cmp(&teacher[a]));
    order
}

/// log(eᵃ + eᵇ) without overflow.
fn log_add(a: f64, b: f64) -> f64 {
    let top = a.max(b);
    if top == f64::NEG_INFINITY { top } else { top + (-(a - b).abs()).exp().ln_1p() }
}

/// log softmax(x / T) without overflow.
fn log_softmax(x: &[f64], temperature: f64) -> Vec<f64> {
    let top = x.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b / temperature));
    let sum = x.iter().map(|v| (v / temperature - top).exp()).sum::<f64>().ln();
    x.iter().map(|v| v / temperature - top - sum).collect()
}

/// log(1 + eˣ) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + e⁻ˣ) without overflow.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

macro_rules! objectives {
    ($($file:ident)*) => {
        $(mod $file;)*

        /// Every objective.
        pub const ALL: &[Definition] = &[$($file::DEFINITION),*];
    };
}

// One file in this folder and one line here make an objective.
objectives! {
    bce
    hinge
    infonce
    margin_mse
    ranknet
    approx_rank_mse
    mse
    kl
    list_net
    list_mle
    p_list_mle
    lambda
    localized_contrastive
}

#[cfg(test)]
mod tests;
