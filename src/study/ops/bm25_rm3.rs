//! `bm25.rm3`: BM25 with RM3 query expansion.

use super::compatibility;
use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 2;

pub(crate) fn op() -> Op {
    let op = Op::stage(
        "bm25.rm3",
        VERSION,
        "Run",
        "BM25 with RM3 query expansion: each query is expanded by terms of the top documents of `run` (pseudo-relevance \
         feedback; Lavrenko and Croft 2001, Abdul-Jaleel et al. 2004), as in Anserini. Terms that occur in more than a tenth \
         of the documents are excluded, so nothing is added in a corpus of fewer than ten documents.",
    )
    .counts(&["queries"])
    .needs("index", "Index", "An index made by `bm25.index`.")
    .needs("run", "Run", "The run that feedback documents are taken from, with scores > 0: a `bm25.search`.")
    .takes("documents", "Int", Value::Int(10), "Number of feedback documents (≥ 1).")
    .takes("terms", "Int", Value::Int(10), "Number of expansion terms (≥ 1).")
    .takes("original_weight", "Float", Value::Float(0.5), "Weight of the original query, in [0, 1].")
    .takes("depth", "Int", Value::Int(1000), "Maximum number of documents per query (≥ 1).")
    .takes("k1", "Float", Value::Float(0.9), "Term frequency saturation (≥ 0).")
    .takes("b", "Float", Value::Float(0.4), "Document length normalisation, in [0, 1].")
    .takes("lengths", "'lucene' | 'exact'", Value::str("lucene"), "Document lengths, as in `bm25.search`.")
    .derived("queries", "Queries", "run", None, "The queries of the run.")
    .derived("corpus", "Corpus", "index", None, "The corpus of the index.")
    .heavy()
    .checks(check);
    super::own_document::argument(op, "queries|queries.queries").runs(run::run)
}

fn check(args: &Record, facts: &dyn Facts) -> Vec<Issue> {
    let mut issues: Vec<Issue> =
        compatibility::made_by(args, "index", super::bm25_index::NAME, facts).into_iter().collect();
    issues.extend(
        ["documents", "terms", "depth"].into_iter().filter_map(|name| compatibility::at_least(args, name, 1)),
    );
    issues.extend(compatibility::in_range(args, "k1", 0.0, f64::INFINITY));
    for argument in ["original_weight", "b"] {
        if let Some(x) = args.get(argument).and_then(Value::as_f64).filter(|x| !(0.0..=1.0).contains(x)) {
            let message = format!("`{argument}` is {x}");
            issues.push(compatibility::issue(
                Code::OutOfRange,
                argument,
                message,
                "write a number from 0 to 1",
            ));
        }
    }
    issues
}

mod run {
    use std::collections::BTreeMap;

    use rayon::prelude::*;

    use super::super::bm25_search::searched;
    use super::super::retrieval::Retrieval;
    use xpipe_base::task::{Caveat, CaveatKind, Failure, Job, Outcome};
    use xpipe_data::ir::bm25::{Scratch, Searcher};
    use xpipe_data::ir::index::Index;
    use xpipe_data::ir::rm3::{self, Rm3};
    use xpipe_data::run::{Hit, Run, RunQuery};
    use xpipe_data::store::TextStore;

    /// Queries searched before their rankings are written.
    const BATCH: usize = 1024;

    /// How many documents the filter takes a tenth of: Anserini's index lacks those of white space only, and holds those
    /// of which analysis leaves no term.
    fn documents_of_anserini(index: &Index, corpus: &TextStore) -> usize {
        let blank = |document: usize| {
            let text = corpus.find(index.id(document as u32)).map_or("", |i| corpus.text(i as usize));
            text.chars().all(|c| c <= ' ')
        };
        let lengths = index.lengths().iter().enumerate();
        lengths.filter(|(document, length)| **length > 0 || !blank(*document)).count()
    }

    /// What came of a query.
    struct Searched {
        run: RunQuery,
        /// Terms that the query lacked.
        added: usize,
        /// It had documents of feedback, and none of them a term that passes the filter.
        nothing_passed: bool,
    }

