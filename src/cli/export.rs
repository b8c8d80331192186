//! `xpipe export`: a result as files that other tools read.

use std::path::Path;

use super::args::{Common, ExportArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::DAMAGED;
use super::runner::Local;
use super::{job, study};
use crate::cache::Miss;
use crate::engine::{Forecast, Heavy, Options, forecast};

pub(super) fn export(args: &ExportArgs, common: &Common) -> Result<u8, Stop> {
    let mut loaded = study::sound(&args.study, common)?;
    let ids = study::cells(&loaded.graph, std::slice::from_ref(&args.cell))?;
    let [id] = ids.as_slice() else {
        return Err(Stop::usage(format!(
            "`{}` names {} results; name one cell: `stage[label, …]`",
            args.cell,
            ids.len()
        )));
    };
    loaded.wanted = vec![*id];
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = Options::new(job::threads(common), Heavy::Thread);
    let fates = forecast(&job, &runner, &store, &options);
    let damaged = |miss: &Miss| Stop::Other {
        code: DAMAGED,
        message: format!("the result of {} is damaged: {miss}", args.cell),
        help: Some(format!(
            "make it again: `xpipe run {} --target '{}'`",
            args.study.file.display(),
            args.cell
        )),
    };
    if let Forecast::WillRun { miss: Some(miss), .. } = &fates[id.0 as usize]
        && miss.is_damage()
    {
        return Err(damaged(miss));
    }
    let Forecast::Cached { key } = &fates[id.0 as usize] else {
        return Err(Stop::missing(
            format!("{} has no result yet", args.cell),
            Some(format!("run it first: `xpipe run {} --target '{}'`", args.study.file.display(), args.cell)),
        ));
    };
    let manifest = store.look(key).map_err(|miss| damaged(&miss))?;
    let folder = store.tree(&manifest)?.map_err(|miss| damaged(&miss))?;
    let written = write(&folder, &args.to)?;
    if common.json {
        out::json(&serde_json::json!({ "cell": args.cell, "written": written, "key": key }));
    } else {
        out::line(&format!("{} -> {}", args.cell, written.join(", ")));
    }
    Ok(0)
}

/// Tables become the field's text formats; everything else is copied as it is.
fn write(folder: &Path, to: &Path) -> Result<Vec<String>, Stop> {
    let taken = to.is_file() || std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Stop::usage(format!("{} exists; give another name", to.display())));
    }
    #[cfg(feature = "models")]
    {
        let failed = |f: crate::task::Failure| Stop::from(f);
        let mut text = Vec::new();
        if folder.join("run.parquet").is_file() {
            crate::data::run::Run::read(folder).map_err(failed)?.export(&mut text, "xpipe")?;
        } else if folder.join("qrels.parquet").is_file() {
            crate::data::qrels::Qrels::read(folder).map_err(failed)?.export(&mut text)?;
        } else if folder.join("scores.parquet").is_file() {
            crate::data::scores::Scores::read(folder).map_err(failed)?.export(&mut text)?;
        } else if folder.join("metrics.parquet").is_file() {
            metrics(folder, &mut text)?;
        }
        if !text.is_empty() {
            std::fs::write(to, &text)?;
            return Ok(vec![to.display().to_string()]);
        }
    }
    std::fs::create_dir_all(to)?;
    let mut written = Vec::new();
    copy(folder, to, &mut written)?;
    Ok(written)
}

/// The measures of each query as CSV. Ids have no white space and measures no comma; an id with one is quoted.
#[cfg(feature = "models")]
fn metrics(folder: &Path, out: &mut Vec<u8>) -> Result<(), Stop> {
    use crate::data::table::{Kind, TableReader};
    use std::io::Write as _;
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableReader::open(&folder.join("metrics.parquet"), &columns)?;
    writeln!(out, "query,metric,value")?;
    while let Some(row) = table.row()? {
        let id = match row.text(0) {
            id if id.contains([',', '"']) => format!("\"{}\"", id.replace('"', "\"\"")),
            id => id.to_owned(),
        };
        writeln!(out, "{id},{},{}", row.text(1), row.double(2))?;
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
        Self::from(crate::task::Failure::from(e))
    }
}
