//! An action that was handed to a queue, and the attempt at it that is under way.

use std::collections::BTreeSet;
use std::time::Instant;

use super::decision::{Again, CancelledBy, Job, Tries};
use super::files::{AttemptFolder, Tail};
use super::scheduler::Resources;
use crate::cluster::Cluster;
use crate::execute::Assignment;
use crate::options::{Device, Options};
use xpipe_base::task::Policy;

const MIB: u64 = 1 << 20;

/// An action of a queue.
pub(super) struct Item {
    pub(super) assignment: Assignment,
    pub(super) begun: Instant,
    pub(super) tries: Tries,
    /// Nodes that failed under it.
    pub(super) exclude: BTreeSet<String>,
    /// The most units of work that an attempt has done.
    pub(super) reached: u64,
    /// The number of the next attempt.
    pub(super) next: u32,
    /// Jobs of earlier attempts, which may still be alive somewhere.
    pub(super) earlier: Vec<Earlier>,
    /// The attempt that is under way; `None` while it waits to be submitted.
    pub(super) live: Option<Live>,
}

/// An attempt before the one that is under way.
pub(super) struct Earlier {
    pub(super) name: String,
    pub(super) task: u32,
    pub(super) folder: AttemptFolder,
}

/// An attempt that was submitted, or is about to be.
pub(super) struct Live {
    pub(super) attempt: u32,
    pub(super) folder: AttemptFolder,
    /// The name of the job or array.
    pub(super) name: String,
    pub(super) task: u32,
    pub(super) job: Job,
    /// Since when the job has ended or is not listed.
    pub(super) over_since: Option<Instant>,
    pub(super) told_start: bool,
    pub(super) tail: Tail,
    pub(super) cancelled: Option<CancelledBy>,
    /// Tasks of the same submission that share the action. They only help: nothing follows from what becomes of them.
    pub(super) helpers: Vec<u32>,
}

impl Item {
    pub(super) fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            begun: Instant::now(),
            tries: Tries::default(),
            exclude: BTreeSet::new(),
            reached: 0,
            next: 1,
            earlier: Vec::new(),
            live: None,
        }
    }

    /// Prepares for another attempt. `node` is where the last one was.
    pub(super) fn again(&mut self, again: Again, node: Option<String>) {
        match again {
            Again::Lost { node_failed } => {
                self.tries.lost += 1;
                self.exclude.extend(node.filter(|_| node_failed));
            }
            Again::MoreMemory => self.tries.memory += 1,
            Again::Failed => self.tries.failed += 1,
            Again::Resume | Again::Outside => {}
        }
        if let Some(live) = self.live.take() {
            self.reached = self.reached.max(live.tail.reached);
            self.next = self.next.max(live.attempt + 1);
            self.earlier.push(Earlier { name: live.name, task: live.task, folder: live.folder });
        }
    }

    /// What a job for it asks for.
    pub(super) fn resources(&self, policy: &Policy, cluster: &Cluster, options: &Options) -> Resources {
        let first = resources(policy, self.assignment.memory, cluster, options);
        let factor = cluster.memory_factor.powi(i32::try_from(self.tries.memory).unwrap_or(i32::MAX));
        Resources {
            memory: first.memory.map(|bytes| (bytes as f64 * factor) as u64),
            exclude: self.exclude.clone(),
            ..first
        }
    }
}

/// What the first job for an action asks for. `estimated`: bytes of memory, 0 when unknown.
pub(super) fn resources(policy: &Policy, estimated: u64, cluster: &Cluster, options: &Options) -> Resources {
    let gpus = gpus(policy, options);
    // Estimates count the large buffers of a computation on the CPU.
    let estimated = Some(estimated).filter(|n| *n > 0 && gpus == 0).map(|n| n + n / 2 + 512 * MIB);
    Resources {
        cpus: policy.cpus.unwrap_or(cluster.cpus).max(1),
        memory: policy.memory.or(estimated).or(cluster.memory),
        gpus,
        seconds: policy.time.filter(|s| *s > 0.0).or(cluster.time).map(|s| s.min(1e9).ceil() as u64),
        exclude: BTreeSet::new(),
    }
}

/// How many GPUs an action asks for.
pub(super) fn gpus(policy: &Policy, options: &Options) -> usize {
    match options.device {
        Device::Cpu => 0,
        Device::Auto | Device::Cuda => policy.gpu.unwrap_or(usize::from(policy.vram.is_some())),
    }
}
