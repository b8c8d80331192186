//! Carrying a stored action out again, to compare what it gives with what is stored. Nothing is published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::call::call;
use super::cancel::CancelToken;
use super::child::{GRACE, Watch, run_worker};
use super::options::{Heavy, Options};
use super::recipes::find_input;
use super::runner::{Reach, Runner};
use crate::cache::{Error, InputNote, InputSnapshot, Manifest, Store, WatchedReads, result_digest};
use xpipe_base::task::{Failure, FailureKind, Job, Outcome, Policy, Progress, Spec};
use xpipe_base::value::{Digest, Input, Located, Record, Value};

/// What an action gave when it was carried out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "rerun", rename_all = "snake_case")]
pub enum Rerun {
    /// The stored content and numbers.
    Same,
    /// Something else; the possible reasons, the surest first.
    Different {
        /// The reasons.
        reasons: Vec<Reason>,
    },
    /// It fails now.
    Failed {
        /// Why.
        why: String,
    },
    /// It was not carried out, or not to its end, or what it read was changed meanwhile.
    Skipped {
        /// Why.
        why: String,
    },
}

impl From<Failure> for Rerun {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Interrupted => Self::Skipped { why: failure.message },
            _ => Self::Failed { why: failure.message },
        }
    }
}

/// Why an action may give another result than is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The stored files are not what was stored.
    Damage {
        /// What is wrong with them.
        what: String,
    },
    /// It gives another result each time.
    NotDeterministic,
    /// It was stored by another version of xpipe.
    Version {
        /// The version that stored it.
        stored: String,
        /// This one.
        here: String,
    },
    /// It was computed on another device.
    Device {
        /// The device it was stored from.
        stored: String,
        /// The one used now.
        here: String,
    },
    /// It was computed by other kernels.
    Kernels {
        /// The level it was stored from.
        stored: String,
        /// The one used now.
        here: String,
    },
    /// Two runs here agree, and nothing that is recorded differs: another machine, a program or library outside of the
    /// key, or a change of code without a new version of the operation.
    Unknown,
}

/// A stored action with what it takes to carry it out.
pub struct StoredAction<'a> {
    /// The store.
    pub store: &'a Store,
    /// Its result.
    pub manifest: &'a Manifest,
    /// Access to operations and inputs.
    pub runner: &'a dyn Runner,
    /// How to run.
    pub options: &'a Options,
    /// Stops it.
    pub cancel: &'a CancelToken,
    /// Whether it runs in a worker.
    pub heavy: bool,
}

/// What one attempt gave.
#[derive(PartialEq)]
struct Given {
    content: Digest,
    values: Vec<(String, u64)>,
    kernels: Option<String>,
}

