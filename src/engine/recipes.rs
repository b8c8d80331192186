//! From an action's arguments to its recipe and key: results and inputs become their content digests, values that
//! depend on results are computed. `run`, `plan` and `why` all use this code, so they cannot disagree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{InputNote, InputSnapshot, Manifest, Miss, Recipe, Store};
use xpipe_base::task::{Action, Failure};
use xpipe_base::value::pending::Unresolved;
use xpipe_base::value::{ActionId, Call, Digest, Input, Located, Name, Pending, Record, Value};

use super::job::Job;
use super::runner::{Reach, Runner};

/// The results and inputs that are known so far.
pub struct ResultTable<'a> {
    pub(crate) job: &'a Job,
    pub(crate) store: &'a Store,
    /// By action: its result, when it is known.
    pub(crate) results: Vec<Option<Arc<Manifest>>>,
    /// Every input that was looked for.
    pub(crate) inputs: BTreeMap<Arc<Input>, Result<FoundInput, Failure>>,
}

/// An input that was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundInput {
    pub(crate) located: Arc<Located>,
    /// How it looked when its content was known; `None` while it is not here.
    pub(crate) seen: Option<Arc<InputSnapshot>>,
}

/// An action whose arguments are all known.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) recipe: Recipe,
    pub(crate) key: Digest,
    pub(crate) notes: Vec<InputNote>,
    /// The actions whose files it reads.
    pub(crate) reads: Vec<ActionId>,
    /// The inputs that it reads.
    pub(crate) inputs: Vec<Arc<InputSnapshot>>,
}

/// Why an action has no recipe yet.
#[derive(Clone, Debug)]
pub(crate) enum Blocker {
    /// The result of an action is not there.
    Action(ActionId),
    /// An input was not found, or a value cannot be computed.
    Failure(Failure),
}

/// What is known of one action.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// The store has its result.
    Hit(Prepared, Arc<Manifest>),
    /// The store does not have it.
    Miss(Prepared, Miss),
    /// Its key is not known yet.
    Blocked(Blocker),
}

impl<'a> ResultTable<'a> {
    pub(crate) fn new(job: &'a Job, store: &'a Store) -> Self {
        Self { job, store, results: vec![None; job.actions.len()], inputs: BTreeMap::new() }
    }

    /// The recipe and key of an action, and whether the store has its result.
    pub(crate) fn look_up(&self, id: ActionId) -> Lookup {
        match self.prepare(self.job.action(id)) {
            Err(blocker) => Lookup::Blocked(blocker),
            Ok(prepared) => match self.store.get(&prepared.key) {
                Ok(manifest) => Lookup::Hit(prepared, Arc::new(manifest)),
                Err(miss) => Lookup::Miss(prepared, miss),
            },
        }
    }

    /// The recipe and key of an action.
    pub(crate) fn prepare(&self, action: &Action) -> Result<Prepared, Blocker> {
        let mut builder = RecipeBuilder::new(self, false);
        let args = builder.record("", &action.args)?;
        let recipe = Recipe::new(action.op, action.version, args)
            .map_err(|e| Blocker::Failure(Failure::bug(format!("{}: {e}", action.op))))?;
        let key = recipe.key();
        Ok(Prepared { recipe, key, notes: builder.notes, reads: builder.reads, inputs: builder.inputs })
    }

    /// The recipe with unknown values left symbolic, and what each of those waits for, by its path.
    pub(crate) fn partial_recipe(&self, action: &Action) -> (Recipe, Vec<InputNote>, Vec<(String, Blocker)>) {
        let mut builder = RecipeBuilder::new(self, true);
        let args = builder.record("", &action.args).unwrap_or_else(|_| action.args.clone());
        let (op, version) = (action.op.to_owned(), action.version);
        let recipe = Recipe { format: crate::cache::KEY_FORMAT, op, version, args };
        (recipe, builder.notes, builder.unknown)
    }
}

/// Finds and digests one input.
pub(crate) fn find_input(
    input: &Input,
    runner: &dyn Runner,
    store: &Store,
    reach: Reach,
) -> Result<FoundInput, Failure> {
    let found = runner.find_input(input, reach)?;
    let (digest, seen) = match found.digest {
        Some(digest) => (digest, store.snapshot_download(&found.path).ok()),
        None => {
            let seen = match found.parts {
                Some(parts) => store.snapshot_files(&found.path, parts.files, parts.reading),
                None => store.snapshot_input(&found.path),
            }?;
            let digest = seen.digest().ok_or_else(|| Failure::bug("an input without a digest"))?;
            (digest, Some(seen))
        }
    };
    let located = Arc::new(Located { path: found.path, digest, label: found.label });
    Ok(FoundInput { located, seen: seen.map(Arc::new) })
}

