//! `rerank.cross_encoder`: re-ranking by a model's scores.

use super::compatibility::PRECISION;
use super::resources;
use super::{compatibility, unsupported};
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 1;

/// The signature.
pub(crate) fn op() -> Op {
    let input = Record::of([("document", Value::Int(256)), ("query", Value::Int(32))]);
    Op::stage(
        "rerank.cross_encoder",
        VERSION,
        "Run",
        "Re-ranks the top `depth` documents of each query by a model's scores and drops the others. Ties are ordered by \
         descending document id, as in trec_eval. A model without a ranking head is an error, unless it is declared \
         `untrained`.",
    )
    .counts(&["pairs", "queries"])
    .uses_model("model", ModelUse::Rank)
    .needs("model", "Model", "The re-ranker.")
    .needs("run", "Run", "The run to re-rank.")
    .derived("depth", "Int", "run", Some(Value::Null), "Number of documents per query to re-rank (≥ 1). Default: all.")
    .derived(
        "input",
        "InputLimits",
        "model",
        Some(Value::call("query_document", input)),
        "Maximum text lengths. Default: those of the model's training, if the study trained it.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .derived("corpus", "Corpus", "run", None, "Documents of the run.")
    .derived("queries", "Queries", "run", None, "Queries of the run.")
    .heavy()
    .policy_keys(&["batch"])
    .checks(check)
    .runs(run::run).resources(resources::scoring::memory, resources::scoring::work)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = unsupported::model(args, "model", facts);
    issues.extend(compatibility::at_least(args, "depth", 1));
    issues
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::models;
    use super::super::threads::with_threads;
    use crate::train::ranker::{self, Work};
    use crate::train::source::Stores;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::{RunReader, RunWriter};
    use xpipe_nn::Reranker as _;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        with_threads(job, || rerank(job))
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
        let batching = models::batching(job);
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
