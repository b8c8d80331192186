//! `score.cross_encoder`: a model's scores of the pairs of samples or of a run, for use as a teacher.

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
        "score.cross_encoder",
        VERSION,
        "Scores",
        "Scores pairs with a re-ranker: those of finite samples, or of a run. The scores are raw logits (for \
         a model in `two_labels`, what that says) and do not depend on batch size or threads.",
    )
    .example("score.cross_encoder { model, run, depth = 50 }")
    .needs("model", "Model", "The re-ranker.")
    .optional("samples", "Samples", "Finite samples (`count = n`) whose pairs are scored.")
    .optional("run", "Run", "A run whose pairs are scored.")
    .optional("depth", "Int", "Ranks of the run that are scored for each query, at least 1; all without it.")
    .derived(
        "input",
        "InputLimits",
        "model",
        Some(Value::call("query_document", input)),
        "How much of each text is read; as in the model's training, if it was trained here.",
    )
    .takes("precision", "'fp32' | 'bf16'", Value::str("fp32"), PRECISION)
    .derived("corpus", "Corpus", "samples | run", None, "Documents that the pairs name.")
    .derived(
        "queries",
        "Queries",
        "samples | run",
        None,
        "Queries that the pairs name. Given as a part of them, only the pairs of that part are scored.",
    )
    .heavy()
    .wishes(&["batch"])
    .checks(check);
    let op = op.runs(run::run).demands(demand::scoring::memory, demand::scoring::work);
    op
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = lacking::of(args, "model", facts);
    issues.extend(sources(args, facts));
    issues.extend(fit::at_least(args, "depth", 1));
    issues
}

/// Issues with what is scored: exactly one of `samples` and `run`, and samples that are a table.
pub(super) fn sources(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let given = |name: &str| args.get(name).is_some_and(|v| *v != Value::Null);
    let mut issues = Vec::new();
    if given("samples") == given("run") {
        let both = given("run");
        let message =
            if both { "both `samples` and `run` are given" } else { "neither `samples` nor `run` is given" };
        issues.push(fit::issue(
            Code::OpOneOf,
            if both { "samples" } else { "model" },
            message,
            "give exactly one of them",
        ));
    }
    if let Some(samples) = args.get("samples")
        && facts.op(samples) == Some("data.samples")
        && facts.find(samples, "count").unwrap_or_default() == Value::Null
    {
        issues.push(fit::issue(
            Code::OpNeedsCount,
            "samples",
            "these samples are an endless stream, and scoring needs a table",
            "give them `count = n`",
        ));
    }
    issues
}

pub(super) use run::pairs;

mod run {
    use std::time::Instant;

    use indexmap::{IndexMap, IndexSet};
    use serde_json::json;

    use super::super::models;
    use crate::train::ranker::Work;
    use crate::train::source::{Stores, finite};
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::RunReader;
    use xpipe_data::scores::ScoresWriter;
    use xpipe_nn::Reranker as _;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        models::with_threads(job, || score(job))
    }

    fn score(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
        let (work, passed_over) = pairs(job, &stores)?;
        let mut model = models::scorer(job, "model")?;
        let batching = models::batching(job)?;
        let scores = model.score(&stores, &work, batching, job.progress)?;
        let mut writer = ScoresWriter::create(&job.spec.out)?;
        for (work, scores) in work.iter().zip(&scores) {
            for (document, score) in work.documents.iter().zip(scores) {
                let query = stores.queries.id(work.query as usize);
                writer.push(query, stores.corpus.id(*document as usize), *score)?;
            }
        }
        writer.finish()?;
        let pairs: usize = scores.iter().map(Vec::len).sum();
        let mut outcome = Outcome::default();
        outcome.facts.insert("pairs".into(), json!(pairs));
        outcome.facts.insert("queries".into(), json!(work.len()));
        outcome.facts.insert("queries_passed_over".into(), json!(passed_over));
        models::add_work(job, &model, &mut outcome)?;
        outcome.facts.insert("kernels".into(), json!(model.model.kernels()));
        outcome.facts.insert("seconds".into(), json!(started.elapsed().as_secs_f64()));
        Ok(outcome)
    }

    /// The pairs that are scored, by query; how many queries are passed over because `queries` has them not.
    pub(in super::super) fn pairs(job: &Job<'_>, stores: &Stores) -> Result<(Vec<Work>, u64), Failure> {
        let found = if job.has("run") { of_run(job, stores)? } else { of_samples(job, stores)? };
        if found.0.is_empty() {
            return Err(Failure::wrong(
                "there is nothing to score: none of the pairs is of a query in `queries`",
            )
            .help("give the `queries` that the run or the samples were made from, or a part of them"));
        }
        Ok(found)
    }

    /// The pairs of a run, of the queries that `queries` has; how many queries it has not.
    fn of_run(job: &Job<'_>, stores: &Stores) -> Result<(Vec<Work>, u64), Failure> {
        let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
        let (mut work, mut passed_over) = (Vec::new(), 0);
        while let Some(query) = reader.query()? {
            if stores.queries.find(&query.id).is_none() {
                passed_over += 1;
            } else if !query.hits.is_empty() {
                work.push(Work::of(&query, depth, stores)?);
            }
        }
        Ok((work, passed_over))
    }

    /// The different pairs of finite samples, by query in the order of their first appearance.
    fn of_samples(job: &Job<'_>, stores: &Stores) -> Result<(Vec<Work>, u64), Failure> {
        let mut pairs: IndexMap<u32, IndexSet<u32>> = IndexMap::new();
        let mut passed_over = IndexSet::new();
        finite::pairs(job.path("samples")?, &mut |query, document| {
            match stores.queries.find(query) {
                Some(number) => {
                    pairs.entry(number).or_default().insert(stores.document(document, "a sample")?);
                }
                None => {
                    passed_over.insert(query.to_owned());
                }
            }
            Ok(())
        })?;
        let work = |(query, documents): (u32, IndexSet<u32>)| Work {
            query,
            documents: documents.into_iter().collect(),
        };
        Ok((pairs.into_iter().map(work).collect(), passed_over.len() as u64))
    }
}
