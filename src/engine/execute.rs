//! Where an action is carried out: on a thread of this process, in a worker process, or elsewhere ([`crate::queue`]). An
//! executor sends messages to the coordinator and changes nothing of its state.
//!
//! The two executors of this machine give every action a thread of its own: the lock of its key, the results that it
//! reads, attempts and publication.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::attempt::{Attempt, Attempted, Carried, OTHER_CONTENT, written};
use super::call::{call, caught};
use super::child::{GRACE, Watch, out_of_time, run_worker};
use super::context::RunContext;
use super::messages::{End, Message};
use super::options::WorkerCommand;
use super::pools::Grant;
use super::recipes::Prepared;
use crate::cache::{Error, Manifest, Miss, WatchedReads};
use xpipe_base::task::retry::{Retry, wait_until};
use xpipe_base::task::{Action, Caveat, Failure, FailureKind, Job, Policy, Progress, Spec, Throttle};
use xpipe_base::value::ActionId;

/// An action to carry out, with everything that was found for it.
pub(crate) struct Assignment {
    pub(crate) id: ActionId,
    pub(crate) prepared: Arc<Prepared>,
    /// The results it reads.
    pub(crate) reads: Vec<(ActionId, Arc<Manifest>)>,
    /// Whether it runs although the store has its result.
    pub(crate) forced: bool,
    /// What it holds of this machine.
    pub(crate) grant: Grant,
    /// Estimated or declared memory in bytes, 0 when unknown.
    pub(crate) memory: u64,
    /// Its log on this machine.
    pub(crate) log: PathBuf,
}

/// Where actions are carried out.
pub(crate) trait Executor {
    /// Whether its actions take threads and memory of this machine.
    fn is_here(&self) -> bool;
    /// Begins an action. What becomes of it comes as messages, [`Message::Ended`] last.
    ///
    /// # Errors
    /// It cannot be begun.
    fn begin(&self, assignment: Assignment) -> Result<(), Failure>;
}

/// Carries actions out on this machine, each on a thread of its own.
pub(crate) struct Here<'s, 'env> {
    context: &'env RunContext<'env>,
    scope: &'s Scope<'s, 'env>,
    tx: Sender<Message>,
    /// The program of worker processes; `None` runs operations in this process.
    worker: Option<WorkerCommand>,
}

impl<'s, 'env> Here<'s, 'env> {
    /// Operations run in this process.
    pub(crate) fn in_process(
        context: &'env RunContext<'env>,
        scope: &'s Scope<'s, 'env>,
        tx: Sender<Message>,
    ) -> Self {
        Self { context, scope, tx, worker: None }
    }

    /// Each operation runs in a worker process.
    pub(crate) fn in_workers(
        context: &'env RunContext<'env>,
        scope: &'s Scope<'s, 'env>,
        tx: Sender<Message>,
        worker: WorkerCommand,
    ) -> Self {
        Self { context, scope, tx, worker: Some(worker) }
    }
}

impl<'s, 'env: 's> Executor for Here<'s, 'env> {
    fn is_here(&self) -> bool {
        true
    }

    fn begin(&self, assignment: Assignment) -> Result<(), Failure> {
        let action = self.context.job.action(assignment.id);
        let running = Running {
            context: self.context,
            action,
            tx: self.tx.clone(),
            worker: self.worker.clone(),
            assignment,
        };
        let spawned = std::thread::Builder::new().spawn_scoped(self.scope, move || running.run());
        spawned.map(|_| ()).map_err(Failure::no_threads)
    }
}

/// An action on its thread.
struct Running<'env> {
    context: &'env RunContext<'env>,
    action: &'env Action,
    tx: Sender<Message>,
    worker: Option<WorkerCommand>,
    assignment: Assignment,
}

