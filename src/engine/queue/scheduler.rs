//! A queue of a cluster as the driver sees it: it takes jobs, says what became of them, and cancels them.

use std::collections::BTreeMap;
use std::path::Path;

/// What a job asks for. Actions with equal resources share an array.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resources {
    /// Threads (≥ 1).
    pub(crate) cpus: usize,
    /// Bytes; `None` leaves it to the cluster.
    pub(crate) memory: Option<u64>,
    pub(crate) gpus: usize,
    /// Seconds; `None` leaves it to the cluster.
    pub(crate) seconds: Option<u64>,
    /// A node that it must not run on.
    pub(crate) exclude: Option<String>,
}

/// Jobs to submit.
#[derive(Clone, Debug)]
pub(crate) struct Submission<'a> {
    /// The unique name, by which it can be found again.
    pub(crate) name: &'a str,
    /// The tasks of an array; `None` for a single job, which is task 0.
    pub(crate) tasks: Option<&'a [u32]>,
    pub(crate) resources: &'a Resources,
    /// The folder with one folder for each task.
    pub(crate) folder: &'a Path,
    /// The folder of logs: `NAME-TASK.log`.
    pub(crate) logs: &'a Path,
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// The id of the job or array.
    Accepted(String),
    /// The queue refuses such a job, with its reason.
    Refused(String),
    /// The program that submits jobs failed, perhaps for a reason that passes.
    Failed(String),
    /// Nobody knows whether it was accepted.
    Unknown(String),
}

/// How a job ended, as the queue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    Cancelled,
    /// Its time was over.
    Time,
    /// It had used more memory than it may.
    Memory,
    /// Its node failed, or it was never started on one.
    Node,
    /// Another job took its place.
    Preempted,
}

/// What a queue says of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It waits, for a reason.
    Pending(String),
    /// It runs, or is about to start or to end.
    Alive,
    /// It has ended.
    Ended(Ending),
}

/// A job in the answer of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What `cancel` takes.
    pub(crate) id: String,
    pub(crate) seen: Seen,
    /// The word of the queue, for people.
    pub(crate) word: String,
    /// Where it runs or ran.
    pub(crate) node: Option<String>,
}

/// Names of jobs, with their ids where these are known.
pub(crate) type Names = BTreeMap<String, Option<String>>;

/// Jobs by name and task.
pub(crate) type Rows = BTreeMap<(String, u32), Row>;

/// A queue. Its calls may block for as long as its programs may run.
pub(crate) trait Scheduler: Send {
    /// Submits jobs.
    fn submit(&self, submission: &Submission<'_>) -> Submitted;
    /// What became of jobs, as far as it still knows them, whoever submitted them. `asked`: their names, with the ids
    /// that were recorded.
    ///
    /// # Errors
    /// It did not answer, which says nothing of any job.
    fn poll(&self, asked: &Names) -> Result<Rows, String>;
    /// Cancels jobs. Those that have ended are no error.
    ///
    /// # Errors
    /// It did not answer.
    fn cancel(&self, ids: &[String]) -> Result<(), String>;
    /// Whether it finds jobs by their names alone, so that one whose submission had no answer is found.
    fn finds_names(&self) -> bool;
    /// The highest number of tasks of an array; 1 without arrays.
    fn max_array(&self) -> usize;
    /// The command line and the script of a submission, for people.
    fn shown(&self, submission: &Submission<'_>) -> String;
}
