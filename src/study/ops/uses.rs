//! What an action reads a model for, told from its arguments.

use super::{two_labels, untrained};
use xpipe_base::value::{Input, Record, Value};
use xpipe_nn::preflight::Use;
use xpipe_nn::weights::Labels;

/// What the action of an operation reads a model for; `None` where the operation says nothing of it.
pub fn use_of(op: &str, args: &Record, model: &Input) -> Option<Use> {
    let argument = if op == "train.cross_encoder" { "backbone" } else { "model" };
    let value = args.get(argument)?;
    let Value::Input(input) = two_labels::model(untrained::model(value)) else { return None };
    if **input != *model {
        return None;
    }
    let labels = if two_labels::softmax(value).is_some() { Labels::Two } else { Labels::One };
    match op {
        "rerank.cross_encoder" | "score.cross_encoder" if untrained::is(value) => Some(Use::Untrained),
        "rerank.cross_encoder" | "score.cross_encoder" => Some(Use::Ranking(labels)),
        "train.cross_encoder" => Some(Use::Training(labels)),
        "sparse.encode" => Some(Use::Weighing),
        "dense.encode" => Some(Use::Encoding),
        _ => None,
    }
}
