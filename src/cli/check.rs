//! `xpipe check`: everything that can be told without running.

use std::path::Path;

use super::args::{CheckArgs, Common, Format};
use super::lock::Lock;
use super::out::{self, Stop};
use super::runner::Local;
use super::{job, small_files, sound, study};
use xpipe_base::diag::Severity;
use xpipe_base::diag::render::Sources as _;
use xpipe_base::task::Failure;
use xpipe_base::value::counted::counted;
use xpipe_engine::Heavy;
use xpipe_lang::graph::{Graph, select};

/// What a check found, for tests.
#[derive(Debug)]
pub struct Checked {
    /// File, line, code and message of each diagnostic, sorted.
    pub diagnostics: Vec<(String, u32, String, String)>,
    /// The graph, as far as the study is sound.
    pub graph: Graph,
}

/// Checks one file, with `--set` texts.
///
/// # Errors
/// The message when the file cannot be read.
pub fn check_file(path: &Path, set: &[String]) -> Result<Checked, String> {
    let loaded = study::read(path, set, None, &[], None, &[]).map_err(|stop| match stop {
        Stop::Other { message, .. } => message,
        Stop::Study { .. } => String::new(),
    })?;
    let diagnostics = loaded
        .diagnostics
        .sorted()
        .iter()
        .map(|d| {
            let at = loaded.sources.position(d.primary.span.file, d.primary.span.start);
            let file = loaded.sources.name(d.primary.span.file).to_owned();
            (file, at.line, d.code.to_string(), d.message.clone())
        })
        .collect();
    Ok(Checked { diagnostics, graph: loaded.graph })
}

pub(super) fn check(args: &CheckArgs, common: &Common) -> Result<u8, Stop> {
    let mut worst = 0;
    let mut all = Vec::new();
    for file in &args.files {
        let mut loaded =
            study::read(file, &args.set, None, &[], args.max_cells, &study::model_folders(common))?;
        let short = args.format == Format::Short;
        if common.json {
            all.push(xpipe_base::diag::render::json(&loaded.diagnostics.sorted(), &loaded.sources));
        } else {
            out::show_diagnostics(&loaded.diagnostics, &loaded.sources, short);
        }
        let count = |s| loaded.diagnostics.iter().filter(|d| d.severity == s).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if errors > 0 {
            worst = 3;
        }
        if !common.json {
            let verdict = match (errors, warnings) {
                (0, 0) => "ok".to_owned(),
                (e, 0) => format!("{e} error{}", plural(e)),
                (0, w) => format!("ok, {w} warning{}", plural(w)),
                (e, w) => format!("{e} error{}, {w} warning{}", plural(e), plural(w)),
            };
            let cells: usize = loaded.graph.rows.iter().filter(|r| r.named).map(|r| r.cells.len()).sum();
            let note = if errors == 0 {
                let actions = counted(loaded.graph.actions.len() as u64, "actions");
                format!(" ({}, {actions})", counted(cells as u64, "cells"))
            } else {
                String::new()
            };
            out::line(&format!("{}: {verdict}{note}", file.display()));
        }
        if args.data && errors == 0 {
            let problems = data(&mut loaded, common)?;
            if !problems.is_empty() {
                worst = if worst == 0 { 4 } else { worst };
            }
            match common.json {
                true => all.push(problems.iter().map(problem).collect()),
                false => problems.iter().for_each(told),
            }
        }
    }
    if common.json {
        let list: Vec<serde_json::Value> =
            all.into_iter().flat_map(|v| v.as_array().cloned().unwrap_or_default()).collect();
        out::json(&serde_json::Value::Array(list));
    }
    Ok(worst)
}

/// What would make a stage of a sound study fail, as far as its inputs tell.
fn data(loaded: &mut study::Loaded, common: &Common) -> Result<Vec<Failure>, Stop> {
    loaded.wanted = select::all(&loaded.graph);
    let job = job::job(loaded)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = job::options(common, Heavy::Thread);
    let mut found = sound::problems(loaded, &job, &runner, &job::reading(common)?, &options).all;
    if found.is_empty() {
        found.extend(small_files::problems(loaded, &job, &runner, &options)?);
    }
    Ok(found)
}

fn told(failure: &Failure) {
    out::warn(&format!("error: {}", failure.message));
    if let Some(help) = &failure.help {
        out::warn(&format!("  help: {help}"));
    }
}

fn problem(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "code": "data", "severity": "error", "message": failure.message, "help": failure.help, "place": null, "labels": [],
    })
}

pub(super) fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
