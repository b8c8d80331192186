//! The logs of runs: which run a name means, and which log is that of a stage.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Error;
use xpipe_engine::Event;
use xpipe_engine::cache::Store;

/// The folder of a run in the cache.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// Its name: `20261124-101500-4711`.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
}

/// The log of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionLog {
    /// The action's address.
    pub address: String,
    /// The file.
    pub path: PathBuf,
    /// `running`, `finished`, `failed` or `stopped`.
    pub state: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

/// An event of a run with its time.
#[derive(Clone, Debug, Deserialize)]
pub struct TimedEvent {
    /// Seconds since the run began.
    pub at: f64,
    /// The event.
    pub what: Event,
}

/// What a person asks the logs of.
#[derive(Clone, Debug)]
pub enum LogQuery {
    /// All logs of a run.
    Run(RunFolder),
    /// Logs of a stage or cell in a run.
    Stage(RunFolder, Vec<ActionLog>),
}

impl RunFolder {
    /// The file of its events.
    pub fn events_file(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// Its events so far. Lines that are cut, or of a newer version, are skipped.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self) -> Result<Vec<TimedEvent>, Error> {
        let path = self.events_file();
        let file = std::fs::File::open(&path).map_err(|e| {
            Error::missing(format!("cannot read the events of the run, {}: {e}", path.display()))
        })?;
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        Ok(lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect())
    }

    /// The logs of its actions, in order of their numbers.
    ///
    /// # Errors
    /// The events cannot be read.
    pub fn logs(&self) -> Result<Vec<ActionLog>, Error> {
        let mut states = ActionStates::default();
        for event in self.events()? {
            states.take(&event.what);
        }
        Ok(self.logs_among(&states, |_, _| true))
    }

    /// The logs that are wanted by address and file, of actions that events have named; in order of their numbers.
    pub fn logs_among(&self, states: &ActionStates, wanted: impl Fn(&str, &Path) -> bool) -> Vec<ActionLog> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.path.join("logs")).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let id = name.split('-').next().and_then(|n| n.parse::<u32>().ok());
            let Some((id, (address, state))) = id.and_then(|id| Some((id, states.0.get(&id)?))) else {
                continue;
            };
            if !wanted(address, &path) {
                continue;
            }
            let bytes = entry.metadata().map_or(0, |m| m.len());
            logs.push((id, ActionLog { address: address.clone(), path, state, bytes }));
        }
        logs.sort_by_key(|(id, log)| (*id, log.path.clone()));
        logs.into_iter().map(|(_, log)| log).collect()
    }
}

/// The addresses and states of the actions of a run, by their numbers, from its events so far.
#[derive(Clone, Debug, Default)]
pub struct ActionStates(BTreeMap<u32, (String, &'static str)>);

impl ActionStates {
    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        let (id, address, state) = match event {
            Event::Started { id, address, .. } => (id, address, "running"),
            Event::Finished { id, address, .. } => (id, address, "finished"),
            Event::Failed { id, address, .. } => (id, address, "failed"),
            Event::Stopped { id, address } => (id, address, "stopped"),
            _ => return,
        };
        self.0.insert(*id, (address.clone(), state));
    }
}

/// Whether a text names a cell by its address, whatever its spaces, or by its stage.
pub fn names_address(what: &str, address: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    plain(address) == plain(what) || address.split('[').next() == Some(what.trim())
}

/// Finds what a text names: nothing means the newest run, else a run by the beginning of its name, else a stage or cell in
/// the newest run (or in `run`) that has a log of it.
///
/// # Errors
/// There is no such run, or no log of such a stage.
pub fn find_logs(store: &Store, what: Option<&str>, run: Option<&str>) -> Result<LogQuery, Error> {
    let runs = runs(store);
    let named = |name: &str| runs.iter().rev().find(|r| r.name.starts_with(name)).cloned();
    let among = match run {
        Some(name) => vec![named(name).ok_or_else(|| no_run(name))?],
        None => runs.clone(),
    };
    let Some(newest) = among.last() else {
        return Err(Error::missing(format!("there are no runs in {}", store.root().display())));
    };
    let Some(what) = what else { return Ok(LogQuery::Run(newest.clone())) };
    if let Some(run) = named(what).filter(|_| what.starts_with(|c: char| c.is_ascii_digit())) {
        return Ok(LogQuery::Run(run));
    }
    for run in among.iter().rev() {
        // A run that has just begun may have no events yet.
        let Ok(logs) = run.logs() else { continue };
        let logs: Vec<ActionLog> = logs.into_iter().filter(|l| names_address(what, &l.address)).collect();
        if !logs.is_empty() {
            return Ok(LogQuery::Stage(run.clone(), logs));
        }
    }
    Err(Error::usage(format!("no run has a log of {what}")).help(
        "`xpipe logs` lists those of the newest run; only stages that start a program or a process have one",
    ))
}

fn no_run(name: &str) -> Error {
    Error::usage(format!("there is no run {name}")).help("runs are the folders in `v1/runs` of the cache")
}

/// All runs, the oldest first. Their names begin with their times.
fn runs(store: &Store) -> Vec<RunFolder> {
    let folder: &Path = &store.dir().join("runs");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut runs: Vec<RunFolder> = entries
        .filter(|e| e.path().is_dir())
        .map(|e| RunFolder { name: e.file_name().to_string_lossy().into_owned(), path: e.path() })
        .collect();
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    runs
}
