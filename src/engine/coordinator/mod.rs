//! The state of every action, and the loop that changes it.
//!
//! An action goes from Waiting over Ready, Asked, Queued and Running to Ran, or ends as Cached, Failed, Blocked or Stopped.
//! *Ready* means ready to be looked up, not that it must run: its key is computed then, when the content of its inputs
//! is known. Executors send messages; only the loop changes a state.

mod bus;
mod ends;
mod inputs;
mod remote;
mod start;
mod summary;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::Scope;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;

use self::bus::EventBus;
use self::remote::Asking;
use crate::cache::{Error, History, Miss, RunDir, Store};
use crate::cancel::CancelToken;
use crate::cluster::Light;
use crate::context::RunContext;
use crate::dag::Dag;
use crate::events::{Event, EventSink};
use crate::execute::{Executor, Here};
use crate::job::Job;
use crate::messages::Message;
use crate::options::{Heavy, Options};
use crate::pools::{Grant, Need, Pools};
use crate::queue::Queue;
use crate::recipes::{Blocker, Lookup, Prepared, ResultTable};
use crate::report::RunReport;
use crate::runner::Runner;
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Digest, Input};

/// Runs a job: every action that the wanted ones need and that the store has no result of.
///
/// # Errors
/// When the records of the run cannot be written. Failures of actions are in the report.
pub fn run(
    job: &Job,
    runner: &dyn Runner,
    store: &Store,
    options: &Options,
    sink: &mut dyn EventSink,
    cancel: &CancelToken,
) -> Result<RunReport, Error> {
    let dir = store.new_run()?;
    if let Some(days) = options.keep_days {
        crate::cache::keep_days(&dir.path, days)?;
    }
    let events = EventBus::open(&dir.path, sink, options)?;
    let halt = AtomicBool::new(false);
    let context = RunContext { job, runner, store, options, cancel, halt: &halt };
    let (tx, rx) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| Coordinator::new(&context, events, dir, scope, tx).carry_out(&rx))
}

/// What carries out light actions, and heavy ones.
fn executors<'env: 'scope, 'scope>(
    context: &'env RunContext<'env>,
    dir: &RunDir,
    scope: &'scope Scope<'scope, 'env>,
    tx: &Sender<Message>,
) -> [Box<dyn Executor + 'scope>; 2] {
    let in_process = || Box::new(Here::in_process(context, scope, tx.clone()));
    match &context.options.heavy {
        Heavy::Thread => [in_process(), in_process()],
        Heavy::Process(worker) => {
            [in_process(), Box::new(Here::in_workers(context, scope, tx.clone(), worker.clone()))]
        }
        Heavy::Queue(options) => {
            let queue = Queue::new(context, options, dir, scope, tx.clone());
            match options.cluster.light {
                Light::Here => [in_process(), Box::new(queue)],
                Light::Job => [Box::new(queue.clone()), Box::new(queue)],
            }
        }
    }
}

/// What is known of an action.
enum ActionState {
    /// No target depends on it.
    NotNeeded,
    /// Waits for results and inputs.
    Waiting,
    /// To be looked up.
    Ready,
    /// The remote cache is asked for its result.
    Asked(Arc<Prepared>, Miss),
    /// Must run and waits for resources.
    Queued(Arc<Prepared>, Need),
    /// An executor carries it out, with what it holds of this machine.
    Running(Arc<Prepared>, Option<Grant>),
    /// Another action of this run produces the same key.
    Follows,
    /// Another process produces the same key.
    Busy(Arc<Prepared>),
    Cached,
    Ran,
    Failed,
    Blocked(ActionId),
    Stopped,
}

/// The place in the queue: the deepest action first, so that results come early, then by number. With
/// [`Options::shuffle`] a random number stands for the depth.
type Urgency = (std::cmp::Reverse<usize>, ActionId);

