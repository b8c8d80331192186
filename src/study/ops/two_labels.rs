//! `two_labels(model, score)`: a cross-encoder whose classifier has two labels, and how they become one score.

use super::{compatibility, untrained};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// The constructor.
pub(crate) fn op() -> Op {
    Op::constructor(
        "two_labels",
        "Backbone",
        "A cross-encoder with two labels, the second of which means relevant. `difference` scores by the second logit minus \
         the first, which is the log-odds; `softmax` by the probability of the second label. Training starts from the \
         difference, as a model with one logit.",
    )
    .needs("model", "Backbone | Model", "The checkpoint, for instance `hf(\"owner/name\")`.")
    .needs("score", "'difference' | 'softmax'", "How the two logits become a score. Probabilities close to 1 differ only by rounding.")
    .checks(check)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let Some(model) = args.get("model") else { return Vec::new() };
    let wrong = if softmax(model).is_some() {
        Some(("`two_labels` of `two_labels`", "write it once"))
    } else if untrained::is(model) {
        Some(("`two_labels` of `untrained`: a random head has one label", "leave one of them out"))
    } else {
        None
    };
    wrong
        .map(|(message, help)| compatibility::issue(Code::OutOfRange, "model", message, help))
        .into_iter()
        .collect()
}

/// Whether the score is a probability, when the value is a `two_labels`.
pub(super) fn softmax(value: &Value) -> Option<bool> {
    let call = value.as_call().filter(|c| &*c.name == "two_labels")?;
    Some(call.args.get("score").and_then(Value::as_str) == Some("softmax"))
}

/// Whether a model scores pairs: then it has no head for anything else.
pub(super) fn ranks(model: &Value, facts: &dyn Facts) -> bool {
    softmax(model).is_some()
        || untrained::is(model)
        || facts.op(model) == Some(super::train_cross_encoder::NAME)
}

/// The model itself.
pub(super) fn model(value: &Value) -> &Value {
    match value.as_call() {
        Some(call) if softmax(value).is_some() => call.args.get("model").unwrap_or(&Value::Null),
        _ => value,
    }
}
