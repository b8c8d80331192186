//! The rankings behind a few queries: documents with scores, grades and the start of their texts.
//!
//! The rows of runs that are read, and the rankings and bytes of text that are kept, are bounded, since runs of whole
//! collections are large. What cannot be read is left out: the numbers of the page do not depend on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::report::Results;
use crate::report::missing::address;
use xpipe_base::value::{ActionId, Value};
use xpipe_data::qrels::Qrels;
use xpipe_data::run::{RunQuery, RunReader};
use xpipe_data::store::TextStore;
use xpipe_lang::graph::Graph;

/// The most pairs of rankings.
const PAIRS: usize = 600;
/// Ranks that are shown.
const RANKS: usize = 10;
/// The most rows of runs that are read, and of one run.
const ROWS: u64 = 12_000_000;
const ROWS_OF_RUN: u64 = 2_000_000;
/// The most bytes of documents' texts.
const TEXT: usize = 3_000_000;
/// Characters of a document and of a query.
const DOCUMENT: usize = 320;
const QUERY: usize = 240;

/// Rankings by evaluation and query.
#[derive(Default)]
pub(super) struct Rankings {
    places: BTreeMap<(ActionId, String), usize>,
    rankings: Vec<Json>,
    documents: Vec<Json>,
    /// Queries' texts by the store that has them; opened once.
    queries: BTreeMap<ActionId, Option<TextStore>>,
    /// By evaluation: the store of its queries.
    of: BTreeMap<ActionId, ActionId>,
}

/// What an evaluation measured: all made by actions.
#[derive(Clone, Copy)]
struct Sources {
    run: ActionId,
    qrels: ActionId,
    corpus: ActionId,
    queries: ActionId,
}

impl Rankings {
    /// Reads the rankings of pairs of evaluations, in order of priority.
    pub(super) fn read<'q>(
        wanted: impl Iterator<Item = (ActionId, ActionId, &'q str)>,
        graph: &Graph,
        results: &dyn Results,
    ) -> Self {
        let folder = |id: ActionId| results.folder(id);
        let mut out = Self::default();
        let mut sources: BTreeMap<ActionId, Sources> = BTreeMap::new();
        let mut pairs = Vec::new();
        // By run: the queries that are wanted of it.
        let mut runs: BTreeMap<ActionId, BTreeMap<&str, Option<RunQuery>>> = BTreeMap::new();
        let mut order = Vec::new();
        for (a, b, query) in wanted {
            let mut found = [a, b].into_iter().map(|evaluation| {
                let known = sources.get(&evaluation).copied().or_else(|| Sources::of(evaluation, graph));
                known.inspect(|s| {
                    sources.insert(evaluation, *s);
                    out.of.insert(evaluation, s.queries);
                    out.queries.entry(s.queries).or_insert_with(|| open(folder(s.queries)));
                })
            });
            let (Some(Some(one)), Some(Some(two))) = (found.next(), found.next()) else { continue };
            if pairs.len() == PAIRS {
                // The texts of further queries are shown all the same.
                continue;
            }
            for s in [one, two] {
                runs.entry(s.run).or_insert_with(|| {
                    order.push(s.run);
                    BTreeMap::new()
                });
                runs.entry(s.run).or_default().insert(query, None);
            }
            pairs.push(((a, one), (b, two), query));
        }
        let mut rows = 0;
        for run in order {
            if let (Some(folder), Some(wanted)) = (folder(run), runs.get_mut(&run)) {
                rows += pick(&folder, wanted, ROWS_OF_RUN.min(ROWS.saturating_sub(rows)));
            }
        }
        let mut pool = Pool::default();
        for (a, b, query) in pairs {
            let ranked = |s: Sources| runs.get(&s.run)?.get(query)?.as_ref();
            let (Some(one), Some(two)) = (ranked(a.1), ranked(b.1)) else { continue };
            for ((evaluation, sources), ranked) in [(a, one), (b, two)] {
                let key = (evaluation, query.to_owned());
                if out.places.contains_key(&key) {
                    continue;
                }
                let Some(hits) = pool.hits(&mut out.documents, ranked, sources, &folder) else { return out };
                out.places.insert(key, out.rankings.len());
                let of = address(graph, sources.run);
                out.rankings.push(json!({ "run": of, "hits": hits, "of": ranked.hits.len() }));
            }
        }
        out
    }

    /// The start of a query's text.
    pub(super) fn text(&self, evaluation: Option<ActionId>, query: &str) -> Option<String> {
        let store = self.queries.get(self.of.get(&evaluation?)?)?.as_ref()?;
        Some(excerpt(store.text(store.find(query)? as usize), QUERY))
    }

