//! `plan`: what a run would do, by the code that a run uses.

use std::collections::BTreeSet;
use xpipe_base::value::human;

use super::Session;
use super::error::Error;
use super::estimate::{Basis, Estimator, ResourceEstimate};
use super::inputs::{self, MissingInput};
use super::last_failures::FailedBefore;
use super::preflight::{Unimplemented, readers};
use super::results::CachedResults;
use crate::report::Detectable;
use xpipe_base::task::Policy;
use xpipe_base::value::{ActionId, Record, Value};
use xpipe_engine::cache::Store;
use xpipe_engine::{Forecast, Forecaster, Heavy, Options, Reach, survey};
use xpipe_lang::graph::Row;

/// A stage of a plan.
#[derive(Clone, Debug, Default)]
pub struct PlannedStage {
    /// Its name.
    pub name: String,
    /// Its axes.
    pub axes: String,
    /// Cells that are asked for.
    pub cells: usize,
    /// Their actions, of which cells may share some.
    pub actions: usize,
    /// Actions with a result in the cache.
    pub cached: usize,
    /// Actions with a result in the remote cache.
    pub remote: usize,
    /// Actions that will run.
    pub run: usize,
    /// Actions whose inputs are made or chosen first, so that it is not known yet whether they run.
    pub depends: usize,
    /// Actions that wait for a missing input.
    pub unknown: usize,
    /// What its `with` block asks for: `gpu 1, 24.0 GiB`.
    pub resources: String,
    /// Time and memory of what has no result.
    pub estimate: ResourceEstimate,
}

/// What a run would do.
pub struct Plan {
    /// The stages that are asked for.
    pub stages: Vec<PlannedStage>,
    /// Time and memory, each action once.
    pub total: ResourceEstimate,
    /// Needed actions.
    pub actions: u64,
    /// Actions with a result in the cache.
    pub cached: u64,
    /// Actions with a result in the remote cache.
    pub remote: u64,
    /// The name of the remote cache, when one is used.
    pub remote_name: Option<String>,
    /// Actions that will run.
    pub run: u64,
    /// Actions that depend on results of others or wait for missing inputs.
    pub depends: u64,
    /// Where the speeds of the estimates come from; `None` where no model runs.
    pub basis: Option<Basis>,
    /// The threads of the run.
    pub threads: usize,
    /// Bytes of memory that stages may use together.
    pub memory: u64,
    /// The smallest differences that the tests of tables can find.
    pub detectable: Vec<Detectable>,
    /// Last failures of what has no result.
    pub failed: Vec<FailedBefore>,
    /// Why stages cannot start on this machine or do not fit into its memory.
    pub blocked: Vec<String>,
    /// Downloads that are on this machine already.
    pub downloads_here: usize,
    /// The addresses of those that are not.
    pub downloads_absent: Vec<String>,
    /// What this build cannot carry out.
    pub unimplemented: Vec<Unimplemented>,
    /// Inputs that are missing or cannot be used, and values that cannot be computed.
    pub missing: Vec<String>,
}

impl Session {
    /// What a run would do.
    ///
    /// # Errors
    /// The cache cannot be read, or the digests of a download disagree.
    pub fn plan(&self) -> Result<Plan, Error> {
        let store = self.settings.open_to_read()?;
        let options = self.settings.options(Heavy::Thread);
        let (table, forecasts) = survey(&self.job, &self.runner, &store, &options);
        let forecaster = Forecaster::new(&self.job, &self.runner, Some(&table));
        let mut estimator = Estimator::new(forecaster, &store, &options);
        let (stages, total) = self.stages(&forecasts, &mut estimator);
        let count = |f: &dyn Fn(&Forecast) -> bool| forecasts.iter().filter(|x| f(x)).count() as u64;
        let (here, absent): (Vec<_>, Vec<_>) =
            self.needed_files(&forecasts)?.into_iter().partition(|file| file.is_here(&store));
        Ok(Plan {
            stages,
            total,
            actions: count(&|f| !matches!(f, Forecast::NotNeeded)),
            cached: count(&|f| matches!(f, Forecast::Cached { .. })),
            remote: count(&|f| matches!(f, Forecast::Remote { .. })),
            remote_name: self.runner.remote_cache().map(|r| r.name().to_owned()),
            run: count(&|f| matches!(f, Forecast::WillRun { .. })),
            depends: count(&|f| matches!(f, Forecast::Depends { .. } | Forecast::Unknown { .. })),
            basis: estimator.basis,
            threads: options.threads,
            memory: options.memory,
            detectable: self.detectable(&store, &forecasts),
            failed: self.last_failures(&store, &forecasts),
            blocked: self.blocked(&store, &options),
            downloads_here: here.len(),
            downloads_absent: absent.iter().map(|file| file.want.url.to_string()).collect(),
            unimplemented: self.unimplemented(),
            missing: self.missing(&forecasts),
        })
    }

