//! Watching: the queue is asked once for all jobs, then each attempt is judged by its files and the answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::Driver;
use super::submit::one_line;
use crate::cache::Manifest;
use crate::messages::{End, Message};
use crate::protocol::FromWorker;
use crate::queue::decision::{Again, CancelledBy, Decision, Facts, Job, Limits, decide};
use crate::queue::files::{Look, Report, Verdict};
use crate::queue::item::Live;
use crate::queue::lease::is_alive;
use crate::queue::scheduler::{Names, Row, Seen};
use xpipe_base::task::Failure;
use xpipe_base::value::ActionId;

/// Words by which a log says that memory ran out.
const MEMORY: [&str; 5] =
    ["exceeded memory limit", "oom-kill", "oom_kill", "Out Of Memory", "memory allocation of"];
/// How much of the end of a log is searched for them.
const LOG_END: u64 = 64 * 1024;

impl Driver<'_> {
    /// Asks the queue, and acts on what is known of every attempt.
    pub(super) fn look(&mut self) {
        self.ask();
        let ids: Vec<ActionId> =
            self.items.iter().filter(|(_, i)| i.live.is_some()).map(|(id, _)| *id).collect();
        let mut again: BTreeSet<String> = BTreeSet::new();
        for id in ids {
            if let Some(decision) = self.judge(id) {
                self.act(id, decision, &mut again);
            }
        }
        for name in again {
            self.submit_again(&name);
        }
        self.clock.asked();
    }

    /// The jobs of the run that are under way, those that were taken over, and those of earlier attempts.
    fn names(&self) -> Names {
        let earlier = self.items.values().flat_map(|i| &i.earlier).map(|e| (e.name.clone(), e.id.clone()));
        let live = self.batches.iter().map(|(name, batch)| (name.clone(), batch.id.clone()));
        earlier.chain(live).collect()
    }

    /// Asks the queue about all jobs of the run, once.
    pub(super) fn ask(&mut self) {
        match self.scheduler.poll(&self.names()) {
            Ok(rows) => self.rows = rows,
            Err(why) => {
                if !std::mem::replace(&mut self.silent, true) {
                    let why = one_line(&why);
                    self.say(
                        None,
                        format!("the queue does not answer ({why}); jobs go on, and it is asked again"),
                    );
                }
                return;
            }
        }
        if std::mem::replace(&mut self.silent, false) {
            self.say(None, "the queue answers again".into());
        }
        let mut found = Vec::new();
        for item in self.items.values_mut() {
            let Some(live) = &mut item.live else { continue };
            let row = self.rows.get(&(live.name.clone(), live.task));
            live.job = match (row, &live.job) {
                (Some(row), _) => Job::Listed(row.seen.clone()),
                (None, Job::Absent(n)) => Job::Absent(n + 1),
                (None, _) => Job::Absent(1),
            };
            let over = matches!(live.job, Job::Absent(_) | Job::Listed(Seen::Ended(_)));
            live.over_since = over.then(|| live.over_since.unwrap_or_else(Instant::now));
            if let Some(row) = row
                && self.batches.get(&live.name).is_some_and(|b| b.id.is_none())
            {
                found.push((live.name.clone(), row.id.split('_').next().unwrap_or_default().to_owned()));
            }
        }
        found.dedup();
        for (name, id) in found {
            self.say(None, format!("job {id} ({name}) was accepted after all"));
            self.record(&name, &id);
        }
    }

    /// What to do about the attempt of an action; reports its progress.
    pub(super) fn judge(&mut self, id: ActionId) -> Option<Decision> {
        let item = self.items.get_mut(&id)?;
        let live = item.live.as_mut()?;
        // A job that waits has no files.
        let waits = matches!(live.job, Job::Listed(Seen::Pending(_)));
        let look = if waits { Look::default() } else { live.folder.look() };
        let said = look.progress().map(|path| live.tail.read(path)).unwrap_or_default();
        let told = look.reports.iter().map(|r| r.reached).max().unwrap_or(0);
        live.reached = live.reached.max(live.tail.reached).max(told);
        let runs = live.job == Job::Listed(Seen::Alive) || !said.is_empty() || !look.reports.is_empty();
        let started = runs && !std::mem::replace(&mut live.told_start, runs);
        if live.cancelled.is_none() && !look.cancelled_by.is_empty() {
            // This run has not asked for it: it was asked for from outside, in its name.
            let ours = look.cancelled_by.contains(&self.run.id);
            live.cancelled = Some(if ours { CancelledBy::User } else { CancelledBy::Other });
        }
        // A file that grows is a sign of life also when the queue does not list the job.
        if !said.is_empty() && matches!(live.job, Job::Absent(_)) {
            live.over_since = Some(Instant::now());
        }
        if started {
            self.tell_start(id);
        }
        for message in said {
            self.pass_on(id, message);
        }
        self.facts(id, &look).map(|facts| decide(&facts))
    }

    fn facts<'l>(&self, id: ActionId, look: &'l Look) -> Option<Facts<'l>> {
        let (item, key) = (self.items.get(&id)?, self.items.get(&id)?.assignment.prepared.key);
        let live = item.live.as_ref()?;
        let report = look.reports.last();
        let over = live.over_since.is_some();
        let makes = |r: &Report| r.verdict == Verdict::Done && (r.ran || !item.assignment.forced);
        let helped = |task: &u32| live.folder_of(*task).look().reports.iter().any(makes);
        let done = look.reports.iter().any(makes) || live.helpers.iter().any(helped);
        let looks = done || (over && !item.assignment.forced);
        let published = looks && self.context.store.get(&key).is_ok();
        let retries = self.context.job.action(id).policy.retries.unwrap_or(0);
        let cluster = &self.options.cluster;
        Some(Facts {
            published,
            // What has written files was accepted.
            submitted: look.progress().is_some()
                || self.batches.get(&live.name).is_some_and(|b| b.id.is_some()),
            named: self.scheduler.finds_names(),
            job: live.job.clone(),
            report,
            silence: live.over_since.map(|at| at.elapsed()).unwrap_or_default(),
            log_says_memory: over && log_says_memory(&self.log(live)),
            cancelled: live.cancelled,
            advanced: live.reached > item.reached && self.has_checkpoint(&key.hex()),
            tries: item.tries,
            limits: Limits {
                lost: cluster.retries,
                memory: if cluster.memory_factor > 1.0 { cluster.memory_retries } else { 0 },
                failed: u32::try_from(retries).unwrap_or(u32::MAX),
                grace: cluster.grace,
            },
        })
    }

    /// Whether a checkpoint of a key is kept.
    fn has_checkpoint(&self, key: &str) -> bool {
        let scratch = self.context.store.dir().join("scratch").join(key);
        std::fs::read_dir(scratch).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn tell_start(&self, id: ActionId) {
        let Some(live) = self.items.get(&id).and_then(|i| i.live.as_ref()) else { return };
        let batch = self.batches.get(&live.name);
        let (threads, gpus) = batch.map_or((1, 0), |b| (b.resources.cpus.max(1), b.resources.gpus));
        let device = (if gpus > 0 { "cuda:0" } else { "cpu" }).to_owned();
        let (attempt, log) = (live.attempt, Some(self.log(live)));
        let _ = self.messages.send(Message::Started { id, attempt, threads, device, log });
    }

    fn pass_on(&self, id: ActionId, message: FromWorker) {
        match message {
            FromWorker::Progress { done, total, unit, note } => {
                let _ = self.messages.send(Message::Progress { id, done, total, unit, note });
            }
            FromWorker::Note { text } => self.say(Some(id), text),
            FromWorker::Caveat { .. } | FromWorker::Done { .. } | FromWorker::Failed { .. } => {}
        }
    }

    fn act(&mut self, id: ActionId, decision: Decision, again: &mut BTreeSet<String>) {
        match decision {
            Decision::Wait => {}
            Decision::Done => self.done(id),
            Decision::SubmitAgain => again.extend(self.live(id).map(|live| live.name.clone())),
            Decision::Retry(why) => self.retry(id, why),
            Decision::Replace => {
                self.cancel_job(id);
                self.retry(id, Again::Lost { node_failed: false });
            }
            Decision::Withdraw(failure) => {
                self.cancel_job(id);
                self.fail(id, failure);
            }
            Decision::Unreadable(key) => self.unreadable(id, &key),
            Decision::Stopped => self.fail(id, Failure::interrupted()),
            Decision::Fail(failure) => self.fail(id, failure),
        }
    }

    fn live(&self, id: ActionId) -> Option<&Live> {
        self.items.get(&id)?.live.as_ref()
    }

    fn row(&self, live: &Live) -> Option<&Row> {
        self.rows.get(&(live.name.clone(), live.task))
    }

    /// The result is there.
    pub(super) fn done(&mut self, id: ActionId) {
        let Some(item) = self.items.get(&id) else { return };
        let Ok(manifest) = self.context.store.get(&item.assignment.prepared.key) else { return };
        let live = item.live.iter().flat_map(|l| l.tasks().map(|task| l.folder_of(task)));
        let folders = item.earlier.iter().map(|e| e.folder.clone()).chain(live);
        let ran = folders
            .flat_map(|folder| folder.look().reports)
            .any(|report| report.verdict == Verdict::Done && report.ran);
        // One that shared the action was faster.
        if item.live.as_ref().is_some_and(|live| live.folder.look().reports.is_empty()) {
            self.cancel_job(id);
        }
        let manifest: Box<Manifest> = Box::new(manifest);
        self.finish(id, if ran { End::Ran(manifest) } else { End::Hit(manifest) });
    }

    fn cancel_job(&mut self, id: ActionId) {
        let row = self.live(id).and_then(|live| self.alive(&live.name, live.task));
        if let Some(row) = row
            && let Err(why) = self.scheduler.cancel(std::slice::from_ref(&row))
        {
            self.say(Some(id), format!("its job {row} could not be cancelled: {why}"));
        }
    }

    /// Prepares another attempt.
    fn retry(&mut self, id: ActionId, why: Again) {
        let Some(live) = self.live(id) else { return };
        let node = self.row(live).and_then(|row| row.node.clone());
        let how = self.row(live).map_or("gone from the queue", |row| row.word.as_str()).to_owned();
        let on = node.as_ref().map(|n| format!(" on {n}")).unwrap_or_default();
        let next = match why {
            Again::Lost { .. } => "its job was lost",
            Again::Resume => "it goes on from its checkpoint",
            Again::MoreMemory => "its job ran out of memory; the next one gets more",
            Again::Failed => "it failed and is tried again",
            Again::Outside => "its job was ended from outside",
        };
        self.say(Some(id), format!("{next} ({how}{on}); another attempt follows"));
        self.again(id, why, node);
    }

    /// A job could not read a result. When that is damaged here too it is made again.
    fn unreadable(&mut self, id: ActionId, key: &str) {
        let Some(item) = self.items.get(&id) else { return };
        let read = item.assignment.reads.iter().find(|(_, m)| m.key.hex() == key).cloned();
        let Some((read, manifest)) = read else {
            return self
                .fail(id, Failure::bug(format!("its job could not read {key}, which it does not need")));
        };
        match self.context.store.get(&manifest.key).map(|_| self.context.store.tree(&manifest)) {
            Ok(Ok(Ok(_))) if item.tries.lost < self.options.cluster.retries => {
                self.retry(id, Again::Lost { node_failed: false });
            }
            Ok(Ok(Ok(_))) => {
                let label = &self.context.job.action(read).address;
                let failure = Failure::missing(format!("its job cannot read {label}, which is whole here"));
                self.fail(id, failure.help("check that the nodes see the same cache: `xpipe doctor slurm`"));
            }
            Ok(Ok(Err(miss))) | Err(miss) => self.finish(id, End::Damaged(read, miss)),
            Ok(Err(e)) => self.finish(id, End::Failed((&e).into(), e.exit_code() == 5)),
        }
    }

    /// Submits a batch that never reached the queue, when it is time.
    fn submit_again(&mut self, name: &str) {
        let Some(batch) = self.batches.get(name) else { return };
        match &batch.foreign {
            // Its run may just be about to submit it.
            Some(run) if is_alive(run) => {}
            Some(_) => {
                let of = |(id, item): (&ActionId, &crate::queue::item::Item)| {
                    item.live.as_ref().is_some_and(|l| l.name == name).then_some(*id)
                };
                let ids: Vec<ActionId> = self.items.iter().filter_map(of).collect();
                for id in ids {
                    self.retry(id, Again::Outside);
                }
            }
            None if Instant::now() >= batch.not_before => self.send(name),
            None => {}
        }
    }
}

/// Whether the end of a log says that memory ran out.
fn log_says_memory(log: &Path) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let Ok(mut file) = std::fs::File::open(log) else { return false };
    let size = file.metadata().map_or(0, |m| m.len());
    let mut bytes = Vec::new();
    let read =
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_END))).and_then(|_| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    read.is_ok() && MEMORY.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_speaks_of_memory_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(!log_says_memory(&log));
        std::fs::write(&log, "training\n").unwrap();
        assert!(!log_says_memory(&log));
        std::fs::write(
            &log,
            format!(
                "{}slurmstepd: error: StepId=3.batch exceeded memory limit (9 > 1), being killed\n",
                "x\n".repeat(99_999)
            ),
        )
        .unwrap();
        assert!(log_says_memory(&log));
    }
}
