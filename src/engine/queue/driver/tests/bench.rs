//! A queue in memory, and runs of the driver over it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::super::*;
use crate::CancelToken;
use crate::cache::Store;
use crate::cluster::Cluster;
use crate::job::Job as Study;
use crate::options::{Heavy, Options};
use crate::queue::attempt_main;
use crate::queue::files::{ProgressWriter, Report, Verdict};
use crate::queue::scheduler::{Ending, Names, Row, Seen, Submission, Submitted};
use crate::queue::spec::AttemptSpec;
use crate::recipes::{Lookup, ResultTable};
use crate::runner::{Found, Reach, Runner};
use xpipe_base::task::{Action, FailureKind, Job as Task, Outcome, Policy, RunFn};
use xpipe_base::value::{Input, Record, Value};

fn make(job: &Task<'_>) -> Result<Outcome, Failure> {
    std::fs::write(job.spec.out.join("value"), job.text("text")?)?;
    Ok(Outcome::default())
}

fn fail(_: &Task<'_>) -> Result<Outcome, Failure> {
    Err(Failure::wrong("line 3 is odd"))
}

fn flaky(job: &Task<'_>) -> Result<Outcome, Failure> {
    let tried = job.spec.scratch.join("tried");
    if tried.exists() {
        return make(job);
    }
    std::fs::write(tried, "")?;
    Err(Failure { kind: FailureKind::Transient, message: "no network".into(), help: None })
}

pub(super) struct Ops;

impl Runner for Ops {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        Some(match op {
            "make" => make,
            "fail" => fail,
            "flaky" => flaky,
            _ => return None,
        })
    }

    fn find_input(&self, _: &Input, _: Reach) -> Result<Found, Failure> {
        Err(Failure::bug("nothing is looked for"))
    }
}

/// What becomes of a submission.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Every task runs.
    Run,
    /// Every task ends so, without a report.
    Lose(Ending),
    /// No clear answer, but it was accepted and runs.
    Ghost,
    /// No clear answer, and it was not accepted.
    Vanish,
    /// Refused for good.
    Refuse,
    /// The program that submits fails.
    Fail,
    /// No clear answer, and every task has just begun.
    Begin,
    /// Accepted; waits for a reason.
    Pend(&'static str),
    /// Its runs end, but the queue forgets it at once.
    Forget,
    /// Every task runs, and the queue says that it ended so.
    End(Ending),
    /// The first task is alive for ever, the others run.
    Help,
    /// The first task ends without a report, the others are alive for ever.
    LoseFirst,
    /// Every task is stopped after so many units of work, of which it keeps a checkpoint.
    Stop(u64),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) acts: VecDeque<Act>,
    /// Submissions: number of tasks, memory.
    pub(super) submitted: Vec<(usize, Option<u64>)>,
    pub(super) excluded: Vec<String>,
    pub(super) rows: Rows,
    pub(super) mute_polls: usize,
    /// Whether jobs are found by their ids only.
    pub(super) blind: bool,
    pub(super) cancelled: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<State>>);

/// What a job leaves that was stopped.
fn stopped(path: PathBuf, reached: u64) {
    let folder = AttemptFolder { path };
    let spec: AttemptSpec = folder.spec().unwrap();
    let scratch = Store::open(&spec.cache).unwrap().scratch(&spec.key).unwrap();
    std::fs::write(scratch.join("checkpoint"), "").unwrap();
    let report = Report { reached, ..Report::of(&format!("e{reached}"), Verdict::Interrupted) };
    folder.report(&report).unwrap();
}

