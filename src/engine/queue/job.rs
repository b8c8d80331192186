//! The job's side: `xpipe worker --attempt FOLDER` on some node. It publishes the result itself, objects first, so that a
//! job that outlives its run loses nothing; its report follows.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::{AttemptFolder, ProgressWriter, Report, Verdict, host};
use super::spec::AttemptSpec;
use crate::attempt::{Attempt, Attempted, OTHER_CONTENT};
use crate::cache::{Error, FileLock, Manifest, Store, WatchedReads, try_alone_in};
use crate::call::{call, caught};
use crate::cancel::CancelToken;
use crate::protocol::FromWorker;
use crate::recipes::Prepared;
use crate::runner::Runner;
use xpipe_base::task::{Caveat, Failure, FailureKind, Job, Progress, Spec, Throttle};

/// How long a job waits for the lock of its key. Then it goes on without: the lock may be one of a machine that is gone, and
/// twins publish the same result. Where folders can be locked, two of them never work in one folder for checkpoints.
const LOCKED: Duration = Duration::from_secs(600);

/// Between two notes that a job still waits.
const TOLD: Duration = Duration::from_secs(600);

/// The exit code of a job that could not read what it needs.
const UNREADABLE: i32 = 64;
/// The exit code of a job that was stopped by SIGTERM, or whose time was over.
const STOPPED: i32 = 143;

/// Carries out the attempt in a folder; returns the exit code. `cancel` is requested by SIGTERM.
pub fn attempt_main(runner: &dyn Runner, folder: PathBuf, cancel: &CancelToken) -> i32 {
    let (execution, begun) = (execution(), Instant::now());
    let folder = AttemptFolder { path: folder };
    let spec = match patiently(Duration::from_secs(60), cancel, || folder.spec::<AttemptSpec>().ok()) {
        Some(spec) => spec,
        None => return UNREADABLE,
    };
    let job = OnNode {
        runner,
        spec: &spec,
        cancel,
        progress: Mutex::new(ProgressWriter::create(&folder, &execution)),
        begun,
    };
    let (verdict, ran) = match caught(|| Ok(job.carry_out())) {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(e)) => (Verdict::Failed((&e).into()), true),
        Err(bug) => (Verdict::Failed(bug), true),
    };
    let reached = job.progress.lock().unwrap_or_else(PoisonError::into_inner).reached();
    let report = Report { ran, reached, ..Report::of(&execution, verdict) };
    if folder.report(&report).is_err() && !matches!(report.verdict, Verdict::Done) {
        return UNREADABLE;
    }
    match report.verdict {
        Verdict::Done => 0,
        Verdict::Failed(_) => 1,
        Verdict::Interrupted | Verdict::OutOfTime => STOPPED,
        Verdict::Unreadable(_) => UNREADABLE,
    }
}

/// The name of this execution: no other one has it, also when the queue starts a job again.
fn execution() -> String {
    let variable =
        |name: &str| std::env::var(name).ok().filter(|v| v.bytes().all(|b| b.is_ascii_alphanumeric()));
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let job = variable("SLURM_JOB_ID").unwrap_or_else(|| format!("{}-{}", host(), std::process::id()));
    let restart = variable("SLURM_RESTART_COUNT").unwrap_or_else(|| "0".into());
    format!("{job}.{restart}-{nanos:x}")
}

/// Tries until something is there, since a file of another machine may appear late.
fn patiently<T>(patience: Duration, cancel: &CancelToken, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    let mut wait = Duration::from_millis(20);
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if begun.elapsed() > patience || cancel.stopping() {
            return None;
        }
        std::thread::sleep(wait);
        wait = (2 * wait).min(Duration::from_secs(5));
    }
}

/// An attempt on its node.
struct OnNode<'a> {
    runner: &'a dyn Runner,
    spec: &'a AttemptSpec,
    cancel: &'a CancelToken,
    progress: Mutex<ProgressWriter>,
    /// When the job began: its time also passes while it waits.
    begun: Instant,
}

/// How an attempt ended, and whether the operation was run.
type Ended = (Verdict, bool);

