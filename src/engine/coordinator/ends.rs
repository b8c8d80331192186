//! What follows when something ends: an input is found, an action is done, fails, or must be made again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Coordinator, State};
use crate::cache::{Error, LastFailure, Manifest, Miss};
use crate::events::Event;
use crate::execute::End;
use xpipe_base::task::{Failure, FailureKind};
use xpipe_base::value::ActionId;

impl Coordinator<'_, '_, '_> {
    /// One thing that an action waited for is there.
    pub(super) fn arrived(&mut self, id: ActionId) {
        let at = id.0 as usize;
        self.waits[at] = self.waits[at].saturating_sub(1);
        if self.waits[at] == 0 && matches!(self.states[at], State::Want) {
            self.make_ready(id);
        }
    }

    pub(super) fn ended(&mut self, id: ActionId, end: End) {
        let at = id.0 as usize;
        self.running -= 1;
        let prepared = match std::mem::replace(&mut self.states[at], State::Want) {
            State::Running(prepared, grant) => {
                self.pools.give_back(&grant);
                prepared
            }
            other => {
                self.states[at] = other;
                return;
            }
        };
        match end {
            End::Ran(manifest) => self.ran(id, *manifest),
            End::Hit(manifest) => self.hit(id, Arc::new(*manifest)),
            End::Busy => {
                self.note(Some(id), "another run is making it; waiting for that".into());
                self.states[at] = State::Busy(prepared);
                self.busy.push(id);
            }
            End::Damaged(read, miss) => self.make_again(id, read, &miss),
            End::Failed(failure, _) if failure.kind == FailureKind::Interrupted => {
                self.states[at] = State::Stopped;
                let address = self.address(id);
                self.voice.say(&Event::Stopped { id: id.0, address });
            }
            End::Failed(failure, store) => self.fail(id, &failure, store),
        }
    }

    fn ran(&mut self, id: ActionId, manifest: Manifest) {
        let action = self.set.job.action(id);
        self.voice.say(&Event::Finished {
            id: id.0,
            address: action.address.clone(),
            op: action.op.clone(),
            key: manifest.key,
            seconds: manifest.seconds,
            size: manifest.size(),
            peak_memory: manifest.peak_memory,
        });
        if self.before.remove(&id).is_some_and(|before| before != manifest.digest) {
            let text =
                "it gave other content than before for the same recipe: its operation is not deterministic";
            self.note(Some(id), text.into());
        }
        self.states[id.0 as usize] = State::Ran;
        self.done(id, Arc::new(manifest));
    }

    pub(super) fn hit(&mut self, id: ActionId, manifest: Arc<Manifest>) {
        let action = self.set.job.action(id);
        self.voice.say(&Event::Cached {
            id: id.0,
            address: action.address.clone(),
            op: action.op.clone(),
            key: manifest.key,
        });
        self.states[id.0 as usize] = State::Cached;
        self.done(id, manifest);
    }

    fn done(&mut self, id: ActionId, manifest: Arc<Manifest>) {
        let at = id.0 as usize;
        let action = self.set.job.action(id);
        for address in std::iter::once(&action.address).chain(&action.also) {
            self.history.record(address, manifest.key);
        }
        self.forced.remove(&id);
        self.makers.remove(&manifest.key);
        let first = self.board.results[at].replace(manifest).is_none();
        let redone = self.again.remove(&id);
        for follower in self.followers.remove(&id).unwrap_or_default() {
            // Looked up again: what it follows is there now.
            self.forced.remove(&follower);
            self.make_ready(follower);
        }
        match redone {
            Some(waiting) => waiting.into_iter().for_each(|w| self.arrived(w)),
            None if first => {
                for i in 0..self.dependents[at].len() {
                    self.arrived(self.dependents[at][i]);
                }
            }
            None => {}
        }
    }

    /// A result that an action reads is damaged: that one is made again, and this one waits for it.
    fn make_again(&mut self, id: ActionId, read: ActionId, miss: &Miss) {
        if let Some(prepared_key) = self.keys[id.0 as usize] {
            self.makers.remove(&prepared_key);
        }
        match self.states[read.0 as usize] {
            State::Failed | State::Stopped => return self.block(id, read),
            State::Blocked(by) => return self.block(id, by),
            State::Cached | State::Ran => {
                self.note(Some(read), format!("{miss}; it is made again"));
                // Looked up again: the blob was set aside, so this is a miss.
                self.make_ready(read);
            }
            _ => {}
        }
        self.states[id.0 as usize] = State::Want;
        self.waits[id.0 as usize] += 1;
        self.again.entry(read).or_default().push(id);
    }

    pub(super) fn fail(&mut self, id: ActionId, failure: &Failure, store: bool) {
        let action = self.set.job.action(id);
        self.voice.say(&Event::Failed {
            id: id.0,
            address: action.address.clone(),
            op: action.op.clone(),
            failure: failure.clone(),
            log: self.logs.get(&id).cloned(),
        });
        let last = LastFailure {
            at: jiff::Timestamp::now().to_string(),
            message: failure.message.clone(),
            log: self.logs.get(&id).map(|log| self.set.store.relative(log)),
        };
        for address in std::iter::once(&action.address).chain(&action.also) {
            self.history.record_failure(address, last.clone());
        }
        self.states[id.0 as usize] = State::Failed;
        self.failures.insert(id, (failure.clone(), store));
        if let Some(key) = self.keys[id.0 as usize] {
            self.makers.remove(&key);
        }
        if self.set.options.fail_fast {
            self.set.halt.store(true, Ordering::SeqCst);
        }
        for follower in self.followers.remove(&id).unwrap_or_default() {
            self.fail(follower, failure, store);
        }
        self.again.remove(&id);
        self.block_dependents(id, id);
    }

    fn block(&mut self, id: ActionId, by: ActionId) {
        self.states[id.0 as usize] = State::Blocked(by);
        let (address, by_address) = (self.address(id), self.address(by));
        self.voice.say(&Event::Blocked { id: id.0, address, by: by_address });
        self.block_dependents(id, by);
    }

    fn block_dependents(&mut self, of: ActionId, by: ActionId) {
        for i in 0..self.dependents[of.0 as usize].len() {
            let id = self.dependents[of.0 as usize][i];
            if matches!(self.states[id.0 as usize], State::Want) {
                self.block(id, by);
            }
        }
    }

    /// Tries the locks that other processes held.
    pub(super) fn ask_busy(&mut self) -> Result<(), Error> {
        for id in std::mem::take(&mut self.busy) {
            let State::Busy(prepared) = &self.states[id.0 as usize] else { continue };
            let key = prepared.key;
            if self.set.store.try_lock(&key)?.is_some() {
                self.makers.remove(&key);
                self.make_ready(id);
            } else {
                self.busy.push(id);
            }
        }
        Ok(())
    }
}
