//! Messages between a worker process and its parent: lines of JSON, the spec first, the result last.

use serde::{Deserialize, Serialize};

use xpipe_base::task::{Caveat, Failure, Outcome, Spec};

/// From the parent, on the worker's standard input, which ends when the parent does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToWorker {
    /// The first line.
    Start {
        /// The action to carry out.
        spec: Box<Spec>,
    },
    /// Stop soon, keeping a checkpoint.
    Cancel,
}

/// From the worker, on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromWorker {
    /// Some units of work are done.
    Progress {
        /// Number of units done.
        done: u64,
        /// Number of all units.
        total: u64,
        /// The unit.
        unit: String,
        /// A short text to print beside it.
        note: String,
    },
    /// A note for the log of the run.
    Note {
        /// One sentence.
        text: String,
    },
    /// A caveat of the result.
    Caveat {
        /// What a reader of the result has to know.
        caveat: Caveat,
    },
    /// The action succeeded; the last line.
    Done {
        /// What the operation reports besides its files.
        outcome: Outcome,
        /// Peak memory of the process in bytes.
        peak_memory: Option<u64>,
    },
    /// The action failed; the last line.
    Failed {
        /// The reason.
        failure: Failure,
    },
}
