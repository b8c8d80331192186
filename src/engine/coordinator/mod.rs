//! The state of every action, and the loop that changes it.
//!
//! An action goes Want → Ready → Queued → Running → Done, Failed, Blocked or Stopped. *Ready* means ready to be
//! looked up, not that it must run: its key is made then, since only then are its inputs' contents known. Executors
//! send messages; nobody but the loop changes a state.

mod ends;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;

use crate::board::{Board, Look, Obstacle, Prepared, find_input, inputs_of};
use crate::cache::{Error, History, Miss, RunDir, Store};
use crate::cancel::CancelToken;
use crate::events::{Event, EventSink};
use crate::execute::{Executor, Message};
use crate::memory::Sight;
use crate::plan::{Job, Options, Reach, Runner};
use crate::pools::{Grant, Need, Pools};
use crate::report::{ActionReport, Final, RunReport};
use crate::sinks::{ChromeTrace, JsonLines};
use crate::why::{self, Stale};
use xpipe_base::task::Failure;
use xpipe_base::value::{ActionId, Digest, Input};

/// Carries out a job: whatever the wanted actions need and the store does not have.
///
/// # Errors
/// When the store cannot take a run's records; failures of actions are in the report.
pub fn run(
    job: &Job,
    runner: &dyn Runner,
    store: &Store,
    options: &Options,
    sink: &mut dyn EventSink,
    cancel: &CancelToken,
) -> Result<RunReport, Error> {
    let dir = store.new_run()?;
    let logs = dir.path.join("logs");
    std::fs::create_dir_all(&logs).map_err(|e| Error::io("making", &logs, e))?;
    let events = dir.path.join("events.jsonl");
    let lines = JsonLines::create(&events).map_err(|e| Error::io("writing", &events, e))?;
    let trace = match &options.trace {
        Some(path) => Some(ChromeTrace::create(path).map_err(|e| Error::io("writing", path, e))?),
        None => None,
    };
    let halt = AtomicBool::new(false);
    let setting = Setting { job, runner, store, options, cancel, halt: &halt };
    let voice = Voice { begun: Instant::now(), sink, lines, trace };
    let (tx, rx) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| Coordinator::new(&setting, voice, dir, scope, tx).carry_out(&rx))
}

/// What does not change during a run.
struct Setting<'env> {
    job: &'env Job,
    runner: &'env dyn Runner,
    store: &'env Store,
    options: &'env Options,
    cancel: &'env CancelToken,
    halt: &'env AtomicBool,
}

/// Every sink, with the clock.
struct Voice<'a> {
    begun: Instant,
    sink: &'a mut dyn EventSink,
    lines: JsonLines,
    trace: Option<ChromeTrace>,
}

impl Voice<'_> {
    fn say(&mut self, event: &Event) {
        let at = self.begun.elapsed().as_secs_f64();
        self.lines.event(at, event);
        if let Some(trace) = &mut self.trace {
            trace.event(at, event);
        }
        self.sink.event(at, event);
    }
}

enum State {
    NotNeeded,
    /// Waits for results and inputs.
    Want,
    /// To be looked up.
    Ready,
    /// Must run, and waits for resources.
    Queued(Arc<Prepared>, Need),
    /// On an executor.
    Running(Arc<Prepared>, Grant),
    /// Another action of this run with the same key is on its way.
    Follows,
    /// Another process is making it.
    Busy(Arc<Prepared>),
    Cached,
    Ran,
    Failed,
    Blocked(ActionId),
    Stopped,
}

/// The place in the queue.
type Urgency = (std::cmp::Reverse<u32>, ActionId);

struct Coordinator<'s, 'env, 'scope> {
    set: &'env Setting<'env>,
    voice: Voice<'s>,
    dir: RunDir,
    scope: &'scope Scope<'scope, 'env>,
    tx: Sender<Message>,
    board: Board<'env>,
    history: History,
    states: Vec<State>,
    /// By action: how many results and inputs it still waits for.
    waits: Vec<usize>,
    dependents: Vec<Vec<ActionId>>,
    /// Who waits for an input.
    input_users: BTreeMap<Arc<Input>, Vec<ActionId>>,
    inputs_open: usize,
    ready: Vec<ActionId>,
    /// Queued actions, light and heavy ones, the most urgent first: the deepest, so that results come early; then by
    /// number.
    queues: [BTreeSet<Urgency>; 2],
    depth: Vec<u32>,
    pools: Pools,
    running: usize,
    busy: Vec<ActionId>,
    /// Who makes a key in this run.
    makers: HashMap<Digest, ActionId>,
    followers: BTreeMap<ActionId, Vec<ActionId>>,
    /// Actions that wait for a damaged result to be made again.
    again: BTreeMap<ActionId, Vec<ActionId>>,
    /// Results that ran in this run although forced: not forced twice.
    forced: BTreeSet<ActionId>,
    keys: Vec<Option<Digest>>,
    failures: BTreeMap<ActionId, (Failure, bool)>,
    seconds: Vec<f64>,
    logs: BTreeMap<ActionId, PathBuf>,
    /// What forced actions gave before.
    before: BTreeMap<ActionId, Digest>,
}

