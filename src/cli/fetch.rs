//! `xpipe fetch`: what a study reads from elsewhere is brought here, and nothing is run.

use std::collections::BTreeSet;

use super::args::{Common, FetchArgs};
use super::fetching::{self, Brought};
use super::lock::Lock;
use super::out::{self, Stop};
use super::progress;
use super::run::{Quiet, cancel_on_signal};
use super::runner::Local;
use super::{check::plural, job, study};
use xpipe_base::task::Failure;
use xpipe_base::value::{Input, inputs_of};
use xpipe_engine::cache::text::{rough_bytes, rough_seconds};
use xpipe_engine::fetch::Origin;
use xpipe_engine::{EventSink, Forecast, Heavy, Job, Reach, Runner as _, forecast};

pub(super) fn fetch(args: &FetchArgs, common: &Common) -> Result<u8, Stop> {
    let loaded = study::sound(&args.study, common)?;
    let sources = fetching::sources(&args.network)?;
    let job = job::job(&loaded)?;
    let cancel = cancel_on_signal();
    let runner = Local::new(common, Lock::beside(&loaded.path, common.locked)?)
        .offline(args.network.offline)
        .stopping_by(&cancel);
    let options = job::options(common, Heavy::Thread);
    if args.list {
        let store = job::reading(common)?;
        let fates = forecast(&job, &runner, &store, &options);
        let wanted = fetching::wanted(&loaded, &job, &fates, &runner)?;
        let urls: Vec<&str> = wanted.iter().filter(|w| !w.is_here(&store)).map(|w| &*w.want.url).collect();
        match common.json {
            true => out::json(&serde_json::json!(urls)),
            false => urls.iter().for_each(|url| out::line(url)),
        }
        return Ok(0);
    }
    let begun = std::time::Instant::now();
    let store = job::writing(common)?;
    let fates = forecast(&job, &runner, &store, &options);
    let wanted = fetching::wanted(&loaded, &job, &fates, &runner)?;
    let mut view: Box<dyn EventSink> = if common.json { Box::new(Quiet) } else { progress::view(args.plain) };
    let brought = fetching::bring_all(wanted, &store, &sources, &runner, &mut *view, &cancel)?;
    drop(view);
    let models = models(&job, &fates, &runner);
    runner.save_lock()?;
    let stop = fetching::failed(&brought)
        .or_else(|| models.iter().find_map(|(_, found)| found.as_ref().err().map(|f| Stop::from(f.clone()))));
    if common.json {
        let files: Vec<_> = brought.iter().map(|b| b.json(&store)).collect();
        let models: Vec<_> = models
            .iter()
            .map(|(name, found)| match found {
                Ok(path) => serde_json::json!({ "model": name, "path": path }),
                Err(f) => serde_json::json!({ "model": name, "message": f.message, "help": f.help }),
            })
            .collect();
        let mut all =
            serde_json::json!({ "files": files, "models": models, "cache": store.root(), "exit": 0 });
        if let Some(Stop::Other { code, message, help }) = stop {
            (all["error"], all["help"], all["exit"]) = (message.into(), help.into(), code.into());
        }
        out::json(&all);
        return Ok(all["exit"].as_u64().and_then(|c| u8::try_from(c).ok()).unwrap_or(70));
    }
    told_pins(&brought, &runner)?;
    out::line(&summary(&brought, models.len(), &rough_seconds(begun.elapsed().as_secs_f64())));
    stop.map_or(Ok(0), Err)
}

/// Says which digests were pinned, and where.
pub(super) fn told_pins(brought: &[Brought], runner: &Local) -> Result<(), Failure> {
    let lock = runner.lock()?.name();
    brought.iter().filter_map(|b| b.told_pin(&lock)).for_each(|line| out::warn(&line));
    Ok(())
}

fn summary(brought: &[Brought], models: usize, time: &str) -> String {
    let got: Vec<_> = brought.iter().filter_map(|b| b.got.as_ref().ok()).collect();
    let here = got.iter().filter(|g| g.origin == Origin::Here).count();
    let size: u64 = got.iter().filter(|g| g.origin != Origin::Here).map(|g| g.size).sum();
    let (came, failed) = (got.len() - here, brought.len() - got.len());
    let mut parts = Vec::new();
    if came > 0 {
        parts.push(format!("{came} file{} of {} fetched", plural(came), rough_bytes(size)));
    }
    if here > 0 {
        parts.push(format!(
            "{here} file{} {} here already",
            plural(here),
            if here == 1 { "was" } else { "were" }
        ));
    }
    if failed > 0 {
        parts.push(format!("{failed} missing"));
    }
    if models > 0 {
        parts.push(format!("{models} model{} looked for", plural(models)));
    }
    match parts.is_empty() {
        true => format!("nothing to fetch, in {time}"),
        false => format!("{}, in {time}", parts.join(", ")),
    }
}

/// The models that would be read: each is found, or fetched from the hub.
fn models(
    job: &Job,
    fates: &[Forecast],
    runner: &Local,
) -> Vec<(String, Result<std::path::PathBuf, Failure>)> {
    let mut all = BTreeSet::new();
    for (action, _) in job.actions.iter().zip(fates).filter(|(_, f)| fetching::reads(f)) {
        inputs_of(&action.args, &mut |input| {
            if matches!(**input, Input::Model { .. }) {
                all.insert(input.clone());
            }
        });
    }
    let find = |input: &Input| runner.find_input(input, Reach::Fetch).map(|f| f.path);
    all.into_iter().map(|input| (input.to_string(), find(&input))).collect()
}