    /// The number of a ranking.
    pub(super) fn place(&self, evaluation: ActionId, query: &str) -> Option<usize> {
        self.places.get(&(evaluation, query.to_owned())).copied()
    }

    /// The rankings: `{run, of, hits: [[document, score, grade or null], …]}`.
    pub(super) fn json(&self) -> &[Json] {
        &self.rankings
    }

    /// The documents: `[id, text]`.
    pub(super) fn documents(&self) -> &[Json] {
        &self.documents
    }
}

impl Sources {
    fn of(evaluation: ActionId, graph: &Graph) -> Option<Self> {
        let action = graph.actions.get(evaluation.0 as usize)?;
        let artifact =
            |name: &str| if let Value::Artifact(id) = action.args.get(name)? { Some(*id) } else { None };
        let run = artifact("run")?;
        Some(Self {
            run,
            qrels: artifact("qrels")?,
            corpus: behind(run, "corpus", graph, 16)?,
            queries: behind(run, "queries", graph, 16)?,
        })
    }
}

/// The artifact that an action, or what its run was made from, names as `name`.
fn behind(action: ActionId, name: &str, graph: &Graph, most: usize) -> Option<ActionId> {
    let args = &graph.actions.get(action.0 as usize)?.args;
    if let Some(Value::Artifact(id)) = args.get(name) {
        return Some(*id);
    }
    let from =
        args.get("run").or_else(|| args.get("runs").and_then(Value::as_list).and_then(<[Value]>::first));
    match from {
        Some(Value::Artifact(id)) if most > 0 => behind(*id, name, graph, most - 1),
        _ => None,
    }
}

fn open(folder: Option<PathBuf>) -> Option<TextStore> {
    TextStore::open(&folder?).ok()
}

/// Reads the wanted queries of a run, unless it has more rows than may be read; returns how many rows were read.
fn pick(folder: &std::path::Path, wanted: &mut BTreeMap<&str, Option<RunQuery>>, most: u64) -> u64 {
    let Ok(mut reader) = RunReader::open(folder) else { return 0 };
    if reader.rows() > most {
        return 0;
    }
    let mut left = wanted.len();
    let mut read = 0;
    while left > 0
        && let Ok(Some(query)) = reader.query()
    {
        read += query.hits.len() as u64;
        if let Some(place) = wanted.get_mut(query.id.as_str()) {
            *place = Some(query);
            left -= 1;
        }
    }
    read
}

/// Open stores, numbered documents, and the bytes of text so far.
#[derive(Default)]
struct Pool {
    corpora: BTreeMap<ActionId, Option<TextStore>>,
    qrels: BTreeMap<ActionId, Option<Qrels>>,
    numbers: BTreeMap<(ActionId, String), usize>,
    bytes: usize,
}

impl Pool {
    /// The first ranks; `None` when the limit of text is reached.
    fn hits(
        &mut self,
        documents: &mut Vec<Json>,
        ranked: &RunQuery,
        sources: Sources,
        folder: &dyn Fn(ActionId) -> Option<PathBuf>,
    ) -> Option<Vec<Json>> {
        if self.bytes > TEXT {
            return None;
        }
        let corpus = self.corpora.entry(sources.corpus).or_insert_with(|| open(folder(sources.corpus)));
        let qrels = self
            .qrels
            .entry(sources.qrels)
            .or_insert_with(|| folder(sources.qrels).and_then(|f| Qrels::read(&f).ok()));
        let hits = ranked.hits.iter().take(RANKS).map(|hit| {
            let key = (sources.corpus, hit.document.clone());
            let number = *self.numbers.entry(key).or_insert_with(|| {
                let text = corpus
                    .as_ref()
                    .and_then(|c| Some(excerpt(c.text(c.find(&hit.document)? as usize), DOCUMENT)));
                self.bytes += text.as_ref().map_or(0, String::len) + hit.document.len();
                documents.push(json!([hit.document, text]));
                documents.len() - 1
            });
            let grade = qrels.as_ref().and_then(|q| q.grade(&ranked.id, &hit.document));
            // Four digits, without those of an f32 that is printed as f64.
            json!([number, (f64::from(hit.score) * 1e4).round() / 1e4, grade])
        });
        Some(hits.collect())
    }
}

/// The first characters of a text, white space as single blanks.
fn excerpt(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut n = 0;
    for word in text.split_whitespace() {
        if n > 0 {
            out.push(' ');
        }
        for c in word.chars() {
            if n >= most {
                out.push('…');
                return out;
            }
            out.push(c);
            n += 1;
        }
        n += 1;
    }
    out
}
