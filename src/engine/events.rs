//! Events of a run, as data: the only output of the engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::report::Counts;
use super::why::Stale;
use xpipe_base::task::Failure;
use xpipe_base::value::Digest;

/// An event. `id` is the number of the action in the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// The name of the run, which is that of its folder.
        run: String,
        /// The study, by the path of its root file.
        study: String,
        /// Number of actions that the targets need.
        actions: usize,
        /// Maximum number of threads.
        threads: usize,
        /// The time of the start, RFC 3339.
        time: String,
        /// Name and version of the program.
        tool: String,
    },
    /// The store has the result.
    Cached {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The operation's full name.
        op: String,
        /// The content key.
        key: Digest,
    },
    /// The action must run and waits for resources.
    Queued {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The operation's full name.
        op: String,
        /// The content key.
        key: Digest,
        /// The reasons to run it.
        reasons: Vec<Stale>,
    },
    /// An attempt begins.
    Started {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The operation's full name.
        op: String,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// Maximum number of threads.
        threads: usize,
        /// `cpu` or `cuda:0`.
        device: String,
        /// The log file, when there is one.
        log: Option<PathBuf>,
    },
    /// Some units of work are done.
    Progress {
        /// The number of the action.
        id: u32,
        /// Number of units done.
        done: u64,
        /// Number of all units; 0 when that is not known.
        total: u64,
        /// The unit: `steps`, `pairs`, `documents`.
        unit: String,
        /// A short text to print beside it: `loss 0.31`.
        note: String,
    },
    /// The action ran, and its result is in the store.
    Finished {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The operation's full name.
        op: String,
        /// The content key.
        key: Digest,
        /// Duration in seconds.
        seconds: f64,
        /// Size of the result in bytes.
        size: u64,
        /// Peak memory in bytes.
        peak_memory: Option<u64>,
    },
    /// The action failed, and will not be tried again.
    Failed {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The operation's full name.
        op: String,
        /// The reason.
        failure: Failure,
        /// The log file, when there is one.
        log: Option<PathBuf>,
    },
    /// The action cannot run, since one that it depends on failed.
    Blocked {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
        /// The address of the one that failed.
        by: String,
    },
    /// The action was stopped, or was not started before the run ended.
    Stopped {
        /// The number of the action.
        id: u32,
        /// The first cell that asks for it.
        address: String,
    },
    /// A sentence for the log of the run.
    Note {
        /// The action that it is about.
        id: Option<u32>,
        /// The address of that action; empty when it is about the run.
        address: String,
        /// The sentence.
        text: String,
    },
    /// The run has ended.
    RunFinished {
        /// How many actions ended in which state.
        counts: Counts,
        /// Duration in seconds.
        seconds: f64,
    },
}

/// Receives events, one after another, from the thread that runs the job.
pub trait EventSink {
    /// `at`: seconds since the run began.
    fn event(&mut self, at: f64, event: &Event);
}

/// Ignores events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl EventSink for NoSink {
    fn event(&mut self, _: f64, _: &Event) {}
}

impl EventSink for Vec<Event> {
    fn event(&mut self, _: f64, event: &Event) {
        self.push(event.clone());
    }
}

/// Passes every event to several sinks.
#[derive(Default)]
pub struct Fanout<'a>(pub Vec<&'a mut dyn EventSink>);

impl std::fmt::Debug for Fanout<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fanout({})", self.0.len())
    }
}

impl EventSink for Fanout<'_> {
    fn event(&mut self, at: f64, event: &Event) {
        for sink in &mut self.0 {
            sink.event(at, event);
        }
    }
}
