//! `train.cross_encoder`: trains a re-ranker.

use super::demand;
use super::fit::PRECISION;
use super::{fit, lacking, two_labels, untrained};
use crate::train::objectives;
use xpipe_base::diag::Code;
use xpipe_base::value::{Budget, Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 3;

/// The signature.
pub(crate) fn op() -> Op {
    let input = Record::of([("document", Value::Int(256)), ("query", Value::Int(32))]);
    let schedule = Value::call("constant", Record::of([("warmup", Value::Percent(0.0))]));
    let op = Op::stage(
        "train.cross_encoder",
        VERSION,
        "Model",
        "Trains a cross-encoder with one logit from a checkpoint, a hub model or another stage's model. A head that \
         the backbone lacks is drawn from the seed; dropout is as in the model's config.",
    )
    .example("train.cross_encoder { backbone = checkpoint(\"m\"), objective = objective.bce(), data, batch = pairs(32), steps = steps(1_000), optimiser = adamw { learning_rate = 1e-5 }, seed = 1 }")
    .needs("backbone", "Backbone | Model", "What to start from.")
    .needs("objective", "Objective", "The loss.")
    .needs("data", "Samples", "What it learns from.")
    .takes("input", "InputLimits", Value::call("query_document", input), "How much of each text is read.")
    .needs("steps", "Budget", "How long: `steps(n)` or `epochs(x)`.")
    .needs("batch", "Shape | Batch", "Samples in a step: `pairs(n)`, or `queries(n)` of groups and ranked lists.")
    .needs("optimiser", "Optimiser", "How weights are updated.")
    .takes("schedule", "Schedule", schedule, "How the learning rate changes.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .takes(
        "select",
        "Selection | 'last'",
        Value::str("last"),
        "Which step's weights are kept: `last`, or `best_of { … }` by validation.",
    )
    .derived("source", "Source", "data", None, "The source of the samples.")
    .derived("shape", "Shape | Batch", "data", None, "The shape of the samples.")
    .derived("corpus", "Corpus", "data", None, "Documents of the samples.")
    .derived("queries", "Queries", "data", None, "Queries of the samples.")
    .random()
    .heavy()
    .wishes(&["checkpoint", "micro_batch", "activation_checkpointing"])
    .checks(check);
    let op = op.runs(run::run).demands(demand::training::memory, demand::training::work);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = lacking::of(args, "backbone", facts);
    let call = |name: &str| args.get(name).and_then(Value::as_call);
    let shape = fit::derived(args, facts, "shape", "data");
    let source = fit::derived(args, facts, "source", "data");
    if let Some(objective) = call("objective") {
        let parts = objectives::sum::parts(objective);
        for (argument, message) in parts.iter().flat_map(|(definition, call)| definition.faults(call)) {
            issues.push(fit::issue(Code::OutOfRange, "objective", message, format!("change `{argument}`")));
        }
        if let Some(shape) = shape.as_call() {
            issues.extend(fit::objective_over_samples(&parts, shape, &source, facts));
        }
    }
    if args.get("backbone").and_then(two_labels::softmax) == Some(true) {
        let message = "a training needs logits, and `softmax` makes probabilities";
        issues.push(fit::issue(Code::OutOfRange, "backbone", message, "write `score = difference`"));
    }
    if args.get("backbone").is_some_and(untrained::is) {
        let message = "a training draws the head that its backbone lacks, from its own seed";
        issues.push(fit::issue(Code::OutOfRange, "backbone", message, "leave `untrained` out"));
    }
    if let Some(batch) = call("batch") {
        issues.extend(fit::batch_over_shape(batch, shape.as_call()));
    }
    match args.get("steps") {
        Some(Value::Percent(p)) => issues.push(fit::issue(
            Code::OpPercentOfSteps,
            "steps",
            format!("{p}% of the steps is asked for as the steps themselves"),
            "write `steps(n)` or `epochs(x)`",
        )),
        Some(Value::Budget(Budget::Epochs(x))) if *x < 0.0 => {
            issues.push(fit::issue(
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
