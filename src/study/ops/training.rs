//! Constructors that say how a training goes: optimiser, schedules, selection rule.

use super::fit::{in_range, issue};
use xpipe_base::diag::Code;
use xpipe_base::value::{Budget, Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const WARMUP: &str = "Steps over which the rate rises linearly from 0: `steps(n)`, `epochs(x)` or a percentage of the \
                      training's steps.";

/// `adamw`, `constant`, `linear`, `cosine`, `best_of`.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    let schedule = |name, doc| {
        Op::constructor(name, "Schedule", doc)
            .takes("warmup", "Percent | Budget", Value::Percent(0.0), WARMUP)
            .checks(schedule_check)
    };
    [
        Op::constructor(
            "adamw",
            "Optimiser",
            "AdamW: decoupled weight decay on matrices (not on biases and norms), bias-corrected moments, and a clip of \
             the gradient's global norm.",
        )
        .needs("learning_rate", "Float", "Peak learning rate, above 0.")
        .takes("weight_decay", "Float", Value::Float(0.0), "Decoupled weight decay, at least 0.")
        .takes("clip_norm", "Float", Value::Float(1.0), "Largest global norm of the gradient; 0 does not clip.")
        .takes("beta1", "Float", Value::Float(0.9), "Decay of the first moment, in [0, 1).")
        .takes("beta2", "Float", Value::Float(0.999), "Decay of the second moment, in [0, 1).")
        .takes("eps", "Float", Value::Float(1e-8), "Added to the root of the second moment.")
        .checks(optimiser_check),
        schedule("constant", "The rate stays at its peak after the warm-up."),
        schedule("linear", "The rate falls linearly to zero after the warm-up."),
        schedule("cosine", "The rate falls to zero along half a cosine after the warm-up."),
        Op::constructor(
            "best_of",
            "Selection",
            "Keeps the weights of the step with the highest mean of a metric over validation collections; ties go to \
             the earlier step, and the last step is always validated.",
        )
        .example("best_of(on = dev, metric = ndcg(10), every = 10%)")
        .needs(
            "on",
            "TestCollection | List<TestCollection>",
            "Validation collections; none may be marked `test`.",
        )
        .needs("metric", "Metric", "What is measured.")
        .needs("every", "Percent | Budget", "How often: `steps(n)`, `epochs(x)` or a percentage of the steps.")
        .optional("run", "Run", "What is re-ranked; by default BM25's first 100 of each collection.")
        .checks(selection_check),
    ]
    .into_iter()
}

fn optimiser_check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let any = f64::INFINITY;
    [
        in_range(args, "learning_rate", f64::MIN_POSITIVE, any),
        in_range(args, "weight_decay", 0.0, any),
        in_range(args, "clip_norm", 0.0, any),
        in_range(args, "beta1", 0.0, 1.0),
        in_range(args, "beta2", 0.0, 1.0),
        in_range(args, "eps", 0.0, any),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn schedule_check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let Some(Value::Percent(p)) = args.get("warmup") else { return Vec::new() };
    if (0.0..=100.0).contains(p) {
        return Vec::new();
    }
    let message = format!("a warm-up of {p}% of the steps");
    vec![issue(Code::OpPercentOfSteps, "warmup", message, "write a percentage from 0% to 100%")]
}

fn selection_check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let never = match args.get("every") {
        Some(Value::Percent(p)) => *p <= 0.0,
        Some(Value::Budget(Budget::Steps(n))) => *n == 0,
        Some(Value::Budget(Budget::Epochs(x))) => *x <= 0.0,
        _ => false,
    };
    if !never {
        return Vec::new();
    }
    let help = "write for instance `every = 5%`";
    vec![issue(Code::OpPercentOfSteps, "every", "validation every 0 steps", help)]
}
