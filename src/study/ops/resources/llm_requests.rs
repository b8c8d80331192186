//! Estimates of the requests to a language model: their number and tokens. They are upper bounds where answers are cached
//! already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Memo, SAMPLE, count, queries, remembered, scoring};
use crate::llm::listwise::{Sliding, windows};
use crate::llm::pairwise::{self, Pairs};
use crate::llm::pointwise::{self, ReadFrom};
use crate::llm::prompts::{self, Listwise, Pointwise};
use crate::llm::tokens_of;
use crate::ops::language_model::limits;
use xpipe_base::task::{Estimate, EstimateRequest, LlmRequests, Memory, Work};
use xpipe_data::run::RunReader;
use xpipe_data::store::TextStore;

/// Assumed bytes of a word with its space, where no text can be read yet.
const WORD: f64 = 6.0;
/// Assumed bytes of a query, where none can be read yet.
const QUERY: f64 = 60.0;

/// Number of queries by number of documents.
type Lists = BTreeMap<usize, f64>;

/// Memory is not estimated: a remote model needs none here.
pub(in crate::ops) fn memory(_: &EstimateRequest<'_>) -> Result<Estimate<Memory>, String> {
    Err("the memory of a language model is not estimated".into())
}

/// Time is not estimated.
pub(in crate::ops) fn work(_: &EstimateRequest<'_>) -> Result<Estimate<Vec<Work>>, String> {
    Err("the speed of a language model is unknown before it runs".into())
}

/// Requests of `rerank.llm`.
pub(in crate::ops) fn listwise(ask: &EstimateRequest<'_>) -> Result<Estimate<LlmRequests>, String> {
    let form = ask
        .arg("prompt")
        .as_str()
        .and_then(Listwise::parse)
        .ok_or("`prompt` depends on a result that does not exist yet")?;
    let size = |name: &str| {
        count(Some(ask.arg(name)))
            .filter(|n| *n > 0)
            .ok_or(format!("`{name}` depends on a result that does not exist yet"))
    };
    let sliding = Sliding { form, window: size("window")?, stride: size("stride")? };
    let (lists, texts) = (lists(ask)?, Texts::of(ask));
    let mut asked = LlmRequests::default();
    for (n, queries) in &lists.amount {
        for window in windows(*n, sliding.window, sliding.stride) {
            let empty = form.ask("", &vec![""; window.len()]).tokens() as f64;
            asked.requests += queries;
            asked.prompt_tokens +=
                queries * (empty + tokens_of(window.len() as f64 * texts.passage + 2.0 * texts.query, 0.0));
        }
    }
    Ok(told(ask, asked, sliding.max_tokens(), lists.upper_bound))
}

/// Requests of `rerank.llm_pairwise`.
pub(in crate::ops) fn pairwise(ask: &EstimateRequest<'_>) -> Result<Estimate<LlmRequests>, String> {
    let pairs = match ask.arg("compare").as_str() {
        Some("all") => Pairs::All,
        _ => Pairs::Passes(count(Some(ask.arg("passes"))).unwrap_or(pairwise::PASSES)),
    };
    let (lists, texts) = (lists(ask)?, Texts::of(ask));
    let requests = lists.amount.iter().map(|(n, queries)| queries * pairs.requests(*n) as f64).sum();
    let each =
        prompts::pairwise("", "", "").tokens() as f64 + tokens_of(2.0 * texts.passage + texts.query, 0.0);
    let asked = LlmRequests { requests, prompt_tokens: requests * each, ..LlmRequests::default() };
    Ok(told(ask, asked, pairwise::MAX_TOKENS, lists.upper_bound))
}

