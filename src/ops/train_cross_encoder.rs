//! `train.cross_encoder`: trains a re-ranker.

use super::fit;
use crate::diag::Code;
use crate::train::objectives;
use crate::types::Op;
use crate::types::op::{Facts, Issue};
use crate::value::{Budget, Call, Record, Value};

const VERSION: u32 = 2;

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
    .needs("backbone", "Backbone | Model", "What to start from.")
    .needs("objective", "Objective", "The loss.")
    .needs("data", "Samples", "What it learns from.")
    .takes("input", "InputLimits", Value::call("query_document", input), "How much of each text is read.")
    .needs("steps", "Budget", "How long: `steps(n)` or `epochs(x)`.")
    .needs("batch", "Shape | Batch", "Samples in a step: `pairs(n)`, or `queries(n)` of groups and ranked lists.")
    .needs("optimiser", "Optimiser", "How weights are updated.")
    .takes("schedule", "Schedule", schedule, "How the learning rate changes.")
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), "Precision of the computation.")
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
    .checks(check);
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    let call = |name: &str| args.get(name).and_then(Value::as_call);
    let shape = fit::derived(args, facts, "shape", "data");
    let source = fit::derived(args, facts, "source", "data");
    if let Some(objective) = call("objective")
        && let Some(definition) = objectives::find(&objective.name)
    {
        for (argument, message) in definition.faults(objective) {
            issues.push(fit::issue(Code::OutOfRange, "objective", message, format!("change `{argument}`")));
        }
        if let Some(shape) = shape.as_call() {
            issues.extend(fit::objective_over_samples(definition, shape, &source, facts));
        }
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
    issues.extend(call("optimiser").map(optimiser).unwrap_or_default());
    if let Some(Value::Percent(p)) = call("schedule").and_then(|s| s.args.get("warmup"))
        && !(0.0..=100.0).contains(p)
    {
        let message = format!("a warm-up of {p}% of the steps");
        issues.push(fit::issue(
            Code::OpPercentOfSteps,
            "schedule",
            message,
            "write a percentage from 0% to 100%",
        ));
    }
    let never = match call("select").and_then(|s| s.args.get("every")) {
        Some(Value::Percent(p)) => *p <= 0.0,
        Some(Value::Budget(Budget::Steps(n))) => *n == 0,
        Some(Value::Budget(Budget::Epochs(x))) => *x <= 0.0,
        _ => false,
    };
    if never {
        let help = "write for instance `every = 5%`";
        issues.push(fit::issue(Code::OpPercentOfSteps, "select", "validation every 0 steps", help));
    }
    issues
}

/// Numbers of `adamw` out of their ranges.
fn optimiser(call: &Call) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (name, least, below) in [
        ("learning_rate", f64::MIN_POSITIVE, f64::INFINITY),
        ("weight_decay", 0.0, f64::INFINITY),
        ("clip_norm", 0.0, f64::INFINITY),
        ("beta1", 0.0, 1.0),
        ("beta2", 0.0, 1.0),
        ("eps", 0.0, f64::INFINITY),
    ] {
        let Some(x) = call.args.get(name).and_then(Value::as_f64) else { continue };
        if !(least..below).contains(&x) {
            let range = match (name, below) {
                ("learning_rate", _) => "a number above 0".to_owned(),
                (_, 1.0) => "a number from 0 up and below 1".to_owned(),
                _ => "a number from 0 up".to_owned(),
            };
            let message = format!("`{name}` of {} is {x}", call.name);
            issues.push(fit::issue(Code::OutOfRange, "optimiser", message, format!("write {range}")));
        }
    }
    issues
}

#[cfg(feature = "models")]
mod run;
#[cfg(test)]
mod tests;
