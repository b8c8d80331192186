//! Finding the inputs of a run, on threads of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Coordinator;
use crate::call::caught;
use crate::messages::Message;
use crate::recipes::find_input;
use crate::runner::Reach;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Input, inputs_of};

/// Maximum number of threads that look for inputs.
const FINDERS: usize = 4;

impl<'env: 'scope, 'scope> Coordinator<'_, 'env, 'scope> {
    /// Finds and digests every input of the needed actions. This may download files.
    pub(super) fn find_inputs(&mut self, needed: &[ActionId]) {
        for id in needed {
            let mut mine: BTreeSet<Arc<Input>> = BTreeSet::new();
            inputs_of(&self.context.job.action(*id).args, &mut |input| {
                mine.insert(input.clone());
            });
            self.waiting_for[id.0 as usize] += mine.len();
            for input in mine {
                self.input_users.entry(input).or_default().push(*id);
            }
        }
        self.inputs_pending = self.input_users.len();
        let (jobs, todo) = crossbeam_channel::unbounded();
        for input in self.input_users.keys() {
            let _ = jobs.send(input.clone());
        }
        let (context, finders) =
            (self.context, self.context.options.threads.min(self.inputs_pending).min(FINDERS));
        let (mut started, todo_left) = (0, todo.clone());
        for _ in 0..finders {
            let (todo, tx) = (todo.clone(), self.tx.clone());
            let find = move || {
                while let Ok(input) = todo.try_recv() {
                    if context.stopping() {
                        return;
                    }
                    let found = caught(|| find_input(&input, context.runner, context.store, Reach::Fetch));
                    let _ = tx.send(Message::Input(input, found));
                }
            };
            if let Err(e) = std::thread::Builder::new().spawn_scoped(self.scope, find) {
                // The threads that could be started find all inputs; without any, every input fails.
                if started == 0 {
                    while let Ok(input) = todo_left.try_recv() {
                        let _ = self.tx.send(Message::Input(input, Err(Failure::no_threads(&e))));
                    }
                }
                break;
            }
            started += 1;
        }
    }
}
