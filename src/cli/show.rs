//! `xpipe show`: tables and claims from what is cached, without running.

use super::args::{Common, StudyArgs};
use super::lock::Lock;
use super::out::{self, Stop};
use super::results::{self, DAMAGED, Stored};
use super::runner::Local;
use super::{failed, job, study};
use xpipe_engine::{Forecast, Heavy, Options, forecast};

pub(super) fn show(args: &StudyArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(args, common)?;
    let job = job::job(&loaded)?;
    let store = job::reading(common)?;
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?);
    let options = Options::new(job::threads(common), Heavy::Thread);
    let fates = forecast(&job, &runner, &store, &options);
    let stored = Stored::of_forecast(&store, &job, &fates);
    let outcome = results::evaluate(&loaded.graph, &stored)?;
    let failures = failed::last_failures(&job, &store, &fates);
    if common.json {
        let mut json = outcome.json();
        json["damaged"] = stored.damage().into();
        json["failed"] = failed::json(&failures);
        out::json(&json);
        return Ok(if stored.damage().is_empty() { 0 } else { DAMAGED });
    }
    outcome.print();
    let missing =
        fates.iter().filter(|f| matches!(f, Forecast::WillRun { .. } | Forecast::Depends { .. })).count();
    failed::lines(&failures).iter().for_each(|line| out::line(line));
    if missing > 0 {
        out::line(&failed::advice(missing, args));
    }
    Ok(if stored.warn_of_damage() { DAMAGED } else { 0 })
}
