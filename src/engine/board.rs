//! From an action's arguments to its recipe: results become their content, inputs are found and digested, values
//! that were not known are computed. `run`, `plan` and `why` all go through here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{InputNote, Manifest, Miss, Recipe, Seen, Store};
use xpipe_base::task::Failure;
use xpipe_base::value::pending::Unresolved;
use xpipe_base::value::{ActionId, Call, Digest, Input, Located, Name, Pending, Record, Value};

use super::plan::{Action, Job, Reach, Runner};
use super::report::failure_of;

/// What is known so far: results of actions and places of inputs.
pub struct Board<'a> {
    pub(crate) job: &'a Job,
    pub(crate) store: &'a Store,
    /// By action: its result, when it is known.
    pub(crate) results: Vec<Option<Arc<Manifest>>>,
    /// Every input that was looked for.
    pub(crate) inputs: BTreeMap<Arc<Input>, Result<Sighted, Failure>>,
}

/// An input that was found.
#[derive(Clone, Debug)]
pub(crate) struct Sighted {
    pub(crate) located: Arc<Located>,
    /// How it looked when its content was known; `None` while it is not here.
    pub(crate) seen: Option<Arc<Seen>>,
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
    pub(crate) inputs: Vec<Arc<Seen>>,
}

/// Why an action has no recipe yet.
#[derive(Clone, Debug)]
pub(crate) enum Obstacle {
    /// The result of an action is not there.
    Action(ActionId),
    /// An input was not found, or a value cannot be computed.
    Failure(Failure),
}

/// What a look at one action gives.
#[derive(Debug)]
pub(crate) enum Look {
    Hit(Prepared, Arc<Manifest>),
    Miss(Prepared, Miss),
    Obstacle(Obstacle),
}

impl<'a> Board<'a> {
    pub(crate) fn new(job: &'a Job, store: &'a Store) -> Self {
        Self { job, store, results: vec![None; job.actions.len()], inputs: BTreeMap::new() }
    }

    /// The recipe and key of an action, and whether the store has its result.
    pub(crate) fn look(&self, id: ActionId) -> Look {
        match self.prepare(self.job.action(id)) {
            Err(obstacle) => Look::Obstacle(obstacle),
            Ok(prepared) => match self.store.look(&prepared.key) {
                Ok(manifest) => Look::Hit(prepared, Arc::new(manifest)),
                Err(miss) => Look::Miss(prepared, miss),
            },
        }
    }

    /// The recipe and key of an action.
    pub(crate) fn prepare(&self, action: &Action) -> Result<Prepared, Obstacle> {
        let mut placing = Placing::new(self, false);
        let args = placing.record("", &action.args)?;
        let recipe = Recipe::new(&action.op, action.version, args)
            .map_err(|e| Obstacle::Failure(Failure::bug(format!("{}: {e}", action.op))))?;
        let key = recipe.key();
        Ok(Prepared { recipe, key, notes: placing.notes, reads: placing.reads, inputs: placing.inputs })
    }

    /// As much of the recipe as is known; what is not stays symbolic. Also where each unknown is from.
    pub(crate) fn sketch(&self, action: &Action) -> (Recipe, Vec<InputNote>, Vec<(String, Obstacle)>) {
        let mut placing = Placing::new(self, true);
        let args = placing.record("", &action.args).unwrap_or_else(|_| action.args.clone());
        let recipe =
            Recipe { format: crate::cache::KEY_FORMAT, op: action.op.clone(), version: action.version, args };
        (recipe, placing.notes, placing.unknown)
    }
}

/// The distinct inputs of an action's arguments, also inside values that are not known yet.
pub fn inputs_of(args: &Record, found: &mut dyn FnMut(&Arc<Input>)) {
    fn visit(value: &Value, found: &mut dyn FnMut(&Arc<Input>)) {
        value.walk(&mut |v| match v {
            Value::Input(i) => found(i),
            Value::Pending(p) => inside(p, found),
            _ => {}
        });
    }
    fn inside(pending: &Pending, found: &mut dyn FnMut(&Arc<Input>)) {
        match pending {
            Pending::Metric { .. } => {}
            Pending::Reduce { cells, .. } => cells.iter().for_each(|c| visit(&c.value, found)),
            // The chosen point may name a backbone or a file.
            Pending::Arg { cells, .. } => {
                for cell in cells {
                    cell.point.iter().for_each(|(_, v)| visit(v, found));
                    visit(&cell.value, found);
                }
            }
            Pending::Member { of, .. } | Pending::Unary { of, .. } => visit(of, found),
            Pending::Binary { left, right, .. } => [left, right].into_iter().for_each(|v| visit(v, found)),
            Pending::If { condition, then, other } => {
                [condition, then, other].into_iter().for_each(|v| visit(v, found));
            }
            Pending::Text { parts } => parts.iter().for_each(|v| visit(v, found)),
            Pending::Near { left, right, within } => {
                [left, right, within].into_iter().for_each(|v| visit(v, found));
            }
        }
    }
    args.iter().for_each(|(_, v)| visit(v, found));
}

