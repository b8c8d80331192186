//! Submitting: what waits is put into arrays of equal resources; first the files, then the claims, then the queue is
//! asked, then its id is recorded. After any doubt the job is looked up by its name before it is submitted again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Batch, Driver};
use crate::messages::End;
use crate::options::Device;
use crate::pools::gpus_asked;
use crate::queue::claims::Claim;
use crate::queue::decision::{Again, Job};
use crate::queue::files::AttemptFolder;
use crate::queue::item::Live;
use crate::queue::run_files::record_id;
use crate::queue::scheduler::{Resources, Submission, Submitted};
use crate::queue::spec::{AttemptSpec, ReadResult, TOOL};
use xpipe_base::task::{Failure, Policy};
use xpipe_base::value::{ActionId, human};

/// What the programs of a queue say, without their names, in one line.
pub(in crate::queue) fn one_line(text: &str) -> String {
    let bare = |line: &str| line.trim().rsplit(": error: ").next().unwrap_or_default().to_owned();
    text.lines().map(bare).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// So many failures of the program that submits, one after another, count as a refusal.
const FAILED: u32 = 5;
/// So many submissions without a clear answer are made to a queue that finds no jobs by their names.
const UNKNOWN: u32 = 2;

/// Between two submissions of a job for which the queue gave no clear answer.
fn back_off(doubts: u32, poll: Duration) -> Duration {
    let first = poll.min(Duration::from_secs(5));
    (first * (1 << doubts.saturating_sub(1).min(10))).min(Duration::from_secs(120))
}

impl Driver<'_> {
    /// Submits what waits, as far as there may be more jobs in the queue.
    pub(super) fn submit_ready(&mut self) {
        let counted: usize =
            self.items.values().filter_map(|i| Some(1 + i.live.as_ref()?.helpers.len())).sum();
        let waiting = self.may_start();
        let cluster = &self.options.cluster;
        let mut room = cluster.max_jobs.saturating_sub(counted);
        // A few places that became free are not worth a submission of their own, for a while.
        let recent = self.submitted.is_some_and(|at| at.elapsed() < cluster.poll);
        if recent && room < waiting.len() && room < cluster.max_jobs / 4 {
            return;
        }
        let mut groups: BTreeMap<Resources, Vec<ActionId>> = BTreeMap::new();
        for id in waiting {
            // The first one that does not fit waits until it does, so that smaller ones do not keep it out.
            let Some(left) = room.checked_sub(self.jobs(id) as usize) else { break };
            room = left;
            let resources =
                self.items[&id].resources(self.context.job.action(id), cluster, self.context.options);
            groups.entry(resources).or_default().push(id);
        }
        for (resources, ids) in groups {
            let mut rest = ids.as_slice();
            while !rest.is_empty() {
                let mut tasks = 0;
                let fits = |id: &&ActionId| {
                    tasks += self.jobs(**id) as usize;
                    tasks <= self.scheduler.max_array().max(1)
                };
                let (some, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
                rest = others;
                self.submit(some, &resources);
            }
        }
    }

    /// The actions that wait to be submitted, in their order, without those whose pool is full.
    fn may_start(&self) -> Vec<ActionId> {
        let options = self.context.options;
        let pool = |id: &ActionId| self.context.job.action(*id).policy.pool.as_deref();
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.items.iter().filter(|(_, i)| i.live.is_some()).filter_map(|(id, _)| pool(id)) {
            *taken.entry(name).or_default() += 1;
        }
        let mut has_place = |id: &ActionId| {
            let Some(name) = pool(id) else { return true };
            let (taken, most) =
                (taken.entry(name).or_default(), options.pools.get(name).copied().unwrap_or(1));
            let free = *taken < most;
            *taken += usize::from(free);
            free
        };
        let waiting = self.items.iter().filter(|(_, i)| i.live.is_none()).map(|(id, _)| *id);
        waiting.filter(|id| has_place(id)).collect()
    }

    /// How many jobs share an action.
    fn jobs(&self, id: ActionId) -> u32 {
        let jobs = self.context.job.action(id).policy.jobs.unwrap_or(1).max(1);
        let most = self.scheduler.max_array().min(self.options.cluster.max_jobs);
        u32::try_from(jobs.min(most)).unwrap_or(1).max(1)
    }

    /// Says when fewer jobs share an action than its stage asks for.
    fn tell_fewer(&self, id: ActionId) {
        let (asked, jobs) = (self.context.job.action(id).policy.jobs.unwrap_or(1), self.jobs(id));
        if asked > jobs as usize {
            let most = match self.scheduler.max_array() {
                1 => "a queue that is reached by commands has no arrays",
                _ => "`max_array` and `max_jobs` of the cluster allow no more",
            };
            self.say(Some(id), format!("`jobs = {asked}`, and {jobs} of them compute it: {most}"));
        }
    }

    /// A new name for a job: of a stage where all are of one, unique by run and number.
    fn name(&mut self, ids: &[ActionId]) -> String {
        let stage = |id: &ActionId| {
            let address = &self.context.job.action(*id).address;
            let head: String =
                address.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            head.chars().take(40).collect::<String>()
        };
        let mut stages: Vec<String> = ids.iter().map(stage).collect();
        stages.dedup();
        let label = match stages.as_slice() {
            [one] if !one.is_empty() => one.as_str(),
            _ => "stages",
        };
        self.submissions += 1;
        format!("xpipe-{label}-{}-{}", self.run.id, self.submissions)
    }

    /// Submits actions of equal resources as one job or array.
    fn submit(&mut self, ids: &[ActionId], resources: &Resources) {
        let name = self.name(ids);
        let folder = self.run.path.join("jobs").join(&name);
        let batch = Batch {
            folder: folder.clone(),
            resources: resources.clone(),
            array: ids.len() > 1 || self.jobs(ids[0]) > 1,
            id: None,
            doubts: 0,
            unknown: 0,
            failures: 0,
            not_before: Instant::now(),
            foreign: None,
            live: 0,
        };
        self.batches.insert(name.clone(), batch);
        let mut task = 0;
        for id in ids {
            let first = task;
            task += self.jobs(*id);
            if let Err(e) = self.prepare(*id, &name, first..task, resources) {
                let failure =
                    Failure::missing(format!("its job cannot be prepared in {}: {e}", folder.display()));
                self.finish(*id, End::Failed(failure.help("check the disk of the cache"), true));
            }
        }
        if self.batches.get(&name).is_none_or(|b| b.live == 0) {
            self.batches.remove(&name);
            return;
        }
        for id in ids {
            self.tell_fewer(*id);
        }
        if let Err(e) = self.claims.sync() {
            self.say(None, format!("claims of jobs are not safe from a power failure: {e}"));
        }
        self.send(&name);
    }

    /// Writes the files of an attempt and claims it. When another run was first, its job is taken over.
    fn prepare(
        &mut self,
        id: ActionId,
        name: &str,
        tasks: Range<u32>,
        resources: &Resources,
    ) -> std::io::Result<()> {
        let Some(item) = self.items.get(&id) else { return Ok(()) };
        let (key, forced) = (item.assignment.prepared.key, item.assignment.forced);
        let task = tasks.start;
        let mut claim = Claim { run: self.run.id.clone(), name: name.to_owned(), task, attempt: item.next };
        let submission = self.run.path.join("jobs").join(name);
        for task in tasks.clone() {
            let log = self.run.path.join("logs").join(format!("{name}-{task}.log"));
            let spec = self.spec(id, claim.attempt, resources, log);
            AttemptFolder::create(submission.join(task.to_string()), &spec)?;
        }
        let folder = AttemptFolder { path: submission.join(task.to_string()) };
        loop {
            match self.claims.make(&key, &claim) {
                Ok(()) => break,
                Err(Err(e)) => return Err(e),
                // Wanted anew, whatever another run does.
                Err(Ok(_)) if forced => claim.attempt += 1,
                Err(Ok(other)) if other.run == claim.run => claim.attempt += 1,
                Err(Ok(other)) => {
                    self.adopt(id, &other);
                    return Ok(());
                }
            }
        }
        if let Some(item) = self.items.get_mut(&id) {
            let live = Live::new(claim.attempt, folder, name.to_owned(), task);
            item.live = Some(Live { helpers: tasks.skip(1).collect(), ..live });
        }
        if let Some(batch) = self.batches.get_mut(name) {
            batch.live += 1;
        }
        Ok(())
    }

    /// What the job of an action is told.
    fn spec(&self, id: ActionId, attempt: u32, resources: &Resources, log: PathBuf) -> AttemptSpec {
        let (action, options) = (self.context.job.action(id), self.context.options);
        let assignment = &self.items[&id].assignment;
        let read = |(read, manifest): &(ActionId, std::sync::Arc<crate::cache::Manifest>)| ReadResult {
            key: manifest.key,
            digest: manifest.digest,
            label: self.context.job.action(*read).address.clone(),
        };
        AttemptSpec {
            tool: TOOL.to_owned(),
            cache: self.context.store.root().to_owned(),
            study: self.context.job.study.clone(),
            address: action.address.clone(),
            key: assignment.prepared.key,
            op: action.op.to_owned(),
            version: action.version,
            args: assignment.prepared.recipe.args.clone(),
            policy: Policy { jobs: Some(self.jobs(id) as usize), ..action.policy.clone() },
            attempt,
            forced: assignment.forced,
            threads: resources.cpus,
            gpu: gpus_asked(action, options.device) > 0,
            gpu_required: options.device == Device::Cuda,
            kernels: options.kernels,
            seconds: action.policy.time.filter(|s| *s > 0.0).or(self.options.cluster.time),
            log,
            notes: assignment.prepared.notes.clone(),
            inputs: assignment.prepared.inputs.iter().map(|seen| seen.expected()).collect(),
            reads: assignment.reads.iter().map(read).collect(),
            verify_always: self.context.store.verifies_always(),
            patience: self.options.cluster.grace.as_secs_f64(),
        }
    }

    /// Asks the queue to take a batch: those of its tasks that are under way.
    pub(super) fn send(&mut self, name: &str) {
        let Some(batch) = self.batches.get(name) else { return };
        let mut tasks = Vec::new();
        let mut ids = Vec::new();
        for (id, item) in &mut self.items {
            if let Some(live) = item.live.as_mut().filter(|l| l.name == name) {
                // What was seen before says nothing of the new job.
                (live.job, live.over_since) = (Job::NoAnswer, None);
                tasks.push(live.task);
                tasks.extend(&live.helpers);
                ids.push(*id);
            }
        }
        tasks.sort_unstable();
        let logs = self.run.path.join("logs");
        // Without this folder a job fails and leaves nothing anywhere.
        let _ = std::fs::create_dir_all(&logs);
        let submission = Submission {
            name,
            tasks: batch.array.then_some(tasks.as_slice()),
            resources: &batch.resources,
            folder: &batch.folder,
            logs: &logs,
        };
        let answer = self.scheduler.submit(&submission);
        self.clock.hurry();
        self.submitted = Some(Instant::now());
        self.answered(name, &ids, answer);
    }

    /// Acts on the answer to a submission of actions.
    fn answered(&mut self, name: &str, ids: &[ActionId], answer: Submitted) {
        let Some(batch) = self.batches.get(name) else { return };
        let node = batch.resources.exclude.clone();
        match answer {
            Submitted::Accepted(job) => {
                self.record(name, &job);
                let stages = human::counted(ids.len() as u64, "actions");
                self.say(None, format!("submitted job {job} ({name}) with {stages}"));
            }
            Submitted::Refused(why) => self.refused(name, ids, node, &one_line(&why)),
            Submitted::Failed(why) => {
                let failures = batch.failures + 1;
                let (known, why) = (batch.unknown == 0 || self.scheduler.finds_names(), one_line(&why));
                if let Some(batch) = self.batches.get_mut(name) {
                    batch.failures = failures;
                }
                match failures >= FAILED {
                    false => self.doubt(name, &why),
                    // It was looked up by its name before each submission.
                    true if known => self.refused(name, ids, node, &why),
                    true => self.unanswered(ids, name, &why),
                }
            }
            Submitted::Unknown(why) => {
                let unknown = batch.unknown + 1;
                if let Some(batch) = self.batches.get_mut(name) {
                    (batch.unknown, batch.failures) = (unknown, 0);
                }
                if unknown >= UNKNOWN && !self.scheduler.finds_names() {
                    self.unanswered(ids, name, &one_line(&why));
                } else {
                    self.doubt(name, &one_line(&why));
                }
            }
        }
    }

    /// A queue that finds no names gave no clear answer again and again: another submission may be another job.
    fn unanswered(&mut self, ids: &[ActionId], name: &str, why: &str) {
        let failure = Failure::missing(format!(
            "`submit` gave no clear answer ({why}): {name} may be in the queue"
        ))
        .help(
            "look for it there and cancel it, then run again; `submit` must answer, with the id of the job",
        );
        for id in ids {
            self.fail(*id, failure.clone());
        }
    }

    /// The queue takes no such job. Perhaps because no node is left but the one that is excluded.
    fn refused(&mut self, name: &str, ids: &[ActionId], excluded: Option<String>, why: &str) {
        if let Some(node) = excluded {
            self.say(
                None,
                format!("the queue refuses {name} without {node} ({why}); it may run there again"),
            );
            for id in ids {
                if let Some(item) = self.items.get_mut(id) {
                    item.exclude = None;
                }
                self.again(*id, Again::Outside, None);
            }
            return;
        }
        let failure = Failure::missing(format!("the queue refuses its job: {why}"))
            .help("change the cluster's settings, or the stage's `with`; `run --dry-run` prints the command");
        for id in ids {
            self.fail(*id, failure.clone());
        }
    }

    /// Nobody knows whether the queue has taken a batch.
    fn doubt(&mut self, name: &str, why: &str) {
        if let Some(batch) = self.batches.get_mut(name) {
            batch.doubts += 1;
            batch.not_before = Instant::now() + back_off(batch.doubts, self.options.cluster.poll);
        }
        let how = match self.scheduler.finds_names() {
            true => "it is looked up by its name",
            false => "it is submitted again, unless its files say that it has begun",
        };
        self.say(None, format!("no clear answer to the submission of {name} ({why}); {how}"));
    }

    /// Records the id of a batch.
    pub(super) fn record(&mut self, name: &str, id: &str) {
        let Some(batch) = self.batches.get_mut(name) else { return };
        batch.id = Some(id.to_owned());
        if batch.foreign.is_none() {
            record_id(&batch.folder, id);
        }
    }
}
