//! `sparse.search`: retrieval by dot products of term weights.

use super::{compatibility, retrieval};
use xpipe_base::value::Record;
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "sparse.search",
        VERSION,
        "Run",
        "Retrieves the top documents of each query by the dot product of term weights. The search is exact; ties are \
         ordered by descending document id. Documents without a term of the query are not ranked.",
    )
    .counts(&["queries"])
    .example("sparse.search { index = postings, vectors = sparse_queries }")
    .needs("index", "Index", "An index made by `sparse.index`.")
    .needs("vectors", "Vectors", "The queries, encoded by `sparse.encode`.");
    let op = retrieval::depth(op)
        .derived("queries", "Queries", "vectors", None, "The queries that were encoded.")
        .derived("corpus", "Corpus", "index", None, "The corpus of the index.")
        .heavy()
        .checks(check);
    retrieval::own_documents(op).runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues: Vec<Issue> = retrieval::check_depth(args).into_iter().collect();
    issues.extend(compatibility::made_by(args, "index", super::sparse_index::NAME, facts));
    issues
}

mod run {
    use std::time::Instant;

    use rayon::prelude::*;
    use serde_json::json;

    use super::super::retrieval::ranking;
    use super::super::threads::with_threads;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::impacts::{Found, Impacts, Scratch};
    use xpipe_data::ir::vectors::Vectors;
    use xpipe_data::run::RunWriter;

    /// Queries searched before their rankings are written.
    const BATCH: usize = 1024;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let index = Impacts::open(job.path("index")?)?;
        let queries = Vectors::open(job.path("vectors")?)?;
        if index.vocabulary() != queries.vocabulary() {
            return Err(Failure::wrong(format!(
                "the index has {} terms of one vocabulary, the queries {} of another",
                index.vocabulary().terms,
                queries.vocabulary().terms
            ))
            .help("encode documents and queries by models that share their tokenizer"));
        }
        let depth = job.count("depth")?;
        let own = super::super::own_document::dropped(job);
        let mut writer = RunWriter::create(&job.spec.out)?;
        let (mut without_hits, mut hits, mut scored, mut touched) = (0usize, 0usize, 0u64, 0u64);
        let search = |(scratch, row): &mut (Scratch, Vec<(u32, f32)>), i: usize| -> Result<Found, Failure> {
            queries.read(i, row)?;
            index.search(row, depth + usize::from(own), scratch)
        };
        with_threads(job, || {
            for start in (0..queries.len()).step_by(BATCH) {
                job.check_cancelled()?;
                let end = (start + BATCH).min(queries.len());
                let batch: Vec<Found> = (start..end)
                    .into_par_iter()
                    .map_init(Default::default, search)
                    .collect::<Result<_, Failure>>()?;
                for (i, found) in (start..end).zip(&batch) {
                    let query =
                        ranking(queries.ids().get(i as u32), &found.hits, depth, own, |d| index.id(d));
                    writer.push(&query)?;
                    without_hits += usize::from(query.hits.is_empty());
                    hits += query.hits.len();
                    scored += found.scored;
                    touched += found.touched;
                }
                job.progress.progress(end as u64, queries.len() as u64, "queries", "");
            }
            Ok(())
        })?;
        writer.finish()?;
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("queries", json!(queries.len())),
            ("queries_without_hits", json!(without_hits)),
            ("hits", json!(hits)),
            ("blocks_scored", json!(scored as f64 / touched.max(1) as f64)),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }
}
