//! `score.cross_encoder`: a model's scores of query-document pairs, for use as a teacher.

use super::{compatibility, pair_scoring, resources};
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{ModelUse, Op};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "score.cross_encoder",
        VERSION,
        "Scores",
        "Scores the pairs of finite samples or of a run with a re-ranker. Scores are raw logits (for a model in \
         `two_labels`, what that declares) and do not depend on batch size or number of threads.",
    )
    .counts(&["pairs", "queries"])
    .uses_model("model", ModelUse::Rank)
    .example("score.cross_encoder { model, run, depth = 50 }")
    .needs("model", "Model", "The re-ranker.")
    .optional("samples", "Samples", "Finite samples (`count = n`) with the pairs to score; give either `samples` or `run`.")
    .optional("run", "Run", "A run with the pairs to score; give either `samples` or `run`.")
    .optional("depth", "Int", "Number of documents per query of the run to score (≥ 1). Default: all.");
    pair_scoring::reading(op)
        .derived("corpus", "Corpus", "samples | run", None, "Documents of the pairs.")
        .derived(
            "queries",
            "Queries",
            "samples | run",
            None,
            "Queries of the pairs. Given some of them, only their pairs are scored.",
        )
        .heavy()
        .policy_keys(&["batch", "jobs"])
        .checks(check)
        .runs(run::run)
        .resources(resources::scoring::memory, resources::scoring::work)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues = pair_scoring::check(args, facts);
    issues.extend(sources(args, facts));
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
        issues.push(compatibility::issue(
            Code::OpOneOf,
            if both { "samples" } else { "model" },
            message,
            "give exactly one of them",
        ));
    }
    if let Some(samples) = args.get("samples")
        && facts.op(samples) == Some(super::data_samples::NAME)
        && facts.find(samples, "count").unwrap_or_default() == Value::Null
    {
        issues.push(compatibility::issue(
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
    use indexmap::{IndexMap, IndexSet};

    use super::super::models;
    use super::super::pair_scoring::ScoredPairs;
    use super::super::threads::with_threads;
    use crate::train::ranker::QueryDocuments;
    use crate::train::source::{Stores, finite};
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::run::RunReader;
    use xpipe_data::scores::ScoresWriter;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        with_threads(job, || score(job))
    }

    fn score(job: &Job<'_>) -> Result<Outcome, Failure> {
        let mut passed_over = 0;
        let scored = ScoredPairs::of(job, |stores| {
            let (work, others) = pairs(job, stores)?;
            passed_over = others;
            Ok(work)
        })?;
        let (mut writer, stores) = (ScoresWriter::create(&job.spec.out)?, &scored.stores);
        for (work, scores) in scored.work.iter().zip(&scored.scores) {
            for (document, score) in work.documents.iter().zip(scores) {
                let query = stores.queries.id(work.query as usize);
                writer.push(query, stores.corpus.id(*document as usize), *score)?;
            }
        }
        writer.finish()?;
        let mut outcome = scored.outcome(job)?;
        outcome.facts.insert("queries_passed_over".into(), passed_over.into());
        Ok(outcome)
    }

    /// The pairs to score, by query, and the number of queries skipped because `queries` lacks them.
    pub(in super::super) fn pairs(
        job: &Job<'_>,
        stores: &Stores,
    ) -> Result<(Vec<QueryDocuments>, u64), Failure> {
        let found = if job.has("run") { of_run(job, stores)? } else { of_samples(job, stores)? };
        if found.0.is_empty() {
            return Err(Failure::wrong(
                "there is nothing to score: none of the pairs is of a query in `queries`",
            )
            .help("give the `queries` that the run or the samples were made from, or a part of them"));
        }
        Ok(found)
    }

    /// The pairs of a run for the queries in `queries`, and the number of other queries.
    fn of_run(job: &Job<'_>, stores: &Stores) -> Result<(Vec<QueryDocuments>, u64), Failure> {
        let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
        let (mut work, mut passed_over) = (Vec::new(), 0);
        while let Some(query) = reader.query()? {
            if stores.queries.find(&query.id).is_none() {
                passed_over += 1;
            } else if !query.hits.is_empty() {
                work.push(QueryDocuments::of(&query, depth, stores)?);
            }
        }
        Ok((work, passed_over))
    }

    /// The different pairs of finite samples, by query in the order of their first appearance.
    fn of_samples(job: &Job<'_>, stores: &Stores) -> Result<(Vec<QueryDocuments>, u64), Failure> {
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
        let work = |(query, documents): (u32, IndexSet<u32>)| QueryDocuments {
            query,
            documents: documents.into_iter().collect(),
        };
        Ok((pairs.into_iter().map(work).collect(), passed_over.len() as u64))
    }
}
