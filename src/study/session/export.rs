//! `export`: results as files that other tools read.
//!
//! One result becomes a file (a folder when its kind is unknown); several become a folder with a file for each, and
//! `cells.csv`, which has the labels of each file. Measures of several evaluations become one long table.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Session;
use super::error::{Error, exit};
use super::load::Loaded;
use super::notice::Listener;
use super::settings::Settings;
use crate::report::Lines;
use crate::report::{file_name, write_file};
use xpipe_base::value::{ActionId, Digest, Name};
use xpipe_data::store::TextStore;
use xpipe_engine::cache::{Miss, Store};
use xpipe_engine::{Forecast, Heavy};
use xpipe_lang::graph::{Graph, select};
use xpipe_lang::types::Export;

/// A result to export.
struct Wanted {
    id: ActionId,
    address: String,
    labels: Vec<Name>,
    format: Export,
}

/// What was exported.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The files.
    pub written: Vec<String>,
    /// The keys of the results.
    pub keys: Vec<Digest>,
}

impl Session {
    /// Exports the cell or stage `cell` of a loaded, correct study to a file, or to a folder for several cells.
    ///
    /// # Errors
    /// There is no such cell or it has no intact result, or the files cannot be written.
    pub fn export(
        mut loaded: Loaded,
        settings: &Settings,
        listener: Listener,
        cell: &str,
        to: &Path,
    ) -> Result<Exported, Error> {
        let (axes, wanted) = wanted(&loaded.graph, cell)?;
        loaded.wanted = wanted.iter().map(|w| w.id).collect();
        let session = Self::of(loaded, settings, listener)?;
        let store = session.open_cache()?;
        let (folders, keys) = session.intact(&store, &wanted, cell)?;
        let taken = to.is_file() || std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(Error::usage(format!("{} exists; give another name", to.display())));
        }
        let written = match (wanted.as_slice(), folders.as_slice()) {
            ([result], [folder]) => one(result.format, folder, to)?,
            _ => several(cell, &axes, &wanted, &folders, to)?,
        };
        Ok(Exported { written, keys })
    }

    /// The folders and keys of results, all of which must be in the cache and undamaged.
    fn intact(
        &self,
        store: &Store,
        wanted: &[Wanted],
        cell: &str,
    ) -> Result<(Vec<PathBuf>, Vec<Digest>), Error> {
        let command = format!("`xpipe run {} --target '{cell}'`", self.loaded.request.file.display());
        let damaged = |address: &str, why: &dyn std::fmt::Display| Error::Other {
            code: exit::DAMAGED,
            message: format!("the result of {address} is damaged: {why}"),
            help: Some(format!("make it again: {command}")),
        };
        let forecasts = self.forecast(store, &self.settings.options(Heavy::Thread));
        let (mut folders, mut keys, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for one in wanted {
            match &forecasts[one.id.0 as usize] {
                Forecast::Cached { key } => {
                    let manifest = store.get(key).map_err(|miss| damaged(&one.address, &miss))?;
                    let folder = store.tree(&manifest)?.map_err(|miss| match miss {
                        Miss::LeftOut => Error::missing(format!("the result of {}: {miss}", one.address))
                            .help(format!("make it here: {command} with `--force '{}'`", one.address)),
                        miss => damaged(&one.address, &miss),
                    })?;
                    folders.push(folder);
                    keys.push(*key);
                }
                Forecast::WillRun { miss: Some(miss), .. } if miss.is_damage() => {
                    return Err(damaged(&one.address, miss));
                }
                _ => open.push(one.address.as_str()),
            }
        }
        let which = match open.as_slice() {
            [] => return Ok((folders, keys)),
            [one] => format!("{one} has no result"),
            [first, others @ ..] => format!("{first} and {} more have no result", others.len()),
        };
        Err(Error::missing(format!("{which} yet")).help(format!("run it first: {command}")))
    }
}

/// The results that a text names: cells of a stage with its axes, or a part of a data set.
fn wanted(graph: &Graph, text: &str) -> Result<(Vec<Name>, Vec<Wanted>), Error> {
    let unknown = match select::target(graph, text) {
        Ok((row, cells)) => {
            let of = |c: &&xpipe_lang::graph::Cell| Wanted {
                id: c.action,
                address: row.address(c),
                labels: c.labels.clone(),
                format: graph.artifact(c.action).ty.export(),
            };
            return Ok((row.axes.clone(), cells.iter().map(of).collect()));
        }
        Err(unknown) => unknown,
    };
    let place = graph.actions.iter().position(|a| a.address == text.trim());
    match place.and_then(|i| u32::try_from(i).ok()) {
        Some(i) => {
            let (id, address) = (ActionId(i), text.trim().to_owned());
            let format = graph.artifact(id).ty.export();
            Ok((Vec::new(), vec![Wanted { id, address, labels: Vec::new(), format }]))
        }
        None => Err(Error::usage(unknown.to_string())),
    }
}

