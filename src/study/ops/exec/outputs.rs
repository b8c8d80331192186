//! The output files of a program, in the field's formats, read by the readers of all inputs.
//!
//! | `gives` | files in `DIR` | the artifact |
//! |---|---|---|
//! | Corpus | `docs` or `corpus`: `.jsonl`, `.tsv`, `.trec`, or a folder | a store of texts |
//! | Queries | `queries` or `topics`: `.jsonl`, `.tsv`, `.trec`, `.txt` | a store of texts |
//! | Qrels | `qrels`: `.tsv`, `.txt` | a table |
//! | Run | `run`: `.txt`, `.run`, `.trec` | a table |
//! | Scores | `scores`: `.tsv`, `.txt` | a table |
//! | TestCollection | documents, queries and qrels as above; also `qrels.SPLIT.tsv` | folders `corpus`, `queries`, `qrels`, `qrels.SPLIT` |
//! | Model | `config.json`, `model.safetensors`, `tokenizer.json` | the same |
//!
//! Each may end in `.gz`. Ids in qrels, runs and scores are checked against the collection written beside them, or
//! against `corpus` and `queries` in `reads`.

use std::path::{Path, PathBuf};

use super::super::imports;
use super::super::outcome::counted;
use xpipe_base::place;
use xpipe_base::task::{Failure, Job, Outcome, located};
use xpipe_base::value::{Record, Value};
use xpipe_data::judgements::{self, QrelOptions};
use xpipe_data::known::{Known, Unknown};
use xpipe_data::pairs::PairOptions;
use xpipe_data::store::TextStore;
use xpipe_data::texts::{self, TextKind, TextOptions};

struct Kind {
    stems: &'static [&'static str],
    suffixes: &'static [&'static str],
    folder: bool,
}

const DOCS: Kind = Kind { stems: &["docs", "corpus"], suffixes: &["jsonl", "tsv", "trec"], folder: true };
const QUERIES: Kind =
    Kind { stems: &["queries", "topics"], suffixes: &["jsonl", "tsv", "trec", "txt"], folder: false };
const QRELS: Kind = Kind { stems: &["qrels"], suffixes: &["tsv", "txt"], folder: false };
const RUN: Kind = Kind { stems: &["run"], suffixes: &["txt", "run", "trec"], folder: false };
const SCORES: Kind = Kind { stems: &["scores"], suffixes: &["tsv", "txt"], folder: false };

/// Reads the files of a program as one type.
type Reader = fn(&Job<'_>, &Path) -> Result<Outcome, Failure>;

/// The types that a program can give, with their readers.
pub(super) const OUTPUTS: [(&str, Reader); 7] = [
    ("Corpus", |job, raw| texts_of(job, TextKind::Corpus, &one(raw, &DOCS)?, &job.spec.out)),
    ("Queries", |job, raw| texts_of(job, TextKind::Queries, &one(raw, &QUERIES)?, &job.spec.out)),
    ("Qrels", |job, raw| qrels(job, &one(raw, &QRELS)?, &known(job)?, &job.spec.out)),
    ("Run", run),
    ("Scores", scores),
    ("TestCollection", collection),
    ("Model", |job, raw| model(raw, &job.spec.out)),
];

/// The names of the types that a program can give.
pub(super) fn types() -> impl Iterator<Item = &'static str> + Clone {
    OUTPUTS.iter().map(|(name, _)| *name)
}

/// Reads what the program wrote into `raw` and makes the artifact of the job.
///
/// # Errors
/// A file that is missing or there twice, and whatever the readers find.
pub fn import(job: &Job<'_>, raw: &Path) -> Result<Outcome, Failure> {
    let gives = job.text("gives")?;
    let Some((_, read)) = OUTPUTS.iter().find(|(name, _)| *name == gives) else {
        let expected = types().collect::<Vec<_>>().join(", ");
        return Err(Failure::wrong(format!(
            "gives: found {}, expected one of {expected}",
            place::quote(gives)
        )));
    };
    read(job, raw)
}

fn run(job: &Job<'_>, raw: &Path) -> Result<Outcome, Failure> {
    let (options, known) = (PairOptions::format("trec"), known(job)?);
    let done = imports::write_run(&one(raw, &RUN)?, &options, &known, &job.spec.out, job.progress)?;
    Ok(counted([("queries", done.queries), ("documents", done.pairs)]))
}

fn scores(job: &Job<'_>, raw: &Path) -> Result<Outcome, Failure> {
    let (options, known) = (PairOptions::default(), known(job)?);
    let done = imports::write_scores(&one(raw, &SCORES)?, &options, &known, &job.spec.out, job.progress)?;
    Ok(counted([("queries", done.queries), ("pairs", done.pairs)]))
}

fn texts_of(job: &Job<'_>, what: TextKind, source: &Path, out: &Path) -> Result<Outcome, Failure> {
    let done = texts::import(source, what, &TextOptions::default(), out, job.progress)?;
    Ok(counted([("texts", done.texts), ("bytes", done.bytes)]))
}

