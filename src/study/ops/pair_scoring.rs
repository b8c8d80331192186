//! What the operations that score pairs by a cross-encoder share: arguments, checks, and the scores.

use std::time::Instant;

use serde_json::json;

use super::compatibility::{self, PRECISION};
use super::shared_scoring::{self, Scored};
use super::{models, unsupported};
use crate::train::ranker::{QueryDocuments, Ranker};
use crate::train::source::Stores;
use xpipe_base::task::{Failure, Job, Outcome};
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_nn::Reranker as _;

/// Adds how the model reads pairs: `input` and `precision`.
pub(super) fn reading(op: Op) -> Op {
    let input = Record::of([("document", Value::Int(256)), ("query", Value::Int(32))]);
    op.derived(
        "input",
        "InputLimits",
        "model",
        Some(Value::call("query_document", input)),
        "Maximum text lengths. Default: those of the model's training, if the study trained it.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
}

/// Checks the model and `depth`.
pub(super) fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = unsupported::model(args, "model", facts);
    issues.extend(compatibility::at_least(args, "depth", 1));
    issues
}

/// Pairs with their scores.
pub(super) struct ScoredPairs {
    pub(super) stores: Stores,
    pub(super) work: Vec<QueryDocuments>,
    /// The scores of each query's documents, in their order.
    pub(super) scores: Vec<Vec<f32>>,
    /// Pairs that other jobs, or an earlier attempt, have scored.
    pairs_elsewhere: usize,
    ranker: Ranker,
    started: Instant,
}

impl ScoredPairs {
    /// Scores the pairs that `pairs` finds, by the model of the job.
    pub(super) fn of(
        job: &Job<'_>,
        pairs: impl FnOnce(&Stores) -> Result<Vec<QueryDocuments>, Failure>,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
        let work = pairs(&stores)?;
        let mut ranker = models::scorer(job, "model")?;
        let Scored { scores, pairs_elsewhere } = shared_scoring::score(job, &mut ranker, &stores, &work)?;
        Ok(Self { stores, work, scores, pairs_elsewhere, ranker, started })
    }

    /// What is recorded of it.
    pub(super) fn outcome(&self, job: &Job<'_>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let pairs: usize = self.scores.iter().map(Vec::len).sum();
        outcome.facts.insert("pairs".into(), json!(pairs));
        outcome.facts.insert("queries".into(), json!(self.work.len()));
        if self.pairs_elsewhere > 0 {
            outcome.facts.insert("pairs_of_other_jobs".into(), json!(self.pairs_elsewhere));
        }
        models::add_work(job, &self.ranker, &mut outcome)?;
        outcome.facts.insert("kernels".into(), json!(self.ranker.model.kernels()));
        outcome.facts.insert("seconds".into(), json!(self.started.elapsed().as_secs_f64()));
        Ok(outcome)
    }
}
