//! An action that was handed to a queue, and the attempt at it that is under way.

use std::time::Instant;

use super::decision::{Again, CancelledBy, Job, Tries};
use super::files::{AttemptFolder, Tail};
use super::scheduler::Resources;
use super::spec::AttemptSpec;
use crate::cluster::Cluster;
use crate::execute::Assignment;
use crate::options::Options;
use crate::pools::gpus_asked;
use xpipe_base::task::Action;
use xpipe_base::value::Digest;

const MIB: u64 = 1 << 20;

/// An action of a queue.
pub(super) struct Item {
    pub(super) assignment: Assignment,
    pub(super) begun: Instant,
    pub(super) tries: Tries,
    /// The last node that failed under it, which the next job avoids.
    pub(super) exclude: Option<String>,
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
    /// The id of the job or array.
    pub(super) id: Option<String>,
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
    /// The most units of work that its progress or one of its reports told.
    pub(super) reached: u64,
    pub(super) cancelled: Option<CancelledBy>,
    /// Tasks of the same submission that share the action. They only help: nothing follows from what becomes of them.
    pub(super) helpers: Vec<u32>,
}

impl Live {
    pub(super) fn new(attempt: u32, folder: AttemptFolder, name: String, task: u32) -> Self {
        Self {
            attempt,
            folder,
            name,
            task,
            job: Job::NoAnswer,
            over_since: None,
            told_start: false,
            tail: Tail::default(),
            reached: 0,
            cancelled: None,
            helpers: Vec::new(),
        }
    }

    /// With the tasks after it that share its action, as the files of their submission tell.
    pub(super) fn with_helpers(self, key: &Digest) -> Self {
        let shares = |folder: AttemptFolder| {
            let spec = folder.spec::<AttemptSpec>().ok();
            spec.is_some_and(|spec| spec.key == *key && spec.policy.jobs.is_some_and(|n| n > 1))
        };
        let helpers = match shares(self.folder.clone()) {
            true => (self.task + 1..).take_while(|task| shares(self.folder_of(*task))).collect(),
            false => Vec::new(),
        };
        Self { helpers, ..self }
    }

    /// Its task, and those that share the action.
    pub(super) fn tasks(&self) -> impl Iterator<Item = u32> + '_ {
        std::iter::once(self.task).chain(self.helpers.iter().copied())
    }

    /// The folder of a task of the same submission.
    pub(super) fn folder_of(&self, task: u32) -> AttemptFolder {
        AttemptFolder { path: self.folder.path.with_file_name(task.to_string()) }
    }
}

impl Item {
    pub(super) fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            begun: Instant::now(),
            tries: Tries::default(),
            exclude: None,
            reached: 0,
            next: 1,
            earlier: Vec::new(),
            live: None,
        }
    }

    /// Prepares for another attempt. `node` is where the last one was, `id` the job or array.
    pub(super) fn again(&mut self, again: Again, node: Option<String>, id: Option<&str>) {
        match again {
            Again::Lost { node_failed } => {
                self.tries.lost += 1;
                self.exclude = node.filter(|_| node_failed).or(self.exclude.take());
            }
            Again::MoreMemory => self.tries.memory += 1,
            Again::Failed => self.tries.failed += 1,
            Again::Resume | Again::Outside => {}
        }
        if let Some(live) = self.live.take() {
            self.put_aside(&live, id);
        }
    }

    /// Makes an attempt an earlier one, with the jobs that share it.
    pub(super) fn put_aside(&mut self, live: &Live, id: Option<&str>) {
        self.reached = self.reached.max(live.reached);
        self.next = self.next.max(live.attempt + 1);
        for task in live.tasks() {
            let (name, id) = (live.name.clone(), id.map(str::to_owned));
            self.earlier.push(Earlier { name, id, task, folder: live.folder_of(task) });
        }
    }

    /// What a job for it asks for.
    pub(super) fn resources(&self, action: &Action, cluster: &Cluster, options: &Options) -> Resources {
        let first = resources(action, self.assignment.memory, cluster, options);
        let factor = cluster.memory_factor.powi(i32::try_from(self.tries.memory).unwrap_or(i32::MAX));
        Resources {
            memory: first.memory.map(|bytes| (bytes as f64 * factor) as u64),
            exclude: self.exclude.clone(),
            ..first
        }
    }
}

/// What the first job for an action asks for. `estimated`: bytes of memory, 0 when unknown.
pub(super) fn resources(action: &Action, estimated: u64, cluster: &Cluster, options: &Options) -> Resources {
    let policy = &action.policy;
    let gpus = gpus_asked(action, options.device);
    // Estimates count the large buffers of a computation on the CPU.
    let estimated = Some(estimated).filter(|n| *n > 0 && gpus == 0).map(|n| n + n / 2 + 512 * MIB);
    Resources {
        cpus: policy.cpus.unwrap_or(cluster.cpus).max(1),
        memory: policy.memory.or(estimated).or(cluster.memory),
        gpus,
        seconds: policy.time.filter(|s| *s > 0.0).or(cluster.time).map(|s| s.min(1e9).ceil() as u64),
        exclude: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Heavy;
    use crate::options::Device;
    use xpipe_base::task::Policy;
    use xpipe_base::value::Record;

    #[test]
    fn a_heavy_stage_asks_for_a_gpu_where_gpus_are_demanded() {
        let asked = |device, heavy, policy: Policy| {
            let action = Action {
                op: "op",
                version: 1,
                heavy,
                address: "a".into(),
                also: vec![],
                args: Record::default(),
                policy,
                deps: vec![],
            };
            let options = Options { device, ..Options::new(1, Heavy::Thread) };
            resources(&action, 0, &Cluster::default(), &options).gpus
        };
        let two = || Policy { gpu: Some(2), ..Policy::default() };
        assert_eq!(asked(Device::Cuda, true, Policy::default()), 1);
        assert_eq!(asked(Device::Cuda, false, Policy::default()), 0);
        assert_eq!(asked(Device::Cuda, true, two()), 2);
        assert_eq!(asked(Device::Auto, true, Policy::default()), 0);
        assert_eq!(asked(Device::Auto, true, two()), 2);
        assert_eq!(asked(Device::Cpu, true, two()), 0);
    }
}
