//! From the arguments of a job to options and sources of the readers, and from readers to artifacts.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::super::outcome::counted;
use xpipe_base::task::{Failure, Job, Outcome, Progress, located};
use xpipe_base::value::Value;
use xpipe_data::known::{Known, Unknown};
use xpipe_data::pairs::{self, ImportedPairs, PairOptions, QueryPairs, Repeated, ThirdColumn};
use xpipe_data::run::RunWriter;
use xpipe_data::scores::ScoresWriter;
use xpipe_data::source::Source;
use xpipe_data::store::TextStore;
use xpipe_data::store_writer::Duplicates;
use xpipe_data::texts::{self, Empty, TextKind, TextOptions};

/// The strings of an optional list.
pub(in super::super) fn words(job: &Job<'_>, name: &str) -> Result<Vec<String>, Failure> {
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
pub(super) fn texts(
    job: &Job<'_>,
    what: TextKind,
    fields: Vec<String>,
    out: &Path,
) -> Result<Outcome, Failure> {
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
    Ok(counted([
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
pub(in super::super) fn run(
    source: impl Into<Source>,
    options: &PairOptions,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ImportedPairs, Failure> {
    let import = PairImport { options, third: ThirdColumn::ScoreOrRank, known, progress };
    let push = |writer: &mut RunWriter, pairs: QueryPairs| writer.push(&pairs.ranked()?);
    import.write_with(source, &|| RunWriter::create(out), &push, RunWriter::finish)
}

/// Imports scores into a folder.
pub(in super::super) fn scores(
    source: impl Into<Source>,
    options: &PairOptions,
    known: &Known,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ImportedPairs, Failure> {
    let import = PairImport { options, third: ThirdColumn::Score, known, progress };
    let push = |writer: &mut ScoresWriter, pairs: QueryPairs| {
        pairs.hits.iter().try_for_each(|h| writer.push(&pairs.query, &h.document, h.score))
    };
    import.write_with(source, &|| ScoresWriter::create(out), &push, ScoresWriter::finish)
}

/// How pairs are imported.
struct PairImport<'i> {
    options: &'i PairOptions,
    third: ThirdColumn,
    known: &'i Known,
    progress: &'i dyn Progress,
}

impl PairImport<'_> {
    /// Passes the pairs of each query to a writer. The reader may begin anew, with a new writer.
    fn write_with<W>(
        self,
        source: impl Into<Source>,
        create: &dyn Fn() -> Result<W, Failure>,
        push: &dyn Fn(&mut W, QueryPairs) -> Result<(), Failure>,
        finish: impl FnOnce(W) -> Result<(), Failure>,
    ) -> Result<ImportedPairs, Failure> {
        let writer: RefCell<Option<W>> = RefCell::new(None);
        let done = pairs::import(
            source,
            self.options,
            self.third,
            self.known,
            self.progress,
            &mut || create().map(|w| drop(writer.replace(Some(w)))),
            &mut |pairs| writer.borrow_mut().as_mut().map_or(Ok(()), |w| push(w, pairs)),
        )?;
        writer.into_inner().map_or(Ok(()), finish)?;
        Ok(done)
    }
}
