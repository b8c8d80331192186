//! Actions as jobs of a cluster's queue.
//!
//! **Who decides what.** The cache decides what is done, the files of an attempt what failed, and the queue only what is
//! alive. A job publishes its result itself, so it loses nothing when its run is gone. The next run of any study takes
//! over the jobs that it finds for its keys ([`claims`]), instead of submitting them again.
//!
//! **On disk**, below the `v1` of the cache, which all nodes see under the same path:
//!
//! | file | written by | says |
//! |---|---|---|
//! | `claims/KEY.N` | run, before it submits | attempt N at a key is the task T of the job NAME of a run |
//! | `runs/RUN/driver.lease` | run | the run lives |
//! | `runs/RUN/queue.json` | run | the name of its cluster |
//! | `runs/RUN/stop.json` | `xpipe cancel` | the run is to stop |
//! | `runs/RUN/jobs/NAME/job.json` | run, after it has submitted | the id in the queue |
//! | `runs/RUN/jobs/NAME/T/spec.json` | run | all that the job needs |
//! | `runs/RUN/jobs/NAME/T/progress-E.jsonl` | job | progress and notes of execution E, appended |
//! | `runs/RUN/jobs/NAME/T/result-E.json` | job | how execution E ended, after the result is in the cache |
//! | `runs/RUN/jobs/NAME/T/cancel-RUN.json` | run | the run asked the queue to end it |
//! | `runs/RUN/logs/NAME-T.log` | queue and job | the output |
//!
//! | module | owns |
//! |---|---|
//! | `decision` | what to do about an attempt: a function of what is known of it |
//! | `driver` | the one thread for all jobs of a run: submits, asks, decides, cancels |
//! | `item` | an action of the queue and its attempt |
//! | `scheduler`, `slurm`, `commands`, `command` | the queue: its interface, its two implementations, calls of programs |
//! | `spec`, `files`, `claims`, `lease`, `run_files` | the files above |
//! | `job` | the job's side: `xpipe worker --attempt` |
//! | `preview`, `overview`, `probe`, `driver_job` | verbs from outside of a run: `--dry-run`, `status` and `cancel`, `doctor`, `--driver-job` |
//!
//! Tested with a queue in memory (`tests.rs`), and with a real Slurm and injected faults in `tests/slurm`.

pub(crate) mod accounting;
mod claims;
mod command;
mod commands;
mod decision;
mod driver;
mod driver_job;
pub(crate) mod files;
mod item;
mod job;
pub(crate) mod lease;
mod overview;
mod preview;
mod probe;
mod run_files;
pub(crate) mod scheduler;
mod slurm;
mod slurm_states;
pub(crate) mod spec;

pub use driver_job::{DriverJob, submit_driver};
pub use job::attempt_main;
pub use lease::is_alive as driver_is_alive;
pub use overview::{JobOverview, cancel_jobs, overview};
pub use preview::{Preview, preview};
pub use probe::{Check, Health, probe};
pub use run_files::{ask_to_stop, cluster_of};

use std::thread::Scope;

use crossbeam_channel::Sender;

use self::driver::Driver;
use self::scheduler::Scheduler;
use crate::cache::RunDir;
use crate::cluster::QueueKind;
use crate::context::RunContext;
use crate::execute::{Assignment, Executor};
use crate::messages::Message;
use crate::options::QueueOptions;
use xpipe_base::task::Failure;

/// The executor of a cluster: a thread that all its actions share.
#[derive(Clone)]
pub(crate) struct Queue {
    driver: Sender<Assignment>,
}

impl Queue {
    /// Starts the thread.
    pub(crate) fn new<'env: 'scope, 'scope>(
        context: &'env RunContext<'env>,
        options: &'env QueueOptions,
        run: &RunDir,
        scope: &'scope Scope<'scope, 'env>,
        messages: Sender<Message>,
    ) -> Self {
        run_files::record_cluster(&run.path, &options.name);
        let (driver, assignments) = crossbeam_channel::unbounded();
        let serving = Driver::new(context, options, scheduler(options), run, messages);
        // Without the thread nothing can be sent to it, which is an error of the first action.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || serving.serve(&assignments));
        Self { driver }
    }
}

/// The queue of a cluster.
fn scheduler(options: &QueueOptions) -> Box<dyn Scheduler> {
    let (cluster, program) = (options.cluster.clone(), options.program.clone());
    match options.cluster.kind {
        QueueKind::Slurm => Box::new(slurm::Slurm::new(cluster, program)),
        QueueKind::Commands => Box::new(commands::Commands { cluster, program }),
    }
}

impl Executor for Queue {
    fn is_here(&self) -> bool {
        false
    }

    fn begin(&self, assignment: Assignment) -> Result<(), Failure> {
        self.driver.send(assignment).map_err(|_| Failure::no_threads("the thread of the queue has ended"))
    }
}
