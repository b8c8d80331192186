//! Runs a [`Job`]: finds what is cached, runs the rest within the resources of the machine, and publishes results.
//!
//! | file | owns |
//! |---|---|
//! | `job`, `options`, `runner` | what comes in: actions, settings of the run, access to operations and inputs |
//! | `recipes` | from an action's arguments to its recipe and key, the same for `run`, `plan` and `why` |
//! | `coordinator` | the state of every action; only it changes one |
//! | `pools` | counted resources, and which actions may take them |
//! | `machine`, `forecaster`, `shortage` | the memory of the machine, what actions will need, and what does not fit |
//! | `execute` | where actions are carried out; on this machine: lock, inputs, attempts |
//! | `attempt` | one attempt, wherever it is: inputs, operation, inputs again, publication |
//! | `queue`, `cluster` | actions as jobs of a cluster: the driver, the job; settings of clusters |
//! | `child`, `worker`, `protocol` | heavy actions in a child process: the parent, the child, their messages |
//! | `context`, `messages` | what the coordinator and executors share, and tell |
//! | `events`, `sinks` | the only output of a run, and the files that record it |
//! | `report` | the outcome of a run, and its exit code |
//! | `remote`, `prefetch` | the cache on another machine that is asked for results |
//! | `rerun` | a stored action once more, to compare |
//! | `forecast`, `preflight`, `why` | what a run would do, what it cannot do, and why |
//!
//! Must not know: syntax, types, the operations. Never prints.

mod attempt;
pub mod cache;
mod call;
mod cancel;
mod child;
mod cluster;
mod context;
mod coordinator;
mod dag;
mod events;
mod execute;
pub mod fetch;
mod forecast;
mod forecaster;
mod job;
mod machine;
mod messages;
pub mod net;
mod options;
mod pools;
mod prefetch;
mod preflight;
pub mod process;
mod protocol;
mod queue;
mod recipes;
mod remote;
mod report;
mod rerun;
mod runner;
mod shortage;
mod sinks;
mod why;
mod worker;

pub use call::caught;
pub use cancel::CancelToken;
pub use cluster::{Cluster, Light, QueueKind};
pub use coordinator::run;
pub use events::{Event, EventSink, Fanout, NoSink};
pub use forecast::{Forecast, forecast, survey};
pub use forecaster::Forecaster;
pub use job::Job;
pub use machine::memory_limit;
pub use options::{Device, Gpu, Heavy, Options, QueueOptions, WorkerCommand};
pub use prefetch::bring_known;
pub use preflight::{short_of_memory, unready};
pub use protocol::{FromWorker, ToWorker};
pub use queue::{
    Check, DriverJob, Health, JobOverview, Preview, ask_to_stop, attempt_main, cancel_jobs, cluster_of,
    driver_is_alive, overview, preview, probe, submit_driver,
};
pub use recipes::ResultTable;
pub use remote::RemoteCache;
pub use report::{ActionReport, Counts, Final, RunReport};
pub use rerun::{Reason, Rerun, StoredAction};
pub use runner::{Found, Parts, Reach, Runner};
pub use sinks::{ChromeTrace, JsonLines};
pub use why::{Outlook, Stale, Why, last_failure, local_time, why};
pub use worker::{serve, worker_main};

#[cfg(test)]
mod tests;
