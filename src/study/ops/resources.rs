//! Estimates of the memory and work of operations that run a model, made before they run: from the model, the lengths of
//! its pairs and their number. Nothing is guessed: an upper bound is marked as one, and what cannot be estimated has a
//! reason.

pub(super) mod llm_requests;
pub(super) mod scoring;
pub(super) mod training;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::train::ranker::Reader;
use xpipe_base::task::{Estimate, EstimateRequest, KnownValues, Work};
use xpipe_base::value::{Call, Value};
use xpipe_data::run::RunReader;
use xpipe_data::store::TextStore;
use xpipe_lang::types::{QueryCount, Registry};
use xpipe_nn::arch::{self, Architecture};
use xpipe_nn::tokenizer::{Limits, Tokenizer};
use xpipe_nn::{cpu, flops};

/// Number of texts of a collection that are tokenised to estimate lengths.
const SAMPLE: usize = 64;
/// Maximum number of special tokens in a pair.
const SPECIALS: usize = 4;
/// Memory of a process before it loads anything, in bytes.
const PROCESS: u64 = 20 << 20;
/// Bytes in memory per byte of a tokenizer's file.
const TOKENIZER: u64 = 40;

/// Values read from files, kept for the lifetime of the process: a plan asks for the same thousands of times.
type Memo<K, V> = LazyLock<Mutex<BTreeMap<K, V>>>;

fn remembered<K: Ord + Clone, V: Clone>(memo: &Memo<K, V>, key: &K, make: impl FnOnce() -> V) -> V {
    let mut known = memo.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(key.clone()).or_insert_with(make).clone()
}

/// A model on this machine, or the checkpoint that it will be trained from.
#[derive(Clone)]
struct Model {
    /// Its folder on this machine.
    folder: PathBuf,
    /// Its architecture, as the configuration has it.
    architecture: Arc<dyn Architecture>,
}

/// The model in an argument.
fn model(ask: &EstimateRequest<'_>, argument: &str) -> Result<Model, String> {
    static READ: Memo<PathBuf, Result<Arc<dyn Architecture>, String>> = LazyLock::new(Mutex::default);
    let folder = checkpoint(ask.known, ask.arg(argument)).ok_or("the model is not on this machine yet")?;
    let architecture = remembered(&READ, &folder, || arch::read(&folder).map_err(|e| e.message))?;
    Ok(Model { folder, architecture })
}

/// The folder of the checkpoint that all training of a model began with: it has the same configuration and tokenizer.
fn checkpoint(known: &dyn KnownValues, value: &Value) -> Option<PathBuf> {
    // A constructor around a model is not a place of its own.
    let inner = |value: &Value| value.as_call().and_then(|c| c.args.get("model").cloned());
    match known.argument(value, "backbone").or_else(|| inner(value)) {
        Some(from) => checkpoint(known, &from),
        None => known.path(value),
    }
}

impl Model {
    /// The limits in the argument `input`.
    fn limits(&self, ask: &EstimateRequest<'_>) -> Result<Limits, String> {
        let call = call(ask, "input")?;
        Limits::of(call, self.architecture.position_limit()).map_err(|e| e.message)
    }

    /// Bytes of the tokenizer in memory.
    fn tokenizer_bytes(&self) -> u64 {
        let size = |name: &str| std::fs::metadata(self.folder.join(name)).map_or(0, |m| m.len());
        TOKENIZER
            * ["tokenizer.json", "spm.model", "vocab.txt"].map(size).into_iter().find(|n| *n > 0).unwrap_or(0)
    }

    fn weights(&self) -> u64 {
        arch::layout(&self.architecture.declared()).iter().map(|p| p.len() as u64).sum()
    }

    /// Work over pairs of such lengths; `passes` is the work per pair in forward passes.
    fn work(
        &self,
        ask: &EstimateRequest<'_>,
        training: bool,
        pairs: f64,
        lengths: &[usize],
        passes: f64,
    ) -> Work {
        let n = lengths.len().max(1) as f64;
        let flops = lengths.iter().map(|n| flops::forward(&*self.architecture, *n)).sum::<f64>() / n;
        Work {
            shape: flops::shape(&*self.architecture),
            width: self.architecture.hidden(),
            reference: !cpu::supports(&*self.architecture),
            precision: ask.arg("precision").as_str().unwrap_or("fp32").to_owned(),
            training,
            pairs,
            tokens: pairs * lengths.iter().sum::<usize>() as f64 / n,
            flops: pairs * flops * passes,
            seconds: 0.0,
            between: 0.0,
        }
    }
}

fn call<'a>(ask: &'a EstimateRequest<'_>, name: &str) -> Result<&'a Call, String> {
    ask.arg(name).as_call().ok_or_else(|| format!("`{name}` depends on a result that does not exist yet"))
}

