//! The contract between the engine and operations: a spec goes in, files and an outcome come out, progress is reported
//! meanwhile. It is the same for operations on a thread and in a worker process.
//!
//! Must not know: the language, the graph, the cache.

mod action;
pub mod builtin;
mod caveat;
mod estimate;
mod folder;
mod kernels;
mod panics;
mod policy;
pub mod retry;
mod throttle;

use std::path::{Path, PathBuf};

pub use action::Action;
pub use caveat::{Caveat, CaveatKind, cause};
pub use estimate::{
    Estimate, EstimateRequest, Estimators, KnownValues, LlmRequests, LlmRequestsFn, Memory, MemoryFn, Work,
    WorkFn,
};
pub use folder::is_ignored;
pub use kernels::Kernels;
pub use panics::{Panic, caught};
pub use policy::{Policy, PolicyField, ReadBy};
pub use throttle::Throttle;

use serde::{Deserialize, Serialize};

use crate::value::{Budget, Call, Digest, Located, Record, Value};

/// An action to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The operation's full name.
    pub op: String,
    /// The operation's version.
    pub version: u32,
    /// The content key, hexadecimal.
    pub key: String,
    /// The first cell that requested it, for messages: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Arguments after defaults; inputs are [`Value::Located`], nothing is pending.
    pub args: Record,
    /// The stage's `with` block, which never changes a result.
    pub policy: Policy,
    /// An empty folder. Its content when the operation returns becomes the artifact.
    pub out: PathBuf,
    /// A folder of this attempt for other files. Created by the operation if it needs one, removed afterwards.
    #[serde(default)]
    pub temp: PathBuf,
    /// A log file for the output of external programs. Created and appended to by the operation if it needs one.
    #[serde(default)]
    pub log: PathBuf,
    /// A folder for checkpoints, kept between attempts at the same key. Used by one process at a time.
    pub scratch: PathBuf,
    /// A folder for answers of language models, shared by all actions of the cache. It may not exist yet.
    #[serde(default)]
    pub answers: PathBuf,
    /// Number of threads that the operation may use.
    pub threads: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The kernels that models run on.
    pub kernels: Kernels,
}

/// What an operation returns besides the files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The content digest, if it is not the digest of the files (an index has one of its logical content).
    pub digest: Option<Digest>,
    /// Numbers that the study may use: `ndcg_10` of an evaluation.
    pub values: indexmap::IndexMap<String, f64>,
    /// Facts for reports: documents and tokens processed, kernel level, points of curves.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The data or arguments are wrong. A retry fails in the same way.
    Wrong,
    /// Something is missing on this machine: a file, a device, memory, disk space. Exit code 4.
    Missing,
    /// A retry may succeed (network, a killed worker, a failed external program).
    Transient,
    /// The run was cancelled. A checkpoint is kept.
    Interrupted,
    /// A bug in xpipe. Exit code 70.
    Bug,
}

/// A failure as the user reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, which decides retries and exit codes.
    pub kind: FailureKind,
    /// What was found, where (file, line), and what was expected. A lowercase fragment.
    pub message: String,
    /// What the user can do.
    pub help: Option<String>,
}

impl Failure {
    /// Wrong data or arguments.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Wrong, message: message.into(), help: None }
    }

    /// Something this machine lacks.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Missing, message: message.into(), help: None }
    }

    /// The limit on threads is reached.
    pub fn no_threads(e: impl std::fmt::Display) -> Self {
        Self::missing(format!("no more threads can be started: {e}")).help(
            "raise the limit on processes and threads (`ulimit -u`, or `pids` of the container), or use fewer with \
             `--threads`",
        )
    }

    /// The run was cancelled.
    pub fn interrupted() -> Self {
        Self { kind: FailureKind::Interrupted, message: "interrupted".into(), help: None }
    }

    /// A bug in xpipe.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Bug, message: message.into(), help: None }
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        match e.kind() {
            K::StorageFull | K::QuotaExceeded => Self::missing(format!("the disk is full: {e}"))
                .help("free space and run again; finished results are kept"),
            K::FileTooLarge => Self::missing(format!("the file would exceed the file-size limit: {e}"))
                .help("raise the limit (`ulimit -f`), or write to a file system that allows larger files"),
            K::NotFound | K::PermissionDenied | K::NotADirectory | K::ReadOnlyFilesystem => {
                Self::missing(e.to_string())
            }
            _ => Self::wrong(e.to_string()),
        }
    }
}

