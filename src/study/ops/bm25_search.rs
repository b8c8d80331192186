//! `bm25.search`: retrieval by BM25.

use super::compatibility;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

pub(super) const NAME: &str = "bm25.search";
const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        NAME,
        VERSION,
        "Run",
        "Retrieves the top documents of each query by BM25. The search is exact; ties are ordered by descending document id.",
    )
    .counts(&["queries"])
    .needs("index", "Index", "An index made by `bm25.index`.")
    .needs("queries", "Queries", "The queries; they are analysed as the documents were.")
    .takes("depth", "Int", Value::Int(1000), "Maximum number of documents per query (≥ 1).")
    .takes("k1", "Float", Value::Float(0.9), "Term frequency saturation (≥ 0).")
    .takes("b", "Float", Value::Float(0.4), "Document length normalisation, in [0, 1].")
    .takes(
        "lengths",
        "'lucene' | 'exact'",
        Value::str("lucene"),
        "Document lengths: in Lucene's one-byte encoding, so that scores equal Anserini's, or exact.",
    )
    .derived("corpus", "Corpus", "index", None, "The corpus of the index, which later stages read.")
    .heavy()
    .checks(check);
    super::own_document::argument(op, "queries|queries.queries").runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let ranges: [(&'static str, f64, f64, &str); 3] = [
        ("depth", 1.0, f64::INFINITY, "a depth from 1, for instance `depth = 1_000`"),
        ("k1", 0.0, f64::INFINITY, "a number from 0, for instance `k1 = 0.9`"),
        ("b", 0.0, 1.0, "a number from 0 to 1, for instance `b = 0.4`"),
    ];
    let mut issues: Vec<Issue> =
        compatibility::made_by(args, "index", super::bm25_index::NAME, facts).into_iter().collect();
    for (argument, low, high, expected) in ranges {
        let Some(x) = args.get(argument).and_then(Value::as_f64) else { continue };
        if !(low..=high).contains(&x) {
            issues.push(Issue {
                code: Code::OutOfRange,
                argument,
                message: format!("`{argument}` is {x}"),
                help: Some(format!("write {expected}")),
            });
        }
    }
    issues
}

pub(super) use run::searched;

mod run {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rayon::prelude::*;

    use super::super::retrieval::Retrieval;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome, cause};
    use xpipe_data::ir::bm25::{Bm25, Scratch, Searcher};
    use xpipe_data::ir::index::Index;
    use xpipe_data::ir::lengths::Lengths;
    use xpipe_data::run::RunQuery;
    use xpipe_data::store::TextStore;

    /// Queries searched before their rankings are written.
    const BATCH: usize = 1024;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let index = Index::open(job.path("index")?)?;
        let queries = TextStore::open(job.path("queries")?)?;
        let searcher = Searcher::new(&index, searched(job)?)?;
        let retrieval = Retrieval::of(job)?;
        let without_terms = AtomicUsize::new(0);
        let search = |scratch: &mut Scratch, i: usize| -> Result<RunQuery, Failure> {
            let text = queries.text(i);
            let mut any = false;
            index.analysis().terms(text, &mut |_| any = true);
            if !any {
                without_terms.fetch_add(1, Ordering::Relaxed);
            }
            let found = searcher.search(text, retrieval.searched_depth(), scratch)?;
            Ok(retrieval.ranking(queries.id(i), &found, |d| index.id(d)))
        };
        let counts = retrieval.run(queries.len(), BATCH, |batch| {
            batch.into_par_iter().map_init(Scratch::default, search).collect()
        })?;

        let without_terms = without_terms.into_inner();
        if without_terms > 0 {
            let told = Caveat::counted(CaveatKind::Doubt, without_terms as u64, cause::WITHOUT_TERMS);
            job.progress.caveat(&told);
        }
        let mut outcome = Outcome::default();
        outcome.facts.insert("queries".into(), queries.len().into());
        outcome.facts.insert("queries_without_terms".into(), without_terms.into());
        outcome.facts.insert("queries_without_hits".into(), counts.queries_without_hits.into());
        outcome.facts.insert("hits".into(), counts.hits.into());
        Ok(outcome)
    }

    /// The parameters of BM25 in the arguments.
    pub(in crate::ops) fn searched(job: &Job<'_>) -> Result<Bm25, Failure> {
        let word = job.text("lengths")?;
        let lengths =
            Lengths::parse(word).ok_or_else(|| Failure::bug(format!("unknown lengths `{word}`")))?;
        Ok(Bm25 { k1: job.number("k1")? as f32, b: job.number("b")? as f32, lengths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Facts for Nothing {
        fn find(&self, _: &Value, _: &str) -> Option<Value> {
            None
        }
        fn op(&self, _: &Value) -> Option<&'static str> {
            None
        }
    }

    #[test]
    fn parameters_out_of_range_are_reported() {
        let args = |depth, k1, b| {
            Record::of([("depth", Value::Int(depth)), ("k1", Value::Float(k1)), ("b", Value::Float(b))])
        };
        assert!(check(&args(1, 0.0, 1.0), &Nothing).is_empty());
        let found: Vec<_> = check(&args(0, -1.0, 1.5), &Nothing).iter().map(|i| i.argument).collect();
        assert_eq!(found, ["depth", "k1", "b"]);
    }
}
