//! `sparse.index`: an inverted index of encoded documents.

use super::fit;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "sparse.index",
        VERSION,
        "Index",
        "Builds an inverted index of documents encoded by `sparse.encode`: the weight of each term as a whole number. \
         Its content is the same whatever machine built it.",
    )
    .example("sparse.index { vectors = sparse_documents }")
    .needs("vectors", "Vectors", "The encoded documents.")
    .takes("scale", "Float", Value::Float(100.0), "Weights are kept as round(scale · weight), from 1 to 65,535.")
    .derived("corpus", "Corpus", "vectors", None, "The corpus that was encoded.")
    .heavy()
    .checks(check);
    let op = op.runs(run::run);
    op
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    fit::in_range(args, "scale", f64::MIN_POSITIVE, f64::INFINITY).into_iter().collect()
}

mod run {
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::impacts;
    use xpipe_data::ir::vectors::Vectors;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let vectors = Vectors::open(job.path("vectors")?)?;
        let index = super::super::bm25_search::in_pool(job, || {
            impacts::build(&vectors, &job.spec.out, job.number("scale")?, job.progress)
        })?;
        let mut outcome = Outcome::default();
        outcome.facts.insert("documents".into(), index.documents().into());
        outcome.facts.insert("terms".into(), index.terms().into());
        outcome.facts.insert("postings".into(), index.postings().into());
        outcome.facts.insert("weights_below_half".into(), (vectors.weights() - index.postings()).into());
        Ok(outcome)
    }
}
