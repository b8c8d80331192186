//! `xpipe report`: the page of a study from what is cached, without running.

use super::args::{Common, ReportArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::page::{self, Story};
use super::results::{self, DAMAGED, Stored};
use super::runner::Local;
use super::{failed, job, study};
use xpipe_engine::{Forecast, Heavy, Options, forecast};

pub(super) fn report(args: &ReportArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let fates = forecast(&job, &runner, &store, &Options::new(job::threads(common), Heavy::Thread));
    let stored = Stored::of_forecast(&store, &job, &fates);
    let outcome = results::evaluate(&loaded.graph, &stored)?;
    let folder = args.output.clone().unwrap_or_else(|| page::results_folder(&loaded, &args.study));
    let files = Story::of_cache(&loaded, &args.study, &fates, &stored).write(&folder, &outcome, &stored)?;
    let open = open(&fates);
    if files.is_empty() {
        return Err(Stop::usage("the study has no table, claim or report to show"));
    }
    if common.json {
        out::json(&serde_json::json!({ "files": files, "open": open, "damaged": stored.damage() }));
        return Ok(if stored.damage().is_empty() { 0 } else { DAMAGED });
    }
    for file in &files {
        out::line(&file.display().to_string());
    }
    if open > 0 {
        out::line(&failed::advice(open, &args.study));
    }
    Ok(if stored.warn_of_damage() { DAMAGED } else { 0 })
}

/// How many actions that are asked for have no result.
fn open(fates: &[Forecast]) -> usize {
    fates.iter().filter(|f| !matches!(f, Forecast::Cached { .. } | Forecast::NotNeeded)).count()
}
