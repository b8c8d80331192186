//! The page of a study: its context beside results, where it goes, and when it must be written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Session;
use super::error::Error;
use super::load::Loaded;
use super::results::CachedResults;
use crate::report::html::{self, ActionState, PageContext, Problem};
use crate::report::{Evaluated, write_file};
use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{FileId, Severity};
use xpipe_base::task::Failure;
use xpipe_base::value::address::public_text;
use xpipe_base::value::{ActionId, Digest};
use xpipe_engine::cache::Store;
use xpipe_engine::{Final, Forecast, Heavy, Options, RunReport};

/// The pages of a study, ready to be written.
pub(super) struct Pages<'l> {
    loaded: &'l Loaded,
    context: PageContext,
    /// Whether a page that was made of the same results is left as it is.
    keep_unchanged: bool,
}

impl<'l> Pages<'l> {
    /// At the end of a run.
    pub(super) fn of_run(session: &'l Session, report: &RunReport, results: &CachedResults<'_>) -> Self {
        let states = report.actions.iter().map(|a| match a.state {
            Final::NotNeeded => ActionState::NotNeeded,
            Final::Cached => ActionState::Cached,
            Final::Ran => ActionState::Ran,
            Final::Failed => ActionState::Failed,
            Final::Blocked | Final::Stopped => ActionState::Open,
        });
        let loaded = &session.loaded;
        let mut context = context(loaded, states.collect(), results);
        let failed = (0u32..).map(ActionId).zip(&report.actions).filter(|(_, a)| a.state == Final::Failed);
        context.problems.extend(failed.filter_map(|(id, a)| {
            let failure = a.failure.as_ref()?;
            Some(Problem {
                about: session.job.action(id).address.clone(),
                message: failure.message.clone(),
                help: failure.help.clone().unwrap_or_default(),
                failed: true,
            })
        }));
        // The page of the run that made the results says more than one of a run that found them all.
        Self { loaded, context, keep_unchanged: report.counts.total() == report.counts.cached }
    }

    /// From the cache, without a run.
    pub(super) fn of_cache(loaded: &'l Loaded, forecasts: &[Forecast], results: &CachedResults<'_>) -> Self {
        let states = forecasts.iter().map(|f| match f {
            Forecast::NotNeeded => ActionState::NotNeeded,
            Forecast::Cached { .. } => ActionState::Cached,
            Forecast::Remote { .. }
            | Forecast::WillRun { .. }
            | Forecast::Depends { .. }
            | Forecast::Unknown { .. } => ActionState::Open,
        });
        Self { loaded, context: context(loaded, states.collect(), results), keep_unchanged: false }
    }

    /// Writes a page for each report, or one of everything when the study declares none; returns the files. A study
    /// without tables, claims and reports has no page.
    pub(super) fn write(
        &self,
        folder: &Path,
        evaluated: &Evaluated,
        results: &CachedResults<'_>,
    ) -> Result<Vec<PathBuf>, Error> {
        let graph = &self.loaded.graph;
        if !self.loaded.has_output() {
            return Ok(Vec::new());
        }
        let mut reports: Vec<_> = graph.reports.iter().map(Some).collect();
        if reports.is_empty() {
            reports.push(None);
        }
        let mut files = Vec::new();
        for report in reports {
            let name = match report {
                None => "report.html".to_owned(),
                Some(r) => r.html.clone().unwrap_or_else(|| format!("{}.html", r.name)),
            };
            let path = folder.join(name);
            if !(self.keep_unchanged && is_unchanged(&path, &self.context)) {
                let page = html::page(report, graph, evaluated, results, &self.context);
                write_file(&path, &page)?;
            }
            files.push(path);
        }
        Ok(files)
    }
}

impl Session {
    /// Writes the page of a run that was refused: what the cache has, and why nothing was started. The refusal is
    /// reported in any case, so a page that cannot be written is no error of its own.
    pub(super) fn write_refusal(&self, store: &Store, folder: &Path, why: &[Failure]) {
        let forecasts = self.forecast(store, &Options::new(1, Heavy::Thread));
        let results = CachedResults::of_forecast(store, &self.job, &forecasts);
        let Ok(evaluated) = crate::report::evaluate(&self.loaded.graph, &results) else { return };
        let mut pages = Pages::of_cache(&self.loaded, &forecasts, &results);
        pages.context.problems.extend(why.iter().map(|failure| Problem {
            message: format!("nothing was started: {}", failure.message),
            help: failure.help.clone().unwrap_or_default(),
            failed: true,
            ..Problem::default()
        }));
        let _ = pages.write(folder, &evaluated, &results);
    }
}

/// Whether a file is a page made of the same things.
fn is_unchanged(path: &Path, context: &PageContext) -> bool {
    let mut start = [0; 512];
    let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut start));
    read.is_ok_and(|n| html::is_made_of(&String::from_utf8_lossy(&start[..n]), context))
}

fn context(loaded: &Loaded, states: Vec<ActionState>, results: &CachedResults<'_>) -> PageContext {
    let request = &loaded.request;
    let mut options = Vec::new();
    for (option, values) in [("set", &request.set), ("only", &request.only), ("target", &request.target)] {
        options.extend(values.iter().map(|v| format!("--{option} '{}'", public_text(v))));
    }
    options.extend(request.profile.iter().map(|p| format!("--profile {p}")));
    // Names without folders: where the files are on this machine is of no use to a reader.
    let sources: Vec<(String, String)> = (0..loaded.sources.len() as u32)
        .map(FileId)
        .map(|file| (loaded.sources.name(file), loaded.sources.text(file)))
        .filter(|(name, _)| !name.starts_with("std/") && !name.starts_with("--set "))
        .map(|(name, text)| (file_name(name), public_text(text)))
        .collect();
    let tool = format!("xpipe {}", env!("CARGO_PKG_VERSION"));
    let mut content = format!("{tool}\n{options:?}\n{sources:?}\n");
    for id in (0..loaded.graph.actions.len() as u32).map(ActionId) {
        if let Some(m) = results.manifest(id) {
            content.push_str(&format!("{} {} {}\n", id.0, m.key, m.finished));
        }
    }
    PageContext {
        name: loaded.name(),
        states,
        problems: warnings(loaded),
        sources,
        options,
        tool,
        digest: Digest::of(content.as_bytes()).hex(),
    }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |n| n.to_string_lossy().into_owned())
}

/// The warnings of the checker.
fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let warnings = loaded.diagnostics.sorted().into_iter().filter(|d| d.severity == Severity::Warning);
    let problems = warnings.map(|d| {
        let at = loaded.sources.position(d.primary.span.file, d.primary.span.start);
        Problem {
            about: format!("{}:{}", file_name(loaded.sources.name(d.primary.span.file)), at.line),
            message: d.message.clone(),
            help: d.help.clone().unwrap_or_default(),
            failed: false,
        }
    });
    problems.collect()
}