struct Coordinator<'s, 'env, 'scope> {
    context: &'env RunContext<'env>,
    events: EventBus<'s>,
    dir: RunDir,
    scope: &'scope Scope<'scope, 'env>,
    tx: Sender<Message>,
    table: ResultTable<'env>,
    history: History,
    states: Vec<ActionState>,
    /// By action: how many results and inputs it still waits for.
    waiting_for: Vec<usize>,
    /// The actions that wait for an input.
    input_users: BTreeMap<Arc<Input>, Vec<ActionId>>,
    inputs_pending: usize,
    ready: Vec<ActionId>,
    /// Queued actions, light and heavy ones, the most urgent first.
    queues: [BTreeSet<Urgency>; 2],
    dag: Dag,
    /// What carries out light actions, and heavy ones.
    executors: [Box<dyn Executor + 'scope>; 2],
    pools: Pools,
    running: usize,
    remote: Asking,
    busy: Vec<ActionId>,
    /// The action that produces a key in this run.
    producers: HashMap<Digest, ActionId>,
    /// Actions with the same key as the one that produces it.
    followers: BTreeMap<ActionId, Vec<ActionId>>,
    /// Actions that wait until a damaged result has been produced again.
    remaking: BTreeMap<ActionId, Vec<ActionId>>,
    /// How often a result that an action reads was removed while it ran.
    removals: BTreeMap<ActionId, u32>,
    /// Actions that run although the store has their result; each once.
    forced: BTreeSet<ActionId>,
    keys: Vec<Option<Digest>>,
    /// Failures, and whether the store was the cause.
    failures: BTreeMap<ActionId, (Failure, bool)>,
    seconds: Vec<f64>,
    logs: BTreeMap<ActionId, PathBuf>,
    /// Digests of the results that forced actions had before.
    previous: BTreeMap<ActionId, Digest>,
}

