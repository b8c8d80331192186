//! How a run is carried out: none of it changes a result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cluster::Cluster;
use super::machine::memory_limit;
use xpipe_base::value::ActionId;

/// Where heavy actions compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// On a GPU where `with` asks for one and one is free, else on the CPU.
    #[default]
    Auto,
    /// On the CPU; `gpu` and `vram` are ignored.
    Cpu,
    /// On a GPU; `gpu` and `vram` must be met.
    Cuda,
}

/// A GPU of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// The device number of the driver.
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
    /// Each as a job of a cluster's queue.
    Queue(Box<QueueOptions>),
}

/// How actions run on a cluster.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// The name of the cluster in the user's settings.
    pub name: String,
    /// The settings of the cluster.
    pub cluster: Cluster,
    /// The program that jobs run, as nodes see it.
    pub program: PathBuf,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Maximum number of threads of all actions together (≥ 1).
    pub threads: usize,
    /// Maximum memory of all actions together, in bytes.
    pub memory: u64,
    /// GPUs that may be used.
    pub gpus: Vec<Gpu>,
    /// Where heavy actions compute.
    pub device: Device,
    /// The kernels that models run on.
    pub kernels: xpipe_base::task::Kernels,
    /// Whether to stop at the first failure.
    pub fail_fast: bool,
    /// Actions to run although the store has their results.
    pub force: BTreeSet<ActionId>,
    /// Whether heavy actions run in processes of their own.
    pub heavy: Heavy,
    /// The file of a trace in Chrome's format.
    pub trace: Option<PathBuf>,
    /// Start ready actions in an order drawn from this seed, to test that the order changes no result.
    pub shuffle: Option<u64>,
    /// How many actions of a pool may run at once, by its name (`with { pool }`). Others: 1.
    pub pools: BTreeMap<String, usize>,
    /// Days after which `cache gc` may remove what only this run used. Default: no limit.
    pub keep_days: Option<u32>,
}

impl Options {
    /// Defaults for a number of threads: all memory of the machine, no GPU.
    pub fn new(threads: usize, heavy: Heavy) -> Self {
        Self {
            threads: threads.max(1),
            memory: memory_limit(),
            gpus: Vec::new(),
            device: Device::Auto,
            kernels: xpipe_base::task::Kernels::Auto,
            fail_fast: false,
            force: BTreeSet::new(),
            heavy,
            trace: None,
            shuffle: None,
            pools: BTreeMap::new(),
            keep_days: None,
        }
    }
}
