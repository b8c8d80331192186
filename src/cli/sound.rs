//! What can be told of a study's inputs before its first stage: files that are there, models that are whole and fit,
//! programs that can start. All of it at once.

use super::job;
use super::runner::Local;
use super::study::Loaded;
use crate::cache::Store;
use crate::engine::{Forecast, Job, Options, Reach};
use crate::task::Failure;

/// Everything that would make a stage fail and can be told now, each with its place in the study. What is not on this
/// machine yet and can be fetched is no problem.
pub(super) fn problems(
    loaded: &Loaded,
    job: &Job,
    runner: &Local,
    store: &Store,
    options: &Options,
) -> Vec<Failure> {
    let missing = job::missing(loaded, job, runner, Reach::Local);
    let files = missing.iter().filter(|m| m.is_file);
    let mut found: Vec<Failure> = files.map(|m| Failure { message: m.told(), ..m.failure.clone() }).collect();
    if any_model(job) {
        let fates = crate::engine::forecast(job, runner, store, options);
        found.extend(models(loaded, job, &fates, runner));
    }
    found.extend(job::unready(loaded, job, runner, store, options));
    found
}

/// Whether anything needed reads a model.
pub(super) fn any_model(job: &Job) -> bool {
    let mut found = false;
    for (action, _) in job.actions.iter().zip(job.needed()).filter(|(_, needed)| *needed) {
        crate::engine::inputs_of(&action.args, &mut |input| {
            found |= matches!(**input, crate::value::Input::Model { .. });
        });
    }
    found
}

/// What is wrong with the models on this machine that would be read.
#[cfg(feature = "models")]
pub(super) fn models(loaded: &Loaded, job: &Job, fates: &[Forecast], runner: &Local) -> Vec<Failure> {
    use std::collections::BTreeSet;

    use crate::engine::{Runner as _, inputs_of};
    use crate::nn::{arch, sound};
    use crate::value::Input;

    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (i, _) in fates.iter().enumerate().filter(|(_, fate)| super::fetching::reads(fate)) {
        let action = &job.actions[i];
        inputs_of(&action.args, &mut |input| {
            if !matches!(**input, Input::Model { .. }) || crate::ops::asks(&action.op) {
                return;
            }
            let of = crate::ops::use_of(&action.op, &action.args, input);
            let Ok(model) = runner.find_input(input, Reach::Local) else { return };
            if !seen.insert((model.path.clone(), of)) {
                return;
            }
            let checked = match of {
                Some(of) => sound::check(&model.path, of).map(drop),
                None => arch::read(&model.path).map(drop),
            };
            if let Err(failure) = checked {
                let reader = job::place(loaded, i);
                found.push(Failure { message: format!("{} (for {reader})", failure.message), ..failure });
            }
        });
    }
    found
}

/// A build without models reads none.
#[cfg(not(feature = "models"))]
pub(super) fn models(_: &Loaded, _: &Job, _: &[Forecast], _: &Local) -> Vec<Failure> {
    Vec::new()
}
