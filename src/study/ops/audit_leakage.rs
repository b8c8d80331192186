//! `audit.leakage`: what a training or a choice has seen of the tests.

use super::fit::issue;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "audit.leakage",
        VERSION,
        "Metrics",
        "Counts what tests share with a training or with collections to choose on: queries that are equal or nearly \
         equal to a judged query of a test, and documents that a test judges relevant among the negatives. The report \
         warns of what is found; a claim over the counts makes it an error. Texts are compared as their words in lower \
         case, so that ids of different collections do not matter.",
    )
    .example("audit.leakage { data, tests = [tests] }")
    .optional("data", "Samples | Source", "What is trained on: its queries and negatives are looked at.")
    .derived("source", "Source", "data", Some(Value::Null), "The source of the samples.")
    .derived("corpus", "Corpus", "data", Some(Value::Null), "Documents of the data.")
    .derived(
        "queries",
        "Queries",
        "data",
        Some(Value::Null),
        "Queries of the data; without data, the queries that are looked at, for instance those of a validation set.",
    )
    .needs("tests", "List<TestCollection>", "The collections that nothing may have seen.")
    .takes(
        "near",
        "Float",
        Value::Float(0.8),
        "Queries are nearly equal from this share of common words on (Jaccard), in (0, 1].",
    )
    .checks(check)
    .publishes(|_| COUNTS.map(str::to_owned).to_vec());
    let op = op.runs(run::run);
    op
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
        let message = "there is nothing to look at: neither `data` nor `queries` is given";
        issues.push(issue(Code::MissingArgument, "queries", message, "give `data = samples`, or `queries`"));
    }
    if args.get("tests").and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
        issues.push(issue(
            Code::MissingArgument,
            "tests",
            "`tests` is empty",
            "name one collection at least",
        ));
    }
    issues
}

mod alike;
mod run;
