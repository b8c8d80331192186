//! `bm25.index`: an inverted index of a corpus.

use xpipe_base::value::Value;
use xpipe_lang::types::Op;

pub(super) const NAME: &str = "bm25.index";
const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    Op::stage(
        NAME,
        VERSION,
        "Index",
        "Builds an inverted index of a corpus: postings with term frequencies, and document lengths. The index is the \
         same on every machine.",
    )
    .counts(&["documents"])
    .needs("corpus", "Corpus", "The documents.")
    .takes(
        "analysis",
        "'english' | 'whitespace'",
        Value::str("english"),
        "Text analysis: Lucene's English analyzer (as in Anserini), or splitting at white space only.",
    )
    .heavy()
    .runs(run::run)
}

mod run {
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};
    use xpipe_data::ir::analysis::Analysis;
    use xpipe_data::ir::index;
    use xpipe_data::store::TextStore;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let word = job.text("analysis")?;
        let analysis =
            Analysis::parse(word).ok_or_else(|| Failure::bug(format!("unknown analysis `{word}`")))?;
        let corpus = TextStore::open(job.path("corpus")?)?;
        let index = super::super::threads::with_threads(job, || {
            index::build(corpus.iter(), corpus.len() as u64, &job.spec.out, analysis, job.progress)
        })?;
        let (all, without) = (index.documents(), index.documents() - index.documents_with_terms() as usize);
        if without == all {
            let cause = "every document is without a term: no search finds anything";
            job.progress.caveat(&Caveat::sentence(CaveatKind::Doubt, cause));
        } else if without > 0 {
            let cause = "documents have no term, and no search finds them";
            let first = index.lengths().iter().position(|l| *l == 0).unwrap_or_default() as u32;
            let caveat = Caveat::part(CaveatKind::Doubt, without as u64, all as u64, cause);
            job.progress.caveat(&caveat.example(format!("`{}`", index.id(first))));
        }
        let mut outcome = Outcome { digest: Some(index.digest()?), ..Outcome::default() };
        outcome.facts.insert("documents".into(), all.into());
        outcome.facts.insert("documents_without_terms".into(), without.into());
        outcome.facts.insert("vocabulary".into(), index.vocabulary().into());
        outcome.facts.insert("terms".into(), index.total_terms().into());
        Ok(outcome)
    }
}
