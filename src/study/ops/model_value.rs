//! A model as an argument: a checkpoint or another stage's model, as it is or inside `two_labels(…)` or `untrained(…)`.

use xpipe_base::value::Value;
use xpipe_lang::types::op::Facts;

/// The operation that trains cross-encoders, and the constructors around a model.
pub(super) const TRAINING: &str = "train.cross_encoder";
pub(super) const TWO_LABELS: &str = "two_labels";
pub(super) const UNTRAINED: &str = "untrained";

/// The model inside the constructors.
pub(super) fn inner(value: &Value) -> &Value {
    match value.as_call() {
        Some(call) if [TWO_LABELS, UNTRAINED].contains(&&*call.name) => {
            call.args.get("model").map_or(&Value::Null, inner)
        }
        _ => value,
    }
}

/// Whether the score of a `two_labels` is a probability; `None` for another value.
pub(super) fn softmax(value: &Value) -> Option<bool> {
    let call = value.as_call().filter(|c| &*c.name == TWO_LABELS)?;
    Some(call.args.get("score").and_then(Value::as_str) == Some("softmax"))
}

/// The seed of the random head of an `untrained`; `None` for another value.
pub(super) fn random_head(value: &Value) -> Option<u64> {
    let call = value.as_call().filter(|c| &*c.name == UNTRAINED)?;
    Some(call.args.get("seed").and_then(Value::as_int).unwrap_or(0) as u64)
}

/// Whether a training made the model, so that it has a head.
pub(super) fn trained(value: &Value, facts: &dyn Facts) -> bool {
    facts.op(value) == Some(TRAINING)
}

/// Whether a model scores pairs: then it has no head for anything else.
pub(super) fn ranks(value: &Value, facts: &dyn Facts) -> bool {
    softmax(value).is_some() || random_head(value).is_some() || trained(value, facts)
}
