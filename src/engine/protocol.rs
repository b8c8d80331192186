//! What a worker process and its parent say to each other: lines of JSON, the spec first, the result last.

use serde::{Deserialize, Serialize};

use xpipe_base::task::{Caveat, Failure, Outcome, Spec};

/// From the parent, on the worker's standard input. Its end tells the worker that the parent is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToWorker {
    /// What to do; the first line.
    Start {
        /// The action.
        spec: Box<Spec>,
    },
    /// Stop soon, keeping a checkpoint.
    Cancel,
}

/// From the worker, on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromWorker {
    /// It goes on.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted.
        unit: String,
        /// A short word beside it.
        note: String,
    },
    /// A sentence.
    Note {
        /// The sentence.
        text: String,
    },
    /// What a reader of the result has to know.
    Caveat {
        /// It.
        caveat: Caveat,
    },
    /// It is done; the last line.
    Done {
        /// What the operation says about its result.
        outcome: Outcome,
        /// The most memory the process used, in bytes.
        peak_memory: Option<u64>,
    },
    /// It failed; the last line.
    Failed {
        /// Why.
        failure: Failure,
    },
}