/// Finds and digests one input.
pub(crate) fn find_input(
    input: &Input,
    runner: &dyn Runner,
    store: &Store,
    reach: Reach,
) -> Result<Sighted, Failure> {
    let found = runner.find_input(input, reach)?;
    let (digest, seen) = match found.digest {
        Some(digest) => (digest, store.see_checked(&found.path).ok()),
        None => {
            let seen = match found.parts {
                Some(parts) => store.see_parts(&found.path, parts.files, parts.reading),
                None => store.see(&found.path),
            }
            .map_err(|e| failure_of(&e))?;
            let digest = seen.digest().ok_or_else(|| Failure::bug("an input without a digest"))?;
            (digest, Some(seen))
        }
    };
    let located = Arc::new(Located { path: found.path, digest, label: found.label });
    Ok(Sighted { located, seen: seen.map(Arc::new) })
}

struct Placing<'a, 'b> {
    board: &'b Board<'a>,
    /// Whether unknown leaves stay as they are.
    lenient: bool,
    notes: Vec<InputNote>,
    reads: Vec<ActionId>,
    inputs: Vec<Arc<Seen>>,
    unknown: Vec<(String, Obstacle)>,
}

impl<'a, 'b> Placing<'a, 'b> {
    fn new(board: &'b Board<'a>, lenient: bool) -> Self {
        let (reads, inputs, unknown) = (Vec::new(), Vec::new(), Vec::new());
        Self { board, lenient, notes: Vec::new(), reads, inputs, unknown }
    }

    fn record(&mut self, path: &str, record: &Record) -> Result<Record, Obstacle> {
        let fields = record
            .iter()
            .map(|(name, v)| {
                let at = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                Ok((name.clone(), self.value(&at, v)?))
            })
            .collect::<Result<Vec<(Name, Value)>, Obstacle>>()?;
        Ok(Record::new(fields))
    }

    fn value(&mut self, path: &str, value: &Value) -> Result<Value, Obstacle> {
        let placed = match value {
            Value::List(items) => {
                let items = items.iter().enumerate().map(|(i, v)| self.value(&format!("{path}[{i}]"), v));
                return Ok(Value::list(items.collect::<Result<Vec<_>, Obstacle>>()?));
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
                Err(obstacle) => Err(obstacle),
            },
            plain => return Ok(plain.clone()),
        };
        match placed {
            Err(obstacle) if self.lenient => {
                self.unknown.push((path.to_owned(), obstacle));
                Ok(value.clone())
            }
            placed => placed,
        }
    }

    fn artifact(&mut self, path: &str, id: ActionId) -> Result<Value, Obstacle> {
        let result = self.board.results.get(id.0 as usize).and_then(Option::as_ref);
        let manifest = result.ok_or(Obstacle::Action(id))?;
        let label = self.board.job.action(id).address.clone();
        self.notes.push(InputNote {
            path: path.to_owned(),
            label: label.clone(),
            digest: manifest.digest,
            key: Some(manifest.key),
        });
        self.reads.push(id);
        let path: PathBuf = self.board.store.tree_path(manifest);
        Ok(Value::Located(Arc::new(Located { path, digest: manifest.digest, label })))
    }

    fn input(&mut self, path: &str, input: &Arc<Input>) -> Result<Value, Obstacle> {
        match self.board.inputs.get(input) {
            Some(Ok(Sighted { located, seen })) => {
                self.inputs.extend(seen.clone());
                self.notes.push(InputNote {
                    path: path.to_owned(),
                    label: located.label.clone(),
                    digest: located.digest,
                    key: None,
                });
                Ok(Value::Located(located.clone()))
            }
            Some(Err(failure)) => Err(Obstacle::Failure(failure.clone())),
            None => Err(Obstacle::Failure(Failure::bug(format!(
                "{path}: the input {input:?} was not looked for"
            )))),
        }
    }

    fn resolve(&self, pending: &Pending) -> Result<Value, Obstacle> {
        let results = &self.board.results;
        let number = |id: ActionId, member: &str| -> Option<f64> {
            results.get(id.0 as usize)?.as_ref()?.values.get(member).copied()
        };
        pending.resolve(&number).map_err(|why| match why {
            Unresolved::Missing(id) if results.get(id.0 as usize).is_none_or(Option::is_none) => {
                Obstacle::Action(id)
            }
            Unresolved::Missing(id) => Obstacle::Failure(Failure::wrong(format!(
                "{} does not give the number that is asked of it",
                self.board.job.action(id).address
            ))),
            other => Obstacle::Failure(Failure::wrong(other.to_string())),
        })
    }
}
