//! What comes in: actions as plain data, the one trait through which the engine reaches operations and inputs, and
//! options of the run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use xpipe_base::task::{Demands, Failure, ReadyFn, RunFn};
use xpipe_base::value::{ActionId, Digest, Input, Record, Value};

/// One action of a job.
#[derive(Clone, Debug)]
pub struct Action {
    /// The operation's full name.
    pub op: String,
    /// The operation's version.
    pub version: u32,
    /// Whether it runs in a worker process of its own.
    pub heavy: bool,
    /// The first cell that asks for it: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Other cells that ask for it; equal recipes run once.
    pub also: Vec<String>,
    /// Arguments after defaults; may hold [`Value::Artifact`], [`Value::Input`] and [`Value::Pending`].
    pub args: Record,
    /// The stage's `with` block. The engine reads `cpus`, `memory`, `gpu`, `vram`, `time` and `retries`.
    pub policy: Record,
    /// The actions whose results or numbers `args` names, see [`dependencies`].
    pub deps: Vec<ActionId>,
}

/// What to carry out.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// What the study is called in the store's history: the path of its root file.
    pub study: String,
    /// The actions; [`ActionId`] is the index. An action comes after those it depends on.
    pub actions: Vec<Action>,
    /// The actions whose results are asked for. Others run only when these depend on them.
    pub wanted: Vec<ActionId>,
}

impl Job {
    /// The action of a number.
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.0 as usize]
    }

    /// Which actions are wanted or needed by wanted ones, by index.
    pub fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.actions.len()];
        let mut stack = self.wanted.clone();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id.0 as usize], true) {
                stack.extend(&self.action(id).deps);
            }
        }
        needed
    }
}

/// The actions that arguments name, directly or in values that are not known yet; sorted, each once.
pub fn dependencies(args: &Record) -> Vec<ActionId> {
    let mut found = BTreeSet::new();
    fn visit(value: &Value, found: &mut BTreeSet<ActionId>) {
        value.walk(&mut |v| match v {
            Value::Artifact(id) => {
                found.insert(*id);
            }
            Value::Pending(p) => p.actions(&mut |id| {
                found.insert(id);
            }),
            _ => {}
        });
    }
    args.iter().for_each(|(_, v)| visit(v, &mut found));
    found.into_iter().collect()
}

/// Where an input lies.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is called in messages.
    pub label: String,
    /// Its content digest, when the runner knows it; the engine reads the content otherwise.
    pub digest: Option<Digest>,
    /// Which files of a folder are read, when the runner knows it: all others are no part of its content.
    pub parts: Option<Parts>,
}

/// What of a folder is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Files relative to it, with `/`.
    pub files: Vec<String>,
    /// How they are read, when that has changed since folders of this kind were first read: another content then.
    pub reading: Option<&'static str>,
}

/// How far finding an input may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Downloads are allowed: a run.
    Fetch,
    /// Only what is on this machine: a plan.
    Local,
}

/// How the engine reaches operations and inputs.
pub trait Runner: Sync {
    /// The implementation of an operation; `None` when this build has none.
    fn implementation(&self, op: &str) -> Option<RunFn>;
    /// Finds an input on this machine.
    ///
    /// # Errors
    /// When it is not there, or cannot be brought.
    fn find_input(&self, input: &Input, reach: Reach) -> Result<Found, Failure>;
    /// How an operation tells what it will need; `None` when it does not.
    fn demands(&self, op: &str) -> Option<Demands> {
        let _ = op;
        None
    }
    /// How an operation tells whether it can start on this machine; `None` when it always can.
    fn ready(&self, op: &str) -> Option<ReadyFn> {
        let _ = op;
        None
    }
}

/// Where heavy stages compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// On a GPU where a stage asks for one and there is one, else on the CPU.
    #[default]
    Auto,
    /// On the CPU; `gpu` and `vram` are passed over.
    Cpu,
    /// On a GPU; `gpu` and `vram` are conditions.
    Cuda,
}

/// A GPU of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number.
    pub id: u32,
    /// Its memory in bytes.
    pub memory: u64,
}

/// The program that runs heavy actions.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program, normally this one.
    pub program: PathBuf,
    /// Its arguments, normally `worker`.
    pub args: Vec<String>,
}

/// Where heavy actions run.
#[derive(Clone, Debug)]
pub enum Heavy {
    /// Each in a child process.
    Process(WorkerCommand),
    /// On threads of this process, as light ones do.
    Thread,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that all actions together may use, at least 1.
    pub threads: usize,
    /// Memory that all actions together may ask for, in bytes.
    pub memory: u64,
    /// GPUs that may be used.
    pub gpus: Vec<Gpu>,
    /// Where heavy stages compute.
    pub device: Device,
    /// The kernel level: `auto`, `portable`, `avx2`, `avx512`, `avx512_bf16`.
    pub kernels: String,
    /// Whether to stop at the first failure.
    pub fail_fast: bool,
    /// Actions to run again although they are cached.
    pub force: BTreeSet<ActionId>,
    /// Where heavy actions run.
    pub heavy: Heavy,
    /// Where to write a trace in Chrome's format.
    pub trace: Option<PathBuf>,
}

impl Options {
    /// Options for a number of threads: all memory that this process may have, no GPU, heavy actions as given.
    pub fn new(threads: usize, heavy: Heavy) -> Self {
        Self {
            threads: threads.max(1),
            memory: super::memory::limit(),
            gpus: Vec::new(),
            device: Device::Auto,
            kernels: "auto".into(),
            fail_fast: false,
            force: BTreeSet::new(),
            heavy,
            trace: None,
        }
    }
}
