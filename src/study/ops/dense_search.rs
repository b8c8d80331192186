//! `dense.search`: retrieval by dot products of dense vectors.

use super::retrieval;
use xpipe_base::value::Record;
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "dense.search",
        VERSION,
        "Run",
        "Retrieves the top documents of each query by the dot product of their vectors (the cosine, if they are \
         L2-normalised). The search is exhaustive, so it is exact; ties are ordered by descending document id.",
    )
    .counts(&["documents", "queries"])
    .example("dense.search { documents = dense_documents, vectors = dense_queries }")
    .needs("documents", "Embeddings", "The documents, encoded by `dense.encode`.")
    .needs("vectors", "Embeddings", "The queries, encoded by `dense.encode`.");
    let op = retrieval::depth(op)
        .derived("queries", "Queries", "vectors", None, "The queries that were encoded.")
        .derived("corpus", "Corpus", "documents", None, "The corpus that was encoded.")
        .heavy()
        .checks(check);
    retrieval::own_documents(op).runs(run::run)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    retrieval::check_depth(args).into_iter().collect()
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::retrieval::Retrieval;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::dense::{self, Embeddings};
    use xpipe_nn::cpu::{Level, PackedVectors};

    /// Queries that are searched together: their vectors stay in the second cache.
    const BATCH: usize = 256;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let documents = Embeddings::open(job.path("documents")?)?;
        let queries = Embeddings::open(job.path("vectors")?)?;
        let width = documents.width();
        if width != queries.width() {
            let message =
                format!("vectors of documents have {width} numbers, those of queries {}", queries.width());
            return Err(Failure::wrong(message).help("encode both by models that were trained together"));
        }
        let (retrieval, level) = (Retrieval::of(job)?, Level::of(job.spec.kernels)?);
        let counts = retrieval.run(queries.len(), BATCH, |batch| {
            let dots = PackedVectors::new(queries.bytes(batch.clone()), width, level);
            let multiply =
                |block: &[u8], wide: &mut Vec<f32>, out: &mut [f32]| dots.multiply(block, wide, out);
            let depth = retrieval.searched_depth();
            let found = dense::search(&documents, dots.count(), depth, &multiply, job.progress)?;
            let id = |document| documents.ids().get(document);
            let ranked =
                batch.zip(&found).map(|(i, found)| retrieval.ranking(queries.ids().get(i as u32), found, id));
            Ok(ranked.collect())
        })?;
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("queries", json!(queries.len())),
            ("documents", json!(documents.len())),
            ("hits", json!(counts.hits)),
            ("kernels", json!(level.name())),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }
}
