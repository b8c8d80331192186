//! One attempt at an action, wherever it is carried out: its inputs are checked, its operation runs in a new folder, its
//! inputs are checked again, and the result is published. A run does this on a thread, and so does a job of a queue.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cache::{Error, InputSnapshot, Publication, Published, Store, WatchedReads, Workspace};
use crate::recipes::Prepared;
use xpipe_base::task::{Caveat, Failure, FailureKind, Outcome, Spec};
use xpipe_base::value::Digest;

/// An action to be attempted.
pub(crate) struct Attempt<'a> {
    pub(crate) store: &'a Store,
    pub(crate) study: &'a str,
    pub(crate) prepared: &'a Prepared,
    /// Whether to replace a result that is there.
    pub(crate) replace: bool,
    /// The results that it reads.
    pub(crate) reads: &'a WatchedReads<'a>,
}

/// What an attempt came to.
pub(crate) enum Attempted {
    /// Its result is in the store.
    Published(Box<Published>),
    /// The operation failed, or its inputs have changed.
    Failed(Failure),
    /// A result that it reads, of this key, was removed meanwhile: what it made is not used.
    Removed(Digest),
}

/// Said of an action that another process has carried out meanwhile, with another outcome.
pub(crate) const OTHER_CONTENT: &str = "another run stored other content for the same recipe first, and that is used: the \
                                        operation is not deterministic";

/// What an operation gave, and the peak memory of its process in bytes.
pub(crate) type Carried = Result<(Outcome, Option<u64>), Failure>;

/// What a successful attempt made.
struct Made {
    outcome: Outcome,
    peak_memory: Option<u64>,
    caveats: Vec<Caveat>,
    started: jiff::Timestamp,
    seconds: f64,
}

impl Attempt<'_> {
    /// Runs the operation through `carry_out`, which adds caveats to the list it is given, and publishes what it made
    /// when the inputs are still the same.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn run(
        &self,
        work: Workspace,
        spec: Spec,
        carry_out: impl FnOnce(&Spec, &Mutex<Vec<Caveat>>) -> Carried,
    ) -> Result<Attempted, Error> {
        let (started, begun) = (jiff::Timestamp::now(), Instant::now());
        let inputs: Result<Vec<InputSnapshot>, Error> =
            self.prepared.inputs.iter().map(|seen| self.store.recheck_input(seen)).collect();
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(e) => return Ok(Attempted::Failed(e.into())),
        };
        let caveats = Mutex::default();
        let done = carry_out(&spec, &caveats);
        let interrupted = done.as_ref().is_err_and(|f| f.kind == FailureKind::Interrupted);
        if !interrupted && let Some(e) = inputs.iter().find_map(|seen| self.store.check_unchanged(seen).err())
        {
            let mut failure = Failure::from(e);
            if let Err(why) = &done {
                failure.message = format!("{} (which may be why: {})", failure.message, why.message);
            }
            return Ok(Attempted::Failed(failure));
        }
        if !interrupted && let Some(key) = self.reads.removed() {
            return Ok(Attempted::Removed(key));
        }
        match done {
            Ok((outcome, peak_memory)) => {
                let caveats = caveats.into_inner().unwrap_or_else(PoisonError::into_inner);
                let seconds = begun.elapsed().as_secs_f64();
                self.publish(work, spec, Made { outcome, peak_memory, caveats, started, seconds })
            }
            Err(failure) => Ok(Attempted::Failed(failure)),
        }
    }

    /// Publishes what an attempt made.
    fn publish(&self, work: Workspace, spec: Spec, made: Made) -> Result<Attempted, Error> {
        let published = self.store.publish(
            work,
            Publication {
                recipe: &self.prepared.recipe,
                study: self.study,
                address: &spec.address,
                digest: made.outcome.digest,
                values: made.outcome.values,
                facts: made.outcome.facts,
                caveats: made.caveats,
                inputs: self.prepared.notes.clone(),
                seconds: made.seconds,
                peak_memory: made.peak_memory,
                log: written(&spec.log),
                device: spec.device,
                kernels: spec.kernels.to_string(),
                threads: spec.threads,
                started: made.started,
                replace: self.replace,
            },
        );
        match published {
            Ok(published) => {
                self.store.clear_scratch(&self.prepared.key);
                Ok(Attempted::Published(Box::new(published)))
            }
            // What the operation made cannot be stored: its own failure.
            Err(e @ (Error::Unsupported { .. } | Error::NotFinite { .. })) => Ok(Attempted::Failed(e.into())),
            Err(e) => Err(e),
        }
    }
}

/// A log, when something was written to it.
pub(crate) fn written(log: &Path) -> Option<std::path::PathBuf> {
    log.is_file().then(|| log.to_owned())
}