impl Act {
    /// What the jobs do.
    fn carry_out(&self, folder: &Path, tasks: &[u32]) {
        let run = |tasks: &[u32]| {
            for task in tasks {
                attempt_main(&Ops, folder.join(task.to_string()), &CancelToken::new());
            }
        };
        match self {
            Self::Run | Self::Ghost | Self::End(_) | Self::Forget => run(tasks),
            Self::Help => run(&tasks[1..]),
            Self::Stop(reached) => {
                tasks.iter().for_each(|task| stopped(folder.join(task.to_string()), *reached));
            }
            Self::Begin => {
                for task in tasks {
                    let path = folder.join(task.to_string());
                    drop(ProgressWriter::create(&AttemptFolder { path }, "e1"));
                }
            }
            Self::Lose(_) | Self::LoseFirst | Self::Vanish | Self::Refuse | Self::Fail | Self::Pend(_) => {}
        }
    }

    /// What the queue says of a task, by its place among those of the submission.
    fn seen(&self, place: usize) -> Option<Seen> {
        Some(match self {
            Self::Run | Self::Ghost => Seen::Ended(Ending::Completed),
            Self::End(ending) | Self::Lose(ending) => Seen::Ended(*ending),
            Self::Help if place == 0 => Seen::Alive,
            Self::Help => Seen::Ended(Ending::Completed),
            Self::LoseFirst if place > 0 => Seen::Alive,
            Self::LoseFirst | Self::Stop(_) => Seen::Ended(Ending::Failed),
            Self::Pend(reason) => Seen::Pending((*reason).into()),
            Self::Forget | Self::Vanish | Self::Refuse | Self::Fail | Self::Begin => return None,
        })
    }

    fn answer(&self, number: usize) -> Submitted {
        match self {
            Self::Ghost | Self::Vanish | Self::Begin => Submitted::Unknown("Socket timed out".into()),
            Self::Refuse => Submitted::Refused("invalid partition specified: gpuu".into()),
            Self::Fail => Submitted::Failed("qsub: no space left".into()),
            _ => Submitted::Accepted(number.to_string()),
        }
    }
}

impl Scheduler for Memory {
    fn submit(&self, submission: &Submission<'_>) -> Submitted {
        let mut state = self.0.lock().unwrap();
        let act = state.acts.pop_front().unwrap_or(Act::Run);
        let tasks = submission.tasks.unwrap_or(&[0]);
        state.submitted.push((tasks.len(), submission.resources.memory));
        state.excluded.extend(submission.resources.exclude.iter().cloned());
        let number = state.submitted.len();
        act.carry_out(submission.folder, tasks);
        for (place, task) in tasks.iter().enumerate() {
            if let Some(seen) = act.seen(place) {
                let (id, word, node) = (format!("{number}_{task}"), "X".into(), Some("n1".into()));
                state.rows.insert((submission.name.to_owned(), *task), Row { id, seen, word, node });
            }
        }
        act.answer(number)
    }

    fn poll(&self, asked: &Names) -> Result<Rows, String> {
        let mut state = self.0.lock().unwrap();
        if state.mute_polls > 0 {
            state.mute_polls -= 1;
            return Err("Unable to contact slurm controller".into());
        }
        Ok(state
            .rows
            .iter()
            .filter(|((name, _), _)| asked.get(name).is_some_and(|id| id.is_some() || !state.blind))
            .map(|(at, r)| (at.clone(), r.clone()))
            .collect())
    }

    fn cancel(&self, ids: &[String]) -> Result<(), String> {
        let mut state = self.0.lock().unwrap();
        state.cancelled.extend_from_slice(ids);
        for row in state
            .rows
            .values_mut()
            .filter(|row| ids.iter().any(|id| row.id.split('_').next() == Some(id) || row.id == *id))
        {
            row.seen = Seen::Ended(Ending::Cancelled);
        }
        Ok(())
    }

    fn finds_names(&self) -> bool {
        !self.0.lock().unwrap().blind
    }

    fn max_array(&self) -> usize {
        3
    }

    fn shown(&self, _: &Submission<'_>) -> String {
        String::new()
    }
}

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) queue: Memory,
    pub(super) cluster: Cluster,
    pub(super) cancel: CancelToken,
    pub(super) forced: bool,
    pub(super) pools: BTreeMap<String, usize>,
}

