//! One action, on a thread of its own: the lock of its key, its inputs, attempts and publication. Sends messages to the
//! coordinator and changes nothing of its state.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::call::{call, caught};
use super::cancel::CancelToken;
use super::child::{GRACE, Watch, out_of_time, run_worker};
use super::options::{Heavy, Options};
use super::pools::Grant;
use super::recipes::{FoundInput, Prepared};
use super::runner::Runner;
use crate::cache::{Error, InputSnapshot, Manifest, Miss, Publication, Store, Workspace};
use xpipe_base::task::retry::{Retry, wait_until};
use xpipe_base::task::{Action, Caveat, Failure, FailureKind, Job, Outcome, Progress, Spec, Throttle};
use xpipe_base::value::{ActionId, Input};

/// What executors and finders of inputs send to the coordinator.
pub(crate) enum Message {
    /// An input was found, or could not be.
    Input(Arc<Input>, Result<FoundInput, Failure>),
    /// An attempt begins.
    Started { id: ActionId, attempt: u32, threads: usize, device: String, log: Option<PathBuf> },
    /// Units of work done.
    Progress { id: ActionId, done: u64, total: u64, unit: String, note: String },
    /// A sentence about the action.
    Note { id: ActionId, text: String },
    /// The action has ended.
    Ended { id: ActionId, end: End, seconds: f64, log: Option<PathBuf> },
}

/// How an action ended.
pub(crate) enum End {
    /// Its result is in the store.
    Ran(Box<Manifest>),
    /// Another process produced it in the meantime.
    Hit(Box<Manifest>),
    /// Another process is producing it.
    Busy,
    /// The stored result of an action that it reads is damaged and must be produced again.
    Damaged(ActionId, Miss),
    /// It failed; `true` when it was the store that failed.
    Failed(Failure, bool),
}

/// What a successful attempt made.
struct Made {
    outcome: Outcome,
    peak_memory: Option<u64>,
    caveats: Vec<Caveat>,
    started: jiff::Timestamp,
    seconds: f64,
}

/// Everything an executor needs.
pub(crate) struct Executor<'a> {
    pub(crate) id: ActionId,
    pub(crate) action: &'a Action,
    pub(crate) study: &'a str,
    pub(crate) prepared: Arc<Prepared>,
    /// The results it reads.
    pub(crate) reads: Vec<(ActionId, Arc<Manifest>)>,
    pub(crate) forced: bool,
    pub(crate) grant: Grant,
    pub(crate) store: &'a Store,
    pub(crate) runner: &'a dyn Runner,
    pub(crate) options: &'a Options,
    pub(crate) cancel: &'a CancelToken,
    /// Set when the run stops at a failure.
    pub(crate) halt: &'a AtomicBool,
    pub(crate) log: PathBuf,
    pub(crate) tx: Sender<Message>,
}

