//! What the operations that encode texts share: the texts, the checks of texts and model, and what is recorded.

use std::time::Instant;

use serde_json::json;

use super::compatibility::{self, issue};
use super::model_value;
use crate::train::texts::Encoded;
use xpipe_base::diag::Code;
use xpipe_base::task::{Failure, Job, Outcome};
use xpipe_base::value::{Record, Value};
use xpipe_data::store::TextStore;
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

/// The texts to encode: a corpus or queries.
pub(super) fn texts(op: Op) -> Op {
    op.optional("corpus", "Corpus", "The documents to encode; give either `corpus` or `queries`.").optional(
        "queries",
        "Queries",
        "The queries to encode; give either `corpus` or `queries`.",
    )
}

/// Checks the texts, their maximum length, and that the model is no re-ranker: `message` and `help` are for one that is.
pub(super) fn check(args: &Record, facts: &dyn Facts, message: &str, help: &str) -> Vec<Issue> {
    let mut issues = Vec::new();
    if args.get("model").is_some_and(|model| model_value::ranks(model, facts)) {
        issues.push(issue(Code::OutOfRange, "model", message, help));
    }
    issues.extend(one_side(args));
    issues.extend(compatibility::at_least(args, "input", 3));
    issues
}

/// Both a corpus and queries, or neither.
fn one_side(args: &Record) -> Option<Issue> {
    let given = |name: &str| !matches!(args.get(name), None | Some(Value::Null));
    let what = match (given("corpus"), given("queries")) {
        (true, true) => "both a corpus and queries are",
        (false, false) => "neither a corpus nor queries are",
        _ => return None,
    };
    let help = "give one of them: `corpus = …` or `queries = …`";
    Some(issue(Code::OutOfRange, "corpus", format!("{what} given to encode"), help))
}

/// Opens the texts of a job.
pub(super) fn open(job: &Job<'_>) -> Result<TextStore, Failure> {
    TextStore::open(job.path(if job.has("corpus") { "corpus" } else { "queries" })?)
}

/// The facts of an encoding of so many texts, some of them by other jobs.
pub(super) fn outcome(
    texts: usize,
    (encoded, elsewhere): (Encoded, usize),
    kernels: &str,
    started: Instant,
) -> Outcome {
    let mut outcome = Outcome::default();
    if elsewhere > 0 {
        outcome.facts.insert("texts_of_other_jobs".into(), json!(elsewhere));
    }
    for (name, value) in [
        ("texts", json!(texts)),
        ("texts_cut", json!(encoded.cut)),
        ("tokens", json!(encoded.tokens)),
        ("kernels", json!(kernels)),
        ("seconds", json!(started.elapsed().as_secs_f64())),
    ] {
        outcome.facts.insert(name.into(), value);
    }
    outcome
}
