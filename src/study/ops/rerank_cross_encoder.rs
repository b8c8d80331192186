//! `rerank.cross_encoder`: re-ranking by a model's scores.

use super::{pair_scoring, resources};
use xpipe_base::value::Value;
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
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
    .derived("depth", "Int", "run", Some(Value::Null), "Number of documents per query to re-rank (≥ 1). Default: all.");
    pair_scoring::reading(op)
        .derived("corpus", "Corpus", "run", None, "Documents of the run.")
        .derived("queries", "Queries", "run", None, "Queries of the run.")
        .heavy()
        .policy_keys(&["batch", "jobs"])
        .checks(pair_scoring::check)
        .runs(run::run)
        .resources(resources::scoring::memory, resources::scoring::work)
}

mod run {
    use super::super::models;
    use super::super::pair_scoring::ScoredPairs;
    use super::super::threads::with_threads;
    use crate::train::ranker::{self, QueryDocuments};
    use crate::train::source::Stores;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::{RunReader, RunWriter};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        with_threads(job, || rerank(job))
    }

    fn rerank(job: &Job<'_>) -> Result<Outcome, Failure> {
        let scored = ScoredPairs::of(job, |stores| pairs(job, stores))?;
        let mut writer = RunWriter::create(&job.spec.out)?;
        for (work, scores) in scored.work.iter().zip(&scored.scores) {
            writer.push(&ranker::ranking(work, scores, &scored.stores)?)?;
        }
        writer.finish()?;
        scored.outcome(job)
    }

    /// The documents to re-rank of each query of the run.
    fn pairs(job: &Job<'_>, stores: &Stores) -> Result<Vec<QueryDocuments>, Failure> {
        let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
        let mut work = Vec::new();
        while let Some(query) = reader.query()? {
            work.push(QueryDocuments::of(&query, depth, stores)?);
        }
        Ok(work)
    }
}