fn qrels(job: &Job<'_>, source: &Path, known: &Known, out: &Path) -> Result<Outcome, Failure> {
    let qrels = judgements::import(source, &QrelOptions::default(), known, job.progress)?;
    qrels.write(out)?;
    Ok(counted([("queries", qrels.len() as u64), ("judgements", qrels.judgements() as u64)]))
}

fn collection(job: &Job<'_>, raw: &Path) -> Result<Outcome, Failure> {
    let out = &job.spec.out;
    let mut outcome = Outcome::default();
    let mut add = |part: &str, done: Outcome| {
        outcome.facts.insert(part.to_owned(), serde_json::Value::Object(done.facts));
    };
    add("corpus", texts_of(job, TextKind::Corpus, &one(raw, &DOCS)?, &out.join("corpus"))?);
    add("queries", texts_of(job, TextKind::Queries, &one(raw, &QUERIES)?, &out.join("queries"))?);
    let known = Known {
        queries: Some(TextStore::open(&out.join("queries"))?),
        corpus: Some(TextStore::open(&out.join("corpus"))?),
        unknown: Unknown::Error,
    };
    let splits = splits(raw)?;
    if splits.is_empty() {
        add("qrels", qrels(job, &one(raw, &QRELS)?, &known, &out.join("qrels"))?);
    }
    for (name, source) in splits {
        add(&name, qrels(job, &source, &known, &out.join(&name))?);
    }
    Ok(outcome)
}

/// `qrels` and `qrels.SPLIT` with their files, sorted by name.
fn splits(raw: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut splits: Vec<(String, PathBuf)> = Vec::new();
    for (name, path) in entries(raw)? {
        let own = name.strip_suffix(".gz").unwrap_or(&name);
        let Some((stem, suffix)) = own.rsplit_once('.') else { continue };
        if (stem == "qrels" || stem.starts_with("qrels.")) && QRELS.suffixes.contains(&suffix) {
            if splits.iter().any(|(n, _)| n == stem) {
                return Err(Failure::wrong(format!("found more than one file of {}", place::quote(stem))));
            }
            splits.push((stem.to_owned(), path));
        }
    }
    Ok(splits)
}

fn model(raw: &Path, out: &Path) -> Result<Outcome, Failure> {
    let found = entries(raw)?;
    for needed in ["config.json", "model.safetensors", "tokenizer.json"] {
        if !found.iter().any(|(name, _)| name == needed) {
            return Err(missing(&found, &format!("`{needed}`")));
        }
    }
    for (name, path) in found {
        if path.is_file() {
            let to = out.join(name);
            std::fs::copy(&path, &to).map_err(|e| place::io(&to, e))?;
        }
    }
    Ok(Outcome::default())
}

/// The one file or folder of a kind.
fn one(raw: &Path, kind: &Kind) -> Result<PathBuf, Failure> {
    let found = entries(raw)?;
    let fits = |name: &str, path: &Path| {
        let own = name.strip_suffix(".gz").unwrap_or(name);
        let (stem, suffix) = own.rsplit_once('.').unwrap_or((own, ""));
        kind.stems.contains(&stem)
            && if path.is_dir() { kind.folder && suffix.is_empty() } else { kind.suffixes.contains(&suffix) }
    };
    let mut fitting = found.iter().filter(|(name, path)| fits(name, path));
    match (fitting.next(), fitting.next()) {
        (Some((_, path)), None) => Ok(path.clone()),
        (Some((a, _)), Some((b, _))) => {
            Err(Failure::wrong(format!("found both `{a}` and `{b}`, expected one of them")))
        }
        (None, _) => {
            let names: Vec<String> = kind
                .stems
                .iter()
                .flat_map(|s| kind.suffixes.iter().map(move |x| format!("`{s}.{x}`")))
                .collect();
            Err(missing(&found, &names.join(", ")))
        }
    }
}

fn missing(found: &[(String, PathBuf)], expected: &str) -> Failure {
    let names: Vec<String> = found.iter().map(|(n, _)| place::quote(n)).collect();
    let found =
        if names.is_empty() { "no files".to_owned() } else { format!("the files {}", names.join(", ")) };
    Failure::wrong(format!("found {found}, expected {expected}"))
        .help("write it into the folder after `--out`, which is also in XPIPE_OUT")
}

fn entries(raw: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(raw).map_err(|e| place::io(raw, e))? {
        let entry = entry.map_err(|e| place::io(raw, e))?;
        all.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    all.sort();
    Ok(all)
}

/// The collection in `reads`: `corpus` and `queries` there, or in the first record that has them.
fn known(job: &Job<'_>) -> Result<Known, Failure> {
    let Some(reads) = job.arg("reads").as_record() else { return Ok(Known::default()) };
    let find = |name: &str| -> Result<Option<TextStore>, Failure> {
        let inside = |r: &Record| r.get(name).and_then(located).map(|l| l.path.clone());
        let path = inside(reads)
            .or_else(|| reads.iter().find_map(|(_, v): &(_, Value)| v.as_record().and_then(inside)));
        path.filter(|p| p.is_dir()).map(|p| TextStore::open(&p)).transpose()
    };
    Ok(Known { queries: find("queries")?, corpus: find("corpus")?, unknown: Unknown::Error })
}
