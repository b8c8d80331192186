//! `data.samples`: a seeded stream of training samples, or a finite table of them.

use super::compatibility;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{Op, SampleForm, Supervision};

pub(super) const NAME: &str = "data.samples";
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        NAME,
        VERSION,
        "Samples",
        "Draws training samples from a source. The sequence is determined by the seed: each epoch is a seeded permutation, \
         and negatives are drawn anew in each epoch. Only a description is stored, unless `count` asks for a finite table, \
         which scoring needs.",
    )
    .supervises(supervision)
    .needs("source", "Source", "The source of the samples.")
    .needs("shape", "Shape | Batch", "`pairs()`, `group(positives, negatives)` or `ranked_list(depth)`.")
    .optional("count", "Int", "Number of samples of a finite table (≥ 1). Default: an endless stream.")
    .derived("corpus", "Corpus", "source", None, "Documents of the source.")
    .derived("queries", "Queries", "source", None, "Queries of the source.")
    .random()
    .checks(check);
    super::own_document::argument(op, "queries|queries.queries").runs(run::run)
}

/// Samples of one shape, with what their source offers besides.
fn supervision(args: &Record, facts: &dyn Facts) -> Supervision {
    let source = args.get("source").map(|source| facts.supervision(source)).unwrap_or_default();
    let form = args.get("shape").and_then(Value::as_call).and_then(|shape| SampleForm::of(&shape.name));
    Supervision { forms: form.map(|form| vec![form]), judged: Some(true), depth: None, ..source }
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let (Some(source), Some(shape)) = (args.get("source"), args.get("shape").and_then(Value::as_call)) else {
        return Vec::new();
    };
    let mut issues = compatibility::shape_over_source(shape, source, facts);
    issues.extend(compatibility::at_least(args, "count", 1));
    if facts.op(source) == Some(NAME) && facts.find(source, "count").unwrap_or_default() == Value::Null {
        issues.push(compatibility::issue(
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
        stores.without_own = super::super::own_document::dropped(job);
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
