//! `data.samples`: a seeded stream of training samples, or a finite table of them.

use super::fit;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

/// The signature.
pub(crate) fn op() -> Op {
    let op = Op::stage(
        "data.samples",
        VERSION,
        "Samples",
        "Draws training samples from a source. What a training sees is a function of the seed: each epoch is a seeded \
         permutation, and negatives are drawn anew in each epoch. Nothing is written out but a description, unless \
         `count` asks for a finite table, which scoring needs.",
    )
    .needs("source", "Source", "Where samples come from.")
    .needs("shape", "Shape | Batch", "`pairs()`, `group(positives, negatives)` or `ranked_list(depth)`.")
    .optional("count", "Int", "Samples in a finite table, at least 1; an endless stream without it.")
    .derived("corpus", "Corpus", "source", None, "Documents of the source.")
    .derived("queries", "Queries", "source", None, "Queries of the source.")
    .random()
    .checks(check);
    let op = super::own::argument(op, "queries|queries.queries");
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let (Some(source), Some(shape)) = (args.get("source"), args.get("shape").and_then(Value::as_call)) else {
        return Vec::new();
    };
    let mut issues = fit::shape_over_source(shape, source, facts);
    if args.get("count").and_then(Value::as_int).is_some_and(|n| n < 1) {
        issues.push(fit::issue(Code::OutOfRange, "count", "`count` is below 1", "write a number from 1 up"));
    }
    if facts.op(source) == Some("data.samples")
        && facts.find(source, "count").unwrap_or_default() == Value::Null
    {
        issues.push(fit::issue(
            Code::OpNeedsCount,
            "source",
            "these samples are an endless stream, and a source is a table",
            "give them `count = n`",
        ));
    }
    issues
}

mod run {
    use serde_json::json;

    use crate::train::samples::{Samples, Shape};
    use crate::train::source::{self, Description, Stores, finite};
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let mut stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
        stores.without_own = super::super::own::dropped(job);
        let (shape, seed) = (Shape::read(job.call("shape")?)?, job.seed()?);
        let opened = source::open(job.arg("source"), &stores)?;
        let samples = Samples::new(opened.pool, shape, seed)?;
        let count = if job.has("count") { Some(job.count("count")? as u64) } else { None };
        if let Some(count) = count {
            finite::write(&samples, count, &stores, &job.spec.out)?;
        }
        let skipped = samples.skipped().iter().map(|(why, n)| ((*why).to_owned(), *n));
        let left_out: indexmap::IndexMap<String, u64> =
            opened.left_out.iter().map(|(why, n)| ((*why).to_owned(), *n)).chain(skipped).collect();
        for (why, n) in &left_out {
            job.progress.caveat(&Caveat::counted(CaveatKind::Dropped, *n, format!("{why} were left out")));
        }
        let description = Description {
            version: 1,
            shape,
            seed,
            count,
            epoch: samples.epoch(),
            left_out,
            source: source::describe(job.arg("source")),
        };
        description.write(&job.spec.out)?;
        let mut outcome = Outcome::default();
        outcome.facts.insert("samples_per_epoch".into(), json!(samples.epoch()));
        outcome.facts.insert("left_out".into(), json!(description.left_out));
        Ok(outcome)
    }
}