    /// The stages that are asked for, and the estimate of all of them with each action once.
    fn stages(
        &self,
        forecasts: &[Forecast],
        estimator: &mut Estimator<'_>,
    ) -> (Vec<PlannedStage>, ResourceEstimate) {
        let needed = self.job.needed();
        let mut total = ResourceEstimate::default();
        let mut counted = BTreeSet::new();
        let mut stages = Vec::new();
        for row in &self.loaded.graph.rows {
            let Some((mut stage, ids)) = asked_for(row, &needed) else { continue };
            stage.resources = resources(&self.loaded.graph.action(ids[0]).policy);
            for id in ids {
                let (action, forecast) = (self.job.action(id), &forecasts[id.0 as usize]);
                stage.count(forecast, &action.args);
                if forecast.is_open() {
                    let estimate = estimator.of(action);
                    stage.estimate.add(&estimate);
                    if counted.insert(id) {
                        total.add(&estimate);
                    }
                }
            }
            stages.push(stage);
        }
        (stages, total)
    }

    /// The smallest differences that the tests of tables can find, as far as they are known.
    fn detectable(&self, store: &Store, forecasts: &[Forecast]) -> Vec<Detectable> {
        let graph = &self.loaded.graph;
        let results = CachedResults::of_forecast(store, &self.job, forecasts);
        graph.tables.iter().filter_map(|t| crate::report::detectable(t, graph, &results)).collect()
    }

    /// Why stages cannot start on this machine or do not fit into its memory.
    fn blocked(&self, store: &Store, options: &Options) -> Vec<String> {
        let failures = self.unready(store, options).into_iter().chain(self.too_large(store, options));
        failures.map(|failure| failure.message).collect()
    }

    /// Inputs that are missing or cannot be used, and values that cannot be computed.
    fn missing(&self, forecasts: &[Forecast]) -> Vec<String> {
        let inputs = inputs::missing(&self.loaded, &self.job, &self.runner, Reach::Local);
        let mut missing: Vec<String> =
            inputs.iter().filter(|i| !i.is_remote).map(MissingInput::message).collect();
        for failure in self.wrong_models(&readers(forecasts)) {
            // A model that cannot be read at all is among the inputs.
            if !missing.contains(&failure.message) {
                missing.push(failure.message);
            }
        }
        for forecast in forecasts {
            // What is no input's failure: a value that cannot be computed.
            if let Forecast::Unknown { why } = forecast
                && !inputs.iter().any(|i| i.failure.message == why.message)
                && !missing.contains(&why.message)
            {
                missing.push(why.message.clone());
            }
        }
        missing
    }
}

/// A stage with its needed actions, each once; `None` when none is needed.
fn asked_for(row: &Row, needed: &[bool]) -> Option<(PlannedStage, Vec<ActionId>)> {
    let mut ids: Vec<ActionId> =
        row.cells.iter().map(|c| c.action).filter(|id| needed[id.0 as usize]).collect();
    let cells = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return None;
    }
    let stage = PlannedStage {
        name: row.name.clone(),
        axes: row.axes.join(", "),
        cells,
        actions: ids.len(),
        ..PlannedStage::default()
    };
    Some((stage, ids))
}

impl PlannedStage {
    /// Counts an action.
    fn count(&mut self, forecast: &Forecast, args: &Record) {
        match forecast {
            Forecast::Cached { .. } => self.cached += 1,
            Forecast::Remote { .. } => self.remote += 1,
            Forecast::WillRun { .. } => self.run += 1,
            Forecast::Depends { .. } => self.depends += 1,
            // An argument that is known only later is waited for, whatever else is missing.
            Forecast::Unknown { .. } if has_pending(args) => self.depends += 1,
            Forecast::Unknown { .. } => self.unknown += 1,
            Forecast::NotNeeded => {}
        }
    }
}

/// The resources that a `with` block asks for.
fn resources(policy: &Policy) -> String {
    let gpus = policy.gpu.filter(|n| *n > 0).map(|n| format!("gpu {n}"));
    let amounts = [policy.vram, policy.memory].into_iter().flatten();
    gpus.into_iter().chain(amounts.map(human::size)).collect::<Vec<_>>().join(", ")
}

/// Whether arguments hold a value that is known only after a stage has run.
fn has_pending(args: &Record) -> bool {
    let mut found = false;
    for (_, v) in args.iter() {
        v.walk(&mut |v| found |= matches!(v, Value::Pending(_)));
    }
    found
}
