//! The end of a run: what is left is stopped, and the report is made.

use super::{ActionState, Coordinator};
use crate::events::Event;
use crate::report::{ActionReport, Final, RunReport};
use xpipe_base::value::ActionId;

impl Coordinator<'_, '_, '_> {
    /// Stops what is left, and reports.
    pub(super) fn finish(mut self) -> RunReport {
        let stopped = self.ids(|s| {
            matches!(
                s,
                ActionState::Waiting
                    | ActionState::Ready
                    | ActionState::Asked(..)
                    | ActionState::Queued(..)
                    | ActionState::Running(..)
                    | ActionState::Follows
                    | ActionState::Busy(_)
            )
        });
        for id in stopped {
            self.states[id.0 as usize] = ActionState::Stopped;
            let address = self.address(id);
            self.events.emit(&Event::Stopped { id: id.0, address });
        }
        let actions: Vec<ActionReport> = (0u32..)
            .map(ActionId)
            .zip(&self.states)
            .map(|(id, state)| {
                let failed = self.failures.get(&id);
                ActionReport {
                    state: match state {
                        ActionState::NotNeeded => Final::NotNeeded,
                        ActionState::Cached => Final::Cached,
                        ActionState::Ran => Final::Ran,
                        ActionState::Failed => Final::Failed,
                        ActionState::Blocked(_) => Final::Blocked,
                        _ => Final::Stopped,
                    },
                    key: self.keys[id.0 as usize],
                    manifest: self.table.results[id.0 as usize].clone(),
                    failure: failed.map(|(f, _)| f.clone()),
                    store_error: failed.is_some_and(|(_, store)| *store),
                    blocked_by: if let ActionState::Blocked(by) = state { Some(*by) } else { None },
                    seconds: self.seconds[id.0 as usize],
                    log: self.logs.get(&id).cloned(),
                }
            })
            .collect();
        let seconds = self.events.begun.elapsed().as_secs_f64();
        let report = RunReport::new(
            self.dir.id.clone(),
            self.dir.path.clone(),
            actions,
            self.context.job.wanted.clone(),
            seconds,
            self.context.cancel.stopping(),
            self.context.options.fail_fast,
        );
        self.events.emit(&Event::RunFinished { counts: report.counts, seconds });
        report
    }
}
