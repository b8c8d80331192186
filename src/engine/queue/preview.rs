//! What a run would submit, without submitting it: `run --dry-run`.

use std::collections::BTreeMap;
use std::path::Path;

use super::item::resources;
use super::scheduler::{Resources, Submission};
use crate::cache::Store;
use crate::cluster::Light;
use crate::forecast::{Forecast, survey};
use crate::forecaster::Forecaster;
use crate::job::Job;
use crate::options::{Options, QueueOptions};
use crate::runner::Runner;
use xpipe_base::value::ActionId;

/// What a run would submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The commands with their scripts, each with the addresses of its actions. Names and folders are made with the run.
    pub submissions: Vec<(String, Vec<String>)>,
    /// The addresses of actions that are submitted later: what they read is not there yet.
    pub later: Vec<String>,
}

/// What a run would submit now and later.
pub fn preview(
    job: &Job,
    runner: &dyn Runner,
    store: &Store,
    options: &Options,
    queue: &QueueOptions,
) -> Preview {
    let (table, forecasts) = survey(job, runner, store, options);
    let forecaster = Forecaster::new(job, runner, Some(&table));
    let mut groups: BTreeMap<Resources, Vec<String>> = BTreeMap::new();
    let mut later = Vec::new();
    for (id, forecast) in (0u32..).map(ActionId).zip(&forecasts) {
        let action = job.action(id);
        if !action.heavy && queue.cluster.light == Light::Here {
            continue;
        }
        match forecast {
            Forecast::WillRun { .. } => {
                let memory = forecaster.memory(action, options).map_or(0, |m| m.amount.bytes);
                let asked = resources(action, memory, &queue.cluster, options);
                groups.entry(asked).or_default().push(action.address.clone());
            }
            Forecast::Depends { .. } | Forecast::Unknown { .. } => later.push(action.address.clone()),
            Forecast::NotNeeded | Forecast::Cached { .. } | Forecast::Remote { .. } => {}
        }
    }
    let scheduler = super::scheduler(queue);
    let run = store.dir().join("runs").join("RUN");
    let mut submissions = Vec::new();
    for (asked, addresses) in groups {
        for some in addresses.chunks(scheduler.max_array().min(queue.cluster.max_jobs)) {
            let name = format!("xpipe-STAGE-RUN-{}", submissions.len() + 1);
            let tasks: Vec<u32> = (0u32..).take(some.len()).collect();
            let shown = scheduler.shown(&Submission {
                name: &name,
                tasks: (some.len() > 1).then_some(tasks.as_slice()),
                resources: &asked,
                folder: &run.join("jobs").join(&name),
                logs: Path::new(&run.join("logs")),
            });
            submissions.push((shown, some.to_vec()));
        }
    }
    Preview { submissions, later }
}
