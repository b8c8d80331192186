//! What a run would do, told by the code that a run uses, without running anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::dag::Dag;
use super::job::Job;
use super::options::Options;
use super::recipes::{Blocker, Lookup, ResultTable, find_input};
use super::remote::find_all;
use super::runner::{Reach, Runner};
use crate::cache::{Manifest, Miss, Store};
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Digest, inputs_of};

/// What a run would do with an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Forecast {
    /// No target depends on it.
    NotNeeded,
    /// The store has its result.
    Cached {
        /// Its key.
        key: Digest,
    },
    /// The remote cache has its result, and a run brings it.
    Remote {
        /// Its key.
        key: Digest,
    },
    /// It will run.
    WillRun {
        /// Its key.
        key: Digest,
        /// Why it is no hit; `None` when it is forced.
        miss: Option<Miss>,
    },
    /// Its key is known only after another action has run.
    Depends {
        /// The first such action.
        on: ActionId,
    },
    /// An input it reads was not found, or a value cannot be computed.
    Unknown {
        /// Why.
        why: Failure,
    },
}

impl Forecast {
    /// Whether the action is needed and no cache has its result.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Cached { .. } | Self::Remote { .. } | Self::NotNeeded)
    }
}

/// What a run would do with each action, by index. Changes nothing: a store opened for reading is enough, and inputs
/// are not downloaded.
pub fn forecast(job: &Job, runner: &dyn Runner, store: &Store, options: &Options) -> Vec<Forecast> {
    survey(job, runner, store, options).1
}

/// The same, with the results and inputs that were found.
pub fn survey<'a>(
    job: &'a Job,
    runner: &dyn Runner,
    store: &'a Store,
    options: &Options,
) -> (ResultTable<'a>, Vec<Forecast>) {
    let mut table = ResultTable::new(job, store);
    let needed = job.needed();
    let ids = || (0u32..).map(ActionId).zip(&needed).filter(|(_, n)| **n).map(|(id, _)| id);
    for id in ids() {
        inputs_of(&job.action(id).args, &mut |input| {
            if !table.inputs.contains_key(input) {
                let found = super::call::caught(|| find_input(input, runner, store, Reach::Local));
                table.inputs.insert(input.clone(), found);
            }
        });
    }
    // By depth, so that everything an action needs is known before it is looked up.
    let dag = Dag::new(&job.actions);
    let mut waves: Vec<Vec<ActionId>> = Vec::new();
    for id in ids() {
        let depth = dag.depth(id);
        if waves.len() <= depth {
            waves.resize(depth + 1, Vec::new());
        }
        waves[depth].push(id);
    }
    let mut out = vec![Forecast::NotNeeded; job.actions.len()];
    for wave in waves {
        let lookups: Vec<(ActionId, Lookup)> =
            wave.into_par_iter().map(|id| (id, table.look_up(id))).collect();
        let found = found_remotely(&lookups, runner, options);
        for (id, lookup) in lookups {
            out[id.0 as usize] = match lookup {
                Lookup::Hit(prepared, _) if options.force.contains(&id) => {
                    Forecast::WillRun { key: prepared.key, miss: None }
                }
                Lookup::Hit(prepared, manifest) => {
                    table.results[id.0 as usize] = Some(manifest);
                    Forecast::Cached { key: prepared.key }
                }
                Lookup::Miss(prepared, miss) => match found.get(&prepared.key) {
                    Some(manifest) if !options.force.contains(&id) => {
                        table.results[id.0 as usize] = Some(manifest.clone());
                        Forecast::Remote { key: prepared.key }
                    }
                    _ => Forecast::WillRun { key: prepared.key, miss: Some(miss) },
                },
                Lookup::Blocked(Blocker::Action(on)) => Forecast::Depends { on },
                Lookup::Blocked(Blocker::Failure(why)) => Forecast::Unknown { why },
            };
        }
    }
    (table, out)
}

/// What the remote cache has of the results that the store lacks.
fn found_remotely(
    lookups: &[(ActionId, Lookup)],
    runner: &dyn Runner,
    options: &Options,
) -> BTreeMap<Digest, Arc<Manifest>> {
    let Some(remote) = runner.remote() else { return BTreeMap::new() };
    let missing = lookups.iter().filter_map(|(id, lookup)| match lookup {
        Lookup::Miss(prepared, _) if !options.force.contains(id) => Some(prepared.key),
        _ => None,
    });
    let keys: BTreeSet<Digest> = missing.collect();
    find_all(remote, &keys.into_iter().collect::<Vec<_>>())
}
