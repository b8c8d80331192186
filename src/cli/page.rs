//! The page of a study: what it is told beside results, where it goes, and when it must be written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::StudyArgs;
use super::out::Stop;
use super::results::{self, Outcome, Stored, study_name};
use super::run;
use super::runner::Local;
use super::study::Loaded;
use xpipe_base::diag::render::Sources as _;
use xpipe_base::diag::{FileId, Severity};
use xpipe_base::task::Failure;
use xpipe_base::value::address::public_text;
use xpipe_base::value::{ActionId, Digest};
use xpipe_engine::cache::Store;
use xpipe_engine::{Final, Forecast, Heavy, Job, Options, RunReport, forecast};
use xpipe_study::report::html::{self, Fate, Problem};
use xpipe_study::report::write_file;

/// Where results of a study go when nothing else is said. A part of a study, by `--only` or `--target`, has a folder of its
/// own: its tables have holes and must not take the place of whole ones.
pub(super) fn results_folder(loaded: &Loaded, args: &StudyArgs) -> PathBuf {
    let folder = loaded.path.with_file_name("results").join(study_name(&loaded.path));
    if args.only.is_empty() && args.target.is_empty() { folder } else { folder.join("partial") }
}

/// A study with what a page tells of it.
pub(super) struct Story<'l> {
    loaded: &'l Loaded,
    told: html::Story,
    /// Whether a page that was made of the same results is left as it is.
    keep: bool,
}

impl<'l> Story<'l> {
    /// At the end of a run.
    pub(super) fn of_run(
        loaded: &'l Loaded,
        args: &StudyArgs,
        job: &Job,
        report: &RunReport,
        stored: &Stored<'_>,
    ) -> Self {
        let fates = report.actions.iter().map(|a| match a.state {
            Final::NotNeeded => Fate::NotNeeded,
            Final::Cached => Fate::Cached,
            Final::Ran => Fate::Ran,
            Final::Failed => Fate::Failed,
            Final::Blocked | Final::Stopped => Fate::Open,
        });
        let mut told = told(loaded, args, fates.collect(), stored);
        told.problems.extend(run::failures(job, report).into_iter().map(|(about, failure, _)| Problem {
            about,
            message: failure.message.clone(),
            help: failure.help.clone().unwrap_or_default(),
            failed: true,
        }));
        // What a page says of the run that made results is worth more than that nothing ran since.
        Self { loaded, told, keep: report.counts.total() == report.counts.cached }
    }

    /// From the cache.
    pub(super) fn of_cache(
        loaded: &'l Loaded,
        args: &StudyArgs,
        fates: &[Forecast],
        stored: &Stored<'_>,
    ) -> Self {
        let fates = fates.iter().map(|f| match f {
            Forecast::NotNeeded => Fate::NotNeeded,
            Forecast::Cached { .. } => Fate::Cached,
            Forecast::WillRun { .. } | Forecast::Depends { .. } | Forecast::Unknown { .. } => Fate::Open,
        });
        Self { loaded, told: told(loaded, args, fates.collect(), stored), keep: false }
    }

    /// Writes a page a report, or one of everything when the study declares none; returns the files. A study without
    /// tables, claims and reports has no page.
    pub(super) fn write(
        &self,
        folder: &Path,
        outcome: &Outcome,
        stored: &Stored<'_>,
    ) -> Result<Vec<PathBuf>, Stop> {
        let graph = &self.loaded.graph;
        if graph.tables.is_empty() && graph.claims.is_empty() && graph.reports.is_empty() {
            return Ok(Vec::new());
        }
        let mut pages: Vec<_> = graph.reports.iter().map(Some).collect();
        if pages.is_empty() {
            pages.push(None);
        }
        let mut files = Vec::new();
        for report in pages {
            let name = match report {
                None => "report.html".to_owned(),
                Some(r) => r.html.clone().unwrap_or_else(|| format!("{}.html", r.name)),
            };
            let path = folder.join(name);
            if !(self.keep && is_of(&path, &self.told)) {
                let page = html::page(report, graph, &outcome.0, stored, &self.told);
                write_file(&path, &page)?;
            }
            files.push(path);
        }
        Ok(files)
    }
}

/// Writes the page of a run that was refused: what the cache has, and why nothing was started. The refusal is told in any
/// case, so a page that cannot be written is passed over.
pub(super) fn refused(
    loaded: &Loaded,
    args: &StudyArgs,
    job: &Job,
    runner: &Local,
    store: &Store,
    folder: &Path,
    why: &[Failure],
) {
    let fates = forecast(job, runner, store, &Options::new(1, Heavy::Thread));
    let stored = Stored::of_forecast(store, job, &fates);
    let Ok(outcome) = results::evaluate(&loaded.graph, &stored) else { return };
    let mut story = Story::of_cache(loaded, args, &fates, &stored);
    story.told.problems.extend(why.iter().map(|failure| Problem {
        message: format!("nothing was started: {}", failure.message),
        help: failure.help.clone().unwrap_or_default(),
        failed: true,
        ..Problem::default()
    }));
    let _ = story.write(folder, &outcome, &stored);
}

/// Whether a file is a page made of the same things.
fn is_of(path: &Path, told: &html::Story) -> bool {
    let mut start = [0; 512];
    let read = std::fs::File::open(path).and_then(|mut f| f.read(&mut start));
    read.is_ok_and(|n| html::is_of(&String::from_utf8_lossy(&start[..n]), told))
}

fn told(loaded: &Loaded, args: &StudyArgs, fates: Vec<Fate>, stored: &Stored<'_>) -> html::Story {
    let mut options = Vec::new();
    for (option, values) in [("set", &args.set), ("only", &args.only), ("target", &args.target)] {
        options.extend(values.iter().map(|v| format!("--{option} '{}'", public_text(v))));
    }
    options.extend(args.profile.iter().map(|p| format!("--profile {p}")));
    // Not where they lie on this machine.
    let sources: Vec<(String, String)> = (0..loaded.sources.len() as u32)
        .map(FileId)
        .map(|file| (loaded.sources.name(file), loaded.sources.text(file)))
        .filter(|(name, _)| !name.starts_with("std/") && !name.starts_with("--set "))
        .map(|(name, text)| (file_name(name), public_text(text)))
        .collect();
    let tool = format!("xpipe {}", env!("CARGO_PKG_VERSION"));
    let mut mark = format!("{tool}\n{options:?}\n{sources:?}\n");
    for id in (0..loaded.graph.actions.len() as u32).map(ActionId) {
        if let Some(m) = stored.manifest(id) {
            mark.push_str(&format!("{} {} {}\n", id.0, m.key, m.finished));
        }
    }
    html::Story {
        name: study_name(&loaded.path),
        fates,
        problems: problems(loaded),
        sources,
        options,
        tool,
        mark: Digest::of(mark.as_bytes()).hex(),
    }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |n| n.to_string_lossy().into_owned())
}

/// What the checker warned of.
fn problems(loaded: &Loaded) -> Vec<Problem> {
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