impl OnNode<'_> {
    fn carry_out(&self) -> Result<Ended, Error> {
        let store = Store::open(&self.spec.cache)?.verify_always(self.spec.verify_always);
        let mut prepared = match self.spec.prepared() {
            Ok(prepared) => prepared,
            Err(failure) => return Ok((Verdict::Failed(failure), false)),
        };
        if self.found(&store) {
            return Ok((Verdict::Done, false));
        }
        let manifests = match self.reads(&store)? {
            Ok(manifests) => manifests,
            Err(_) if self.cancel.stopping() => return Ok((Verdict::Interrupted, false)),
            Err(missing) => return Ok((Verdict::Unreadable(missing), false)),
        };
        let reads = WatchedReads::new(&store, &manifests);
        // Jobs that share an action work at the same time.
        let _held = match self.is_shared() {
            true => None,
            false => match self.lock(&store)? {
                Locked::Mine(held) => Some(held),
                Locked::Found => return Ok((Verdict::Done, false)),
                Locked::Stopped => return Ok((Verdict::Interrupted, false)),
                Locked::Late => return Ok((Verdict::OutOfTime, false)),
            },
        };
        if let Err(e) = self.spec.find_inputs(&store, &mut prepared) {
            return Ok((Verdict::Failed(e.into()), false));
        }
        self.attempt(&store, &prepared, &reads).map(|verdict| (verdict, true))
    }

    /// Whether other jobs work on the same action.
    fn is_shared(&self) -> bool {
        self.spec.policy.jobs.is_some_and(|n| n > 1)
    }

    /// Whether the cache has the result.
    fn found(&self, store: &Store) -> bool {
        !self.spec.forced && store.get(&self.spec.key).is_ok()
    }

    /// The results that the action reads; or the key of one that is not there with the expected content.
    fn reads(&self, store: &Store) -> Result<Result<Vec<Manifest>, String>, Error> {
        let mut manifests = Vec::with_capacity(self.spec.reads.len());
        let patience = Duration::from_secs_f64(self.spec.patience.clamp(0.0, 3600.0));
        for read in &self.spec.reads {
            let look =
                || -> Option<Manifest> { store.get(&read.key).ok().filter(|m| m.digest == read.digest) };
            let Some(manifest) = patiently(patience, self.cancel, look) else {
                return Ok(Err(read.key.hex()));
            };
            if store.tree(&manifest)?.is_err() {
                return Ok(Err(read.key.hex()));
            }
            manifests.push(manifest);
        }
        Ok(Ok(manifests))
    }

    /// Waits while another process makes the same result.
    fn lock(&self, store: &Store) -> Result<Locked, Error> {
        let begun = Instant::now();
        let (mut key, mut told) = (None, None::<Instant>);
        loop {
            if key.is_none() {
                key = store.try_lock(&self.spec.key)?;
            }
            if self.found(store) {
                return Ok(Locked::Found);
            }
            if key.is_some() || begun.elapsed() > LOCKED {
                let scratch = store.scratch(&self.spec.key)?;
                if let Ok(scratch) = try_alone_in(&scratch) {
                    return Ok(Locked::Mine(Held { _scratch: scratch, _key: key }));
                }
                if told.is_none_or(|told| told.elapsed() >= TOLD) {
                    told = Some(Instant::now());
                    let at = scratch.display();
                    self.say(&format!("another process computes this in {at}; waiting for its end"));
                }
            }
            if self.cancel.stopping() {
                return Ok(Locked::Stopped);
            }
            if self.deadline().is_some_and(|at| Instant::now() >= at) {
                self.say("the time of the stage is over, and another process still computes it");
                return Ok(Locked::Late);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// When the time of the stage is over.
    fn deadline(&self) -> Option<Instant> {
        let seconds = self.spec.seconds?.clamp(0.0, 1e9);
        self.begun.checked_add(Duration::from_secs_f64(seconds))
    }

    /// Where it computes: on a GPU of the job, which are numbered from 0.
    fn device(&self) -> String {
        let can = self.runner.computes_on_gpus();
        if self.spec.gpu && !can && !self.spec.gpu_required {
            self.say("this build of xpipe cannot use the GPU of its job, and computes on the CPU");
        }
        let gpu = self.spec.gpu && (can || self.spec.gpu_required);
        (if gpu { "cuda:0" } else { "cpu" }).to_owned()
    }

    fn say(&self, text: &str) {
        let message = FromWorker::Note { text: text.to_owned() };
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).say(&message);
    }

    fn attempt(
        &self,
        store: &Store,
        prepared: &Prepared,
        reads: &WatchedReads<'_>,
    ) -> Result<Verdict, Error> {
        let work = store.workspace(&prepared.key)?;
        let spec = Spec {
            op: self.spec.op.clone(),
            version: self.spec.version,
            key: prepared.key.hex(),
            address: self.spec.address.clone(),
            args: prepared.recipe.args.clone(),
            policy: self.spec.policy.clone(),
            out: work.out.clone(),
            temp: work.temp.clone(),
            log: self.spec.log.clone(),
            scratch: store.scratch(&prepared.key)?,
            answers: store.answers(),
            threads: self.spec.threads,
            device: self.device(),
            kernels: self.spec.kernels,
        };
        let deadline = self.deadline();
        let attempt = Attempt { store, study: &self.spec.study, prepared, reads, replace: self.spec.forced };
        let done = attempt.run(work, spec, |spec, caveats| {
            let progress = NodeProgress { job: self, caveats, deadline, throttle: Throttle::default() };
            let run = self.runner.implementation(&spec.op).ok_or_else(|| {
                Failure::missing(format!("`{}` has no implementation in this build", spec.op))
            })?;
            call(run, &Job { spec, progress: &progress })
                .map(|outcome| (outcome, crate::worker::peak_memory()))
        })?;
        Ok(match done {
            Attempted::Published(published) => {
                if published.differs {
                    self.say(OTHER_CONTENT);
                }
                Verdict::Done
            }
            Attempted::Removed(key) => Verdict::Unreadable(key.hex()),
            // SIGTERM also reaches the programs that it runs, which then fail.
            Attempted::Failed(f) if f.kind == FailureKind::Interrupted => {
                let late = deadline.is_some_and(|at| Instant::now() >= at) && !self.cancel.stopping();
                if late { Verdict::OutOfTime } else { Verdict::Interrupted }
            }
            Attempted::Failed(f) if f.kind == FailureKind::Transient && self.cancel.stopping() => {
                Verdict::Interrupted
            }
            Attempted::Failed(failure) => Verdict::Failed(failure),
        })
    }
}

/// What a job holds while it computes. The key may be held by another process that shows no sign of life.
struct Held {
    _scratch: Option<File>,
    _key: Option<FileLock>,
}

/// What came of waiting for the lock of a key.
enum Locked {
    /// This job computes it.
    Mine(Held),
    /// Another process has made the result.
    Found,
    Stopped,
    /// The time of the stage was over before that.
    Late,
}

/// Writes progress into the file of the attempt.
struct NodeProgress<'a> {
    job: &'a OnNode<'a>,
    caveats: &'a Mutex<Vec<Caveat>>,
    deadline: Option<Instant>,
    throttle: Throttle,
}

impl Progress for NodeProgress<'_> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if self.throttle.due(done, total) {
            let message = FromWorker::Progress { done, total, unit: unit.into(), note: note.into() };
            self.job.progress.lock().unwrap_or_else(PoisonError::into_inner).progress(done, &message);
        }
    }

    fn note(&self, text: &str) {
        self.job.say(text);
    }

    fn caveat(&self, caveat: &Caveat) {
        Caveat::add(&mut self.caveats.lock().unwrap_or_else(PoisonError::into_inner), caveat.clone());
        self.note(&caveat.to_string());
    }

    fn cancelled(&self) -> bool {
        self.job.cancel.stopping() || self.deadline.is_some_and(|d| Instant::now() >= d)
    }
}

#[cfg(test)]
mod tests;
