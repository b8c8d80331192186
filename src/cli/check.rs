//! `xpipe check`: everything that can be checked without running.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::options::Common;
use super::out;
use xpipe_base::diag::Severity;
use xpipe_base::task::Failure;
use xpipe_base::value::human;
use xpipe_study::session::{Error, Loaded, Session, StudyRequest, exit};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The studies.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Set a param of the studies.
    #[arg(long, value_name = "PARAM=VALUE")]
    set: Vec<String>,
    /// Maximum number of cells of a study. Default: 1,000,000.
    #[arg(long, value_name = "N")]
    max_cells: Option<u64>,
    /// How diagnostics are printed.
    #[arg(long, value_enum, default_value_t = Format::Full)]
    format: Format,
    /// Also check what the studies read: files, models (configuration, weights, tokenizer, head) and programs, as a run
    /// does before its first stage. Nothing is downloaded; exit code 4 when a stage would fail.
    #[arg(long)]
    data: bool,
}

/// How diagnostics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the source text.
    Full,
    /// One line each.
    Short,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let settings = common.settings();
    let mut worst = 0;
    let mut all: Vec<serde_json::Value> = Vec::new();
    for file in &args.files {
        let request = StudyRequest {
            file: file.clone(),
            set: args.set.clone(),
            max_cells: args.max_cells,
            ..StudyRequest::default()
        };
        let loaded = Loaded::read(&request, &settings.model_folders())?;
        let errors = count(&loaded, Severity::Error);
        if common.json {
            let list = xpipe_base::diag::render::json(&loaded.diagnostics.sorted(), &loaded.sources);
            all.extend(list.as_array().cloned().unwrap_or_default());
        } else {
            let short = args.format == Format::Short;
            out::print_diagnostics(&loaded.diagnostics, &loaded.sources, short);
            out::line(&verdict(file, &loaded));
        }
        if errors > 0 {
            worst = exit::STUDY;
        } else if args.data {
            let problems = Session::check_inputs(loaded, &settings, out::listener())?;
            if !problems.is_empty() && worst == 0 {
                worst = exit::MISSING;
            }
            match common.json {
                true => all.extend(problems.iter().map(problem_json)),
                false => problems.iter().for_each(|failure| out::warn_of_error(&failure.clone().into())),
            }
        }
    }
    if common.json {
        out::json(&serde_json::Value::Array(all));
    }
    Ok(worst)
}

fn count(loaded: &Loaded, severity: Severity) -> u64 {
    loaded.diagnostics.iter().filter(|d| d.severity == severity).count() as u64
}

/// `study.xpipe: ok, 1 warning (12 cells, 9 actions)`.
fn verdict(file: &Path, loaded: &Loaded) -> String {
    let plural = |n: u64, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let (errors, warnings) = (count(loaded, Severity::Error), count(loaded, Severity::Warning));
    let mut parts = vec![if errors == 0 { "ok".to_owned() } else { plural(errors, "error") }];
    if warnings > 0 {
        parts.push(plural(warnings, "warning"));
    }
    let mut text = format!("{}: {}", file.display(), parts.join(", "));
    if errors == 0 {
        let cells: usize = loaded.graph.rows.iter().filter(|r| r.named).map(|r| r.cells.len()).sum();
        let actions = human::counted(loaded.graph.actions.len() as u64, "actions");
        text.push_str(&format!(" ({}, {actions})", human::counted(cells as u64, "cells")));
    }
    text
}

fn problem_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "code": "data", "severity": "error", "message": failure.message, "help": failure.help, "place": null, "labels": [],
    })
}