/// The suffix of a file of this format.
fn suffix(format: Export) -> &'static str {
    match format {
        Export::Run => ".run",
        Export::Qrels => ".qrels",
        Export::Scores => ".tsv",
        Export::Metrics => ".csv",
        Export::Texts => ".jsonl",
        Export::Folder => "",
    }
}

/// One result: a file, or a copy of its folder.
fn one(format: Export, folder: &Path, to: &Path) -> Result<Vec<String>, Error> {
    let mut text = Vec::new();
    match format {
        Export::Folder => {
            std::fs::create_dir_all(to)?;
            let mut written = Vec::new();
            copy(folder, to, &mut written)?;
            return Ok(written);
        }
        // A corpus may be larger than memory.
        Export::Texts => {
            let written = std::fs::File::create(to).map_err(Error::from).and_then(|file| {
                let mut file = std::io::BufWriter::new(file);
                texts(folder, to, &mut file)?;
                Ok(file.flush()?)
            });
            if written.is_err() {
                let _ = std::fs::remove_file(to);
            }
            return written.map(|()| vec![to.display().to_string()]);
        }
        Export::Metrics => {
            let mut lines = Lines::new();
            lines.push(METRICS);
            metrics(folder, &[], &mut lines)?;
            text = lines.into_text().into_bytes();
        }
        format => table(format, folder, &mut text)?,
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
) -> Result<Vec<String>, Error> {
    std::fs::create_dir_all(to)?;
    let stage = stage.split('[').next().unwrap_or(stage).trim();
    let (mut long, mut index) = (Lines::new(), Lines::new());
    long.push(axes.iter().map(|a| &**a).chain(METRICS));
    index.push(["file"].into_iter().chain(axes.iter().map(|a| &**a)));
    let (mut measured, mut written, mut taken) = (false, Vec::new(), BTreeSet::new());
    for (one_of, folder) in wanted.iter().zip(folders) {
        let labels: Vec<&str> = one_of.labels.iter().map(|l| &**l).collect();
        if one_of.format == Export::Metrics {
            metrics(folder, &labels, &mut long)?;
            measured = true;
            continue;
        }
        let name = format!("{}{}", file_name(&one_of.address, &mut taken), suffix(one_of.format));
        written.extend(one(one_of.format, folder, &to.join(&name))?);
        index.push([name.as_str()].into_iter().chain(labels));
    }
    let mut add = |name: String, text: &str| -> Result<(), Error> {
        let path = to.join(name);
        write_file(&path, text)?;
        written.push(path.display().to_string());
        Ok(())
    };
    if measured {
        add(format!("{}.csv", file_name(stage, &mut taken)), &long.into_text())?;
    } else {
        add("cells.csv".into(), &index.into_text())?;
    }
    Ok(written)
}

fn table(format: Export, folder: &Path, out: &mut Vec<u8>) -> Result<(), Error> {
    match format {
        Export::Run => xpipe_data::run::Run::read(folder)?.export(out, "xpipe")?,
        Export::Qrels => xpipe_data::qrels::Qrels::read(folder)?.export(out)?,
        _ => xpipe_data::scores::Scores::read(folder)?.export(out)?,
    }
    Ok(())
}

/// Columns of exported measures, after those of the axes.
const METRICS: [&str; 3] = ["query", "metric", "value"];

/// The measures of each query as lines of CSV, each after `before`.
fn metrics(folder: &Path, before: &[&str], out: &mut Lines) -> Result<(), Error> {
    use xpipe_data::table::{Kind, TableReader};
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableReader::open(&folder.join("metrics.parquet"), &columns)?;
    while let Some(row) = table.row()? {
        let value = row.double(2).to_string();
        out.push(before.iter().copied().chain([row.text(0), row.text(1), &value]));
    }
    Ok(())
}

/// Queries or documents: `id<TAB>text` for a name that ends in `.tsv`, else a JSON object a line.
fn texts(folder: &Path, to: &Path, out: &mut dyn std::io::Write) -> Result<(), Error> {
    let tsv = to.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    for (id, text) in TextStore::open(folder)?.iter() {
        if !tsv {
            writeln!(out, "{}", serde_json::json!({ "_id": id, "text": text }))?;
            continue;
        }
        if text.contains(['\t', '\n', '\r']) || id.contains(['\t', '\n', '\r']) {
            return Err(Error::usage(format!(
                "the text of `{id}` has a tab or a line break, which TSV has no way to write; give a name that ends \
                 in `.jsonl`"
            )));
        }
        writeln!(out, "{id}\t{text}")?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, written: &mut Vec<String>) -> Result<(), Error> {
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