/// Requests of `score.llm`.
pub(in crate::ops) fn pointwise(ask: &EstimateRequest<'_>) -> Result<Estimate<LlmRequests>, String> {
    let form = ask
        .arg("prompt")
        .as_str()
        .and_then(Pointwise::parse)
        .ok_or("`prompt` depends on a result that does not exist yet")?;
    let from = if ask.arg("read").as_str() == Some("text") { ReadFrom::Text } else { ReadFrom::LogProbs };
    let (pairs, texts) = (scoring::pairs(ask)?, Texts::of(ask));
    let each = form.ask("", "").tokens() as f64 + tokens_of(texts.passage + texts.query, 0.0);
    let asked =
        LlmRequests { requests: pairs.amount, prompt_tokens: pairs.amount * each, ..LlmRequests::default() };
    Ok(told(ask, asked, pointwise::max_tokens(from), pairs.upper_bound))
}

/// Adds the maximum completion tokens, and the cost.
fn told(
    ask: &EstimateRequest<'_>,
    mut asked: LlmRequests,
    max_tokens: u32,
    most: bool,
) -> Estimate<LlmRequests> {
    let max_tokens = count(Some(ask.arg("max_tokens"))).map_or(f64::from(max_tokens), |n| n as f64);
    asked.completion_tokens = asked.requests * max_tokens;
    asked.cost = limits(ask.policy).cost(asked.prompt_tokens, asked.completion_tokens);
    Estimate { amount: asked, upper_bound: most }
}

/// Number of documents to rank per query.
fn lists(ask: &EstimateRequest<'_>) -> Result<Estimate<Lists>, String> {
    static READ: Memo<(PathBuf, usize), Option<Lists>> = LazyLock::new(std::sync::Mutex::default);
    let (run, depth) = (ask.arg("run"), count(Some(ask.arg("depth"))));
    if let Some(path) = ask.known.path(run) {
        let most = depth.unwrap_or(usize::MAX);
        let read = || read(&path, most);
        let lists = remembered(&READ, &(path.clone(), most), read).ok_or("the run cannot be read")?;
        return Ok(Estimate { amount: lists, upper_bound: false });
    }
    let depth = depth.or_else(|| count(ask.known.argument(run, "depth").as_ref()));
    let ranked = ask.known.argument(run, "queries").unwrap_or_default();
    let (depth, queries) = depth
        .zip(queries(ask.known, &ranked))
        .ok_or("its input run does not exist yet, so the number of queries is unknown")?;
    Ok(Estimate { amount: Lists::from([(depth, queries.amount as f64)]), upper_bound: true })
}

fn read(run: &Path, depth: usize) -> Option<Lists> {
    let (mut reader, mut lists) = (RunReader::open(run).ok()?, Lists::new());
    while let Some(query) = reader.query().ok()? {
        *lists.entry(query.hits.len().min(depth)).or_default() += 1.0;
    }
    Some(lists)
}

/// Mean bytes of a passage and of a query as they are shown.
#[derive(Clone, Copy)]
struct Texts {
    passage: f64,
    query: f64,
}

impl Texts {
    fn of(ask: &EstimateRequest<'_>) -> Self {
        let words = count(Some(ask.arg("words"))).unwrap_or(usize::MAX);
        let at = |name: &str| ask.known.path(ask.arg(name)).and_then(|p| mean(&p, words));
        Self { passage: at("corpus").unwrap_or(WORD * words as f64), query: at("queries").unwrap_or(QUERY) }
    }
}

/// Mean bytes of the first words of texts spread evenly over a store.
fn mean(store: &Path, words: usize) -> Option<f64> {
    static READ: Memo<(PathBuf, usize), Option<f64>> = LazyLock::new(std::sync::Mutex::default);
    remembered(&READ, &(store.to_owned(), words), || {
        let store = TextStore::open(store).ok().filter(|s| !s.is_empty())?;
        let sample = SAMPLE.min(store.len());
        let bytes = (0..sample).map(|i| prompts::cut(store.text(i * store.len() / sample), words).len());
        Some(bytes.sum::<usize>() as f64 / sample as f64)
    })
}
