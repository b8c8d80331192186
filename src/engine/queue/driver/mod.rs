//! The one thread for all jobs of a run. It takes actions from the coordinator, submits them in arrays of equal resources,
//! asks the queue at intervals, and tells the coordinator what became of each. A thread for each action would make
//! thousands of them expensive.

mod stop;
mod submit;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::claims::{Claim, Claims};
use super::decision::Again;
use super::files::AttemptFolder;
use super::item::{Item, Live};
use super::lease::Lease;
use super::run_files::{TakenOver, is_asked_to_stop, record_taken_over, recorded_id};
use super::scheduler::{Resources, Rows, Scheduler, Seen};
use crate::cache::RunDir;
use crate::context::RunContext;
use crate::execute::Assignment;
use crate::messages::{End, Message};
use crate::options::QueueOptions;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Digest};

/// How long actions that become ready together are gathered for one array.
const GATHER: Duration = Duration::from_millis(50);

/// Jobs that are submitted with one command.
struct Batch {
    /// The folder with one folder for each task.
    folder: PathBuf,
    resources: Resources,
    /// Whether it is an array.
    array: bool,
    /// The id in the queue; `None` while nobody knows whether it was accepted.
    id: Option<String>,
    /// Submissions without a clear answer.
    doubts: u32,
    /// Those of them without any answer of the program that submits.
    unknown: u32,
    /// Failures of that program since the last one without any answer.
    failures: u32,
    /// Not submitted again before this.
    not_before: Instant,
    /// Whether another run has submitted it.
    foreign: Option<PathBuf>,
    /// How many of its tasks are under way.
    live: usize,
}

/// When the queue is asked: soon after a submission, later less often.
struct Clock {
    longest: Duration,
    interval: Duration,
    next: Instant,
}

impl Clock {
    /// The shortest interval.
    const FIRST: Duration = Duration::from_secs(2);

    fn new(longest: Duration) -> Self {
        Self { longest, interval: Self::FIRST.min(longest), next: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn asked(&mut self) {
        self.next = Instant::now() + self.interval;
        self.interval = (self.interval * 3 / 2).min(self.longest);
    }

    /// Something was submitted or has ended.
    fn hurry(&mut self) {
        self.interval = Self::FIRST.min(self.longest);
        self.next = self.next.min(Instant::now() + self.interval);
    }
}

/// The driver of a run's jobs.
pub(super) struct Driver<'env> {
    context: &'env RunContext<'env>,
    options: &'env QueueOptions,
    scheduler: Box<dyn Scheduler>,
    run: RunDir,
    claims: Claims,
    /// Claims of other runs that were there when this one began.
    found: BTreeMap<Digest, Claim>,
    lease: Lease,
    items: BTreeMap<ActionId, Item>,
    batches: BTreeMap<String, Batch>,
    /// The latest answer of the queue.
    rows: Rows,
    clock: Clock,
    /// Since when the queue does not answer.
    silent: bool,
    submissions: u32,
    /// When the queue was last asked to take jobs.
    submitted: Option<Instant>,
    messages: Sender<Message>,
}

impl<'env> Driver<'env> {
    pub(super) fn new(
        context: &'env RunContext<'env>,
        options: &'env QueueOptions,
        scheduler: Box<dyn Scheduler>,
        run: &RunDir,
        messages: Sender<Message>,
    ) -> Self {
        let claims = Claims::of(context.store.dir());
        Self {
            found: claims.latest(),
            claims,
            lease: Lease::of(&run.path),
            items: BTreeMap::new(),
            batches: BTreeMap::new(),
            rows: Rows::new(),
            clock: Clock::new(options.cluster.poll),
            silent: false,
            submissions: 0,
            submitted: None,
            run: run.clone(),
            context,
            options,
            scheduler,
            messages,
        }
    }