impl Given {
    fn new(
        content: Digest,
        values: &indexmap::IndexMap<String, f64>,
        facts: &serde_json::Map<String, serde_json::Value>,
    ) -> Self {
        Self {
            content,
            values: values.iter().map(|(name, v)| (name.clone(), v.to_bits())).collect(),
            kernels: facts.get("kernels").and_then(|k| k.as_str()).map(str::to_owned),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.content == other.content && self.values == other.values
    }
}

/// What an action reads, as it was when its arguments were found.
#[derive(Default)]
struct Arguments {
    args: Record,
    inputs: Vec<InputSnapshot>,
    results: Vec<Manifest>,
}

impl StoredAction<'_> {
    /// Carries the action out again and compares; where the result differs, once more, to see whether that is the same.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn rerun(&self) -> Result<Rerun, Error> {
        let skipped = |why: String| Ok(Rerun::Skipped { why });
        let args = match self.args()? {
            Ok(args) => args,
            Err(why) => return skipped(why),
        };
        if let Some(ready) = self.runner.ready(&self.manifest.op)
            && let Err(failure) = ready(&args.args, &Policy::default())
        {
            return skipped(failure.message);
        }
        let stored = Given::new(self.manifest.digest, &self.manifest.values, &self.manifest.facts);
        let first = match self.attempt(&args)? {
            Ok(given) => given,
            Err(end) => return Ok(end),
        };
        let damage = self.store.damage(self.manifest)?.map(|miss| Reason::Damage { what: miss.to_string() });
        if first.is(&stored) {
            return Ok(match damage {
                None => Rerun::Same,
                Some(damage) => Rerun::Different { reasons: vec![damage] },
            });
        }
        let mut reasons: Vec<Reason> = damage.into_iter().collect();
        match self.attempt(&args)? {
            Ok(second) if second.is(&first) => reasons.extend(self.recorded(&stored, &first)),
            Ok(_) => reasons.push(Reason::NotDeterministic),
            Err(Rerun::Failed { why }) => {
                return Ok(Rerun::Failed { why: format!("only the second time: {why}") });
            }
            Err(end) => return Ok(end),
        }
        if reasons.is_empty() {
            reasons.push(Reason::Unknown);
        }
        Ok(Rerun::Different { reasons })
    }

    /// What is recorded with the result and differs here.
    fn recorded(&self, stored: &Given, here: &Given) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let tool = concat!("xpipe ", env!("CARGO_PKG_VERSION"));
        if self.manifest.tool != tool {
            reasons.push(Reason::Version { stored: self.manifest.tool.clone(), here: tool.to_owned() });
        }
        if self.manifest.device != "cpu" {
            reasons.push(Reason::Device { stored: self.manifest.device.clone(), here: "cpu".to_owned() });
        }
        if let (Some(stored), Some(here)) = (&stored.kernels, &here.kernels)
            && stored != here
        {
            reasons.push(Reason::Kernels { stored: stored.clone(), here: here.clone() });
        }
        reasons
    }

    /// The arguments, with the places of results and inputs; or why one of them is not here.
    fn args(&self) -> Result<Result<Arguments, String>, Error> {
        let Some(recipe) = self.store.recipe(&self.manifest.key) else {
            return Ok(Err("its recipe cannot be read".into()));
        };
        let (mut places, mut found) = (BTreeMap::new(), Arguments::default());
        for note in &self.manifest.inputs {
            match self.place(note, &mut found)? {
                Some(located) => places.insert(note.digest, located),
                None => return Ok(Err(format!("{} is not here, or has changed", note.label))),
            };
        }
        let args = recipe.args.map_leaves(&mut |leaf| match leaf {
            Value::Located(l) => {
                match places.get(&l.digest).cloned().or_else(|| self.runner.built_in(&l.digest)) {
                    Some(located) => Ok(Value::Located(located.into())),
                    None => Err(format!(
                        "the place of one of its inputs is not recorded ({})",
                        &l.digest.hex()[..12]
                    )),
                }
            }
            other => Ok(other.clone()),
        });
        Ok(args.map(|args| Arguments { args, ..found }))
    }

    /// Where an input is, with the content that it had. Adds it to those that are watched.
    fn place(&self, note: &InputNote, found: &mut Arguments) -> Result<Option<Located>, Error> {
        let at = |path: PathBuf| Located { path, digest: note.digest, label: note.label.clone() };
        if let Some(key) = &note.key {
            let result = self.store.record(key).filter(|result| result.digest == note.digest);
            let Some(result) = result else { return Ok(None) };
            // Looked at first: nothing is set aside here.
            if self.store.damage(&result)?.is_some() {
                return Ok(None);
            }
            let place = self.store.tree(&result)?.ok().map(at);
            found.results.push(result);
            return Ok(place);
        }
        if let Some(path) = self.store.download_of(&note.digest) {
            found.inputs.push(self.store.snapshot_download(&path)?);
            return Ok(Some(at(path)));
        }
        let name = note.label.split('@').next().unwrap_or_default();
        let inputs =
            [Input::File(note.label.clone().into()), Input::Model { name: name.into(), revision: None }];
        let same = |input: &Input| {
            let found = find_input(input, self.runner, self.store, Reach::Local).ok()?;
            (found.located.digest == note.digest).then_some(found)
        };
        let Some(input) = inputs.iter().find_map(same) else { return Ok(None) };
        found.inputs.extend(input.seen.as_deref().cloned());
        Ok(Some(at(input.located.path.clone())))
    }

    /// One attempt, whose inputs are checked before and after.
    fn attempt(&self, args: &Arguments) -> Result<Result<Given, Rerun>, Error> {
        let changed = |e: Error| Ok(Err(Rerun::Skipped { why: e.to_string() }));
        let before: Result<Vec<_>, Error> =
            args.inputs.iter().map(|seen| self.store.recheck_input(seen)).collect();
        let before = match before {
            Ok(before) => before,
            Err(e) => return changed(e),
        };
        let reads = WatchedReads::new(self.store, &args.results);
        let given = self.run(&args.args)?;
        if let Some(e) = before.iter().find_map(|seen| self.store.check_unchanged(seen).err()) {
            return changed(e);
        }
        if let Some(key) = reads.removed() {
            let of = args.results.iter().find(|result| result.key == key).map(|result| &result.address);
            let why =
                format!("the stored result of {} was removed while it was in use", of.map_or("?", |a| a));
            return Ok(Err(Rerun::Skipped { why }));
        }
        Ok(given.map_err(Rerun::from))
    }

    fn run(&self, args: &Record) -> Result<Result<Given, Failure>, Error> {
        let key = &self.manifest.key;
        let work = self.store.workspace(key)?;
        let scratch = work.out.with_added_extension("scratch");
        let log = work.out.with_added_extension("log");
        let spec = Spec {
            op: self.manifest.op.clone(),
            version: self.manifest.version,
            key: key.hex(),
            address: self.manifest.address.clone(),
            args: args.clone(),
            policy: Policy::default(),
            out: work.out.clone(),
            temp: work.temp.clone(),
            log: log.clone(),
            scratch: scratch.clone(),
            answers: self.store.answers(),
            threads: self.options.threads,
            device: "cpu".to_owned(),
            kernels: self.options.kernels,
        };
        let made = std::fs::create_dir_all(&scratch).map_err(Failure::from);
        let done = made.and_then(|()| self.carry_out(&spec, &log));
        let given = match done {
            Ok(outcome) => match outcome.digest.map_or_else(|| result_digest(&work.out), Ok) {
                Ok(content) => Ok(Given::new(content, &outcome.values, &outcome.facts)),
                // What the operation made could not be stored: its own failure.
                Err(e @ Error::Unsupported { .. }) => Err(e.into()),
                Err(e) => return Err(e),
            },
            Err(failure) => Err(failure),
        };
        let _ = std::fs::remove_dir_all(scratch);
        let _ = std::fs::remove_file(log);
        Ok(given)
    }

    fn carry_out(&self, spec: &Spec, log: &Path) -> Result<Outcome, Failure> {
        let progress = Unheard(self.cancel);
        match &self.options.heavy {
            Heavy::Process(command) if self.heavy => {
                let watch = Watch {
                    progress: &progress,
                    killing: &|| self.cancel.killing(),
                    deadline: None,
                    grace: GRACE,
                    log,
                    ceiling: None,
                };
                run_worker(command, spec, &[], &watch).map(|(outcome, _)| outcome)
            }
            _ => {
                let run = self.runner.implementation(&spec.op).ok_or_else(|| {
                    Failure::missing(format!("`{}` has no implementation in this build", spec.op))
                })?;
                call(run, &Job { spec, progress: &progress })
            }
        }
    }
}

/// Nobody listens; a stop is obeyed.
struct Unheard<'a>(&'a CancelToken);

impl Progress for Unheard<'_> {
    fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}

    fn note(&self, _: &str) {}

    fn cancelled(&self) -> bool {
        self.0.stopping()
    }
}