impl<'s, 'env, 'scope> Coordinator<'s, 'env, 'scope>
where
    'env: 'scope,
{
    fn new(
        context: &'env RunContext<'env>,
        events: EventBus<'s>,
        dir: RunDir,
        scope: &'scope Scope<'scope, 'env>,
        tx: Sender<Message>,
    ) -> Self {
        let (job, n) = (context.job, context.job.actions.len());
        Self {
            table: ResultTable::new(job, context.store),
            history: context.store.history(&job.study),
            states: job
                .needed()
                .iter()
                .map(|n| if *n { ActionState::Waiting } else { ActionState::NotNeeded })
                .collect(),
            waiting_for: job.actions.iter().map(|a| a.deps.len()).collect(),
            input_users: BTreeMap::new(),
            inputs_pending: 0,
            ready: Vec::new(),
            queues: Default::default(),
            dag: Dag::new(&job.actions),
            executors: executors(context, &dir, scope, &tx),
            pools: Pools::new(context.options),
            running: 0,
            remote: Asking::default(),
            busy: Vec::new(),
            producers: HashMap::new(),
            followers: BTreeMap::new(),
            remaking: BTreeMap::new(),
            removals: BTreeMap::new(),
            forced: context.options.force.clone(),
            keys: vec![None; n],
            failures: BTreeMap::new(),
            seconds: vec![0.0; n],
            logs: BTreeMap::new(),
            previous: BTreeMap::new(),
            context,
            events,
            dir,
            scope,
            tx,
        }
    }

    fn carry_out(mut self, rx: &Receiver<Message>) -> Result<RunReport, Error> {
        let needed: Vec<ActionId> = self.ids(|s| !matches!(s, ActionState::NotNeeded));
        self.events.emit(&Event::RunStarted {
            run: self.dir.id.clone(),
            study: self.context.job.study.clone(),
            actions: needed.len(),
            threads: self.context.options.threads,
            time: jiff::Timestamp::now().to_string(),
            tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        });
        self.find_inputs(&needed);
        for id in needed {
            if self.waiting_for[id.0 as usize] == 0 {
                self.make_ready(id);
            }
        }
        let mut announced = false;
        while self.goes_on() {
            if self.context.cancel.stopping() && !announced && self.running > 0 {
                announced = true;
                let text = "stopping: what runs keeps a checkpoint first; a second Ctrl-C ends it at once";
                self.note(None, text.into());
            }
            if !self.stopping() {
                self.look_up_ready();
                self.start();
            }
            self.remember();
            if !self.goes_on() {
                break;
            }
            if let Ok(message) = rx.recv_timeout(Duration::from_millis(100)) {
                self.receive(message);
                while let Ok(message) = rx.try_recv() {
                    self.receive(message);
                }
            }
            if let Err(e) = self.ask_busy() {
                self.remember();
                return Err(e);
            }
        }
        self.remember();
        Ok(self.finish())
    }

    /// Saves the history, which `why` reads.
    fn remember(&mut self) {
        if let Err(e) = self.history.save() {
            self.note(None, format!("what ran is not remembered for `why`: {e}"));
        }
    }

    /// Whether something runs or may still start.
    fn goes_on(&self) -> bool {
        let waiting = !self.ready.is_empty()
            || self.queues.iter().any(|q| !q.is_empty())
            || !self.busy.is_empty()
            || self.inputs_pending > 0
            || self.remote.open() > 0;
        self.running > 0 || (waiting && !self.stopping())
    }

    fn stopping(&self) -> bool {
        self.context.stopping()
    }

    fn ids(&self, keep: impl Fn(&ActionState) -> bool) -> Vec<ActionId> {
        (0u32..).zip(&self.states).filter(|(_, s)| keep(s)).map(|(i, _)| ActionId(i)).collect()
    }

    fn address(&self, id: ActionId) -> String {
        self.context.job.action(id).address.clone()
    }

    fn note(&mut self, id: Option<ActionId>, text: String) {
        let address = id.map(|id| self.address(id)).unwrap_or_default();
        self.events.emit(&Event::Note { id: id.map(|i| i.0), address, text });
    }

    fn make_ready(&mut self, id: ActionId) {
        self.states[id.0 as usize] = ActionState::Ready;
        self.ready.push(id);
    }

    /// Looks up everything that is ready. Hits make more ready, so this goes on until nothing changes.
    fn look_up_ready(&mut self) {
        while !self.ready.is_empty() {
            let wave = std::mem::take(&mut self.ready);
            let table = &self.table;
            let lookups: Vec<(ActionId, Lookup)> = if wave.len() < 16 {
                wave.into_iter().map(|id| (id, table.look_up(id))).collect()
            } else {
                wave.into_par_iter().map(|id| (id, table.look_up(id))).collect()
            };
            for (id, lookup) in lookups {
                self.looked_up(id, lookup);
            }
        }
    }

    fn looked_up(&mut self, id: ActionId, lookup: Lookup) {
        match lookup {
            Lookup::Hit(prepared, manifest) if !self.forced.contains(&id) => {
                self.keys[id.0 as usize] = Some(prepared.key);
                self.hit(id, manifest);
            }
            Lookup::Hit(prepared, manifest) => {
                self.previous.insert(id, manifest.digest);
                self.enqueue(id, prepared, None);
            }
            Lookup::Miss(prepared, miss) => {
                if let Some((prepared, miss)) = self.ask_remote(id, prepared, miss) {
                    self.enqueue(id, prepared, Some(miss));
                }
            }
            Lookup::Blocked(Blocker::Failure(failure)) => self.fail(id, &failure, false),
            Lookup::Blocked(Blocker::Action(other)) => {
                let text = format!("{} is not among its dependencies", self.address(other));
                self.fail(id, &Failure::bug(text), false);
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Input(input, found) => {
                self.inputs_pending -= 1;
                self.table.inputs.insert(input.clone(), found);
                for id in self.input_users.remove(&input).unwrap_or_default() {
                    self.arrived(id);
                }
            }
            Message::Brought { id, manifest } => self.brought(id, manifest),
            Message::Started { id, attempt, threads, device, log } => {
                let action = self.context.job.action(id);
                if let Some(log) = &log {
                    self.logs.insert(id, log.clone());
                }
                self.events.emit(&Event::Started {
                    id: id.0,
                    address: action.address.clone(),
                    op: action.op.to_owned(),
                    attempt,
                    threads,
                    device,
                    log,
                });
            }
            Message::Progress { id, done, total, unit, note } => {
                self.events.emit(&Event::Progress { id: id.0, done, total, unit, note });
            }
            Message::Note { id, text } => self.note(id, text),
            Message::Ended { id, end, seconds, log } => {
                self.logs.extend(log.map(|log| (id, log)));
                self.seconds[id.0 as usize] += seconds;
                self.ended(id, end);
            }
        }
    }
}