/// How the actions of a run ended, in order, and what was said.
pub(super) struct Outcomes {
    pub(super) ends: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Bench {
    pub(super) fn new(acts: &[Act]) -> Self {
        let queue = Memory::default();
        queue.0.lock().unwrap().acts = acts.iter().cloned().collect();
        let cluster =
            Cluster { poll: Duration::from_millis(100), grace: Duration::ZERO, ..Cluster::default() };
        let (dir, cancel) = (tempfile::tempdir().unwrap(), CancelToken::new());
        Self { dir, queue, cluster, cancel, forced: false, pools: BTreeMap::new() }
    }

    pub(super) fn run(&self, actions: Vec<Action>) -> Outcomes {
        let count = actions.len();
        let job = Study { study: "study.xpipe".into(), actions, wanted: Vec::new() };
        let store = Store::open(&self.dir.path().join("cache")).unwrap().durable(false);
        let options = Options { pools: self.pools.clone(), ..Options::new(1, Heavy::Thread) };
        let queue =
            QueueOptions { name: "own".into(), cluster: self.cluster.clone(), program: "xpipe".into() };
        let halt = AtomicBool::new(false);
        let (cancel, runner) = (&self.cancel, &Ops);
        let context = RunContext { job: &job, runner, store: &store, options: &options, cancel, halt: &halt };
        let run = store.new_run().unwrap();
        let (messages, heard) = crossbeam_channel::unbounded();
        let (give, take) = crossbeam_channel::unbounded();
        let table = ResultTable::new(&job, &store);
        let mut outcomes = Outcomes { ends: vec![String::new(); count], notes: Vec::new() };
        std::thread::scope(|scope| {
            let driver = Driver::new(&context, &queue, Box::new(self.queue.clone()), &run, messages);
            scope.spawn(move || driver.serve(&take));
            for id in (0u32..).take(count).map(ActionId) {
                let prepared = match table.look_up(id) {
                    Lookup::Miss(prepared, _) | Lookup::Hit(prepared, _) => Arc::new(prepared),
                    Lookup::Blocked(why) => panic!("{why:?}"),
                };
                let (reads, grant, log) = (Vec::new(), crate::pools::Grant::default(), PathBuf::new());
                let forced = self.forced;
                give.send(Assignment { id, prepared, reads, forced, grant, memory: 0, log }).unwrap();
            }
            let mut left = count;
            while left > 0 {
                match heard.recv_timeout(Duration::from_secs(60)).expect("the driver says nothing") {
                    Message::Ended { id, end, .. } => {
                        left -= 1;
                        outcomes.ends[id.0 as usize] = match end {
                            End::Ran(_) => "ran".into(),
                            End::Hit(_) => "hit".into(),
                            End::Failed(failure, _) => failure.to_string(),
                            End::Busy | End::Damaged(..) => "other".into(),
                        };
                    }
                    Message::Note { text, .. } => outcomes.notes.push(text),
                    _ => {}
                }
            }
            drop(give);
        });
        outcomes
    }

    pub(super) fn submitted(&self) -> Vec<usize> {
        self.queue.0.lock().unwrap().submitted.iter().map(|(n, _)| *n).collect()
    }

    /// The folder of the first attempt, when it was submitted.
    pub(super) fn wait_for_attempt(&self) -> PathBuf {
        while self.submitted().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = |path: PathBuf| std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
        first(first(self.dir.path().join("cache/v1/runs")).join("jobs")).join("0")
    }

    pub(super) fn claims(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("cache/v1/claims")).map_or(0, Iterator::count)
    }
}

pub(super) fn action(op: &'static str, text: &str, policy: Policy) -> Action {
    Action {
        op,
        version: 1,
        heavy: true,
        address: format!("stage[{text}]"),
        also: vec![],
        args: Record::of([("text", Value::str(text))]),
        policy,
        deps: vec![],
    }
}

pub(super) fn made(n: usize) -> Vec<Action> {
    (0..n).map(|i| action("make", &format!("t{i}"), Policy::default())).collect()
}
