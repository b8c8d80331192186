//! `xpipe export`: results as files that other tools read.
//!
//! One result becomes a file (a folder when it is none of the kinds known); several become a folder with a file each,
//! and `cells.csv`, which says what axes each file is of. Measures of several evaluations become one long table.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::args::{Common, ExportArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::DAMAGED;
use super::runner::Local;
use super::{job, study};
use xpipe_base::value::{ActionId, Name};
use xpipe_data::store::{TextStore, is_store};
use xpipe_engine::{Forecast, Heavy, Options, forecast};
use xpipe_lang::graph::{Graph, select};
use xpipe_study::report::{file_name, write_file};

/// A result to export.
struct Wanted {
    id: ActionId,
    address: String,
    labels: Vec<Name>,
}

pub(super) fn export(args: &ExportArgs, common: &Common) -> Result<u8, Stop> {
    let mut loaded = study::sound(&args.study, common)?;
    let (axes, wanted) = wanted(&loaded.graph, &args.cell)?;
    loaded.wanted = wanted.iter().map(|w| w.id).collect();
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = Options::new(job::threads(common), Heavy::Thread);
    let fates = forecast(&job, &runner, &store, &options);
    let damaged = |address: &str, why: &dyn std::fmt::Display| Stop::Other {
        code: DAMAGED,
        message: format!("the result of {address} is damaged: {why}"),
        help: Some(format!(
            "make it again: `xpipe run {} --target '{}'`",
            args.study.file.display(),
            args.cell
        )),
    };
    let (mut folders, mut keys, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for one in &wanted {
        match &fates[one.id.0 as usize] {
            Forecast::Cached { key } => {
                let manifest = store.look(key).map_err(|miss| damaged(&one.address, &miss))?;
                folders.push(store.tree(&manifest)?.map_err(|miss| damaged(&one.address, &miss))?);
                keys.push(*key);
            }
            Forecast::WillRun { miss: Some(miss), .. } if miss.is_damage() => {
                return Err(damaged(&one.address, miss));
            }
            _ => open.push(one.address.as_str()),
        }
    }
    if let Some(first) = open.first() {
        let which = match open.len() {
            1 => format!("{first} has no result"),
            n => format!("{first} and {} more have no result", n - 1),
        };
        return Err(Stop::missing(
            format!("{which} yet"),
            Some(format!("run it first: `xpipe run {} --target '{}'`", args.study.file.display(), args.cell)),
        ));
    }
    let to = &args.to;
    let taken = to.is_file() || std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Stop::usage(format!("{} exists; give another name", to.display())));
    }
    let written = match folders.as_slice() {
        [folder] => one(folder, to)?,
        _ => several(&args.cell, &axes, &wanted, &folders, to)?,
    };
    if common.json {
        let mut json = serde_json::json!({ "cell": args.cell, "written": written, "keys": keys });
        if let [key] = keys.as_slice() {
            json["key"] = serde_json::json!(key);
        }
        out::json(&json);
    } else if let [folder] = written.as_slice() {
        out::line(&format!("{} -> {folder}", args.cell));
    } else {
        out::line(&format!("{} -> {} ({} files)", args.cell, to.display(), written.len()));
    }
    Ok(0)
}

/// The results that a text names: cells of a stage with its axes, or a part of a data set.
fn wanted(graph: &Graph, text: &str) -> Result<(Vec<Name>, Vec<Wanted>), Stop> {
    let unknown = match select::target(graph, text) {
        Ok((row, cells)) => {
            let of = |c: &&xpipe_lang::graph::Cell| Wanted {
                id: c.action,
                address: row.address(c),
                labels: c.labels.clone(),
            };
            return Ok((row.axes.clone(), cells.iter().map(of).collect()));
        }
        Err(unknown) => unknown,
    };
    let place = graph.actions.iter().position(|a| a.address == text.trim());
    match place.and_then(|i| u32::try_from(i).ok()) {
        Some(i) => {
            let address = text.trim().to_owned();
            Ok((Vec::new(), vec![Wanted { id: ActionId(i), address, labels: Vec::new() }]))
        }
        None => Err(Stop::usage(unknown.to_string())),
    }
}

/// What a result is, by its files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Run,
    Qrels,
    Scores,
    Metrics,
    Texts,
    Folder,
}

impl Kind {
    fn of(folder: &Path) -> Self {
        let has = |name: &str| folder.join(name).is_file();
        if has("run.parquet") {
            Self::Run
        } else if has("qrels.parquet") {
            Self::Qrels
        } else if has("scores.parquet") {
            Self::Scores
        } else if has("metrics.parquet") {
            Self::Metrics
        } else if is_store(folder) {
            Self::Texts
        } else {
            Self::Folder
        }
    }

    /// The suffix of a file of this kind.
    fn suffix(self) -> &'static str {
        match self {
            Self::Run => ".run",
            Self::Qrels => ".qrels",
            Self::Scores => ".tsv",
            Self::Metrics => ".csv",
            Self::Texts => ".jsonl",
            Self::Folder => "",
        }
    }
}

