//! What happens in a run, as data: the only output channel of the engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::report::Counts;
use super::why::Stale;
use xpipe_base::task::Failure;
use xpipe_base::value::Digest;

/// Something that happened. `id` is the action's number in the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// The run's name.
        run: String,
        /// The study.
        study: String,
        /// Actions that are wanted or needed.
        actions: usize,
        /// Threads of the run.
        threads: usize,
        /// When, RFC 3339.
        time: String,
        /// The program's version.
        tool: String,
    },
    /// The store has the result.
    Cached {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// Its operation.
        op: String,
        /// Its key.
        key: Digest,
    },
    /// It must run, and waits for resources.
    Queued {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// Its operation.
        op: String,
        /// Its key.
        key: Digest,
        /// Why it must run.
        reasons: Vec<Stale>,
    },
    /// An attempt begins.
    Started {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// Its operation.
        op: String,
        /// The attempt, from 1.
        attempt: u32,
        /// Threads it may use.
        threads: usize,
        /// `cpu` or `cuda:0`.
        device: String,
        /// Its log, when it has one.
        log: Option<PathBuf>,
    },
    /// It goes on.
    Progress {
        /// The action.
        id: u32,
        /// Units done.
        done: u64,
        /// Units in all; 0 when that is not known.
        total: u64,
        /// What is counted: `steps`, `pairs`, `documents`.
        unit: String,
        /// A short word beside it: `loss 0.31`.
        note: String,
    },
    /// It ran, and its result is in the store.
    Finished {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// Its operation.
        op: String,
        /// Its key.
        key: Digest,
        /// Seconds it took.
        seconds: f64,
        /// Bytes of its files.
        size: u64,
        /// The most memory it used, in bytes.
        peak_memory: Option<u64>,
    },
    /// It failed, for good.
    Failed {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// Its operation.
        op: String,
        /// Why.
        failure: Failure,
        /// Its log, when it has one.
        log: Option<PathBuf>,
    },
    /// It cannot run since another failed.
    Blocked {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
        /// The address of the one that failed.
        by: String,
    },
    /// It was asked to stop, or not started any more.
    Stopped {
        /// The action.
        id: u32,
        /// Its address.
        address: String,
    },
    /// A sentence.
    Note {
        /// The action it is about.
        id: Option<u32>,
        /// Its address, empty when it is about the run.
        address: String,
        /// The sentence.
        text: String,
    },
    /// The run is over.
    RunFinished {
        /// What became of its actions.
        counts: Counts,
        /// Seconds it took.
        seconds: f64,
    },
}

/// Hears events, one after the other, from the thread that runs the job.
pub trait EventSink {
    /// `at`: seconds since the run began.
    fn event(&mut self, at: f64, event: &Event);
}

/// Hears nothing.
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