/// The engine's side of an operation: receives reports, and says whether to stop.
pub trait Progress: Sync {
    /// `done` of `total` units are finished. `note` is a short text beside it, for instance `loss 0.31`.
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str);
    /// A message for the log of this run. It is not stored with the result.
    fn note(&self, text: &str);
    /// A caveat for readers of the result: stored with it, and logged like a note.
    fn caveat(&self, caveat: &Caveat) {
        self.note(&caveat.to_string());
    }
    /// Whether to stop soon and keep a checkpoint.
    fn cancelled(&self) -> bool;
}

/// Discards all reports and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// A running action: the spec, with typed access to its arguments.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The action.
    pub spec: &'a Spec,
    /// Receives reports.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.spec.address)
    }
}

/// The implementation of an operation.
pub type RunFn = fn(&Job<'_>) -> Result<Outcome, Failure>;

/// Checks from arguments and `with` block whether an operation can run on this machine.
pub type ReadyFn = fn(&Record, &Policy) -> Result<(), Failure>;

impl<'a> Job<'a> {
    /// The argument; [`Value::Null`] if it is absent.
    pub fn arg(&self, name: &str) -> &'a Value {
        self.spec.args.get(name).unwrap_or(&Value::Null)
    }

    /// Whether an optional argument was given.
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.arg(name), Value::Null)
    }

    /// An integer argument ≥ 0.
    ///
    /// # Errors
    /// [`FailureKind::Bug`] if it is something else, which the checker excludes.
    pub fn count(&self, name: &str) -> Result<usize, Failure> {
        self.arg(name).as_int().and_then(|i| usize::try_from(i).ok()).ok_or_else(|| self.off(name, "a count"))
    }

    /// A numeric argument.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        self.arg(name).as_f64().ok_or_else(|| self.off(name, "a number"))
    }

    /// A string argument.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.arg(name).as_str().ok_or_else(|| self.off(name, "text"))
    }

    /// The argument `seed`.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn seed(&self) -> Result<u64, Failure> {
        self.arg("seed").as_int().map(|i| i as u64).ok_or_else(|| self.off("seed", "a seed"))
    }

    /// An argument that is a resolved input or result.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn located(&self, name: &str) -> Result<&'a Located, Failure> {
        located(self.arg(name)).ok_or_else(|| self.off(name, "a file or a result"))
    }

    /// The path of an argument that is a resolved input or result.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn path(&self, name: &str) -> Result<&'a Path, Failure> {
        Ok(&self.located(name)?.path)
    }

    /// An argument that is a constructor call.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn call(&self, name: &str) -> Result<&'a Call, Failure> {
        self.arg(name).as_call().ok_or_else(|| self.off(name, "a constructor call"))
    }

    /// An argument that is a training budget.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn budget(&self, name: &str) -> Result<Budget, Failure> {
        if let Value::Budget(b) = self.arg(name) { Ok(*b) } else { Err(self.off(name, "a budget")) }
    }

    /// Fails if the run was cancelled.
    ///
    /// # Errors
    /// [`FailureKind::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), Failure> {
        if self.progress.cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
    }

    fn off(&self, name: &str, expected: &str) -> Failure {
        Failure::bug(format!("{}: argument `{name}` is not {expected}: {:?}", self.spec.op, self.arg(name)))
    }
}

/// The resolved input or result in a value.
pub fn located(value: &Value) -> Option<&Located> {
    if let Value::Located(l) = value { Some(l) } else { None }
}
