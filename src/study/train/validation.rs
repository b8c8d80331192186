//! Validation: how well the model of this moment re-ranks the validation collections.

use std::path::Path;

use super::ranker::{self, QueryDocuments, Reader};
use super::scoring::Batching;
use super::source::Stores;
use xpipe_base::task::{Caveat, Failure, Progress};
use xpipe_data::ir::metrics::Measure;
use xpipe_data::qrels::Qrels;
use xpipe_data::run::Run;
use xpipe_nn::Reranker;

/// One validation collection: candidates and judgements.
#[derive(Debug)]
pub struct Collection {
    /// Name in messages and records.
    pub name: String,
    stores: Stores,
    qrels: Qrels,
    /// The judged queries that the run has.
    work: Vec<QueryDocuments>,
}

impl Collection {
    /// Opens a collection and its run. Only judged queries are re-ranked, since only they count.
    ///
    /// # Errors
    /// When files are missing or do not fit together, or no judged query is in the run.
    pub fn open(
        name: &str,
        corpus: &Path,
        queries: &Path,
        qrels: &Path,
        run: &Path,
    ) -> Result<Self, Failure> {
        let stores = Stores::open(corpus, queries)?;
        let qrels = Qrels::read(qrels)?;
        let run = Run::read(run)?;
        let judged = run.queries().iter().filter(|q| qrels.get(&q.id).is_some());
        let work: Vec<QueryDocuments> =
            judged.map(|q| QueryDocuments::of(q, usize::MAX, &stores)).collect::<Result<_, _>>()?;
        if work.is_empty() {
            return Err(Failure::wrong(format!(
                "the run of the validation collection {name} has no judged query"
            )));
        }
        Ok(Self { name: name.to_owned(), stores, qrels, work })
    }

    /// The mean of a measure over the judged queries; one that the run lacks counts 0.
    ///
    /// # Errors
    /// As [`ranker::score`].
    pub fn measure(
        &self,
        measure: Measure,
        model: &mut dyn Reranker,
        reader: &Reader,
        batching: Batching,
        progress: &dyn Progress,
    ) -> Result<f64, Failure> {
        let scores = ranker::score(model, reader, &self.stores, &self.work, batching, &Quiet(progress))?;
        let mut sum = 0.0;
        for (work, scores) in self.work.iter().zip(&scores) {
            let ranking = ranker::ranking(work, scores, &self.stores)?;
            let Some(judged) = self.qrels.get(&ranking.id) else { continue };
            let ranked: Vec<Option<i32>> =
                ranking.hits.iter().map(|h| judged.get(&h.document).copied()).collect();
            let grades: Vec<i32> = judged.values().copied().collect();
            sum += measure.value(&ranked, &grades);
        }
        Ok(sum / self.qrels.len() as f64)
    }
}

/// Passes on the wish to stop, and no progress: the training reports its own.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, text: &str) {
        self.0.note(text);
    }
    fn caveat(&self, caveat: &Caveat) {
        self.0.caveat(caveat);
    }
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