fn count(value: Option<&Value>) -> Option<usize> {
    value?.as_int().and_then(|n| usize::try_from(n).ok())
}

/// Tokens of some pairs: of texts from the stores if these exist, else the maximum length as an upper bound.
fn lengths(ask: &EstimateRequest<'_>, model: &Model) -> Result<Estimate<Vec<usize>>, String> {
    let limits = model.limits(ask)?;
    let at = |name: &str| ask.known.path(ask.arg(name));
    if let (true, Some(corpus), Some(queries)) = (ask.sample, at("corpus"), at("queries"))
        && let Some(sample) = sampled(&model.folder, &corpus, &queries, limits)
    {
        return Ok(Estimate { amount: sample, upper_bound: false });
    }
    let most = (limits.query + limits.document + SPECIALS).min(limits.total);
    Ok(Estimate { amount: vec![most], upper_bound: true })
}

/// Lengths of pairs of texts spread evenly over the stores.
fn sampled(folder: &Path, corpus: &Path, queries: &Path, limits: Limits) -> Option<Vec<usize>> {
    type Key = ([PathBuf; 3], [usize; 3]);
    static KNOWN: Memo<Key, Option<Vec<usize>>> = LazyLock::new(Mutex::default);
    static TOKENIZERS: Memo<PathBuf, Option<Arc<Tokenizer>>> = LazyLock::new(Mutex::default);
    let paths = [folder, corpus, queries].map(Path::to_owned);
    remembered(&KNOWN, &(paths, [limits.query, limits.document, limits.total]), || {
        let tokenizer =
            remembered(&TOKENIZERS, &folder.to_owned(), || Tokenizer::load(folder).ok().map(Arc::new))?;
        let (corpus, queries) = (TextStore::open(corpus).ok()?, TextStore::open(queries).ok()?);
        if corpus.is_empty() || queries.is_empty() {
            return None;
        }
        let reader = Reader::new((*tokenizer).clone(), limits);
        let pair = |i: usize| {
            let (q, d) = (i * queries.len() / SAMPLE, i * corpus.len() / SAMPLE);
            Some(reader.pair(queries.text(q), corpus.text(d)).ok()?.ids.len())
        };
        (0..SAMPLE).map(pair).collect()
    })
}

/// The operations, whose signatures tell what is known of their results.
static OPERATIONS: LazyLock<Registry> = LazyLock::new(super::registry);

/// How many queries a collection has.
fn queries(known: &dyn KnownValues, value: &Value) -> Option<Estimate<usize>> {
    static COUNTED: Memo<PathBuf, Option<usize>> = LazyLock::new(Mutex::default);
    if let Some(path) = known.path(value) {
        let amount = remembered(&COUNTED, &path, || Some(TextStore::open(&path).ok()?.len()))?;
        return Some(Estimate { amount, upper_bound: false });
    }
    match OPERATIONS.get(&known.op(value)?)?.query_count? {
        QueryCount::Exactly(argument) => {
            Some(Estimate { amount: count(known.argument(value, argument).as_ref())?, upper_bound: false })
        }
        QueryCount::AtMost(argument) => {
            let all = queries(known, &known.argument(value, argument)?)?;
            Some(Estimate { upper_bound: true, ..all })
        }
    }
}

/// Pairs of the first `depth` ranks of a run, of the queries in `of` when it is given.
fn pairs_of_run(
    known: &dyn KnownValues,
    run: &Value,
    depth: Option<usize>,
    of: &Value,
) -> Result<Estimate<f64>, String> {
    static COUNTED: Memo<PathBuf, Option<u64>> = LazyLock::new(Mutex::default);
    let rows = known.path(run);
    let rows = rows.and_then(|p| remembered(&COUNTED, &p, || Some(RunReader::open(&p).ok()?.rows())));
    let rows = rows.map(|n| n as f64);
    let depth = depth.or_else(|| count(known.argument(run, "depth").as_ref()));
    let ranked = known.argument(run, "queries").unwrap_or_default();
    let fewest = [of, &ranked].into_iter().filter_map(|v| queries(known, v)).min_by_key(|n| n.amount);
    // Queries may have fewer documents than the depth, or none.
    let asked = depth.zip(fewest).map(|(d, n)| (d as f64 * n.amount as f64, n.upper_bound));
    match (rows, asked) {
        (Some(rows), Some((asked, most))) if asked < rows => {
            Ok(Estimate { amount: asked, upper_bound: most })
        }
        (Some(rows), _) => Ok(Estimate { amount: rows, upper_bound: *of != Value::Null && *of != ranked }),
        (None, Some((asked, _))) => Ok(Estimate { amount: asked, upper_bound: true }),
        (None, None) => Err("its input run does not exist yet, so the number of queries is unknown".into()),
    }
}

#[cfg(test)]
mod tests;
