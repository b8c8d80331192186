//! What follows when an input is found, and when an action succeeds, fails or must run again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ActionState, Coordinator};
use crate::cache::{Error, LastFailure, Manifest, Miss};
use crate::events::Event;
use crate::messages::End;
use xpipe_base::task::{Failure, FailureKind};
use xpipe_base::value::ActionId;

/// So often a result that an action reads may be removed while it runs.
const MAX_REMOVALS: u32 = 3;

impl Coordinator<'_, '_, '_> {
    /// One of the results or inputs that an action waits for is there.
    pub(super) fn arrived(&mut self, id: ActionId) {
        let at = id.0 as usize;
        self.waiting_for[at] = self.waiting_for[at].saturating_sub(1);
        if self.waiting_for[at] == 0 && matches!(self.states[at], ActionState::Waiting) {
            self.make_ready(id);
        }
    }

    pub(super) fn ended(&mut self, id: ActionId, end: End) {
        let at = id.0 as usize;
        self.running -= 1;
        let prepared = match std::mem::replace(&mut self.states[at], ActionState::Waiting) {
            ActionState::Running(prepared, grant) => {
                if let Some(grant) = grant {
                    self.pools.release(&grant);
                }
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
                self.states[at] = ActionState::Busy(prepared);
                self.busy.push(id);
            }
            End::Damaged(read, miss) => self.remake(id, read, &miss),
            End::Failed(failure, _) if failure.kind == FailureKind::Interrupted => {
                self.states[at] = ActionState::Stopped;
                let address = self.address(id);
                self.events.emit(&Event::Stopped { id: id.0, address });
            }
            End::Failed(failure, store) => self.fail(id, &failure, store),
        }
    }

    fn ran(&mut self, id: ActionId, manifest: Manifest) {
        let action = self.context.job.action(id);
        self.events.emit(&Event::Finished {
            id: id.0,
            address: action.address.clone(),
            op: action.op.to_owned(),
            key: manifest.key,
            seconds: manifest.seconds,
            size: manifest.size(),
            peak_memory: manifest.peak_memory,
        });
        if self.previous.remove(&id).is_some_and(|previous| previous != manifest.digest) {
            let text =
                "it gave other content than before for the same recipe: its operation is not deterministic";
            self.note(Some(id), text.into());
        }
        self.states[id.0 as usize] = ActionState::Ran;
        if let Some(remote) = self.context.runner.remote() {
            remote.offer(&manifest.key);
        }
        self.done(id, Arc::new(manifest));
    }

    pub(super) fn hit(&mut self, id: ActionId, manifest: Arc<Manifest>) {
        let action = self.context.job.action(id);
        self.events.emit(&Event::Cached {
            id: id.0,
            address: action.address.clone(),
            op: action.op.to_owned(),
            key: manifest.key,
        });
        self.states[id.0 as usize] = ActionState::Cached;
        self.done(id, manifest);
    }

    fn done(&mut self, id: ActionId, manifest: Arc<Manifest>) {
        let at = id.0 as usize;
        let action = self.context.job.action(id);
        let limited = self.context.options.keep_days.is_some();
        for address in action.addresses() {
            self.history.record(address, manifest.key, limited);
        }
        self.forced.remove(&id);
        self.producers.remove(&manifest.key);
        let first = self.table.results[at].replace(manifest).is_none();
        let redone = self.remaking.remove(&id);
        for follower in self.followers.remove(&id).unwrap_or_default() {
            // Looked up again: what it follows is there now.
            self.forced.remove(&follower);
            self.make_ready(follower);
        }
        match redone {
            Some(waiting) => waiting.into_iter().for_each(|w| self.arrived(w)),
            None if first => {
                for dependent in self.dag.dependents(id) {
                    self.arrived(dependent);
                }
            }
            None => {}
        }
    }

    /// A result that an action reads is damaged: it is produced again, and the action waits for it.
    fn remake(&mut self, id: ActionId, read: ActionId, miss: &Miss) {
        if let Some(prepared_key) = self.keys[id.0 as usize] {
            self.producers.remove(&prepared_key);
        }
        if let Err((failure, store)) = self.can_remake(id, read, miss) {
            return self.fail(id, &failure, store);
        }
        match self.states[read.0 as usize] {
            ActionState::Failed | ActionState::Stopped => return self.block(id, read),
            ActionState::Blocked(by) => return self.block(id, by),
            ActionState::Cached | ActionState::Ran => {
                self.note(Some(read), format!("{miss}; it is made again"));
                // Looked up again: the blob was set aside, so this is a miss.
                self.make_ready(read);
            }
            _ => {}
        }
        self.states[id.0 as usize] = ActionState::Waiting;
        self.waiting_for[id.0 as usize] += 1;
        self.remaking.entry(read).or_default().push(id);
    }

    /// Whether making a result again can help an action that reads it. Else the action's failure, and whether the store
    /// is the cause.
    fn can_remake(&mut self, id: ActionId, read: ActionId, miss: &Miss) -> Result<(), (Failure, bool)> {
        match miss {
            Miss::LeftOut => {
                let Some(result) = &self.table.results[read.0 as usize] else { return Ok(()) };
                let key = result.key;
                self.context.store.forget_record(&key).map_err(|e| ((&e).into(), e.exit_code() == 5))
            }
            Miss::Removed => {
                let times = self.removals.entry(id).or_default();
                *times += 1;
                if *times < MAX_REMOVALS {
                    return Ok(());
                }
                let failure = Failure::missing(format!(
                    "found the stored folder of {} removed, replaced or without a file {MAX_REMOVALS} times while this \
                     ran, expected it to stay",
                    self.address(read)
                ));
                Err((
                    failure.help(
                        "change no files in the folders that a program reads, and nothing in the cache",
                    ),
                    false,
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn fail(&mut self, id: ActionId, failure: &Failure, store: bool) {
        let action = self.context.job.action(id);
        self.events.emit(&Event::Failed {
            id: id.0,
            address: action.address.clone(),
            op: action.op.to_owned(),
            failure: failure.clone(),
            log: self.logs.get(&id).cloned(),
        });
        let last = LastFailure {
            at: jiff::Timestamp::now().to_string(),
            message: failure.message.clone(),
            log: self.logs.get(&id).map(|log| self.context.store.relative(log)),
        };
        for address in action.addresses() {
            self.history.record_failure(address, last.clone());
        }
        self.states[id.0 as usize] = ActionState::Failed;
        self.failures.insert(id, (failure.clone(), store));
        if let Some(key) = self.keys[id.0 as usize] {
            self.producers.remove(&key);
        }
        if self.context.options.fail_fast {
            self.context.halt.store(true, Ordering::SeqCst);
        }
        for follower in self.followers.remove(&id).unwrap_or_default() {
            self.fail(follower, failure, store);
        }
        self.remaking.remove(&id);
        self.block_dependents(id, id);
    }

    fn block(&mut self, id: ActionId, by: ActionId) {
        self.states[id.0 as usize] = ActionState::Blocked(by);
        let (address, by_address) = (self.address(id), self.address(by));
        self.events.emit(&Event::Blocked { id: id.0, address, by: by_address });
        self.block_dependents(id, by);
    }

    fn block_dependents(&mut self, of: ActionId, by: ActionId) {
        for id in self.dag.dependents(of) {
            if matches!(self.states[id.0 as usize], ActionState::Waiting) {
                self.block(id, by);
            }
        }
    }

    /// Tries the locks of keys that other processes were producing.
    pub(super) fn ask_busy(&mut self) -> Result<(), Error> {
        for id in std::mem::take(&mut self.busy) {
            let ActionState::Busy(prepared) = &self.states[id.0 as usize] else { continue };
            let key = prepared.key;
            if self.context.store.try_lock(&key)?.is_some() {
                self.producers.remove(&key);
                self.make_ready(id);
            } else {
                self.busy.push(id);
            }
        }
        Ok(())
    }
}