/// One result: a file, or a copy of its folder.
fn one(folder: &Path, to: &Path) -> Result<Vec<String>, Stop> {
    let mut text = Vec::new();
    match Kind::of(folder) {
        Kind::Folder => {
            std::fs::create_dir_all(to)?;
            let mut written = Vec::new();
            copy(folder, to, &mut written)?;
            return Ok(written);
        }
        // A corpus may be larger than memory.
        Kind::Texts => {
            let written = std::fs::File::create(to).map_err(Stop::from).and_then(|file| {
                let mut file = std::io::BufWriter::new(file);
                texts(folder, to, &mut file)?;
                Ok(file.flush()?)
            });
            if written.is_err() {
                let _ = std::fs::remove_file(to);
            }
            return written.map(|()| vec![to.display().to_string()]);
        }
        Kind::Metrics => {
            writeln!(text, "query,metric,value")?;
            metrics(folder, "", &mut text)?;
        }
        kind => table(kind, folder, &mut text)?,
    }
    std::fs::write(to, &text)?;
    Ok(vec![to.display().to_string()])
}

/// Several results: a file each, and what axes each is of; measures in one table.
fn several(
    stage: &str,
    axes: &[Name],
    wanted: &[Wanted],
    folders: &[PathBuf],
    to: &Path,
) -> Result<Vec<String>, Stop> {
    std::fs::create_dir_all(to)?;
    let stage = stage.split('[').next().unwrap_or(stage).trim();
    let header: Vec<String> = axes.iter().map(|a| field(a)).collect();
    let mut long = format!("{},query,metric,value\n", header.join(",")).into_bytes();
    let mut index = format!("file,{}\n", header.join(","));
    let (mut measured, mut written, mut taken) = (false, Vec::new(), BTreeSet::new());
    for (one_of, folder) in wanted.iter().zip(folders) {
        let labels: Vec<String> = one_of.labels.iter().map(|l| field(l)).collect();
        let kind = Kind::of(folder);
        if kind == Kind::Metrics {
            metrics(folder, &format!("{},", labels.join(",")), &mut long)?;
            measured = true;
            continue;
        }
        let name = format!("{}{}", file_name(&one_of.address, &mut taken), kind.suffix());
        written.extend(one(folder, &to.join(&name))?);
        index.push_str(&format!("{},{}\n", field(&name), labels.join(",")));
    }
    let mut add = |name: String, text: &str| -> Result<(), Stop> {
        let path = to.join(name);
        write_file(&path, text)?;
        written.push(path.display().to_string());
        Ok(())
    };
    if measured {
        add(format!("{}.csv", file_name(stage, &mut taken)), &String::from_utf8_lossy(&long))?;
    } else {
        add("cells.csv".into(), &index)?;
    }
    Ok(written)
}

/// A field of CSV, quoted where it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn table(kind: Kind, folder: &Path, out: &mut Vec<u8>) -> Result<(), Stop> {
    match kind {
        Kind::Run => xpipe_data::run::Run::read(folder)?.export(out, "xpipe")?,
        Kind::Qrels => xpipe_data::qrels::Qrels::read(folder)?.export(out)?,
        _ => xpipe_data::scores::Scores::read(folder)?.export(out)?,
    }
    Ok(())
}

/// The measures of each query as lines of CSV, each after `before`.
fn metrics(folder: &Path, before: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
    use xpipe_data::table::{Kind, TableReader};
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableReader::open(&folder.join("metrics.parquet"), &columns)?;
    while let Some(row) = table.row()? {
        writeln!(out, "{before}{},{},{}", field(row.text(0)), field(row.text(1)), row.double(2))?;
    }
    Ok(())
}

/// Queries or documents: `id<TAB>text` for a name that ends in `.tsv`, else a JSON object a line.
fn texts(folder: &Path, to: &Path, out: &mut dyn std::io::Write) -> Result<(), Stop> {
    let tsv = to.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    for (id, text) in TextStore::open(folder)?.iter() {
        if !tsv {
            writeln!(out, "{}", serde_json::json!({ "_id": id, "text": text }))?;
            continue;
        }
        if text.contains(['\t', '\n', '\r']) || id.contains(['\t', '\n', '\r']) {
            return Err(Stop::usage(format!(
                "the text of `{id}` has a tab or a line break, which TSV has no way to write; give a name that ends \
                 in `.jsonl`"
            )));
        }
        writeln!(out, "{id}\t{text}")?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, written: &mut Vec<String>) -> Result<(), Stop> {
    let mut names: Vec<_> = std::fs::read_dir(from)?.collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target, written)?;
        } else {
            // Not a link: the store's files are read-only and shared.
            let mut source = std::fs::File::open(entry.path())?;
            let mut file = std::fs::File::create(&target)?;
            std::io::copy(&mut source, &mut file)?;
            written.push(target.display().to_string());
        }
    }
    Ok(())
}

impl From<std::io::Error> for Stop {
    fn from(e: std::io::Error) -> Self {
        Self::from(xpipe_base::task::Failure::from(e))
    }
}