    /// What the queries of a job are expanded and searched with.
    struct QueryExpander<'j> {
        index: &'j Index,
        corpus: &'j TextStore,
        queries: &'j TextStore,
        feedback: &'j Run,
        searcher: Searcher<'j>,
        rm3: Rm3,
        /// Documents of feedback per query.
        documents: usize,
        retrieval: Retrieval<'j>,
        /// Documents that the filter of terms counts.
        counted: usize,
    }

    impl QueryExpander<'_> {
        /// The terms of a document of feedback that pass the filter, and its score.
        fn terms(&self, hit: &Hit) -> Result<(BTreeMap<String, u32>, f32), Failure> {
            let document = self.corpus.find(&hit.document).ok_or_else(|| {
                Failure::wrong(format!(
                    "the run ranks `{}`, which the corpus of the index lacks",
                    hit.document
                ))
                .help("take the feedback from a run over the corpus of the index")
            })?;
            if hit.score < 0.0 {
                let message = format!("the run gives `{}` the score {}", hit.document, hit.score);
                return Err(
                    Failure::wrong(message).help("feedback needs scores from 0, as those of `bm25.search`")
                );
            }
            let mut terms = BTreeMap::new();
            self.index.analysis().terms(self.corpus.text(document as usize), &mut |term| {
                *terms.entry(term.to_owned()).or_insert(0u32) += 1;
            });
            let mut kept = BTreeMap::new();
            for (term, count) in terms {
                let frequency = self.index.postings(&term)?.map_or(0, |p| p.doc_freq());
                if rm3::keeps(&term, frequency, self.counted) {
                    kept.insert(term, count);
                }
            }
            Ok((kept, hit.score))
        }

        /// Expands and searches the query of a number.
        fn search(&self, scratch: &mut Scratch, i: usize) -> Result<Searched, Failure> {
            let query = self.index.analysis().list(self.queries.text(i));
            let id = self.queries.id(i);
            let first = self.feedback.get(id).map_or(&[][..], |q| &q.hits);
            let first: Vec<&Hit> =
                first.iter().filter(|hit| !self.retrieval.drops_own() || hit.document != id).collect();
            let first = rm3::feedback(&first, self.documents, |hit| (hit.score, &hit.document));
            let first = first.into_iter().map(|hit| self.terms(hit)).collect::<Result<Vec<_>, Failure>>()?;
            let expanded = self.rm3.expand(&query, &first);
            let found = self.searcher.search_weighted(&expanded, self.retrieval.searched_depth(), scratch)?;
            Ok(Searched {
                run: self.retrieval.ranking(id, &found, |d| self.index.id(d)),
                added: expanded.iter().filter(|(term, _)| !query.contains(term)).count(),
                nothing_passed: !first.is_empty() && first.iter().all(|(terms, _)| terms.is_empty()),
            })
        }
    }

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let index = Index::open(job.path("index")?)?;
        let (queries, corpus) =
            (TextStore::open(job.path("queries")?)?, TextStore::open(job.path("corpus")?)?);
        let feedback = Run::read(job.path("run")?)?;
        let expander = QueryExpander {
            index: &index,
            corpus: &corpus,
            queries: &queries,
            feedback: &feedback,
            rm3: Rm3 { terms: job.count("terms")?, original_weight: job.number("original_weight")? as f32 },
            documents: job.count("documents")?,
            retrieval: Retrieval::of(job)?,
            searcher: Searcher::new(&index, searched(job)?)?,
            counted: documents_of_anserini(&index, &corpus),
        };
        let (mut added, mut unchanged) = (0usize, 0u64);
        let counts = expander.retrieval.run(queries.len(), BATCH, |batch| {
            let search = |scratch: &mut Scratch, i: usize| expander.search(scratch, i);
            let found: Vec<Searched> =
                batch.into_par_iter().map_init(Scratch::default, search).collect::<Result<_, Failure>>()?;
            for query in &found {
                added += query.added;
                unchanged += u64::from(query.nothing_passed);
            }
            Ok(found.into_iter().map(|query| query.run).collect())
        })?;
        if unchanged > 0 {
            let cause = "queries stay as they were: no term of their feedback passes the filter (2 to 20 ASCII letters \
                         or digits, in at most a tenth of the documents)";
            let of = queries.len() as u64;
            job.progress.caveat(&Caveat::part(CaveatKind::Doubt, unchanged, of, cause));
        }
        let mut outcome = Outcome::default();
        outcome.facts.insert("queries".into(), queries.len().into());
        outcome.facts.insert("queries_not_expanded".into(), unchanged.into());
        outcome.facts.insert("hits".into(), counts.hits.into());
        outcome.facts.insert("terms_added".into(), (added as f64 / queries.len().max(1) as f64).into());
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
