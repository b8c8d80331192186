//! The contract between the engine and an operation: a spec goes in, files and an outcome come out, and progress
//! is reported between. Nothing else passes, whether the operation runs on a thread or in a worker process.
//!
//! Must not know: the language, the graph, the cache.

mod action;
pub mod builtin;
mod caveat;
mod demand;
mod folder;
mod kernels;
mod panics;
mod policy;

use std::path::{Path, PathBuf};

pub use action::Action;
pub use caveat::{Caveat, CaveatKind, cause};
pub use demand::{Ask, Asked, AskedFn, Demands, Known, Memory, MemoryFn, Told, Work, WorkFn};
pub use folder::passed_over;
pub use kernels::Kernels;
pub use panics::{Panic, caught};
pub use policy::{Policy, PolicyField, ReadBy};

use serde::{Deserialize, Serialize};

use crate::value::{Budget, Call, Digest, Located, Record, Value};

/// One action to carry out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The operation's full name.
    pub op: String,
    /// The operation's version.
    pub version: u32,
    /// The content key, hexadecimal.
    pub key: String,
    /// The first cell that asked for it, for messages: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Arguments after defaults; inputs are [`Value::Located`], nothing is pending.
    pub args: Record,
    /// The stage's `with` block: never changes a result.
    pub policy: Policy,
    /// An empty folder; what is in it when the operation returns becomes the artifact.
    pub out: PathBuf,
    /// A folder that this attempt alone uses, for what is not a result. Made by whoever needs it, removed afterwards.
    #[serde(default)]
    pub temp: PathBuf,
    /// A file for what programs say that the operation starts; appended to, and made by whoever needs it.
    #[serde(default)]
    pub log: PathBuf,
    /// A folder kept between attempts at the same key, for checkpoints. One process at a time works in it.
    pub scratch: PathBuf,
    /// A folder that all actions of this cache share, for answers that were paid for; it may not be there yet.
    #[serde(default)]
    pub answers: PathBuf,
    /// Threads the operation may use.
    pub threads: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The kernels that models run on.
    pub kernels: Kernels,
}

/// What an operation says about its result besides the files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The content digest when it is not the digest of the files (an index by its logical content).
    pub digest: Option<Digest>,
    /// Numbers that the study may use: `ndcg_10` of an evaluation.
    pub values: indexmap::IndexMap<String, f64>,
    /// Facts for people: documents and tokens seen, kernel level, curve points.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The data or arguments are wrong; trying again gives the same.
    Wrong,
    /// Something is missing on this machine: a file, a device, memory, disk space. Exit code 4.
    Missing,
    /// May go well another time (network, a killed worker, an external program that failed).
    Transient,
    /// Asked to stop; a checkpoint is kept.
    Interrupted,
    /// A defect of xpipe. Exit code 70.
    Bug,
}

/// A failure as the user reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, which decides retries and exit codes.
    pub kind: FailureKind,
    /// What was found, where (file, line), and what was expected; a lowercase fragment.
    pub message: String,
    /// What to do.
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

    /// No more threads can be started.
    pub fn no_threads(e: impl std::fmt::Display) -> Self {
        Self::missing(format!("no more threads can be started: {e}")).help(
            "raise the limit of processes and threads (`ulimit -u`, or `pids` of the container), or take fewer with \
             `--threads`",
        )
    }

    /// Asked to stop.
    pub fn interrupted() -> Self {
        Self { kind: FailureKind::Interrupted, message: "interrupted".into(), help: None }
    }

    /// A defect of xpipe.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Bug, message: message.into(), help: None }
    }

    /// The same with advice.
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
                .help("free space and run again; nothing was lost"),
            K::FileTooLarge => Self::missing(format!("the file would be larger than files may be: {e}"))
                .help("raise the limit (`ulimit -f`), or write where larger files may be"),
            K::NotFound | K::PermissionDenied | K::NotADirectory | K::ReadOnlyFilesystem => {
                Self::missing(e.to_string())
            }
            _ => Self::wrong(e.to_string()),
        }
    }
}

/// Where an operation reports to, and asks whether to stop.
pub trait Progress: Sync {
    /// `done` of `total` units; `note` is a short word beside it, for instance `loss 0.31`.
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str);
    /// A sentence for the log of this run; it is not kept.
    fn note(&self, text: &str);
    /// What a reader of the result has to know: kept with the result, and told in this run like a note.
    fn caveat(&self, caveat: &Caveat) {
        self.note(&caveat.to_string());
    }
    /// Whether to stop soon, keeping a checkpoint.
    fn cancelled(&self) -> bool;
}

/// A progress that reports nowhere and is never cancelled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// An action being carried out: the spec, with typed access to its arguments.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What to do.
    pub spec: &'a Spec,
    /// Where to report.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.spec.address)
    }
}

/// What an operation is: a function from a job to an outcome.
pub type RunFn = fn(&Job<'_>) -> Result<Outcome, Failure>;

/// Whether an operation can start on this machine, told from its arguments and its `with` block.
pub type ReadyFn = fn(&Record, &Policy) -> Result<(), Failure>;

impl<'a> Job<'a> {
    /// The argument, [`Value::Null`] when it is not there.
    pub fn arg(&self, name: &str) -> &'a Value {
        self.spec.args.get(name).unwrap_or(&Value::Null)
    }

    /// Whether an optional argument was given.
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.arg(name), Value::Null)
    }

    /// A whole number ≥ 0.
    ///
    /// # Errors
    /// [`FailureKind::Bug`]: the checker lets nothing else pass.
    pub fn count(&self, name: &str) -> Result<usize, Failure> {
        self.arg(name).as_int().and_then(|i| usize::try_from(i).ok()).ok_or_else(|| self.off(name, "a count"))
    }

    /// A number.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        self.arg(name).as_f64().ok_or_else(|| self.off(name, "a number"))
    }

    /// Text or a word.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn text(&self, name: &str) -> Result<&'a str, Failure> {
        self.arg(name).as_str().ok_or_else(|| self.off(name, "text"))
    }

    /// The seed.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn seed(&self) -> Result<u64, Failure> {
        self.arg("seed").as_int().map(|i| i as u64).ok_or_else(|| self.off("seed", "a seed"))
    }

    /// A found input or result.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn located(&self, name: &str) -> Result<&'a Located, Failure> {
        located(self.arg(name)).ok_or_else(|| self.off(name, "a file or a result"))
    }

    /// The path of a found input or result.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn path(&self, name: &str) -> Result<&'a Path, Failure> {
        Ok(&self.located(name)?.path)
    }

    /// A constructor call.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn call(&self, name: &str) -> Result<&'a Call, Failure> {
        self.arg(name).as_call().ok_or_else(|| self.off(name, "a constructor call"))
    }

    /// A training budget.
    ///
    /// # Errors
    /// [`FailureKind::Bug`], as above.
    pub fn budget(&self, name: &str) -> Result<Budget, Failure> {
        if let Value::Budget(b) = self.arg(name) { Ok(*b) } else { Err(self.off(name, "a budget")) }
    }

    /// Fails with [`FailureKind::Interrupted`] when a stop was asked for.
    ///
    /// # Errors
    /// The interruption.
    pub fn check_cancelled(&self) -> Result<(), Failure> {
        if self.progress.cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
    }

    fn off(&self, name: &str, expected: &str) -> Failure {
        Failure::bug(format!("{}: argument `{name}` is not {expected}: {:?}", self.spec.op, self.arg(name)))
    }
}

/// The located input or result in a value.
pub fn located(value: &Value) -> Option<&Located> {
    if let Value::Located(l) = value { Some(l) } else { None }
}
