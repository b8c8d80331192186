//! `audit.leakage`: what training and validation data share with test collections.

use super::compatibility::issue;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "audit.leakage",
        VERSION,
        "Metrics",
        "Counts what training or validation data shares with test collections: queries that are equal or nearly equal to \
         a judged test query, and training negatives that a test judges relevant. The report warns if anything is found; a \
         claim over the counts makes it an error. Texts are compared as lower-case words, so ids do not matter.",
    )
    .counts(&["queries"])
    .example("audit.leakage { data, tests = [tests] }")
    .optional("data", "Samples | Source", "The training data, whose queries and negatives are compared.")
    .derived("source", "Source", "data", Some(Value::Null), "The source of the samples.")
    .derived("corpus", "Corpus", "data", Some(Value::Null), "Documents of the training data.")
    .derived(
        "queries",
        "Queries",
        "data",
        Some(Value::Null),
        "Queries of the training data; without `data`, the queries to compare, for instance those of a validation set.",
    )
    .needs("tests", "List<TestCollection>", "The test collections (≥ 1).")
    .takes(
        "near",
        "Float",
        Value::Float(0.8),
        "Minimum Jaccard similarity of the words of nearly equal queries, in (0, 1].",
    )
    .checks(check)
    .publishes(|_| COUNTS.map(str::to_owned).to_vec())
    .runs(run::run)
}

/// The counts that are published, and kept as facts for the report.
const COUNTS: [&str; 3] = ["equal_queries", "near_queries", "judged_negatives"];

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(near) = args.get("near").and_then(Value::as_f64).filter(|x| !(*x > 0.0 && *x <= 1.0)) {
        issues.push(issue(
            Code::OutOfRange,
            "near",
            format!("`near` is {near}"),
            "write a number above 0, at most 1",
        ));
    }
    let absent = |name: &str| args.get(name).is_none_or(|v| *v == Value::Null);
    if absent("queries") {
        let message = "nothing to compare: neither `data` nor `queries` is given";
        issues.push(issue(Code::MissingArgument, "queries", message, "give `data = samples`, or `queries`"));
    }
    if args.get("tests").and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
        issues.push(issue(
            Code::MissingArgument,
            "tests",
            "`tests` is empty",
            "name at least one collection",
        ));
    }
    issues
}

mod run;
mod similar_texts;