impl Executor<'_> {
    /// Carries the action out.
    pub(crate) fn run(self) {
        let begun = Instant::now();
        let end = match caught(|| Ok(self.attempt_all())) {
            Ok(Ok(end)) => end,
            Ok(Err(e)) => End::Failed((&e).into(), e.exit_code() == 5),
            Err(bug) => End::Failed(bug, false),
        };
        let (id, seconds) = (self.id, begun.elapsed().as_secs_f64());
        let _ = self.tx.send(Message::Ended { id, end, seconds, log: self.written_log() });
    }

    fn attempt_all(&self) -> Result<End, Error> {
        let key = &self.prepared.key;
        let Some(_lock) = self.store.try_lock(key)? else { return Ok(End::Busy) };
        if !self.forced
            && let Ok(manifest) = self.store.get(key)
        {
            return Ok(End::Hit(Box::new(manifest)));
        }
        for (id, manifest) in &self.reads {
            if let Err(miss) = self.store.tree(manifest)? {
                return Ok(End::Damaged(*id, miss));
            }
        }
        let retries = self.action.policy.retries.unwrap_or(0);
        let max_attempts = u32::try_from(retries).unwrap_or(u32::MAX).saturating_add(1);
        let mut retry = Retry::new(max_attempts);
        loop {
            let attempt = retry.attempts() + 1;
            let failure = match self.attempt(attempt)? {
                End::Failed(failure, false) if failure.kind == FailureKind::Transient && !self.stopping() => {
                    failure
                }
                end => return Ok(end),
            };
            let Some(wait) = retry.failed(false, None) else { return Ok(End::Failed(failure, false)) };
            self.say(format!("attempt {attempt} of {max_attempts}: {failure}; retrying"));
            wait_until(Instant::now() + wait, &|| self.stopping());
        }
    }

    /// One attempt: runs the operation in a new folder, and publishes what it made when its inputs are still the same.
    fn attempt(&self, attempt: u32) -> Result<End, Error> {
        let key = &self.prepared.key;
        let work = self.store.workspace(key)?;
        let spec = self.spec(&work, self.store.scratch(key)?);
        let log = if self.in_process() { Some(self.log.clone()) } else { None };
        let _ = self.tx.send(Message::Started {
            id: self.id,
            attempt,
            threads: spec.threads,
            device: spec.device.clone(),
            log,
        });
        let (started, begun) = (jiff::Timestamp::now(), Instant::now());
        let caveats = Mutex::default();
        let inputs: Result<Vec<InputSnapshot>, Error> =
            self.prepared.inputs.iter().map(|seen| self.store.recheck_input(seen)).collect();
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(e) => return Ok(End::Failed(e.into(), false)),
        };
        let done = self.carry_out(&spec, &caveats);
        let interrupted = done.as_ref().is_err_and(|f| f.kind == FailureKind::Interrupted);
        if !interrupted && let Some(e) = inputs.iter().find_map(|seen| self.store.check_unchanged(seen).err())
        {
            let mut failure = Failure::from(e);
            if let Err(why) = &done {
                failure.message = format!("{} (which may be why: {})", failure.message, why.message);
            }
            return Ok(End::Failed(failure, false));
        }
        match done {
            Ok((outcome, peak_memory)) => {
                let made = Made {
                    outcome,
                    peak_memory,
                    caveats: caveats.into_inner().unwrap_or_else(PoisonError::into_inner),
                    started,
                    seconds: begun.elapsed().as_secs_f64(),
                };
                self.publish(work, spec, made)
            }
            Err(failure) => Ok(End::Failed(failure, false)),
        }
    }

    /// What the operation is told.
    fn spec(&self, work: &Workspace, scratch: PathBuf) -> Spec {
        let device = match self.grant.gpus.first() {
            None => "cpu".to_owned(),
            // A worker sees only its own GPUs, numbered from 0.
            Some(_) if self.in_process() => "cuda:0".to_owned(),
            Some(gpu) => format!("cuda:{}", gpu.id),
        };
        Spec {
            op: self.action.op.to_owned(),
            version: self.action.version,
            key: self.prepared.key.hex(),
            address: self.action.address.clone(),
            args: self.prepared.recipe.args.clone(),
            policy: self.action.policy.clone(),
            out: work.out.clone(),
            temp: work.temp.clone(),
            log: self.log.clone(),
            scratch,
            answers: self.store.answers(),
            threads: self.grant.threads,
            device,
            kernels: self.options.kernels,
        }
    }

    /// Publishes what an attempt made.
    fn publish(&self, work: Workspace, spec: Spec, made: Made) -> Result<End, Error> {
        let published = self.store.publish(
            work,
            Publication {
                recipe: &self.prepared.recipe,
                study: self.study,
                address: &self.action.address,
                digest: made.outcome.digest,
                values: made.outcome.values,
                facts: made.outcome.facts,
                caveats: made.caveats,
                inputs: self.prepared.notes.clone(),
                seconds: made.seconds,
                peak_memory: made.peak_memory,
                device: spec.device,
                kernels: spec.kernels.to_string(),
                threads: spec.threads,
                started: made.started,
                log: self.written_log(),
            },
        );
        match published {
            Ok(manifest) => {
                self.store.clear_scratch(&self.prepared.key);
                Ok(End::Ran(Box::new(manifest)))
            }
            // What the operation made cannot be stored: its own failure.
            Err(e @ (Error::Unsupported { .. } | Error::NotFinite { .. })) => {
                Ok(End::Failed(e.into(), false))
            }
            Err(e) => Err(e),
        }
    }

    fn carry_out(
        &self,
        spec: &Spec,
        caveats: &Mutex<Vec<Caveat>>,
    ) -> Result<(Outcome, Option<u64>), Failure> {
        let limit = self
            .action
            .policy
            .time
            .filter(|s| *s > 0.0)
            .and_then(|s| Instant::now().checked_add(Duration::from_secs_f64(s.min(1e9))));
        let throttle = Throttle::default();
        let progress = ActionProgress { executor: self, caveats, deadline: limit, throttle };
        let killing = || self.cancel.killing();
        match (&self.options.heavy, self.action.heavy) {
            (Heavy::Process(command), true) => {
                // The watcher has the deadline, so that it can kill.
                let progress = ActionProgress { deadline: None, ..progress };
                let watch = Watch {
                    progress: &progress,
                    killing: &killing,
                    deadline: limit,
                    grace: GRACE,
                    log: &self.log,
                    ceiling: self.grant.ceiling,
                };
                run_worker(command, spec, &self.grant.gpus, &watch)
            }
            _ => {
                let run = self.runner.implementation(&spec.op).ok_or_else(|| {
                    Failure::missing(format!("`{}` has no implementation in this build", spec.op))
                })?;
                let result = call(run, &Job { spec, progress: &progress });
                let late = limit.is_some_and(|d| Instant::now() >= d);
                match result {
                    Err(f) if f.kind == FailureKind::Interrupted && late && !self.stopping() => {
                        Err(out_of_time(spec))
                    }
                    result => result.map(|outcome| (outcome, None)),
                }
            }
        }
    }

    /// The log, when something was written to it.
    fn written_log(&self) -> Option<PathBuf> {
        self.log.is_file().then(|| self.log.clone())
    }

    fn in_process(&self) -> bool {
        self.action.heavy && matches!(self.options.heavy, Heavy::Process(_))
    }

    fn stopping(&self) -> bool {
        self.cancel.stopping() || self.halt.load(Ordering::SeqCst)
    }

    fn say(&self, text: String) {
        let _ = self.tx.send(Message::Note { id: self.id, text });
    }
}

/// Forwards the progress of an action to the coordinator.
struct ActionProgress<'a> {
    executor: &'a Executor<'a>,
    caveats: &'a Mutex<Vec<Caveat>>,
    deadline: Option<Instant>,
    throttle: Throttle,
}

impl Progress for ActionProgress<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if self.throttle.due(done, total) {
            let (unit, note) = (unit.to_owned(), note.to_owned());
            let _ =
                self.executor.tx.send(Message::Progress { id: self.executor.id, done, total, unit, note });
        }
    }

    fn note(&self, text: &str) {
        self.executor.say(text.to_owned());
    }

    fn caveat(&self, caveat: &Caveat) {
        Caveat::add(&mut self.caveats.lock().unwrap_or_else(PoisonError::into_inner), caveat.clone());
        self.note(&caveat.to_string());
    }

    fn cancelled(&self) -> bool {
        self.executor.stopping() || self.deadline.is_some_and(|d| Instant::now() >= d)
    }
}
