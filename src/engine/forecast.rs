//! What a run would do, by the code that a run uses, without running anything.

use rayon::prelude::*;

use super::board::{Board, Look, Obstacle, find_input, inputs_of};
use super::plan::{Job, Options, Reach, Runner};
use crate::cache::{Miss, Store};
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Digest};

/// What would become of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Forecast {
    /// Nobody asks for it.
    NotNeeded,
    /// The store has its result.
    Cached {
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

/// What a run would do with each action, by index. Only looks: a store opened for reading is enough, and inputs are
/// not downloaded.
pub fn forecast(job: &Job, runner: &dyn Runner, store: &Store, options: &Options) -> Vec<Forecast> {
    survey(job, runner, store, options).1
}

/// The same with what became known on the way.
pub fn survey<'a>(
    job: &'a Job,
    runner: &dyn Runner,
    store: &'a Store,
    options: &Options,
) -> (Board<'a>, Vec<Forecast>) {
    let mut board = Board::new(job, store);
    let needed = job.needed();
    let ids = || (0u32..).map(ActionId).zip(&needed).filter(|(_, n)| **n).map(|(id, _)| id);
    for id in ids() {
        inputs_of(&job.action(id).args, &mut |input| {
            if !board.inputs.contains_key(input) {
                let found = super::call::caught(|| find_input(input, runner, store, Reach::Local));
                board.inputs.insert(input.clone(), found);
            }
        });
    }
    // By depth, so that everything an action needs was looked at before it.
    let mut depth = vec![0usize; job.actions.len()];
    let mut waves: Vec<Vec<ActionId>> = Vec::new();
    for id in ids() {
        let at = id.0 as usize;
        depth[at] = job.action(id).deps.iter().map(|d| depth[d.0 as usize] + 1).max().unwrap_or(0);
        if waves.len() <= depth[at] {
            waves.resize(depth[at] + 1, Vec::new());
        }
        waves[depth[at]].push(id);
    }
    let mut out = vec![Forecast::NotNeeded; job.actions.len()];
    for wave in waves {
        let looks: Vec<(ActionId, Look)> = wave.into_par_iter().map(|id| (id, board.look(id))).collect();
        for (id, look) in looks {
            out[id.0 as usize] = match look {
                Look::Hit(prepared, _) if options.force.contains(&id) => {
                    Forecast::WillRun { key: prepared.key, miss: None }
                }
                Look::Hit(prepared, manifest) => {
                    board.results[id.0 as usize] = Some(manifest);
                    Forecast::Cached { key: prepared.key }
                }
                Look::Miss(prepared, miss) => Forecast::WillRun { key: prepared.key, miss: Some(miss) },
                Look::Obstacle(Obstacle::Action(on)) => Forecast::Depends { on },
                Look::Obstacle(Obstacle::Failure(why)) => Forecast::Unknown { why },
            };
        }
    }
    (board, out)
}
