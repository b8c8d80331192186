//! A model ready to rank: engine, tokenizer and input limits together, over the texts of a collection.

use std::path::Path;

use super::meter::Metered;
use super::scoring::{self, Batching};
use super::source::Stores;
use super::trainer::Tokens;
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::Call;
use xpipe_data::run::{Hit, RunQuery};
use xpipe_nn::arch;
use xpipe_nn::load::{self, ModelFacts, Options};
use xpipe_nn::tokenizer::{Limits, TokenCache, Tokenizer};
use xpipe_nn::{Packed, Reranker};

/// Token ids that a cache of texts may hold (64 MiB).
pub const CACHED: usize = 16 << 20;

/// A model, its tokenizer and how much of a text it reads.
pub struct Ranker {
    /// The engine.
    pub model: Box<Metered>,
    /// What turns texts into tokens.
    pub reader: Reader,
    /// A description of the model for reports.
    pub facts: ModelFacts,
    /// Whether a score is the probability 1 / (1 + exp(-logit)) instead of the logit. With two labels, whose logits
    /// became one by their difference, that is the softmax probability of the second.
    pub probability: bool,
}

impl std::fmt::Debug for Ranker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ranker({})", self.facts.architecture)
    }
}

impl Ranker {
    /// Loads a model folder; `seed` draws a head that it lacks, `input` is `query_document(…)`.
    ///
    /// # Errors
    /// As [`load::cross_encoder`].
    pub fn open(folder: &Path, seed: u64, input: &Call, options: &Options) -> Result<Self, Failure> {
        let (model, tokenizer, facts) = load::cross_encoder(folder, seed, options)?;
        let model = Box::new(Metered::new(model, arch::read(folder)?, options.recompute));
        let limits = Limits::of(input, facts.position_limit)?;
        Ok(Self { model, reader: Reader::new(tokenizer, limits), facts, probability: false })
    }

    /// Scores all documents of each query, in the order given.
    ///
    /// # Errors
    /// As [`scoring::score`].
    pub fn score(
        &mut self,
        stores: &Stores,
        work: &[QueryDocuments],
        batching: Batching,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let mut scores = score(&mut *self.model, &self.reader, stores, work, batching, progress)?;
        if self.probability {
            for score in scores.iter_mut().flatten() {
                *score = (1.0 / (1.0 + (-f64::from(*score)).exp())) as f32;
            }
        }
        Ok(scores)
    }
}

/// Turns pairs of texts into tokens; may be used from several threads.
#[derive(Debug)]
pub struct Reader {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    limits: Limits,
    cache: TokenCache,
}

impl Reader {
    /// Reads texts with a tokenizer, up to limits.
    pub fn new(tokenizer: Tokenizer, limits: Limits) -> Self {
        Self { tokenizer, limits, cache: TokenCache::new(CACHED) }
    }

    /// The tokens of a query with each of its documents.
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    pub fn pairs(&self, query: &str, documents: &[&str]) -> Result<Vec<Tokens>, Failure> {
        let query = self.tokenizer.cached_ids(&self.cache, &[query], self.limits.query)?;
        let documents = self.tokenizer.cached_ids(&self.cache, documents, self.limits.document)?;
        let pair = |document: &std::sync::Arc<[u32]>| {
            let mut packed = Packed::new();
            self.tokenizer.push(&query[0], document, &self.limits, &mut packed);
            Tokens { ids: packed.ids, types: packed.types }
        };
        Ok(documents.iter().map(pair).collect())
    }

    /// The tokens of one pair; the query's are kept for the next pair, the document's are not.
    ///
    /// # Errors
    /// When the tokenizer cannot read a text.
    pub fn pair(&self, query: &str, document: &str) -> Result<Tokens, Failure> {
        let query = self.tokenizer.cached_ids(&self.cache, &[query], self.limits.query)?;
        let document = self.tokenizer.ids(document, self.limits.document)?;
        let mut packed = Packed::new();
        self.tokenizer.push(&query[0], &document, &self.limits, &mut packed);
        Ok(Tokens { ids: packed.ids, types: packed.types })
    }
}

/// A query and the documents to score, by numbers of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryDocuments {
    /// The query.
    pub query: u32,
    /// Its documents.
    pub documents: Vec<u32>,
}

impl QueryDocuments {
    /// The first `depth` documents of a ranking.
    ///
    /// # Errors
    /// When the stores do not have the query or a document.
    pub fn of(query: &RunQuery, depth: usize, stores: &Stores) -> Result<Self, Failure> {
        let documents = query.hits.iter().take(depth).map(|h| stores.document(&h.document, "the run"));
        Ok(Self {
            query: stores.query(&query.id, "the run")?,
            documents: documents.collect::<Result<_, _>>()?,
        })
    }
}

/// The logits of all documents of each query, in the order given.
///
/// # Errors
/// As [`scoring::score`].
pub fn score(
    model: &mut dyn Reranker,
    reader: &Reader,
    stores: &Stores,
    work: &[QueryDocuments],
    batching: Batching,
    progress: &dyn Progress,
) -> Result<Vec<Vec<f32>>, Failure> {
    let mut starts = vec![0];
    for w in work {
        starts.push(starts[starts.len() - 1] + w.documents.len());
    }
    let at = |i: usize| {
        let w = starts.partition_point(|s| *s <= i) - 1;
        (work[w].query as usize, work[w].documents[i - starts[w]] as usize)
    };
    let encode = |i: usize| {
        let (query, document) = at(i);
        reader.pair(stores.queries.text(query), stores.corpus.text(document))
    };
    let name = |i: usize| {
        let (query, document) = at(i);
        format!("query `{}`, document `{}`", stores.queries.id(query), stores.corpus.id(document))
    };
    let count = starts[work.len()];
    let scores = scoring::score(model, count, &encode, &name, batching, progress)?;
    Ok((0..work.len()).map(|w| scores[starts[w]..starts[w + 1]].to_vec()).collect())
}

/// The ranking that scores give: score descending, then document id descending bytewise.
///
/// # Errors
/// As [`RunQuery::new`].
pub fn ranking(work: &QueryDocuments, scores: &[f32], stores: &Stores) -> Result<RunQuery, Failure> {
    let hit = |(document, score): (&u32, &f32)| Hit {
        document: stores.corpus.id(*document as usize).to_owned(),
        score: *score,
    };
    let hits = work.documents.iter().zip(scores).map(hit).collect();
    RunQuery::new(stores.queries.id(work.query as usize), hits)
}
