//! `untrained(model, seed)`: an encoder that ranks by a random head.

use super::compatibility;
use super::model_value::{self, UNTRAINED};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

pub(crate) fn op() -> Op {
    Op::constructor(
        UNTRAINED,
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
    let wrong = if model_value::random_head(model).is_some() {
        Some(("`untrained` of `untrained`", "write it once"))
    } else if model_value::softmax(model).is_some() {
        Some(("`untrained` of `two_labels`: a random head has one label", "leave one of them out"))
    } else if model_value::trained(model, facts) {
        Some(("this model was trained, so it has a head", "leave `untrained` out"))
    } else {
        None
    };
    wrong
        .map(|(message, help)| compatibility::issue(Code::OutOfRange, "model", message, help))
        .into_iter()
        .collect()
}
