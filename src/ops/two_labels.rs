//! `two_labels(model, score)`: a cross-encoder whose classifier has two labels, and how they become one score.

use super::fit;
use crate::diag::Code;
use crate::types::Op;
use crate::types::op::{Facts, Issue};
use crate::value::{Record, Value};

/// The constructor.
pub(crate) fn op() -> Op {
    Op::constructor(
        "two_labels",
        "Backbone",
        "A cross-encoder with two labels, the second of which says that a document is relevant: `difference` scores \
         by its logit less the other one, which is its log-odds; `softmax` by its probability. A training starts from \
         the difference, as a model with one logit.",
    )
    .needs("model", "Backbone | Model", "The checkpoint, for instance `hf(\"owner/name\")`.")
    .needs("score", "'difference' | 'softmax'", "How the score is made. Probabilities near 1 differ by rounding only.")
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let twice = args.get("model").is_some_and(|m| softmax(m).is_some());
    let issue = || fit::issue(Code::OutOfRange, "model", "`two_labels` of `two_labels`", "write it once");
    twice.then(issue).into_iter().collect()
}

/// Whether the score is a probability, when the value is a `two_labels`.
pub(super) fn softmax(value: &Value) -> Option<bool> {
    let call = value.as_call().filter(|c| &*c.name == "two_labels")?;
    Some(call.args.get("score").and_then(Value::as_str) == Some("softmax"))
}

/// Whether a model scores pairs: then it has no head for anything else.
pub(super) fn ranks(model: &Value, facts: &dyn Facts) -> bool {
    softmax(model).is_some() || facts.op(model) == Some("train.cross_encoder")
}

/// The model itself.
#[cfg(feature = "models")]
pub(super) fn model(value: &Value) -> &Value {
    match value.as_call() {
        Some(call) if softmax(value).is_some() => call.args.get("model").unwrap_or(&Value::Null),
        _ => value,
    }
}
