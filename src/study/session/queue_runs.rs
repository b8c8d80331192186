//! Runs of a cache seen from outside: what a run is doing, its jobs, and how it is ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clusters::{DEFAULT, queue_options};
use super::error::Error;
use super::settings::Settings;
use super::user_settings::UserSettings;
use xpipe_engine::{
    Event, JobOverview, QueueOptions, ask_to_stop, cancel_jobs, cluster_of, driver_is_alive, overview,
};

const EVENTS: &str = "events.jsonl";

/// The folder of a run of the cache: the one of a name or of its beginning, else the latest.
///
/// # Errors
/// There is none, or more than one.
pub fn run_folder(settings: &Settings, name: Option<&str>) -> Result<PathBuf, Error> {
    let runs = settings.open_to_read()?.dir().join("runs");
    let mut names: Vec<String> = std::fs::read_dir(&runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().join(EVENTS).is_file())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let Some(name) = name else {
        let latest = names.pop().ok_or_else(|| {
            Error::missing(format!("{} holds no run", runs.display()))
                .help("give the cache of the run with `--cache`")
        })?;
        return Ok(runs.join(latest));
    };
    let found: Vec<&String> = names.iter().filter(|n| n.starts_with(name)).collect();
    match found.as_slice() {
        [one] => Ok(runs.join(one)),
        _ if names.iter().any(|n| n == name) => Ok(runs.join(name)),
        [] => {
            let latest: Vec<&str> = names.iter().rev().take(3).map(String::as_str).collect();
            let help = match latest.as_slice() {
                [] => "this cache holds no run".to_owned(),
                some => format!("the latest runs are {}", some.join(", ")),
            };
            Err(Error::usage(format!("there is no run `{name}`")).help(help))
        }
        some => {
            Err(Error::usage(format!("{} runs begin with `{name}`", some.len()))
                .help("write more of its name"))
        }
    }
}

/// How a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its process lives.
    Running,
    /// It has ended.
    Ended,
    /// Its process is gone, and it did not end. Its jobs may go on.
    Abandoned,
}

/// What a run is doing.
#[derive(Clone, Debug, Serialize)]
pub struct RunStatus {
    /// Its name.
    pub run: String,
    /// The study, by the path of its root file.
    pub study: String,
    /// When it began, RFC 3339.
    pub begun: String,
    /// How it goes on.
    pub state: RunState,
    /// The cluster, when it uses one.
    pub cluster: Option<String>,
    /// Number of actions that the targets need.
    pub actions: usize,
    /// Number of actions by what became of them.
    pub counts: BTreeMap<&'static str, usize>,
    /// The actions under way, with their last progress.
    pub running: Vec<(String, String)>,
    /// The jobs of the run.
    pub jobs: Vec<JobOverview>,
    /// Why the queue did not answer.
    pub silent: Option<String>,
}

/// What a run is doing.
///
/// # Errors
/// Its files cannot be read, or its cluster is not in the settings.
pub fn run_status(folder: &Path) -> Result<RunStatus, Error> {
    let mut status = from_events(folder)?;
    status.cluster = cluster_of(folder);
    let ended = status.state == RunState::Ended;
    if !ended && status.cluster.is_some() && !driver_is_alive(folder) {
        status.state = RunState::Abandoned;
    }
    if let Some(queue) = queue_of(folder)? {
        (status.jobs, status.silent) = overview(folder, &queue).map_err(|e| unreadable(folder, &e))?;
    }
    Ok(status)
}

fn unreadable(folder: &Path, e: &std::io::Error) -> Error {
    Error::missing(format!("{} cannot be read: {e}", folder.display()))
}

/// The queue of a run.
fn queue_of(folder: &Path) -> Result<Option<QueueOptions>, Error> {
    let Some(name) = cluster_of(folder) else { return Ok(None) };
    let name = Some(name.as_str()).filter(|n| *n != DEFAULT);
    queue_options(&UserSettings::read()?, name).map(Some)
}

fn from_events(folder: &Path) -> Result<RunStatus, Error> {
    let text = std::fs::read_to_string(folder.join(EVENTS)).map_err(|e| unreadable(folder, &e))?;
    let mut status = RunStatus {
        run: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        study: String::new(),
        begun: String::new(),
        state: RunState::Running,
        cluster: None,
        actions: 0,
        counts: BTreeMap::new(),
        running: Vec::new(),
        jobs: Vec::new(),
        silent: None,
    };
    let mut running: BTreeMap<u32, (String, String)> = BTreeMap::new();
    let mut states: BTreeMap<u32, &'static str> = BTreeMap::new();
    for event in text.lines().filter_map(event) {
        match event {
            Event::RunStarted { study, time, actions, .. } => {
                (status.study, status.begun, status.actions) = (study, time, actions);
            }
            Event::Queued { id, .. } => _ = states.insert(id, "waiting"),
            Event::Started { id, address, .. } => {
                states.insert(id, "running");
                running.insert(id, (address, String::new()));
            }
            Event::Progress { id, done, total, unit, note } => {
                let of = if total > 0 { format!(" of {total}") } else { String::new() };
                if let Some((_, text)) = running.get_mut(&id) {
                    *text = format!("{done}{of} {unit} {note}").trim().to_owned();
                }
            }
            Event::Cached { id, .. } => _ = (states.insert(id, "cached"), running.remove(&id)),
            Event::Finished { id, .. } => _ = (states.insert(id, "ran"), running.remove(&id)),
            Event::Failed { id, .. } => _ = (states.insert(id, "failed"), running.remove(&id)),
            Event::Blocked { id, .. } => _ = states.insert(id, "skipped"),
            Event::Stopped { id, .. } => _ = (states.insert(id, "stopped"), running.remove(&id)),
            Event::RunFinished { .. } => status.state = RunState::Ended,
            Event::Note { .. } => {}
        }
    }
    for state in states.into_values() {
        *status.counts.entry(state).or_default() += 1;
    }
    status.running = running.into_values().collect();
    Ok(status)
}

/// The event of a line of the file, if the line is complete.
pub fn event(line: &str) -> Option<Event> {
    let mut line: serde_json::Value = serde_json::from_str(line).ok()?;
    serde_json::from_value(line.get_mut("what")?.take()).ok()
}

/// What was done to end a run or some of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The run was asked to stop, and cancels its jobs itself.
    Asked,
    /// So many jobs were cancelled.
    Jobs(usize),
}

/// Ends a run, or the jobs of one stage of it.
///
/// # Errors
/// The run uses no queue, or the queue does not answer.
pub fn cancel_run(folder: &Path, stage: Option<&str>) -> Result<Ended, Error> {
    let Some(queue) = queue_of(folder)? else {
        return Err(Error::usage("this run uses no queue").help("end it with Ctrl-C where it runs"));
    };
    if stage.is_none() && driver_is_alive(folder) {
        ask_to_stop(folder).map_err(|e| unreadable(folder, &e))?;
        return Ok(Ended::Asked);
    }
    let asked = |address: &str| stage.is_none_or(|s| address == s || address.split('[').next() == Some(s));
    Ok(Ended::Jobs(cancel_jobs(folder, &queue, &asked)?))
}
