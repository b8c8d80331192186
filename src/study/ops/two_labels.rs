//! `two_labels(model, score)`: a cross-encoder whose classifier has two labels.

use super::compatibility;
use super::model_value::{self, TWO_LABELS};
use xpipe_base::diag::Code;
use xpipe_base::value::Record;
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

pub(crate) fn op() -> Op {
    Op::constructor(
        TWO_LABELS,
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
    let wrong = if model_value::softmax(model).is_some() {
        Some(("`two_labels` of `two_labels`", "write it once"))
    } else if model_value::random_head(model).is_some() {
        Some(("`two_labels` of `untrained`: a random head has one label", "leave one of them out"))
    } else {
        None
    };
    wrong
        .map(|(message, help)| compatibility::issue(Code::OutOfRange, "model", message, help))
        .into_iter()
        .collect()
}
