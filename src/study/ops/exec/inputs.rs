//! The inputs of a program: stores and tables in the field's own formats, everything else as it is.
//!
//! | in `reads` | the program gets |
//! |---|---|
//! | Corpus, Queries | `NAME.jsonl`: `{"_id": …, "text": …}` a line |
//! | Qrels | `NAME.qrels`: `query 0 document grade` |
//! | Run | `NAME.run`: `query Q0 document rank score xpipe` |
//! | Scores | `NAME.tsv`: query, document, score |
//! | a model, a file, anything else | its path |
//! | a number, text | the value |

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::plain;
use xpipe_base::place;
use xpipe_base::task::{Failure, Job};
use xpipe_base::value::{Record, Value};
use xpipe_data::qrels::{QRELS_FILE, Qrels};
use xpipe_data::run::{RUN_FILE, RunReader, export_query};
use xpipe_data::scores::{SCORES_FILE, Scores};
use xpipe_data::store::{INDEX_FILE, TextStore};

/// Writes the inputs in `reads` and `spec.json` into a folder; returns their names with paths or values.
///
/// # Errors
/// An input is damaged, the disk is full, or a value cannot be passed to a program.
pub fn hand_over(job: &Job<'_>, folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    if let Some(reads) = job.arg("reads").as_record() {
        record("", reads, folder, &mut all)?;
    }
    Ok(all)
}

fn record(
    prefix: &str,
    fields: &Record,
    folder: &Path,
    all: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    for (field, value) in fields.iter() {
        let name = if prefix.is_empty() { field.to_string() } else { format!("{prefix}.{field}") };
        let text = match value {
            Value::Null => continue,
            Value::Record(inside) => {
                record(&name, inside, folder, all)?;
                continue;
            }
            Value::Located(l) => export(&l.path, &folder.join(&name))?.display().to_string(),
            other => plain(other).ok_or_else(|| {
                Failure::wrong(format!("reads.{name}: found a value that has no text form for a program"))
                    .help("hand over files, results, numbers or text")
            })?,
        };
        all.push((name, text));
    }
    Ok(())
}

fn export(found: &Path, stem: &Path) -> Result<PathBuf, Failure> {
    let with = |suffix: &str| {
        let mut name = stem.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let has = |file: &str| found.join(file).is_file();
    let written = |path: PathBuf, write: &dyn Fn(&mut dyn Write) -> Result<(), Failure>| {
        let file = File::create(&path).map_err(|e| place::io(&path, e))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        out.flush().map_err(|e| place::io(&path, e))?;
        Ok(path)
    };
    if has(INDEX_FILE) {
        let store = TextStore::open(found)?;
        return written(with(".jsonl"), &|out| {
            for (id, text) in store.iter() {
                serde_json::to_writer(&mut *out, &serde_json::json!({ "_id": id, "text": text }))
                    .map_err(std::io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        });
    }
    if has(QRELS_FILE) {
        let qrels = Qrels::read(found)?;
        return written(with(".qrels"), &|out| Ok(qrels.export(out)?));
    }
    if has(RUN_FILE) {
        return written(with(".run"), &|out| {
            let mut run = RunReader::open(found)?;
            while let Some(query) = run.query()? {
                export_query(&query, out, "xpipe")?;
            }
            Ok(())
        });
    }
    if has(SCORES_FILE) {
        let scores = Scores::read(found)?;
        return written(with(".tsv"), &|out| Ok(scores.export(out)?));
    }
    Ok(found.to_owned())
}
