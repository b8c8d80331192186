//! `bm25.index`: an inverted index of a corpus.

use crate::types::Op;
use crate::value::Value;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "bm25.index",
        VERSION,
        "Index",
        "Builds an inverted index of a corpus: which document has which term how often, and how long it is. Its \
         content is the same whatever machine built it.",
    )
    .needs("corpus", "Corpus", "The documents.")
    .takes(
        "analysis",
        "'english' | 'whitespace'",
        Value::str("english"),
        "How text becomes terms: Lucene's English analysis (as Anserini), or words between white space as they are.",
    )
    .heavy();
    #[cfg(feature = "models")]
    let op = op.runs(run::run);
    op
}

#[cfg(feature = "models")]
mod run {
    use crate::data::store::TextStore;
    use crate::ir::analysis::Analysis;
    use crate::ir::index;
    use crate::task::{Failure, Job, Outcome};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let word = job.text("analysis")?;
        let analysis =
            Analysis::parse(word).ok_or_else(|| Failure::bug(format!("unknown analysis `{word}`")))?;
        let corpus = TextStore::open(job.path("corpus")?)?;
        let index = super::super::bm25_search::in_pool(job, || {
            index::build(corpus.iter(), corpus.len() as u64, &job.spec.out, analysis, job.progress)
        })?;
        let mut outcome = Outcome { digest: Some(index.digest()?), ..Outcome::default() };
        outcome.facts.insert("documents".into(), index.documents().into());
        outcome.facts.insert("documents_without_terms".into(), {
            (index.documents() - index.documents_with_terms() as usize).into()
        });
        outcome.facts.insert("vocabulary".into(), index.vocabulary().into());
        outcome.facts.insert("terms".into(), index.total_terms().into());
        Ok(outcome)
    }
}
