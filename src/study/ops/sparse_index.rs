//! `sparse.index`: an inverted index of encoded documents.

use super::compatibility;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

pub(super) const NAME: &str = "sparse.index";
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    Op::stage(
        NAME,
        VERSION,
        "Index",
        "Builds an inverted index of documents encoded by `sparse.encode`, with quantised weights. The index is the same on \
         every machine.",
    )
    .counts(&["documents"])
    .example("sparse.index { vectors = sparse_documents }")
    .needs("vectors", "Vectors", "The encoded documents.")
    .takes("scale", "Float", Value::Float(100.0), "Weights are quantised as round(scale · weight), clipped to 1–65,535. Above 0.")
    .derived("corpus", "Corpus", "vectors", None, "The corpus that was encoded.")
    .heavy()
    .checks(check)
    .runs(run::run)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    compatibility::in_range(args, "scale", f64::MIN_POSITIVE, f64::INFINITY).into_iter().collect()
}

mod run {
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::ir::impacts;
    use xpipe_data::ir::vectors::Vectors;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let vectors = Vectors::open(job.path("vectors")?)?;
        let index = super::super::threads::with_threads(job, || {
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