/// Replaces references in arguments by what they stand for, and notes what was read.
struct RecipeBuilder<'a, 'b> {
    table: &'b ResultTable<'a>,
    /// Whether values that are not known stay symbolic; otherwise the first one is an error.
    lenient: bool,
    notes: Vec<InputNote>,
    reads: Vec<ActionId>,
    inputs: Vec<Arc<InputSnapshot>>,
    unknown: Vec<(String, Blocker)>,
}

impl<'a, 'b> RecipeBuilder<'a, 'b> {
    fn new(table: &'b ResultTable<'a>, lenient: bool) -> Self {
        let (reads, inputs, unknown) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, lenient, notes: Vec::new(), reads, inputs, unknown }
    }

    fn record(&mut self, path: &str, record: &Record) -> Result<Record, Blocker> {
        let fields = record
            .iter()
            .map(|(name, v)| {
                let at = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                Ok((name.clone(), self.value(&at, v)?))
            })
            .collect::<Result<Vec<(Name, Value)>, Blocker>>()?;
        Ok(Record::new(fields))
    }

    fn value(&mut self, path: &str, value: &Value) -> Result<Value, Blocker> {
        let replaced = match value {
            Value::List(items) => {
                let items = items.iter().enumerate().map(|(i, v)| self.value(&format!("{path}[{i}]"), v));
                return Ok(Value::list(items.collect::<Result<Vec<_>, Blocker>>()?));
            }
            Value::Record(r) => return Ok(Value::Record(self.record(path, r)?)),
            Value::Call(c) => {
                let args = self.record(path, &c.args)?;
                return Ok(Value::Call(Arc::new(Call { name: c.name.clone(), args })));
            }
            Value::Artifact(id) => self.artifact(path, *id),
            Value::Input(input) => self.input(path, input),
            Value::Pending(p) => match self.resolve(p) {
                // What was chosen may itself name results and inputs.
                Ok(known) => return self.value(path, &known),
                Err(blocker) => Err(blocker),
            },
            plain => return Ok(plain.clone()),
        };
        match replaced {
            Err(blocker) if self.lenient => {
                self.unknown.push((path.to_owned(), blocker));
                Ok(value.clone())
            }
            replaced => replaced,
        }
    }

    fn artifact(&mut self, path: &str, id: ActionId) -> Result<Value, Blocker> {
        let result = self.table.results.get(id.0 as usize).and_then(Option::as_ref);
        let manifest = result.ok_or(Blocker::Action(id))?;
        let label = self.table.job.action(id).address.clone();
        self.notes.push(InputNote {
            path: path.to_owned(),
            label: label.clone(),
            digest: manifest.digest,
            key: Some(manifest.key),
        });
        self.reads.push(id);
        let path: PathBuf = self.table.store.tree_path(manifest);
        Ok(Value::Located(Arc::new(Located { path, digest: manifest.digest, label })))
    }

    fn input(&mut self, path: &str, input: &Arc<Input>) -> Result<Value, Blocker> {
        match self.table.inputs.get(input) {
            Some(Ok(FoundInput { located, seen })) => {
                self.inputs.extend(seen.clone());
                self.notes.push(InputNote {
                    path: path.to_owned(),
                    label: located.label.clone(),
                    digest: located.digest,
                    key: None,
                });
                Ok(Value::Located(located.clone()))
            }
            Some(Err(failure)) => Err(Blocker::Failure(failure.clone())),
            None => {
                Err(Blocker::Failure(Failure::bug(format!("{path}: the input {input:?} was not looked for"))))
            }
        }
    }

    fn resolve(&self, pending: &Pending) -> Result<Value, Blocker> {
        let results = &self.table.results;
        let number = |id: ActionId, member: &str| -> Option<f64> {
            results.get(id.0 as usize)?.as_ref()?.values.get(member).copied()
        };
        pending.resolve(&number).map_err(|why| match why {
            Unresolved::Missing(id) if results.get(id.0 as usize).is_none_or(Option::is_none) => {
                Blocker::Action(id)
            }
            Unresolved::Missing(id) => Blocker::Failure(Failure::wrong(format!(
                "{} does not give the number that is asked of it",
                self.table.job.action(id).address
            ))),
            other => Blocker::Failure(Failure::wrong(other.to_string())),
        })
    }
}
