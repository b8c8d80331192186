//! `dense.search`: the best documents of encoded queries by dot product.

use super::fit;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "dense.search",
        VERSION,
        "Run",
        "Ranks encoded documents for each encoded query by the dot product of their vectors (a cosine, when they have \
         length 1). Every document is looked at, so the ranking is exact; equal scores by document id descending.",
    )
    .example("dense.search { documents = dense_documents, vectors = dense_queries }")
    .needs("documents", "Embeddings", "The documents, encoded by `dense.encode`.")
    .needs("vectors", "Embeddings", "The queries, encoded by `dense.encode`.")
    .takes("depth", "Int", Value::Int(1000), "Documents kept for each query, from 1.")
    .derived("queries", "Queries", "vectors", None, "The queries that were encoded.")
    .derived("corpus", "Corpus", "documents", None, "The corpus that was encoded.")
    .heavy()
    .checks(check);
    let op = super::own::argument(op, "queries|queries.queries");
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    fit::at_least(args, "depth", 1).into_iter().collect()
}

mod run {
    use std::time::Instant;

    use serde_json::json;

    use super::super::bm25_search::{in_pool, ranking};
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::dense::{self, Embeddings};
    use xpipe_data::run::RunWriter;
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
        let (depth, level) = (job.count("depth")?, Level::of(job.spec.kernels)?);
        let own = super::super::own::dropped(job);
        let asked = depth + usize::from(own);
        let mut writer = RunWriter::create(&job.spec.out)?;
        let mut hits = 0usize;
        in_pool(job, || {
            for start in (0..queries.len()).step_by(BATCH) {
                let end = (start + BATCH).min(queries.len());
                let dots = PackedVectors::new(queries.bytes(start..end), width, level);
                let multiply =
                    |block: &[u8], wide: &mut Vec<f32>, out: &mut [f32]| dots.multiply(block, wide, out);
                let found = dense::search(&documents, dots.count(), asked, &multiply, job.progress)?;
                for (i, found) in (start..end).zip(found) {
                    let query =
                        ranking(queries.ids().get(i as u32), &found, depth, own, |d| documents.ids().get(d));
                    hits += query.hits.len();
                    writer.push(&query)?;
                }
                job.progress.progress(end as u64, queries.len() as u64, "queries", "");
            }
            Ok(())
        })?;
        writer.finish()?;
        let mut outcome = Outcome::default();
        for (name, value) in [
            ("queries", json!(queries.len())),
            ("documents", json!(documents.len())),
            ("hits", json!(hits)),
            ("kernels", json!(level.name())),
            ("seconds", json!(started.elapsed().as_secs_f64())),
        ] {
            outcome.facts.insert(name.into(), value);
        }
        Ok(outcome)
    }
}
