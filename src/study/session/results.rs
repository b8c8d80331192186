//! Results of a study in the cache: what its tables and claims are computed from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::load::study_name;
use crate::report::{Execution, Results, per_query};
use xpipe_base::task::Caveat;
use xpipe_base::value::ActionId;
use xpipe_engine::cache::{Manifest, Miss, Store};
use xpipe_engine::{self as engine, Forecast, Job, RunReport};

/// The manifests of a study's actions that have results.
pub struct CachedResults<'s> {
    store: &'s Store,
    job: &'s Job,
    manifests: Vec<Option<Arc<Manifest>>>,
    /// Why actions failed in the run that this describes; without a run, the last time they were carried out.
    failures: Vec<Option<String>>,
    /// What was found damaged, with addresses.
    damage: Mutex<BTreeSet<String>>,
}

impl<'s> CachedResults<'s> {
    /// At the end of a run.
    pub(super) fn of_run(store: &'s Store, job: &'s Job, report: &RunReport) -> Self {
        let manifests = report.actions.iter().map(|a| a.manifest.clone()).collect();
        let failures = report.actions.iter().map(|a| Some(a.failure.as_ref()?.message.clone())).collect();
        Self { store, job, manifests, failures, damage: Mutex::default() }
    }

    /// Of what the cache holds.
    pub(super) fn of_forecast(store: &'s Store, job: &'s Job, forecasts: &[Forecast]) -> Self {
        let stored =
            Self { store, job, manifests: Vec::new(), failures: Vec::new(), damage: Mutex::default() };
        let mut manifests = Vec::with_capacity(forecasts.len());
        for (id, forecast) in (0u32..).map(ActionId).zip(forecasts) {
            manifests.push(match forecast {
                Forecast::Cached { key } => {
                    store.get(key).map(Arc::new).inspect_err(|miss| stored.note_damage(id, miss)).ok()
                }
                Forecast::WillRun { miss: Some(miss), .. } => {
                    stored.note_damage(id, miss);
                    None
                }
                _ => None,
            });
        }
        let history = store.history(&job.study);
        let failures = (0u32..).map(ActionId).zip(&manifests).map(|(id, manifest)| match manifest {
            Some(_) => None,
            None => engine::last_failure(&history, store, job, id).map(|f| f.message),
        });
        Self { failures: failures.collect(), manifests, ..stored }
    }

    fn note_damage(&self, id: ActionId, miss: &Miss) {
        if miss.is_damage() {
            let text = format!("{}: {miss}", self.job.action(id).address);
            self.damage.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
        }
    }

    /// The results that were found damaged so far: address, and what is wrong.
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The manifest of an action, when it has a result.
    pub fn manifest(&self, id: ActionId) -> Option<&Manifest> {
        self.manifests.get(id.0 as usize)?.as_deref()
    }
}

impl Results for CachedResults<'_> {
    fn number(&self, action: ActionId, member: &str) -> Option<f64> {
        self.manifest(action)?.values.get(member).copied()
    }

    fn per_query(&self, action: ActionId, member: &str) -> Option<Vec<(String, f64)>> {
        per_query::read(&self.folder(action)?, member).ok()
    }

    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>> {
        self.manifest(action).map(|m| m.facts.clone())
    }

    fn seconds(&self, action: ActionId) -> Option<f64> {
        self.manifest(action).map(|m| m.seconds)
    }

    fn folder(&self, action: ActionId) -> Option<PathBuf> {
        self.store.tree(self.manifest(action)?).ok()?.inspect_err(|miss| self.note_damage(action, miss)).ok()
    }

    fn failure(&self, action: ActionId) -> Option<String> {
        self.failures.get(action.0 as usize)?.clone()
    }

    fn caveats(&self, action: ActionId) -> Vec<Caveat> {
        self.manifest(action).map(|m| m.caveats.clone()).unwrap_or_default()
    }

    fn execution(&self, action: ActionId) -> Option<Execution> {
        let m = self.manifest(action)?;
        let started = m.started.parse::<jiff::Timestamp>().map_or(0.0, |t| t.as_millisecond() as f64 / 1e3);
        Some(Execution {
            started,
            seconds: m.seconds,
            peak_memory: m.peak_memory,
            size: m.size(),
            device: m.device.clone(),
            kernels: m.kernels.clone(),
            study: study_name(Path::new(&m.study)),
        })
    }
}
