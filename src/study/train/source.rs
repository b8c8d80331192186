//! Sources of training signal: what a `Source` value names on this machine, read into a [`Pool`].
//!
//! | source | files | gives |
//! |---|---|---|
//! | `candidates { run, qrels, depth, from, scores }` | `run.parquet`, `qrels.parquet`, `scores.parquet` | every shape |
//! | `ranked_lists { run, depth }`, or a run itself | `run.parquet` | ranked lists |
//! | imported triples | `triples.parquet` | pairs |
//! | `scored_triples { triples, scores }` | both | pairs with teacher scores |
//! | finite samples of another stage | `samples.parquet` | its own shape |
//!
//! Ids are replaced by their numbers in the stores; an unknown id is an error that names it.

pub mod finite;
mod lists;
mod triples;

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::samples::{Pool, Samples, Shape};
use xpipe_base::task::{Failure, located};
use xpipe_base::value::{Call, Value};
use xpipe_data::run::RUN_FILE;
use xpipe_data::scores::Scores;
use xpipe_data::store::TextStore;

/// The texts behind a source.
#[derive(Debug)]
pub struct Stores {
    /// Documents.
    pub corpus: TextStore,
    /// Queries.
    pub queries: TextStore,
    /// Whether a document whose id is its query's is no candidate.
    pub without_own: bool,
}

impl Stores {
    /// Opens both.
    ///
    /// # Errors
    /// When one of them is missing or damaged.
    pub fn open(corpus: &Path, queries: &Path) -> Result<Self, Failure> {
        let (corpus, queries) = (TextStore::open(corpus)?, TextStore::open(queries)?);
        Ok(Self { corpus, queries, without_own: false })
    }

    /// The number of a query.
    ///
    /// # Errors
    /// When the collection does not have it; `from` names the file with the id.
    pub fn query(&self, id: &str, from: &str) -> Result<u32, Failure> {
        self.queries.find(id).ok_or_else(|| unknown("query", id, "queries", from))
    }

    /// The number of a document.
    ///
    /// # Errors
    /// When the corpus does not have it; `from` names the file with the id.
    pub fn document(&self, id: &str, from: &str) -> Result<u32, Failure> {
        self.corpus.find(id).ok_or_else(|| unknown("document", id, "corpus", from))
    }
}

fn unknown(what: &str, id: &str, store: &str, from: &str) -> Failure {
    Failure::wrong(format!("{from} names {what} `{id}`, which is not in the {store}"))
        .help("give the `corpus` and `queries` that it was made from")
}

/// A pool, and what was left out when it was read.
#[derive(Debug)]
pub struct OpenedPool {
    /// What samples are drawn from.
    pub pool: Pool,
    /// Counts of what was left out, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Opens a source.
///
/// # Errors
/// When files are missing or damaged, or name ids that the stores do not have.
pub fn open(source: &Value, stores: &Stores) -> Result<OpenedPool, Failure> {
    match source {
        Value::Call(call) => match &*call.name {
            "candidates" => lists::candidates(call, stores),
            "ranked_lists" => lists::ranked(folder(call, "run")?, depth(call), stores),
            "scored_triples" => {
                let scores = Scores::read(folder(call, "scores")?)?;
                triples::scored(folder(call, "triples")?, &scores, stores)
            }
            other => Err(Failure::bug(format!("`{other}` is not a source"))),
        },
        other => {
            let folder = located(other).ok_or_else(|| Failure::bug(format!("{other:?} is not a source")))?;
            let path = folder.path.as_path();
            if path.join(RUN_FILE).exists() {
                lists::ranked(path, usize::MAX, stores)
            } else if path.join(triples::FILE).exists() {
                triples::open(path, stores)
            } else if path.join(finite::FILE).exists() {
                let pool = finite::read(path, stores)?;
                Ok(OpenedPool { pool, left_out: BTreeMap::new() })
            } else {
                Err(Failure::wrong(format!("{} has no run, no triples and no finite samples", folder.label))
                    .help("samples that are a source need `count = n`"))
            }
        }
    }
}

/// The description of a source in `samples.json`: constructors and content digests, no paths.
pub fn describe(value: &Value) -> serde_json::Value {
    use serde_json::{Value as Json, json};
    match value {
        Value::Call(call) => {
            let fields = call.args.iter().map(|(name, v)| (name.to_string(), describe(v)));
            json!({ "source": &*call.name, "arguments": Json::Object(fields.collect()) })
        }
        Value::Located(l) => json!(l.digest.hex()),
        Value::Int(i) => json!(i),
        Value::Float(x) => json!(x),
        Value::Bool(b) => json!(b),
        Value::Str(s) => json!(&**s),
        Value::Record(r) => Json::Object(r.iter().map(|(name, v)| (name.to_string(), describe(v))).collect()),
        Value::List(items) => Json::Array(items.iter().map(describe).collect()),
        _ => Json::Null,
    }
}

/// `samples.json`, which `data.samples` writes with or without a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this description.
    pub version: u32,
    /// The shape.
    pub shape: Shape,
    /// The seed of order and draws.
    pub seed: u64,
    /// Samples in the table, when there is one.
    pub count: Option<u64>,
    /// Samples in an epoch of the source.
    pub epoch: u64,
    /// What was left out, by reason.
    pub left_out: IndexMap<String, u64>,
    /// The source: constructors and content digests.
    pub source: serde_json::Value,
}

impl Description {
    const FILE: &'static str = "samples.json";

    /// Writes it into an artifact.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| Failure::bug(e.to_string()))?;
        json.push(b'\n');
        Ok(std::fs::write(folder.join(Self::FILE), json)?)
    }

    /// Reads it from an artifact.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(Self::FILE);
        let json = std::fs::read(&path).map_err(|e| Failure::missing(format!("{}: {e}", path.display())))?;
        serde_json::from_slice(&json).map_err(|e| Failure::wrong(format!("{}: {e}", path.display())))
    }
}

/// The stream that an artifact of `data.samples` describes; `source` is the source it was drawn from.
///
/// # Errors
/// When files are missing, damaged, or do not fit together.
pub fn stream(samples: &Value, source: &Value, stores: &Stores) -> Result<Samples, Failure> {
    let folder = located(samples).ok_or_else(|| Failure::bug(format!("{samples:?} is not samples")))?;
    let description = Description::read(&folder.path)?;
    let from = if folder.path.join(finite::FILE).exists() { samples } else { source };
    Samples::new(open(from, stores)?.pool, description.shape, description.seed)
}

/// What samples are drawn from: the table of finite samples, else their source; a source is what it is.
///
/// # Errors
/// When files are missing or damaged, or name ids that the stores do not have.
pub fn pool(data: &Value, source: &Value, stores: &Stores) -> Result<Pool, Failure> {
    let streamed = located(data)
        .is_some_and(|l| l.path.join(Description::FILE).exists() && !l.path.join(finite::FILE).exists());
    Ok(open(if streamed { source } else { data }, stores)?.pool)
}

fn folder<'a>(call: &'a Call, name: &str) -> Result<&'a Path, Failure> {
    let value = call.args.get(name).unwrap_or(&Value::Null);
    let found =
        located(value).ok_or_else(|| Failure::bug(format!("`{name}` of {} is {value:?}", call.name)))?;
    Ok(&found.path)
}

fn given<'a>(call: &'a Call, name: &str) -> Option<&'a Path> {
    located(call.args.get(name)?).map(|l| l.path.as_path())
}

/// The argument `depth`; everything when it is not given.
fn depth(call: &Call) -> usize {
    let depth = call.args.get("depth").and_then(Value::as_int);
    depth.and_then(|d| usize::try_from(d).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
