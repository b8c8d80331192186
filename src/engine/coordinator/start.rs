//! From a missing result to a running action: the queue, the resources, the executor's thread.

use std::sync::Arc;

use super::{ActionState, Coordinator, Urgency};
use crate::cache::Miss;
use crate::events::Event;
use crate::execute::{Assignment, Executor};
use crate::forecaster::Forecaster;
use crate::pools::{Grant, Need};
use crate::recipes::Prepared;
use crate::why::{self, Stale};
use xpipe_base::value::{ActionId, Digest};

impl<'env: 'scope, 'scope> Coordinator<'_, 'env, 'scope> {
    /// Queues an action whose result the store does not have, unless another one produces the same key.
    pub(super) fn enqueue(&mut self, id: ActionId, prepared: Prepared, miss: Option<Miss>) {
        let key = prepared.key;
        self.keys[id.0 as usize] = Some(key);
        if let Some(producer) = self.producers.get(&key).copied().filter(|m| *m != id) {
            self.states[id.0 as usize] = ActionState::Follows;
            self.followers.entry(producer).or_default().push(id);
            return;
        }
        let forecaster = Forecaster::new(self.context.job, self.context.runner, Some(&self.table));
        let memory = forecaster.memory(self.context.job.action(id), self.context.options);
        let here = self.executor(id).is_here();
        let action = self.context.job.action(id);
        let need = match here.then(|| Need::of(action, self.context.options, memory.as_ref())).transpose() {
            Ok(need) => need,
            Err(failure) => return self.fail(id, &failure, false),
        };
        let forced = self.forced.contains(&id);
        let reasons = why::reasons(&self.table, &self.history, id, miss.as_ref(), forced);
        if let Some(miss) = miss.filter(Miss::is_damage) {
            self.note(Some(id), format!("{miss}; it is made again"));
        }
        self.producers.insert(key, id);
        self.emit_queued(id, key, reasons);
        let prepared = Arc::new(prepared);
        match need {
            Some(need) => {
                self.states[id.0 as usize] = ActionState::Queued(prepared, need);
                let heavy = usize::from(action.heavy);
                let urgency = self.urgency(id);
                self.queues[heavy].insert(urgency);
            }
            // Elsewhere it waits for no resources of this machine.
            None => self.launch(id, prepared, None, memory.map_or(0, |m| m.amount.bytes)),
        }
    }

    /// What carries an action out.
    fn executor(&self, id: ActionId) -> &dyn Executor {
        &*self.executors[usize::from(self.context.job.action(id).heavy)]
    }

    fn urgency(&self, id: ActionId) -> Urgency {
        let depth = match self.context.options.shuffle {
            None => self.dag.depth(id),
            Some(seed) => {
                let drawn = Digest::of(&[seed.to_le_bytes(), u64::from(id.0).to_le_bytes()].concat()).0;
                usize::from(u16::from_le_bytes([drawn[0], drawn[1]]))
            }
        };
        (std::cmp::Reverse(depth), id)
    }

    fn emit_queued(&mut self, id: ActionId, key: Digest, reasons: Vec<Stale>) {
        let action = self.context.job.action(id);
        self.events.emit(&Event::Queued {
            id: id.0,
            address: action.address.clone(),
            op: action.op.to_owned(),
            key,
            reasons,
        });
    }

    /// Starts what the resources allow.
    pub(super) fn start(&mut self) {
        // Hardly more actions than threads can start together.
        let most = self.context.options.threads + 64;
        let (queued, needs): (Vec<Urgency>, Vec<Need>) = self
            .queues
            .iter()
            .flat_map(|queue| {
                let queued = queue.iter().filter_map(|entry| match &self.states[entry.1.0 as usize] {
                    // What waits for its pool must not keep others from being looked at.
                    ActionState::Queued(_, need) if !self.pools.is_full(need) => Some((*entry, *need)),
                    _ => None,
                });
                queued.take(most)
            })
            .unzip();
        for (i, grant) in self.pools.grant(&needs) {
            let entry = queued[i];
            self.queues.iter_mut().for_each(|q| {
                q.remove(&entry);
            });
            let ActionState::Queued(prepared, _) = &self.states[entry.1.0 as usize] else {
                self.pools.release(&grant);
                continue;
            };
            let prepared = prepared.clone();
            self.launch(entry.1, prepared, Some(grant), 0);
        }
    }

    /// Hands an action to its executor, with what it gets of this machine, or with the memory in bytes that it needs
    /// elsewhere (0 when unknown).
    fn launch(&mut self, id: ActionId, prepared: Arc<Prepared>, grant: Option<Grant>, memory: u64) {
        let at = id.0 as usize;
        let reads = prepared
            .reads
            .iter()
            .filter_map(|r| Some((*r, self.table.results[r.0 as usize].clone()?)))
            .collect();
        let action = self.context.job.action(id);
        let name: String = action
            .address
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(80)
            .collect();
        let assignment = Assignment {
            id,
            prepared: prepared.clone(),
            reads,
            forced: self.forced.contains(&id),
            grant: grant.clone().unwrap_or_default(),
            memory,
            log: self.dir.path.join("logs").join(format!("{:04}-{name}.log", id.0)),
        };
        if let Err(failure) = self.executor(id).begin(assignment) {
            if let Some(grant) = grant {
                self.pools.release(&grant);
            }
            return self.fail(id, &failure, false);
        }
        self.states[at] = ActionState::Running(prepared, grant);
        self.running += 1;
    }
}
