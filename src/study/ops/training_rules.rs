//! Constructors that say how a training goes: optimiser, schedules, selection rule.

use super::compatibility::{in_range, issue};
use xpipe_base::diag::Code;
use xpipe_base::value::{Budget, Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue, MakeFn};

const WARMUP: &str = "Length of the linear warm-up from 0: `steps(n)`, `epochs(x)` or a percentage of the training \
                      steps.";

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
            "AdamW: decoupled weight decay on matrices (not on biases and norms), bias-corrected moments, and clipping of \
             the global gradient norm.",
        )
        .needs("learning_rate", "Float", "Peak learning rate (> 0).")
        .takes("weight_decay", "Float", Value::Float(0.0), "Decoupled weight decay (≥ 0).")
        .takes("clip_norm", "Float", Value::Float(1.0), "Maximum global gradient norm (≥ 0); 0 disables clipping.")
        .takes("beta1", "Float", Value::Float(0.9), "Decay rate of the first moment, in [0, 1).")
        .takes("beta2", "Float", Value::Float(0.999), "Decay rate of the second moment, in [0, 1).")
        .takes("eps", "Float", Value::Float(1e-8), "Constant added to the square root of the second moment (≥ 0).")
        .checks(optimiser_check),
        schedule("constant", "A constant learning rate after the warm-up."),
        schedule("linear", "The learning rate decays linearly to 0 after the warm-up."),
        schedule("cosine", "The learning rate decays to 0 along half a cosine after the warm-up."),
        Op::constructor(
            "best_of",
            "Selection",
            "Keeps the checkpoint with the highest mean of a measure over validation collections. Of equal ones the earliest \
             is kept; the last step is always validated.",
        )
        .default_run(first_hundred)
        .example("best_of(on = dev, metric = ndcg(10), every = 10%)")
        .needs(
            "on",
            "TestCollection | List<TestCollection>",
            "The validation collections; none may have the role `test`.",
        )
        .needs("metric", "Metric", "The measure.")
        .needs("every", "Percent | Budget", "Validation interval: `steps(n)`, `epochs(x)` or a percentage of the training steps.")
        .optional("run", "Run", "The run to re-rank. Default: the top 100 of BM25 for each collection.")
        .checks(selection_check),
    ]
    .into_iter()
}

/// The top 100 of BM25 over a collection.
fn first_hundred(collection: &Record, make: &mut MakeFn<'_>) -> Option<Value> {
    let part = |name: &str| collection.get(name).cloned().unwrap_or_default();
    let index = make(super::bm25_index::NAME, &[("corpus", part("corpus"))])?;
    let search = [("index", index), ("queries", part("queries")), ("depth", Value::Int(100))];
    make(super::bm25_search::NAME, &search)
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
