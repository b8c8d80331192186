//! What the operations that import share: arguments read the same way, the same writers.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use xpipe_base::task::{Failure, Job, Outcome, Progress, located};
use xpipe_base::value::Value;
use xpipe_data::known::{Known, Unknown};
use xpipe_data::pairs::{self, ImportedPairs, PairOptions, Repeated, Third};
use xpipe_data::run::RunWriter;
use xpipe_data::scores::ScoresWriter;
use xpipe_data::source::Source;
use xpipe_data::store::TextStore;
use xpipe_data::store_writer::Duplicates;
use xpipe_data::texts::{self, Empty, TextOptions, What};

/// An outcome with counts for people.
pub(super) fn outcome<const N: usize>(facts: [(&str, u64); N]) -> Outcome {
    let facts = facts.into_iter().map(|(name, n)| (name.to_owned(), n.into())).collect();
    Outcome { facts, ..Outcome::default() }
}

/// The strings of an optional list.
pub(super) fn words(job: &Job<'_>, name: &str) -> Result<Vec<String>, Failure> {
    match job.arg(name) {
        Value::Null => Ok(Vec::new()),
        Value::List(items) => items
            .iter()
            .map(|v| v.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| Failure::bug(format!("`{name}` is not a list of strings"))),
        other => Err(Failure::bug(format!("`{name}` is not a list of strings: {other:?}"))),
    }
}

/// What is read: the arguments `source`, `include` and `exclude`.
pub(super) fn source(job: &Job<'_>) -> Result<Source, Failure> {
    Source::new(paths(job, "source")?, &words(job, "include")?, &words(job, "exclude")?)
}

/// The file, or the files, of an argument.
pub(super) fn files(job: &Job<'_>, name: &str) -> Result<Source, Failure> {
    Source::new(paths(job, name)?, &[], &[])
}

fn paths(job: &Job<'_>, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let paths = match job.arg(name) {
        Value::List(items) => items.iter().map(|v| located(v).map(|l| l.path.clone())).collect(),
        one => located(one).map(|l| vec![l.path.clone()]),
    };
    paths.ok_or_else(|| Failure::bug(format!("`{name}` is neither a file nor a list of files")))
}

/// The collection that ids are checked against: the arguments `queries`, `corpus`, `unknown`.
pub(super) fn known(job: &Job<'_>) -> Result<Known, Failure> {
    let open = |name: &str| {
        if job.has(name) { TextStore::open(job.path(name)?).map(Some) } else { Ok(None) }
    };
    let word = job.text("unknown")?;
    let unknown = Unknown::parse(word).ok_or_else(|| {
        Failure::wrong(format!("unknown: found `{word}`, expected `error`, `drop` or `keep`"))
    })?;
    Ok(Known { queries: open("queries")?, corpus: open("corpus")?, unknown })
}

/// Imports texts into a folder as the job's arguments `source`, `format` and `duplicates` say.
pub(super) fn texts(job: &Job<'_>, what: What, fields: Vec<String>, out: &Path) -> Result<Outcome, Failure> {
    let duplicates = match job.text("duplicates")? {
        "error" => Duplicates::Error,
        "first" => Duplicates::First,
        "drop" => Duplicates::Drop,
        other => {
            let expected = "expected `error`, `first` or `drop`";
            return Err(Failure::wrong(format!("duplicates: found `{other}`, {expected}")));
        }
    };
    let text = |name: &str| if job.has(name) { job.text(name).map(Some) } else { Ok(None) };
    let empty = match text("empty")? {
        None => Empty::Error,
        Some(word) => Empty::parse(word).ok_or_else(|| {
            Failure::wrong(format!("empty: found `{word}`, expected `error`, `drop` or `keep`"))
        })?,
    };
    let options = TextOptions {
        format: job.text("format")?.to_owned(),
        id: text("id")?.map(str::to_owned),
        fields,
        duplicates,
        header: if let Value::Bool(header) = job.arg("header") { Some(*header) } else { None },
        tabs_in_text: text("tabs")? == Some("text"),
        blanks: blanks(job)?,
        empty,
    };
    let done = texts::import(&source(job)?, what, &options, out, job.progress)?;
    Ok(outcome([
        ("texts", done.texts),
        ("bytes", done.bytes),
        ("files", done.files),
        ("left_out", done.left_out),
    ]))
}

