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

    use super::super::retrieval::Retrieval;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::impacts::{Impacts, Scratch, SearchResult};
    use xpipe_data::ir::vectors::Vectors;

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
        let retrieval = Retrieval::of(job)?;
        let (mut scored, mut touched) = (0u64, 0u64);
        let search =
            |(scratch, row): &mut (Scratch, Vec<(u32, f32)>), i: usize| -> Result<SearchResult, Failure> {
                queries.read(i, row)?;
                index.search(row, retrieval.searched_depth(), scratch)
            };
        let counts = retrieval.run(queries.len(), BATCH, |batch| {
            let found: Vec<SearchResult> = batch
                .clone()
                .into_par_iter()
                .map_init(Default::default, search)
                .collect::<Result<_, Failure>>()?;
            scored += found.iter().map(|f| f.scored).sum::<u64>();
            touched += found.iter().map(|f| f.touched).sum::<u64>();
            let ranked = batch.zip(&found).map(|(i, found)| {
                retrieval.ranking(queries.ids().get(i as u32), &found.hits, |d| index.id(d))
            });
            Ok(ranked.collect())
        })?;
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("queries", json!(queries.len())),
            ("queries_without_hits", json!(counts.queries_without_hits)),
            ("hits", json!(counts.hits)),
            ("blocks_scored", json!(scored as f64 / touched.max(1) as f64)),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }
}