    /// Serves until the coordinator is gone.
    pub(super) fn serve(mut self, assignments: &Receiver<Assignment>) {
        self.lease.renew();
        loop {
            match assignments.recv_timeout(Duration::from_millis(100)) {
                Ok(assignment) => {
                    self.take(assignment);
                    while let Ok(more) = assignments.recv_timeout(GATHER) {
                        self.take(more);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.lease.renew();
            if self.items.is_empty() {
                continue;
            }
            if self.clock.is_due() && is_asked_to_stop(&self.run.path) && !self.context.cancel.stopping() {
                self.context.cancel.request();
            }
            if self.context.stopping() {
                self.stop();
                continue;
            }
            self.submit_ready();
            if self.clock.is_due() {
                self.look();
            }
        }
    }

    /// Takes an action: a result that is there, a job of another run, or a job to be submitted.
    fn take(&mut self, assignment: Assignment) {
        let (id, key, forced) = (assignment.id, assignment.prepared.key, assignment.forced);
        self.items.insert(id, Item::new(assignment));
        if forced {
            return;
        }
        if let Ok(manifest) = self.context.store.get(&key) {
            return self.finish(id, End::Hit(Box::new(manifest)));
        }
        if let Some(claim) = self.found.remove(&key) {
            self.adopt(id, &claim);
        }
    }

    /// Takes over the job of another run, unless that has ended.
    fn adopt(&mut self, id: ActionId, claim: &Claim) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let key = item.assignment.prepared.key;
        item.next = claim.attempt + 1;
        let runs = self.context.store.dir().join("runs");
        let Some(folder) = claim.submission(&runs) else { return };
        let attempt = AttemptFolder { path: folder.join(claim.task.to_string()) };
        let ended = !attempt.look().reports.is_empty();
        let live = Live::new(claim.attempt, attempt, claim.name.clone(), claim.task).with_helpers(&key);
        if ended || !folder.is_dir() {
            return item.put_aside(&live, recorded_id(&folder).as_deref());
        }
        let batch = self.batches.entry(claim.name.clone()).or_insert_with(|| Batch {
            resources: Resources::default(),
            array: true,
            id: recorded_id(&folder),
            folder,
            doubts: 0,
            unknown: 0,
            failures: 0,
            not_before: Instant::now(),
            foreign: Some(runs.join(&claim.run)),
            live: 0,
        });
        batch.live += 1;
        item.live = Some(live);
        let address = self.context.job.action(id).address.clone();
        record_taken_over(&self.run.path, &TakenOver { address, claim: claim.clone() });
        self.say(Some(id), format!("its job {} of run {} is taken over", claim.name, claim.run));
        self.clock.hurry();
    }

    /// Ends an action.
    fn finish(&mut self, id: ActionId, end: End) {
        let Some(item) = self.items.remove(&id) else { return };
        let settled =
            !matches!(&end, End::Failed(f, _) if f.kind == xpipe_base::task::FailureKind::Interrupted);
        let log = item.live.as_ref().and_then(|live| crate::attempt::written(&self.log(live)));
        if settled {
            self.claims.release(&item.assignment.prepared.key, item.next);
        }
        self.end_others(&item);
        if let Some(live) = item.live {
            self.leave(&live.name);
        }
        let seconds = item.begun.elapsed().as_secs_f64();
        let _ = self.messages.send(Message::Ended { id, end, seconds, log });
        self.clock.hurry();
    }

    /// The id of a task that the queue lists as not ended.
    fn alive(&self, name: &str, task: u32) -> Option<String> {
        let row = self.rows.get(&(name.to_owned(), task))?;
        (!matches!(row.seen, Seen::Ended(_))).then(|| row.id.clone())
    }

    /// Cancels the other jobs of an action which has ended: those that share it, and those of earlier attempts.
    fn end_others(&self, item: &Item) {
        let helpers = item.live.iter().flat_map(|l| l.helpers.iter().filter_map(|t| self.alive(&l.name, *t)));
        let earlier = item.earlier.iter().filter_map(|e| self.alive(&e.name, e.task));
        let ids: Vec<String> = helpers.chain(earlier).collect();
        if !ids.is_empty() {
            // Otherwise they find out by themselves that there is nothing to do.
            let _ = self.scheduler.cancel(&ids);
        }
    }

    /// Lets an action wait for another attempt.
    fn again(&mut self, id: ActionId, why: Again, node: Option<String>) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let Some(name) = item.live.as_ref().map(|live| live.name.clone()) else { return };
        item.again(why, node, self.batches.get(&name).and_then(|batch| batch.id.as_deref()));
        self.leave(&name);
    }

    /// One task fewer of a batch is under way.
    fn leave(&mut self, name: &str) {
        if let Some(batch) = self.batches.get_mut(name) {
            batch.live = batch.live.saturating_sub(1);
            if batch.live == 0 {
                self.batches.remove(name);
            }
        }
    }

    fn fail(&mut self, id: ActionId, failure: Failure) {
        self.finish(id, End::Failed(failure, false));
    }

    fn say(&self, id: Option<ActionId>, text: String) {
        let _ = self.messages.send(Message::Note { id, text });
    }

    /// The log of an attempt.
    fn log(&self, live: &Live) -> PathBuf {
        let run = self.batches.get(&live.name).and_then(|b| b.foreign.as_deref()).unwrap_or(&self.run.path);
        run.join("logs").join(format!("{}-{}.log", live.name, live.task))
    }
}
