//! `untrained(model, seed)`: a model without a head for ranking, meant to rank all the same by one that is drawn.

use super::{compatibility, two_labels};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// The constructor.
pub(crate) fn op() -> Op {
    Op::constructor(
        "untrained",
        "Backbone",
        "An encoder without a ranking head, with a head initialised at random from `seed`: a baseline that shows what \
         training adds. Its ranking is no better than chance, and the report says so beside every result. Without \
         `untrained`, ranking by such a model is an error.",
    )
    .needs("model", "Backbone | Model", "The encoder, for instance `hf(\"owner/name\")`.")
    .takes("seed", "Int", Value::Int(0), "Seed of the random head.")
    .checks(check)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let Some(model) = args.get("model") else { return Vec::new() };
    let wrong = if is(model) {
        Some(("`untrained` of `untrained`", "write it once"))
    } else if two_labels::softmax(model).is_some() {
        Some(("`untrained` of `two_labels`: a random head has one label", "leave one of them out"))
    } else if facts.op(model) == Some(super::train_cross_encoder::NAME) {
        Some(("this model was trained, so it has a head", "leave `untrained` out"))
    } else {
        None
    };
    wrong
        .map(|(message, help)| compatibility::issue(Code::OutOfRange, "model", message, help))
        .into_iter()
        .collect()
}

/// Whether a value is an `untrained`.
pub(super) fn is(value: &Value) -> bool {
    value.as_call().is_some_and(|c| &*c.name == "untrained")
}

/// The seed of the head, when the value is an `untrained`.
pub(super) fn seed(value: &Value) -> Option<u64> {
    let call = value.as_call().filter(|_| is(value))?;
    Some(call.args.get("seed").and_then(Value::as_int).unwrap_or(0) as u64)
}

/// The model itself.
pub(super) fn model(value: &Value) -> &Value {
    match value.as_call() {
        Some(call) if is(value) => call.args.get("model").unwrap_or(&Value::Null),
        _ => value,
    }
}
