//! `train.cross_encoder`: trains a re-ranker.

use super::compatibility::PRECISION;
use super::resources;
use super::{compatibility, model_value, unsupported};
use crate::train::objectives;
use xpipe_base::diag::Code;
use xpipe_base::value::{Budget, Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 3;

pub(crate) fn op() -> Op {
    let input = Record::of([("document", Value::Int(256)), ("query", Value::Int(32))]);
    let schedule = Value::call("constant", Record::of([("warmup", Value::Percent(0.0))]));
    Op::stage(
        model_value::TRAINING,
        VERSION,
        "Model",
        "Trains a cross-encoder with one logit from a checkpoint, a hub model or another stage's model. A ranking head that \
         the backbone lacks is initialised from the seed; dropout is that of the model's configuration.",
    )
    .counts(&["steps", "samples", "documents", "tokens"])
    .uses_model("backbone", ModelUse::Train)
    .example("train.cross_encoder { backbone = checkpoint(\"m\"), objective = objective.bce(), data, batch = pairs(32), steps = steps(1_000), optimiser = adamw { learning_rate = 1e-5 }, seed = 1 }")
    .needs("backbone", "Backbone | Model", "The model to start from.")
    .needs("objective", "Objective", "The loss.")
    .needs("data", "Samples", "The training samples.")
    .takes("input", "InputLimits", Value::call("query_document", input), "Maximum text lengths.")
    .needs("steps", "Budget", "Training length: `steps(n)` or `epochs(x)`.")
    .needs("batch", "Shape | Batch", "Batch size: `pairs(n)`, or `queries(n)` for groups and ranked lists.")
    .needs("optimiser", "Optimiser", "The optimiser.")
    .takes("schedule", "Schedule", schedule, "The learning rate schedule.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .takes(
        "select",
        "Selection | 'last'",
        Value::str("last"),
        "The checkpoint to keep: `last`, or `best_of { … }` by validation.",
    )
    .derived("source", "Source", "data", None, "The source of the samples.")
    .derived("shape", "Shape | Batch", "data", None, "The shape of the samples.")
    .derived("corpus", "Corpus", "data", None, "Documents of the samples.")
    .derived("queries", "Queries", "data", None, "Queries of the samples.")
    .random()
    .heavy()
    .policy_keys(&["checkpoint", "micro_batch", "activation_checkpointing"])
    .checks(check)
    .runs(run::run).resources(resources::training::memory, resources::training::work)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = unsupported::model(args, "backbone", facts);
    let call = |name: &str| args.get(name).and_then(Value::as_call);
    let shape = compatibility::derived(args, facts, "shape", "data");
    let source = compatibility::derived(args, facts, "source", "data");
    if let Some(objective) = call("objective") {
        let parts = objectives::sum::parts(objective);
        for (argument, message) in parts.iter().flat_map(|(definition, call)| definition.faults(call)) {
            issues.push(compatibility::issue(
                Code::OutOfRange,
                "objective",
                message,
                format!("change `{argument}`"),
            ));
        }
        if let Some(shape) = shape.as_call() {
            issues.extend(compatibility::objective_over_samples(&parts, shape, &source, facts));
        }
    }
    if args.get("backbone").and_then(model_value::softmax) == Some(true) {
        let message = "training needs logits, and `softmax` gives probabilities";
        issues.push(compatibility::issue(
            Code::OutOfRange,
            "backbone",
            message,
            "write `score = difference`",
        ));
    }
    if args.get("backbone").and_then(model_value::random_head).is_some() {
        let message = "training initialises the head that its backbone lacks, from its own seed";
        issues.push(compatibility::issue(Code::OutOfRange, "backbone", message, "leave `untrained` out"));
    }
    if let Some(batch) = call("batch") {
        issues.extend(compatibility::batch_over_shape(batch, shape.as_call()));
    }
    match args.get("steps") {
        Some(Value::Percent(p)) => issues.push(compatibility::issue(
            Code::OpPercentOfSteps,
            "steps",
            format!("the training length is {p}% of the training length"),
            "write `steps(n)` or `epochs(x)`",
        )),
        Some(Value::Budget(Budget::Epochs(x))) if *x < 0.0 => {
            issues.push(compatibility::issue(
                Code::OutOfRange,
                "steps",
                format!("{x} epochs"),
                "write a number from 0 up",
            ));
        }
        _ => {}
    }
    issues
}

mod run;
#[cfg(test)]
mod tests;