impl Running<'_> {
    /// Carries the action out.
    fn run(self) {
        let begun = Instant::now();
        let end = match caught(|| Ok(self.attempt_all())) {
            Ok(Ok(end)) => end,
            Ok(Err(e)) => End::Failed((&e).into(), e.exit_code() == 5),
            Err(bug) => End::Failed(bug, false),
        };
        let (id, seconds) = (self.assignment.id, begun.elapsed().as_secs_f64());
        let _ = self.tx.send(Message::Ended { id, end, seconds, log: written(&self.assignment.log) });
    }

    fn attempt_all(&self) -> Result<End, Error> {
        let (store, key) = (self.context.store, &self.assignment.prepared.key);
        let Some(_lock) = store.try_lock(key)? else { return Ok(End::Busy) };
        if !self.assignment.forced
            && let Ok(manifest) = store.get(key)
        {
            return Ok(End::Hit(Box::new(manifest)));
        }
        for (id, manifest) in &self.assignment.reads {
            if let Err(miss) = store.tree(manifest)? {
                return Ok(End::Damaged(*id, miss));
            }
        }
        let reads = WatchedReads::new(store, self.assignment.reads.iter().map(|(_, m)| &**m));
        let retries = self.action.policy.retries.unwrap_or(0);
        let max_attempts = u32::try_from(retries).unwrap_or(u32::MAX).saturating_add(1);
        let mut retry = Retry::new(max_attempts);
        loop {
            let attempt = retry.attempts() + 1;
            let failure = match self.attempt(attempt, &reads)? {
                Attempted::Published(published) => return Ok(End::Ran(Box::new(published.manifest))),
                Attempted::Removed(key) => {
                    let read = self.assignment.reads.iter().find(|(_, m)| m.key == key);
                    return Ok(End::Damaged(read.map_or(self.assignment.id, |(id, _)| *id), Miss::Removed));
                }
                Attempted::Failed(failure) => failure,
            };
            if failure.kind != FailureKind::Transient || self.context.stopping() {
                return Ok(End::Failed(failure, false));
            }
            let Some(wait) = retry.failed(false, None) else { return Ok(End::Failed(failure, false)) };
            self.say(format!("attempt {attempt} of {max_attempts}: {failure}; retrying"));
            wait_until(Instant::now() + wait, &|| self.context.stopping());
        }
    }

    /// One attempt.
    fn attempt(&self, attempt: u32, reads: &WatchedReads<'_>) -> Result<Attempted, Error> {
        let (store, prepared) = (self.context.store, &self.assignment.prepared);
        let work = store.workspace(&prepared.key)?;
        let spec = self.spec(&work, store.scratch(&prepared.key)?);
        let log = self.worker.is_some().then(|| self.assignment.log.clone());
        let _ = self.tx.send(Message::Started {
            id: self.assignment.id,
            attempt,
            threads: spec.threads,
            device: spec.device.clone(),
            log,
        });
        let replace = self.assignment.forced;
        let attempt = Attempt { store, study: &self.context.job.study, prepared, reads, replace };
        let attempted = attempt.run(work, spec, |spec, caveats| self.carry_out(spec, caveats))?;
        if matches!(&attempted, Attempted::Published(published) if published.differs) {
            self.say(OTHER_CONTENT.to_owned());
        }
        Ok(attempted)
    }

    /// What the operation is told.
    fn spec(&self, work: &crate::cache::Workspace, scratch: PathBuf) -> Spec {
        let grant = &self.assignment.grant;
        let device = match grant.gpus.first() {
            None => "cpu".to_owned(),
            // A worker sees only its own GPUs, numbered from 0.
            Some(_) if self.worker.is_some() => "cuda:0".to_owned(),
            Some(gpu) => format!("cuda:{}", gpu.id),
        };
        Spec {
            op: self.action.op.to_owned(),
            version: self.action.version,
            key: self.assignment.prepared.key.hex(),
            address: self.action.address.clone(),
            args: self.assignment.prepared.recipe.args.clone(),
            // Nobody shares the work of one machine.
            policy: Policy { jobs: None, ..self.action.policy.clone() },
            out: work.out.clone(),
            temp: work.temp.clone(),
            log: self.assignment.log.clone(),
            scratch,
            answers: self.context.store.answers(),
            threads: grant.threads,
            device,
            kernels: self.context.options.kernels,
        }
    }

    fn carry_out(&self, spec: &Spec, caveats: &Mutex<Vec<Caveat>>) -> Carried {
        let limit = self
            .action
            .policy
            .time
            .filter(|s| *s > 0.0)
            .and_then(|s| Instant::now().checked_add(Duration::from_secs_f64(s.min(1e9))));
        let throttle = Throttle::default();
        let progress = ActionProgress { running: self, caveats, deadline: limit, throttle };
        let killing = || self.context.cancel.killing();
        if let Some(command) = &self.worker {
            // The watcher has the deadline, so that it can kill.
            let progress = ActionProgress { deadline: None, ..progress };
            let watch = Watch {
                progress: &progress,
                killing: &killing,
                deadline: limit,
                grace: GRACE,
                log: &self.assignment.log,
                ceiling: self.assignment.grant.ceiling,
            };
            return run_worker(command, spec, &self.assignment.grant.gpus, &watch);
        }
        let run =
            self.context.runner.implementation(&spec.op).ok_or_else(|| {
                Failure::missing(format!("`{}` has no implementation in this build", spec.op))
            })?;
        let result = call(run, &Job { spec, progress: &progress });
        let late = limit.is_some_and(|d| Instant::now() >= d);
        match result {
            Err(f) if f.kind == FailureKind::Interrupted && late && !self.context.stopping() => {
                Err(out_of_time(spec))
            }
            result => result.map(|outcome| (outcome, None)),
        }
    }

    fn say(&self, text: String) {
        let _ = self.tx.send(Message::Note { id: Some(self.assignment.id), text });
    }
}

/// Forwards the progress of an action to the coordinator.
struct ActionProgress<'a> {
    running: &'a Running<'a>,
    caveats: &'a Mutex<Vec<Caveat>>,
    deadline: Option<Instant>,
    throttle: Throttle,
}

impl Progress for ActionProgress<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if self.throttle.due(done, total) {
            let (unit, note, id) = (unit.to_owned(), note.to_owned(), self.running.assignment.id);
            let _ = self.running.tx.send(Message::Progress { id, done, total, unit, note });
        }
    }

    fn note(&self, text: &str) {
        self.running.say(text.to_owned());
    }

    fn caveat(&self, caveat: &Caveat) {
        Caveat::add(&mut self.caveats.lock().unwrap_or_else(PoisonError::into_inner), caveat.clone());
        self.note(&caveat.to_string());
    }

    fn cancelled(&self) -> bool {
        self.running.context.stopping() || self.deadline.is_some_and(|d| Instant::now() >= d)
    }
}
