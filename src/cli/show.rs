//! `xpipe show`: tables and claims from what is cached, without running.

use super::args::{Common, StudyArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::{self, DAMAGED, Stored};
use super::runner::Local;
use super::{job, study};
use crate::engine::{Forecast, Heavy, Options, forecast};

pub(super) fn show(args: &StudyArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(args, common)?;
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = Options::new(job::threads(common), Heavy::Thread);
    let fates = forecast(&job, &runner, &store, &options);
    let stored = Stored::of_forecast(&store, &job, &fates);
    let outcome = results::evaluate(&loaded.graph, &stored)?;
    if common.json {
        let mut json = outcome.json();
        json["damaged"] = stored.damage().into();
        out::json(&json);
        return Ok(if stored.damage().is_empty() { 0 } else { DAMAGED });
    }
    out::say(&outcome.text());
    let missing =
        fates.iter().filter(|f| matches!(f, Forecast::WillRun { .. } | Forecast::Depends { .. })).count();
    if missing > 0 {
        out::line(&format!("{missing} actions have no result yet: `xpipe run {}`", args.file.display()));
    }
    Ok(if stored.warn_of_damage() { DAMAGED } else { 0 })
}
