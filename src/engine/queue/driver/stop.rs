//! The end of a run before its actions are done: its jobs are cancelled, which lets them keep a checkpoint.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Driver;
use crate::queue::decision::{CancelledBy, Decision, Job};
use crate::queue::scheduler::Seen;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, human};

/// How long jobs may take to end.
const WITHIN: Duration = Duration::from_secs(10);
/// Between two looks meanwhile.
const LOOK: Duration = Duration::from_millis(500);

impl Driver<'_> {
    /// Cancels every job of this run with one command, and waits a while for their ends. What has not ended by then is
    /// found by the next run.
    pub(super) fn stop(&mut self) {
        let waiting: Vec<ActionId> =
            self.items.iter().filter(|(_, i)| i.live.is_none()).map(|(id, _)| *id).collect();
        for id in waiting {
            self.fail(id, Failure::interrupted());
        }
        // A job that was accepted without our knowledge is found by its name.
        self.ask();
        self.cancel_all();
        let begun = Instant::now();
        while !self.items.is_empty() && begun.elapsed() < WITHIN && !self.context.cancel.killing() {
            self.ask();
            let ids: Vec<ActionId> = self.items.keys().copied().collect();
            for id in ids {
                match self.judge(id) {
                    Some(Decision::Done) => self.done(id),
                    Some(Decision::Stopped) => self.stopped(id),
                    _ => {}
                }
            }
            if !self.items.is_empty() {
                std::thread::sleep(LOOK);
            }
        }
        let left: Vec<ActionId> = self.items.keys().copied().collect();
        if !left.is_empty() {
            let jobs = human::counted(left.len() as u64, "jobs");
            self.say(None, format!("{jobs} of the queue have not ended yet; the next run finds them"));
        }
        for id in left {
            self.fail(id, Failure::interrupted());
        }
    }

    /// Asks the queue to end every job, and says so in the folders of their attempts.
    fn cancel_all(&mut self) {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for item in self.items.values_mut() {
            let Some(live) = &mut item.live else { continue };
            live.cancelled = Some(CancelledBy::Us);
            let _ = live.folder.cancel(&self.run.id);
        }
        for item in self.items.values() {
            ids.extend(item.earlier.iter().filter_map(|e| self.alive(&e.name, e.task)));
            let Some(live) = &item.live else { continue };
            let ended = matches!(live.job, Job::Listed(Seen::Ended(_)));
            let batch = self.batches.get(&live.name).filter(|b| b.foreign.is_none() && !ended);
            match batch.and_then(|b| b.id.clone()) {
                // All tasks of an array of ours are to end. Of another run's array only those that were taken over.
                Some(id) => _ = ids.insert(id),
                None => ids.extend(live.tasks().filter_map(|task| self.alive(&live.name, task))),
            }
        }
        let ids: Vec<String> = ids.into_iter().collect();
        if ids.is_empty() {
            return;
        }
        let jobs = human::counted(ids.len() as u64, "jobs");
        match self.scheduler.cancel(&ids) {
            Ok(()) => self.say(None, format!("cancelled {jobs}; they may keep a checkpoint first")),
            Err(why) => self.say(None, format!("{jobs} could not be cancelled: {why}")),
        }
    }

    /// An attempt has ended by our wish: nobody needs to look for it.
    fn stopped(&mut self, id: ActionId) {
        if let Some(item) = self.items.get(&id) {
            self.claims.release(&item.assignment.prepared.key, item.next);
        }
        self.fail(id, Failure::interrupted());
    }
}
