//! Results of a study from the store: what tables and claims are computed from, and how they are printed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::out::{self, Stop};
use xpipe_base::task::Caveat;
use xpipe_base::value::ActionId;
use xpipe_engine::cache::{Manifest, Miss, Store};
use xpipe_engine::{self, Forecast, Job, RunReport};
use xpipe_lang::graph::Graph;
use xpipe_study::report::{self, Evaluated, Made, Results};

/// Manifests of a graph's actions, where there are results.
pub(super) struct Stored<'s> {
    store: &'s Store,
    job: &'s Job,
    manifests: Vec<Option<Arc<Manifest>>>,
    /// Why actions failed in the run that this is of; without a run, the last time they were carried out.
    failures: Vec<Option<String>>,
    /// What was found damaged, with addresses.
    damage: Mutex<BTreeSet<String>>,
}

/// The exit code when a result is damaged.
pub(super) const DAMAGED: u8 = 5;

impl<'s> Stored<'s> {
    pub(super) fn of_run(store: &'s Store, job: &'s Job, report: &RunReport) -> Self {
        let manifests = report.actions.iter().map(|a| a.manifest.clone()).collect();
        let failures = report.actions.iter().map(|a| Some(a.failure.as_ref()?.message.clone())).collect();
        Self { store, job, manifests, failures, damage: Mutex::default() }
    }

    pub(super) fn of_forecast(store: &'s Store, job: &'s Job, fates: &[Forecast]) -> Self {
        let stored =
            Self { store, job, manifests: Vec::new(), failures: Vec::new(), damage: Mutex::default() };
        let mut manifests = Vec::with_capacity(fates.len());
        for (id, fate) in (0u32..).map(ActionId).zip(fates) {
            manifests.push(match fate {
                Forecast::Cached { key } => {
                    store.look(key).map(Arc::new).inspect_err(|miss| stored.found(id, miss)).ok()
                }
                Forecast::WillRun { miss: Some(miss), .. } => {
                    stored.found(id, miss);
                    None
                }
                _ => None,
            });
        }
        let history = store.history(&job.study);
        let failures = (0u32..).map(ActionId).zip(&manifests).map(|(id, manifest)| match manifest {
            Some(_) => None,
            None => xpipe_engine::last_failure(&history, store, job, id).map(|f| f.message),
        });
        Self { failures: failures.collect(), manifests, ..stored }
    }

    fn found(&self, id: ActionId, miss: &Miss) {
        if miss.is_damage() {
            let told = format!("{}: {miss}", self.job.action(id).address);
            self.damage.lock().unwrap_or_else(PoisonError::into_inner).insert(told);
        }
    }

    /// What was found damaged so far: the address of each result, and what is wrong with it.
    pub(super) fn damage(&self) -> Vec<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Warns of what was found damaged; whether anything was.
    pub(super) fn warn_of_damage(&self) -> bool {
        let damage = self.damage();
        damage.iter().for_each(|d| out::warn(&format!("damaged: {d}")));
        if !damage.is_empty() {
            out::warn("  help: `xpipe run` makes damaged results again");
        }
        !damage.is_empty()
    }

    /// The manifest of an action, when it has a result.
    pub(super) fn manifest(&self, id: ActionId) -> Option<&Manifest> {
        self.manifests.get(id.0 as usize)?.as_deref()
    }
}

impl Results for Stored<'_> {
    fn number(&self, action: ActionId, member: &str) -> Option<f64> {
        self.manifest(action)?.values.get(member).copied()
    }

    fn per_query(&self, action: ActionId, member: &str) -> Option<Vec<(String, f64)>> {
        report::per_query::read(&self.folder(action)?, member).ok()
    }

    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>> {
        self.manifest(action).map(|m| m.facts.clone())
    }

    fn seconds(&self, action: ActionId) -> Option<f64> {
        self.manifest(action).map(|m| m.seconds)
    }

    fn folder(&self, action: ActionId) -> Option<PathBuf> {
        self.store.tree(self.manifest(action)?).ok()?.inspect_err(|miss| self.found(action, miss)).ok()
    }

    fn failure(&self, action: ActionId) -> Option<String> {
        self.failures.get(action.0 as usize)?.clone()
    }

    fn caveats(&self, action: ActionId) -> Vec<Caveat> {
        self.manifest(action).map(|m| m.caveats.clone()).unwrap_or_default()
    }

    fn made(&self, action: ActionId) -> Option<Made> {
        let m = self.manifest(action)?;
        let started = m.started.parse::<jiff::Timestamp>().map_or(0.0, |t| t.as_millisecond() as f64 / 1e3);
        Some(Made {
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

/// Tables and claims, computed.
pub(super) struct Outcome(pub(super) Evaluated);

/// The name of a study: its file without folder and suffix.
pub(super) fn study_name(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Computes what the graph's outputs say. What has no result is a hole.
pub(super) fn evaluate(graph: &Graph, stored: &Stored<'_>) -> Result<Outcome, Stop> {
    Ok(Outcome(report::evaluate(graph, stored)?))
}

impl Outcome {
    pub(super) fn failed_claims(&self) -> usize {
        self.0.failed_claims()
    }

    /// How many claims could not be evaluated, though nothing asks for that.
    pub(super) fn open_claims(&self) -> usize {
        self.0.open_claims()
    }

    /// Prints tables, claims, costs and notes.
    pub(super) fn print(&self) {
        use std::io::IsTerminal as _;
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let text = self.text(colour);
        if colour { out::say_coloured(&text) } else { out::say(&text) }
    }

    fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for t in &self.0.tables {
            out.push_str(&report::terminal(t, colour));
            out.push('\n');
        }
        if !self.0.claims.is_empty() {
            out.push_str(&report::terminal_claims(&self.0.claims, colour));
            out.push('\n');
        }
        for c in &self.0.costs {
            out.push_str(&report::terminal_costs(c, colour));
            out.push('\n');
        }
        for c in &self.0.chosen {
            out.push_str(&format!("chosen: {} = {}\n", c.address(), c.text()));
        }
        for n in &self.0.notes {
            out.push_str(&format!("note: {n}\n"));
        }
        for told in &self.0.caveats {
            out.push_str(&format!("note: {} ({})\n", told.text(), told.place()));
        }
        out
    }

    /// Tables, claims and notes.
    pub(super) fn json(&self) -> serde_json::Value {
        report::json(&self.0)
    }

    /// Writes the files that tables ask for.
    pub(super) fn write(&self, folder: &Path, graph: &Graph) -> Result<Vec<std::path::PathBuf>, Stop> {
        if graph.tables.is_empty() && graph.reports.is_empty() {
            return Ok(Vec::new());
        }
        Ok(report::write_all(folder, &self.0)?.files)
    }
}
