//! A run where nothing can be written: a cache that holds everything serves it, and results that have no folder are
//! known before the work.

use std::path::Path;

use super::args::{Common, RunArgs};
use super::job;
use super::out::{self, Stop};
use super::page::{self, Story};
use super::results::{self, DAMAGED, Stored};
use super::runner::Local;
use super::study::Loaded;
use xpipe_engine::{self, Forecast};

/// How many actions have no result.
pub(super) fn open(fates: &[Forecast]) -> usize {
    fates.iter().filter(|f| !matches!(f, Forecast::Cached { .. } | Forecast::NotNeeded)).count()
}

/// A run with a cache that cannot be written, for the reason `why`: everything must be in it.
pub(super) fn run(
    args: &RunArgs,
    common: &Common,
    loaded: &Loaded,
    job: &xpipe_engine::Job,
    runner: &Local,
    why: Stop,
) -> Result<u8, Stop> {
    let Ok(store) = job::reading(common) else { return Err(why) };
    let mut options = job::options(common, xpipe_engine::Heavy::Thread);
    options.force = super::study::cells(&loaded.graph, &args.force)?.into_iter().collect();
    let fates = xpipe_engine::forecast(job, runner, &store, &options);
    let open = open(&fates);
    if open > 0 {
        let actions = if open == 1 { "action has" } else { "actions have" };
        return Err(why.because(&format!("{open} {actions} no result in this cache and must run")));
    }
    let stored = Stored::of_forecast(&store, job, &fates);
    let outcome = results::evaluate(&loaded.graph, &stored)?;
    let folder = args.output.clone().unwrap_or_else(|| page::results_folder(loaded, &args.study));
    let story = Story::of_cache(loaded, &args.study, &fates, &stored);
    let written = outcome
        .write(&folder, &loaded.graph)
        .and_then(|files| Ok((files, story.write(&folder, &outcome, &stored)?)));
    let cached = fates.iter().filter(|f| matches!(f, Forecast::Cached { .. })).count();
    let advisory = loaded.graph.advisory_claims;
    let code = match (&written, stored.damage().is_empty()) {
        (Err(_), _) => 4,
        (Ok(_), false) => DAMAGED,
        _ if outcome.open_claims() > 0 && !advisory => 7,
        _ => u8::from(outcome.failed_claims() > 0 && !advisory),
    };
    if common.json {
        let (files, pages) = written.as_ref().map(Clone::clone).unwrap_or_default();
        let counts = xpipe_engine::Counts { cached, ..xpipe_engine::Counts::default() };
        out::json(&serde_json::json!({
            "exit": code, "seconds": 0.0, "counts": counts, "cancelled": false, "failures": [],
            "results": outcome.json(), "files": files, "pages": pages, "run": null, "cache": store.root(),
            "damaged": stored.damage(), "not_written": written.as_ref().err().map(Stop::text),
        }));
        return Ok(code);
    }
    outcome.print();
    stored.warn_of_damage();
    out::line(&format!("nothing to do: {cached} cached; the cache {} is read-only", store.root().display()));
    let (_, pages) = written?;
    for page in &pages {
        out::line(&format!("report: {}", page.display()));
    }
    Ok(code)
}

/// Whether tables and pages can go to a folder, which may not be there yet.
pub(super) fn writable(folder: &Path) -> Result<(), Stop> {
    for place in [folder.to_owned(), folder.join("tables")] {
        let there = place.ancestors().find(|p| std::fs::symlink_metadata(p).is_ok());
        let there = there.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let problem = if !there.is_dir() {
            "is no folder"
        } else if rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .is_err()
        {
            "may not be written by this user"
        } else {
            continue;
        };
        return Err(Stop::missing(
            format!("results cannot go to {}: {} {problem}", folder.display(), there.display()),
            Some(
                "give another folder with `--output DIR`; `xpipe show` prints tables and writes nothing"
                    .into(),
            ),
        ));
    }
    Ok(())
}
