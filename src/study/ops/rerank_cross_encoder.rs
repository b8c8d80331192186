//! `rerank.cross_encoder`: a run in the order of a model's scores.

use super::demand;
use super::fit::PRECISION;
use super::{fit, lacking};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

/// The signature.
pub(crate) fn op() -> Op {
    let input = Record::of([("document", Value::Int(256)), ("query", Value::Int(32))]);
    let op = Op::stage(
        "rerank.cross_encoder",
        VERSION,
        "Run",
        "Re-ranks the first `depth` documents of each query by a model's scores; what was ranked below is not kept. \
         Ties go to the larger document id, as trec_eval reads them. A model without a head for ranking is an error, \
         unless it is declared `untrained`.",
    )
    .needs("model", "Model", "The re-ranker.")
    .needs("run", "Run", "What is re-ranked.")
    .derived("depth", "Int", "run", Some(Value::Null), "Ranks re-ranked, at least 1; all of the run without it.")
    .derived(
        "input",
        "InputLimits",
        "model",
        Some(Value::call("query_document", input)),
        "How much of each text is read; as in the model's training, if it was trained here.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .derived("corpus", "Corpus", "run", None, "Documents of the run.")
    .derived("queries", "Queries", "run", None, "Queries of the run.")
    .heavy()
    .wishes(&["batch"])
    .checks(check);
    let op = op.runs(run::run).demands(demand::scoring::memory, demand::scoring::work);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = lacking::of(args, "model", facts);
    if args.get("depth").and_then(Value::as_int).is_some_and(|d| d < 1) {
        issues.push(fit::issue(Code::OutOfRange, "depth", "`depth` is below 1", "write a number from 1 up"));
    }
    issues
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::models;
    use crate::train::ranker::{self, Work};
    use crate::train::source::Stores;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::{RunReader, RunWriter};
    use xpipe_nn::Reranker as _;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        models::with_threads(job, || rerank(job))
    }

    fn rerank(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
        let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
        let mut work = Vec::new();
        while let Some(query) = reader.query()? {
            work.push(Work::of(&query, depth, &stores)?);
        }
        let mut model = models::scorer(job, "model")?;
        let batching = models::batching(job)?;
        let scores = model.score(&stores, &work, batching, job.progress)?;
        let mut writer = RunWriter::create(&job.spec.out)?;
        for (work, scores) in work.iter().zip(&scores) {
            writer.push(&ranker::ranking(work, scores, &stores)?)?;
        }
        writer.finish()?;
        let mut outcome = Outcome::default();
        outcome.facts.insert("pairs".into(), json!(scores.iter().map(Vec::len).sum::<usize>()));
        outcome.facts.insert("queries".into(), json!(work.len()));
        models::add_work(job, &model, &mut outcome)?;
        outcome.facts.insert("kernels".into(), json!(model.model.kernels()));
        outcome.facts.insert("seconds".into(), json!(started.elapsed().as_secs_f64()));
        Ok(outcome)
    }
}
