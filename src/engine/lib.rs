//! Carries out a [`Job`]: finds what is cached, runs the rest with the resources there are, and publishes results.
//!
//! | file | owns |
//! |---|---|
//! | `plan` | what comes in: actions as plain data, the [`Runner`], options |
//! | `board` | from arguments to a recipe and a key: the one code path of `run`, `plan` and `why` |
//! | `coordinator` | the state of every action; nobody else changes it |
//! | `pools` | counted resources, and who may take them |
//! | `memory` | how much memory there is, and what needs more |
//! | `execute` | one action: lock, inputs, attempts, publication |
//! | `child`, `worker`, `protocol` | heavy actions in a child process: parent's side, child's side, what they say |
//! | `events`, `sinks` | the only output channel, and what is always written of it |
//! | `report` | what a run comes to, and its exit code |
//! | `forecast`, `why` | what a run would do, and why |
//!
//! Must not know: syntax, types, which operations there are. Never prints.

mod board;
pub mod cache;
mod call;
mod cancel;
mod child;
mod coordinator;
mod events;
mod execute;
pub mod fetch;
mod forecast;
mod memory;
pub mod net;
mod plan;
mod pools;
pub mod process;
mod protocol;
mod report;
mod sinks;
mod why;
mod worker;

pub use board::inputs_of;
pub use call::caught;
pub use cancel::CancelToken;
pub use coordinator::run;
pub use events::{Event, EventSink, Fanout, NoSink};
pub use forecast::survey;
pub use forecast::{Forecast, forecast};
pub use memory::Sight;
pub use memory::{lacking, limit as memory_limit, unready};
pub use plan::{
    Action, Device, Found, Gpu, Heavy, Job, Options, Parts, Reach, Runner, WorkerCommand, dependencies,
};
pub use protocol::{FromWorker, ToWorker};
pub use report::{ActionReport, Counts, Final, RunReport, failure_of};
pub use sinks::{ChromeTrace, JsonLines};
pub use why::{Outlook, Stale, Why, last_failure, local_time, why};
pub use worker::{serve, worker_main};

#[cfg(test)]
mod tests;
