//! Constructors that say how a training goes: optimiser, schedules, selection rule.

use crate::types::Op;
use crate::value::Value;

const WARMUP: &str = "Steps over which the rate rises linearly from 0: `steps(n)`, `epochs(x)` or a percentage of the \
                      training's steps.";

/// `adamw`, `constant`, `linear`, `cosine`, `best_of`.
pub(crate) fn ops() -> impl Iterator<Item = Op> {
    let schedule = |name, doc| {
        Op::constructor(name, "Schedule", doc).takes(
            "warmup",
            "Percent | Budget",
            Value::Percent(0.0),
            WARMUP,
        )
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
        .takes("eps", "Float", Value::Float(1e-8), "Added to the root of the second moment."),
        schedule("constant", "The rate stays at its peak after the warm-up."),
        schedule("linear", "The rate falls linearly to zero after the warm-up."),
        schedule("cosine", "The rate falls to zero along half a cosine after the warm-up."),
        Op::constructor(
            "best_of",
            "Selection",
            "Keeps the weights of the step with the highest mean of a metric over validation collections; ties go to \
             the earlier step, and the last step is always validated.",
        )
        .needs(
            "on",
            "TestCollection | List<TestCollection>",
            "Validation collections; none may be marked `test`.",
        )
        .needs("metric", "Metric", "What is measured.")
        .needs("every", "Percent | Budget", "How often: `steps(n)`, `epochs(x)` or a percentage of the steps.")
        .optional("run", "Run", "What is re-ranked; by default BM25's first 100 of each collection."),
    ]
    .into_iter()
}
