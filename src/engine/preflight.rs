//! What is known before a run starts: actions that this machine cannot carry out.

use super::forecast::survey;
use super::forecaster::{Forecaster, on_gpu};
use super::job::Job;
use super::options::Options;
use super::runner::Runner;
use super::shortage::shortage;
use crate::cache::Store;
use xpipe_base::task::Failure;
use xpipe_base::value::ActionId;

/// The actions of a run that cannot start on this machine, with the reason. Starts nothing.
pub fn unready(job: &Job, runner: &dyn Runner, store: &Store, options: &Options) -> Vec<(ActionId, Failure)> {
    let find = |(id, needed): (ActionId, bool)| {
        let action = job.action(id);
        let ready = runner.ready(action.op).filter(|_| needed)?;
        Some((id, ready(&action.args, &action.policy).err()?))
    };
    let mut found: Vec<(ActionId, Failure)> =
        (0u32..).map(ActionId).zip(job.needed()).filter_map(find).collect();
    if !found.is_empty() {
        let (_, forecasts) = survey(job, runner, store, options);
        found.retain(|(id, _)| forecasts[id.0 as usize].is_open());
    }
    found
}

/// The actions of a run that need more memory than there is. Starts nothing.
pub fn short_of_memory(
    job: &Job,
    runner: &dyn Runner,
    store: &Store,
    options: &Options,
) -> Vec<(ActionId, Failure)> {
    let find =
        |forecaster: &Forecaster<'_>, ids: &mut dyn Iterator<Item = ActionId>| -> Vec<(ActionId, Failure)> {
            ids.filter_map(|id| {
                let action = job.action(id);
                let memory = forecaster.memory(action, options)?;
                Some((id, shortage(action, &memory, options)?))
            })
            .collect()
        };
    let needed = job.needed();
    let heavy = (0u32..).map(ActionId).zip(&needed).filter(|(_, needed)| **needed).map(|(id, _)| id);
    let mut heavy = heavy.filter(|id| job.action(*id).heavy && !on_gpu(job.action(*id), options));
    let first = find(&Forecaster::new(job, runner, None), &mut heavy);
    if first.is_empty() {
        return first;
    }
    // Some may be cached, and for others the results that they read make the estimate exact.
    let (table, forecasts) = survey(job, runner, store, options);
    let open = |id: &ActionId| forecasts[id.0 as usize].is_open();
    find(&Forecaster::new(job, runner, Some(&table)), &mut first.into_iter().map(|(id, _)| id).filter(open))
}
