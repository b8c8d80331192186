//! Asking the remote cache for results that the store lacks, on threads of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::{ActionState, Coordinator};
use crate::cache::{Manifest, Miss};
use crate::call::caught;
use crate::messages::Message;
use crate::recipes::Prepared;
use xpipe_base::value::{ActionId, Digest, human};

/// Maximum number of threads that ask the remote cache.
const THREADS: usize = 4;

/// What is asked of the remote cache.
#[derive(Default)]
pub(super) struct Asking {
    /// Where questions go to the threads; `None` before the first one.
    questions: Option<Sender<(ActionId, Digest)>>,
    open: usize,
    /// Keys that were asked for: each once in a run.
    asked: BTreeSet<Digest>,
}

impl Asking {
    /// How many questions have no answer yet.
    pub(super) fn open(&self) -> usize {
        self.open
    }
}

impl<'env: 'scope, 'scope> Coordinator<'_, 'env, 'scope> {
    /// Asks the remote cache for the result of an action. Gives back what cannot be asked: it must run.
    pub(super) fn ask_remote(
        &mut self,
        id: ActionId,
        prepared: Prepared,
        miss: Miss,
    ) -> Option<(Prepared, Miss)> {
        let key = prepared.key;
        let other = self.producers.get(&key).is_some_and(|producer| *producer != id);
        if self.context.runner.remote().is_none() || other || self.forced.contains(&id) {
            return Some((prepared, miss));
        }
        if self.remote.asked.contains(&key) || !self.has_asking_threads() {
            return Some((prepared, miss));
        }
        if let Some(questions) = &self.remote.questions {
            let _ = questions.send((id, key));
        }
        self.remote.asked.insert(key);
        self.remote.open += 1;
        self.keys[id.0 as usize] = Some(key);
        self.producers.insert(key, id);
        self.states[id.0 as usize] = ActionState::Asked(Arc::new(prepared), miss);
        None
    }

    /// Whether there are threads that ask; they are started here. They end when the coordinator does.
    fn has_asking_threads(&mut self) -> bool {
        if self.remote.questions.is_some() {
            return true;
        }
        let (questions, todo) = crossbeam_channel::unbounded::<(ActionId, Digest)>();
        let context = self.context;
        let mut started = false;
        for _ in 0..THREADS {
            let (todo, tx) = (todo.clone(), self.tx.clone());
            let ask = move || {
                let stop = || context.cancel.stopping() || context.halt.load(Ordering::SeqCst);
                for (id, key) in todo {
                    let bring =
                        || Ok(context.runner.remote().and_then(|r| r.bring(&key, context.store, &stop)));
                    let manifest = caught(bring).ok().flatten().map(Box::new);
                    let _ = tx.send(Message::Brought { id, manifest });
                }
            };
            started |= std::thread::Builder::new().spawn_scoped(self.scope, ask).is_ok();
        }
        if started {
            self.remote.questions = Some(questions);
        }
        started
    }

    /// The remote cache has answered.
    pub(super) fn brought(&mut self, id: ActionId, manifest: Option<Box<Manifest>>) {
        self.remote.open -= 1;
        let at = id.0 as usize;
        let (prepared, miss) = match std::mem::replace(&mut self.states[at], ActionState::Ready) {
            ActionState::Asked(prepared, miss) => (prepared, miss),
            other => {
                self.states[at] = other;
                return;
            }
        };
        match manifest {
            Some(manifest) => {
                let from = manifest.origin.as_deref().unwrap_or("the remote cache");
                self.note(Some(id), format!("{} from {from}", human::size(manifest.size())));
                self.hit(id, Arc::new(*manifest));
            }
            None => self.enqueue(id, Prepared::clone(&prepared), Some(miss)),
        }
    }
}