/// How pairs are imported: the arguments `format`, `duplicates` and `blanks`.
pub(super) fn pair_options(job: &Job<'_>) -> Result<PairOptions, Failure> {
    let text = |name: &str| if job.has(name) { job.text(name).map(Some) } else { Ok(None) };
    let repeated = match text("duplicates")? {
        None => Repeated::Error,
        Some(word) => Repeated::parse(word).ok_or_else(|| {
            Failure::wrong(format!("duplicates: found `{word}`, expected `error`, `first` or `max`"))
        })?,
    };
    Ok(PairOptions { format: job.text("format")?.to_owned(), repeated, blanks: blanks(job)? })
}

/// What a blank in an id becomes: the argument `blanks`.
pub(super) fn blanks(job: &Job<'_>) -> Result<Option<String>, Failure> {
    if !job.has("blanks") {
        return Ok(None);
    }
    let with = job.text("blanks")?;
    if with.is_empty() || with.contains(char::is_whitespace) {
        return Err(Failure::wrong(format!(
            "blanks: found `{with}`, expected text without blanks, for instance `_`"
        )));
    }
    Ok(Some(with.to_owned()))
}

/// Imports a run into a folder.
pub(super) fn run(
    source: impl Into<Source>,
    options: &PairOptions,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ImportedPairs, Failure> {
    let writer: RefCell<Option<RunWriter>> = RefCell::new(None);
    let done = pairs::import(
        source,
        options,
        Third::ScoreOrRank,
        known,
        progress,
        &mut || RunWriter::create(out).map(|w| drop(writer.replace(Some(w)))),
        &mut |group| {
            let query = group.ranked()?;
            writer.borrow_mut().as_mut().map_or(Ok(()), |w| w.push(&query))
        },
    )?;
    writer.into_inner().map_or(Ok(()), RunWriter::finish)?;
    Ok(done)
}

/// Imports scores into a folder.
pub(super) fn scores(
    source: impl Into<Source>,
    options: &PairOptions,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ImportedPairs, Failure> {
    let writer: RefCell<Option<ScoresWriter>> = RefCell::new(None);
    let done = pairs::import(
        source,
        options,
        Third::Score,
        known,
        progress,
        &mut || ScoresWriter::create(out).map(|w| drop(writer.replace(Some(w)))),
        &mut |group| {
            let mut writer = writer.borrow_mut();
            let Some(writer) = writer.as_mut() else { return Ok(()) };
            group.hits.iter().try_for_each(|h| writer.push(&group.query, &h.document, h.score))
        },
    )?;
    writer.into_inner().map_or(Ok(()), ScoresWriter::finish)?;
    Ok(done)
}

/// A job for tests of operations.
#[cfg(test)]
pub(super) mod testing {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use xpipe_base::task::{Failure, Job, Outcome, Progress, Silent, Spec};
    use xpipe_base::value::{Digest, Located, Name, Record, Value};
    use xpipe_lang::types::Op;

    /// A found file or folder.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Value {
        let path = path.into();
        let label = path.display().to_string();
        Value::Located(Arc::new(Located { path, digest: Digest::of(b""), label }))
    }

    /// Runs an operation with arguments after defaults, into a folder.
    pub(crate) fn run(op: &Op, args: &[(&str, Value)], out: &Path) -> Result<Outcome, Failure> {
        run_with(op, args, out, &Silent)
    }

    /// The same with a progress to ask.
    pub(crate) fn run_with(
        op: &Op,
        args: &[(&str, Value)],
        out: &Path,
        progress: &dyn Progress,
    ) -> Result<Outcome, Failure> {
        let mut all: Vec<(Name, Value)> =
            op.params.iter().filter_map(|p| Some((Name::from(p.name), p.default.clone()?))).collect();
        for (name, value) in args {
            assert!(op.param(name).is_some(), "{} has no argument {name}", op.name);
            all.push((Name::from(*name), value.clone()));
        }
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(out).unwrap();
        let spec = Spec {
            op: op.name.into(),
            version: op.version,
            key: "0".into(),
            address: "test".into(),
            args: Record::new(all),
            policy: Record::default(),
            out: out.to_owned(),
            temp: scratch.path().join("temp"),
            log: scratch.path().join("log"),
            scratch: scratch.path().to_owned(),
            answers: scratch.path().join("answers"),
            threads: 1,
            device: "cpu".into(),
            kernels: xpipe_base::task::Kernels::Auto,
        };
        op.run.unwrap()(&Job { spec: &spec, progress })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{at, run};
    use super::*;
    use crate::ops::{
        import_corpus, import_qrels, import_queries, import_run, import_scores, import_triples,
    };
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::Run;
    use xpipe_data::scores::Scores;
    use xpipe_testing::{file, shared};

    #[test]
    fn a_collection_is_imported_part_by_part() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path();
        let docs = file(raw, "docs.tsv", "a\tone\nb\ttwo\nc\t\n");
        let topics = file(raw, "t", "<top>\n<num> 1\n<title> x\n<desc> y\n</top>\n");
        let qrels = file(raw, "qrels.txt", "1 0 a 2\n1 0 z 1\n");
        let run_file = file(raw, "x.run", "1 Q0 b 1 3 t\n1 Q0 c 2 3 t\n1 Q0 a 3 9 t\n");
        let scores = file(raw, "s.tsv", "1\ta\t0.5\n");
        let triples = file(raw, "t.tsv", "1\ta\tb\n");
        let (corpus, queries) = (raw.join("corpus"), raw.join("queries"));
        let done = super::testing::run(&import_corpus::op(), &[("source", at(docs))], &corpus).unwrap();
        assert_eq!(done.facts["texts"], 3);
        let args = [("source", at(topics)), ("field", Value::str("title + desc"))];
        run(&import_queries::op(), &args, &queries).unwrap();
        assert_eq!(TextStore::open(&queries).unwrap().text(0), "x y");

        let both = [("queries", at(&queries)), ("corpus", at(&corpus))];
        let with = |source: Value, more: &[(&'static str, Value)]| {
            [&[("source", source)], both.as_slice(), more].concat()
        };
        let out = raw.join("qrels");
        let e = run(&import_qrels::op(), &with(at(&qrels), &[]), &out).unwrap_err();
        assert!(e.message.contains("qrels.txt:2: found the document id `z`"), "{e}");
        let drop = [("unknown", Value::str("drop"))];
        run(&import_qrels::op(), &with(at(&qrels), &drop), &out).unwrap();
        assert_eq!(Qrels::read(&out).unwrap().judgements(), 1);

        let out = raw.join("run");
        run(&import_run::op(), &with(at(&run_file), &[]), &out).unwrap();
        let ids: Vec<String> =
            Run::read(&out).unwrap().queries()[0].hits.iter().map(|h| h.document.clone()).collect();
        assert_eq!(ids, ["a", "c", "b"]);
        let out = raw.join("scores");
        run(&import_scores::op(), &with(at(&scores), &[]), &out).unwrap();
        assert_eq!(Scores::read(&out).unwrap().score("1", "a"), Some(0.5));
        let out = raw.join("triples");
        let done = run(&import_triples::op(), &with(at(&triples), &[]), &out).unwrap();
        assert_eq!(done.facts["triples"], 1);
    }

    #[test]
    fn real_judgements_are_checked_against_their_collection() {
        let name = "real_judgements_are_checked_against_their_collection";
        let Some(docs) = shared(name, "cacm/cacm.tar.gz") else { return };
        let (Some(topics), Some(qrels), Some(anserini)) = (
            shared(name, "cacm/topics.cacm.txt"),
            shared(name, "cacm/qrels.cacm.txt"),
            shared(name, "cacm/anserini.cacm-bm25.run.txt"),
        ) else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let (corpus, queries) = (dir.path().join("corpus"), dir.path().join("queries"));
        run(&import_corpus::op(), &[("source", at(docs))], &corpus).unwrap();
        run(&import_queries::op(), &[("source", at(topics))], &queries).unwrap();
        let args = |source: Value, unknown: &str| {
            let unknown = Value::str(unknown);
            [("source", source), ("queries", at(&queries)), ("corpus", at(&corpus)), ("unknown", unknown)]
        };
        // 46 documents have ids like CACM-115 there and CACM-0115 in the archive (comm of the sorted ids).
        let out = dir.path().join("qrels");
        let e = run(&import_qrels::op(), &args(at(&qrels), "error"), &out).unwrap_err();
        assert!(e.message.contains("found the document id `CACM-756`"), "{e}");
        run(&import_qrels::op(), &args(at(&qrels), "keep"), &out).unwrap();
        assert_eq!(Qrels::read(&out).unwrap().judgements(), 796);
        let out = dir.path().join("run");
        let done = run(&import_run::op(), &args(at(&anserini), "error"), &out).unwrap();
        assert_eq!(done.facts["documents"], 1920);
    }
}