impl<'s, 'env, 'scope> Coordinator<'s, 'env, 'scope>
where
    'env: 'scope,
{
    fn new(
        set: &'env Setting<'env>,
        voice: Voice<'s>,
        dir: RunDir,
        scope: &'scope Scope<'scope, 'env>,
        tx: Sender<Message>,
    ) -> Self {
        let (job, n) = (set.job, set.job.actions.len());
        let mut dependents = vec![Vec::new(); n];
        let mut depth = vec![0; n];
        for (i, action) in job.actions.iter().enumerate() {
            for dep in &action.deps {
                dependents[dep.0 as usize].push(ActionId(i as u32));
                depth[i] = depth[i].max(depth[dep.0 as usize] + 1);
            }
        }
        Self {
            board: Board::new(job, set.store),
            history: set.store.history(&job.study),
            states: job.needed().iter().map(|n| if *n { State::Want } else { State::NotNeeded }).collect(),
            waits: job.actions.iter().map(|a| a.deps.len()).collect(),
            dependents,
            input_users: BTreeMap::new(),
            inputs_open: 0,
            ready: Vec::new(),
            queues: Default::default(),
            depth,
            pools: Pools::new(set.options),
            running: 0,
            busy: Vec::new(),
            makers: HashMap::new(),
            followers: BTreeMap::new(),
            again: BTreeMap::new(),
            forced: set.options.force.clone(),
            keys: vec![None; n],
            failures: BTreeMap::new(),
            seconds: vec![0.0; n],
            logs: BTreeMap::new(),
            before: BTreeMap::new(),
            set,
            voice,
            dir,
            scope,
            tx,
        }
    }

    fn carry_out(mut self, rx: &Receiver<Message>) -> Result<RunReport, Error> {
        let needed: Vec<ActionId> = self.ids(|s| !matches!(s, State::NotNeeded));
        self.voice.say(&Event::RunStarted {
            run: self.dir.id.clone(),
            study: self.set.job.study.clone(),
            actions: needed.len(),
            threads: self.set.options.threads,
            time: jiff::Timestamp::now().to_string(),
            tool: concat!("xpipe ", env!("CARGO_PKG_VERSION")).to_owned(),
        });
        self.find_inputs(&needed);
        for id in needed {
            if self.waits[id.0 as usize] == 0 {
                self.make_ready(id);
            }
        }
        let mut told = false;
        while self.goes_on() {
            if self.set.cancel.stopping() && !told && self.running > 0 {
                told = true;
                let text = "stopping: what runs keeps a checkpoint first; a second Ctrl-C ends it at once";
                self.note(None, text.into());
            }
            if !self.stopping() {
                self.look_up();
                self.start();
            }
            self.remember();
            if !self.goes_on() {
                break;
            }
            if let Ok(message) = rx.recv_timeout(Duration::from_millis(100)) {
                self.hear(message);
                while let Ok(message) = rx.try_recv() {
                    self.hear(message);
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

    /// Writes down what became of what; nothing of it may be lost when the run ends.
    fn remember(&mut self) {
        if let Err(e) = self.history.save() {
            self.note(None, format!("what ran is not remembered for `why`: {e}"));
        }
    }

    /// Whether something is on its way, or could be.
    fn goes_on(&self) -> bool {
        let waiting = !self.ready.is_empty()
            || self.queues.iter().any(|q| !q.is_empty())
            || !self.busy.is_empty()
            || self.inputs_open > 0;
        self.running > 0 || (waiting && !self.stopping())
    }

    fn stopping(&self) -> bool {
        self.set.cancel.stopping() || self.set.halt.load(Ordering::SeqCst)
    }

    fn ids(&self, keep: impl Fn(&State) -> bool) -> Vec<ActionId> {
        (0u32..).zip(&self.states).filter(|(_, s)| keep(s)).map(|(i, _)| ActionId(i)).collect()
    }

    fn address(&self, id: ActionId) -> String {
        self.set.job.action(id).address.clone()
    }

    fn note(&mut self, id: Option<ActionId>, text: String) {
        let address = id.map(|id| self.address(id)).unwrap_or_default();
        self.voice.say(&Event::Note { id: id.map(|i| i.0), address, text });
    }

    /// Finds and digests every input on threads of their own: it may take a download.
    fn find_inputs(&mut self, needed: &[ActionId]) {
        for id in needed {
            let mut mine: BTreeSet<Arc<Input>> = BTreeSet::new();
            inputs_of(&self.set.job.action(*id).args, &mut |input| {
                mine.insert(input.clone());
            });
            self.waits[id.0 as usize] += mine.len();
            for input in mine {
                self.input_users.entry(input).or_default().push(*id);
            }
        }
        self.inputs_open = self.input_users.len();
        let (jobs, todo) = crossbeam_channel::unbounded();
        for input in self.input_users.keys() {
            let _ = jobs.send(input.clone());
        }
        let (set, finders) = (self.set, self.set.options.threads.min(self.inputs_open).min(4));
        let (mut started, todo_left) = (0, todo.clone());
        for _ in 0..finders {
            let (todo, tx) = (todo.clone(), self.tx.clone());
            let find = move || {
                while let Ok(input) = todo.try_recv() {
                    if set.cancel.stopping() || set.halt.load(Ordering::SeqCst) {
                        return;
                    }
                    let found =
                        crate::call::caught(|| find_input(&input, set.runner, set.store, Reach::Fetch));
                    let _ = tx.send(Message::Input(input, found));
                }
            };
            if let Err(e) = std::thread::Builder::new().spawn_scoped(self.scope, find) {
                // Those that could be started do it all; without any nothing is found.
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

    fn make_ready(&mut self, id: ActionId) {
        self.states[id.0 as usize] = State::Ready;
        self.ready.push(id);
    }

    /// Looks up everything that is ready; hits make more ready, so this goes on until nothing moves.
    fn look_up(&mut self) {
        while !self.ready.is_empty() {
            let wave = std::mem::take(&mut self.ready);
            let board = &self.board;
            let looks: Vec<(ActionId, Look)> = if wave.len() < 16 {
                wave.into_iter().map(|id| (id, board.look(id))).collect()
            } else {
                wave.into_par_iter().map(|id| (id, board.look(id))).collect()
            };
            for (id, look) in looks {
                self.looked(id, look);
            }
        }
    }

    fn looked(&mut self, id: ActionId, look: Look) {
        match look {
            Look::Hit(prepared, manifest) if !self.forced.contains(&id) => {
                self.keys[id.0 as usize] = Some(prepared.key);
                self.hit(id, manifest);
            }
            Look::Hit(prepared, manifest) => {
                self.before.insert(id, manifest.digest);
                self.enqueue(id, prepared, None);
            }
            Look::Miss(prepared, miss) => self.enqueue(id, prepared, Some(miss)),
            Look::Obstacle(Obstacle::Failure(failure)) => self.fail(id, &failure, false),
            Look::Obstacle(Obstacle::Action(other)) => {
                let text = format!("{} is not among its dependencies", self.address(other));
                self.fail(id, &Failure::bug(text), false);
            }
        }
    }

    fn enqueue(&mut self, id: ActionId, prepared: Prepared, miss: Option<Miss>) {
        let key = prepared.key;
        self.keys[id.0 as usize] = Some(key);
        if let Some(maker) = self.makers.get(&key).copied().filter(|m| *m != id) {
            self.states[id.0 as usize] = State::Follows;
            self.followers.entry(maker).or_default().push(id);
            return;
        }
        let sight = Sight::new(self.set.job, self.set.runner, Some(&self.board));
        let memory = sight.memory(self.set.job.action(id), self.set.options);
        let need = match Need::of(self.set.job.action(id), self.set.options, memory.as_ref()) {
            Ok(need) => need,
            Err(failure) => return self.fail(id, &failure, false),
        };
        let forced = self.forced.contains(&id);
        let reasons = why::reasons(&self.board, &self.history, id, miss.as_ref(), forced);
        if let Some(miss) = miss.filter(Miss::is_damage) {
            self.note(Some(id), format!("{miss}; it is made again"));
        }
        self.makers.insert(key, id);
        self.states[id.0 as usize] = State::Queued(Arc::new(prepared), need);
        let heavy = usize::from(self.set.job.action(id).heavy);
        self.queues[heavy].insert((std::cmp::Reverse(self.depth[id.0 as usize]), id));
        self.say_queued(id, key, reasons);
    }

    fn say_queued(&mut self, id: ActionId, key: Digest, reasons: Vec<Stale>) {
        let action = self.set.job.action(id);
        self.voice.say(&Event::Queued {
            id: id.0,
            address: action.address.clone(),
            op: action.op.clone(),
            key,
            reasons,
        });
    }

    /// Starts what the resources allow.
    fn start(&mut self) {
        // Not many more than there are threads can start together.
        let most = self.set.options.threads + 64;
        let (queued, needs): (Vec<Urgency>, Vec<Need>) = self
            .queues
            .iter()
            .flat_map(|queue| queue.iter().take(most))
            .filter_map(|entry| match &self.states[entry.1.0 as usize] {
                State::Queued(_, need) => Some((*entry, *need)),
                _ => None,
            })
            .unzip();
        for (i, grant) in self.pools.grant(&needs) {
            let entry = queued[i];
            self.queues.iter_mut().for_each(|q| {
                q.remove(&entry);
            });
            self.launch(entry.1, grant);
        }
    }

    fn launch(&mut self, id: ActionId, grant: Grant) {
        let at = id.0 as usize;
        let State::Queued(prepared, _) = &self.states[at] else { return self.pools.give_back(&grant) };
        let prepared = prepared.clone();
        let reads = prepared
            .reads
            .iter()
            .filter_map(|r| Some((*r, self.board.results[r.0 as usize].clone()?)))
            .collect();
        let action = self.set.job.action(id);
        let name: String = action
            .address
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(80)
            .collect();
        let executor = Executor {
            id,
            action,
            study: &self.set.job.study,
            prepared: prepared.clone(),
            reads,
            forced: self.forced.contains(&id),
            grant: grant.clone(),
            store: self.set.store,
            runner: self.set.runner,
            options: self.set.options,
            cancel: self.set.cancel,
            halt: self.set.halt,
            log: self.dir.path.join("logs").join(format!("{:04}-{name}.log", id.0)),
            tx: self.tx.clone(),
        };
        if let Err(e) = std::thread::Builder::new().spawn_scoped(self.scope, move || executor.run()) {
            self.pools.give_back(&grant);
            return self.fail(id, &Failure::no_threads(e), false);
        }
        self.states[at] = State::Running(prepared, grant);
        self.running += 1;
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Input(input, found) => {
                self.inputs_open -= 1;
                self.board.inputs.insert(input.clone(), found);
                for id in self.input_users.remove(&input).unwrap_or_default() {
                    self.arrived(id);
                }
            }
            Message::Started { id, attempt, threads, device, log } => {
                let action = self.set.job.action(id);
                if let Some(log) = &log {
                    self.logs.insert(id, log.clone());
                }
                self.voice.say(&Event::Started {
                    id: id.0,
                    address: action.address.clone(),
                    op: action.op.clone(),
                    attempt,
                    threads,
                    device,
                    log,
                });
            }
            Message::Progress { id, done, total, unit, note } => {
                self.voice.say(&Event::Progress { id: id.0, done, total, unit, note });
            }
            Message::Note { id, text } => self.note(Some(id), text),
            Message::Ended { id, end, seconds, log } => {
                self.logs.extend(log.map(|log| (id, log)));
                self.seconds[id.0 as usize] += seconds;
                self.ended(id, end);
            }
        }
    }

    fn finish(mut self) -> RunReport {
        let stopped = self.ids(|s| {
            matches!(
                s,
                State::Want
                    | State::Ready
                    | State::Queued(..)
                    | State::Running(..)
                    | State::Follows
                    | State::Busy(_)
            )
        });
        for id in stopped {
            self.states[id.0 as usize] = State::Stopped;
            let address = self.address(id);
            self.voice.say(&Event::Stopped { id: id.0, address });
        }
        let actions: Vec<ActionReport> = (0u32..)
            .map(ActionId)
            .zip(&self.states)
            .map(|(id, state)| {
                let failed = self.failures.get(&id);
                ActionReport {
                    state: match state {
                        State::NotNeeded => Final::NotNeeded,
                        State::Cached => Final::Cached,
                        State::Ran => Final::Ran,
                        State::Failed => Final::Failed,
                        State::Blocked(_) => Final::Blocked,
                        _ => Final::Stopped,
                    },
                    key: self.keys[id.0 as usize],
                    manifest: self.board.results[id.0 as usize].clone(),
                    failure: failed.map(|(f, _)| f.clone()),
                    store_error: failed.is_some_and(|(_, store)| *store),
                    blocked_by: if let State::Blocked(by) = state { Some(*by) } else { None },
                    seconds: self.seconds[id.0 as usize],
                    log: self.logs.get(&id).cloned(),
                }
            })
            .collect();
        let seconds = self.voice.begun.elapsed().as_secs_f64();
        let report = RunReport::new(
            self.dir.id.clone(),
            self.dir.path.clone(),
            actions,
            self.set.job.wanted.clone(),
            seconds,
            self.set.cancel.stopping(),
            self.set.options.fail_fast,
        );
        self.voice.say(&Event::RunFinished { counts: report.counts, seconds });
        report
    }
}
