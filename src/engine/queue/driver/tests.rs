//! The driver over a queue in memory, whose jobs run at once, are lost, or are accepted without an answer.

mod limits;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::*;
use crate::CancelToken;
use crate::cache::Store;
use crate::cluster::Cluster;
use crate::job::Job as Study;
use crate::options::{Heavy, Options};
use crate::queue::attempt_main;
use crate::queue::scheduler::{Ending, Names, Row, Seen, Submission, Submitted};
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

struct Ops;

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
enum Act {
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
    /// Accepted; waits for a reason.
    Pend(&'static str),
    /// Its runs end, but the queue forgets it at once.
    Forget,
}

#[derive(Default)]
struct State {
    acts: VecDeque<Act>,
    /// Submissions: number of tasks, memory.
    submitted: Vec<(usize, Option<u64>)>,
    excluded: Vec<String>,
    rows: Rows,
    mute_polls: usize,
    cancelled: Vec<String>,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

impl Scheduler for Memory {
    fn submit(&self, submission: &Submission<'_>) -> Submitted {
        let mut state = self.0.lock().unwrap();
        let act = state.acts.pop_front().unwrap_or(Act::Run);
        let tasks = submission.tasks.unwrap_or(&[0]);
        state.submitted.push((tasks.len(), submission.resources.memory));
        state.excluded.extend(submission.resources.exclude.iter().cloned());
        let number = state.submitted.len();
        let seen = |state: &mut State, seen: Seen| {
            for task in tasks {
                let row = Row {
                    id: format!("{number}_{task}"),
                    seen: seen.clone(),
                    word: "X".into(),
                    node: Some("n1".into()),
                };
                state.rows.insert((submission.name.to_owned(), *task), row);
            }
        };
        let run = || {
            for task in tasks {
                attempt_main(&Ops, submission.folder.join(task.to_string()), &CancelToken::new());
            }
        };
        let accepted = Submitted::Accepted(number.to_string());
        let unknown = Submitted::Unknown("Socket timed out".into());
        match act {
            Act::Run => {
                run();
                seen(&mut state, Seen::Ended(Ending::Completed));
                accepted
            }
            Act::Lose(ending) => {
                seen(&mut state, Seen::Ended(ending));
                accepted
            }
            Act::Ghost => {
                run();
                seen(&mut state, Seen::Ended(Ending::Completed));
                unknown
            }
            Act::Forget => {
                run();
                accepted
            }
            Act::Vanish => unknown,
            Act::Refuse => Submitted::Refused("invalid partition specified: gpuu".into()),
            Act::Pend(reason) => {
                seen(&mut state, Seen::Pending(reason.into()));
                accepted
            }
        }
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
            .filter(|((name, _), _)| asked.contains_key(name))
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

    fn max_array(&self) -> usize {
        3
    }

    fn shown(&self, _: &Submission<'_>) -> String {
        String::new()
    }
}

struct Bench {
    dir: tempfile::TempDir,
    queue: Memory,
    cluster: Cluster,
    cancel: CancelToken,
    forced: bool,
    pools: BTreeMap<String, usize>,
}

/// How the actions of a run ended, in order, and what was said.
struct Outcomes {
    ends: Vec<String>,
    notes: Vec<String>,
}

impl Bench {
    fn new(acts: &[Act]) -> Self {
        let queue = Memory::default();
        queue.0.lock().unwrap().acts = acts.iter().cloned().collect();
        let cluster =
            Cluster { poll: Duration::from_millis(100), grace: Duration::ZERO, ..Cluster::default() };
        let (dir, cancel) = (tempfile::tempdir().unwrap(), CancelToken::new());
        Self { dir, queue, cluster, cancel, forced: false, pools: BTreeMap::new() }
    }

    fn run(&self, actions: Vec<Action>) -> Outcomes {
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

    fn submitted(&self) -> Vec<usize> {
        self.queue.0.lock().unwrap().submitted.iter().map(|(n, _)| *n).collect()
    }

    fn claims(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("cache/v1/claims")).map_or(0, Iterator::count)
    }
}

fn action(op: &'static str, text: &str, policy: Policy) -> Action {
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

fn made(n: usize) -> Vec<Action> {
    (0..n).map(|i| action("make", &format!("t{i}"), Policy::default())).collect()
}

#[test]
fn actions_of_equal_resources_share_arrays_and_leave_no_claims() {
    let bench = Bench::new(&[]);
    let mut actions = made(4);
    actions.push(action("make", "large", Policy { memory: Some(9 << 20), ..Policy::default() }));
    let outcomes = bench.run(actions);
    assert_eq!(outcomes.ends, ["ran"; 5], "{:?}", outcomes.notes);
    let mut sizes = bench.submitted();
    sizes.sort_unstable();
    assert_eq!((sizes, bench.claims()), (vec![1, 1, 3], 0));
    // A second run finds all results.
    assert_eq!(bench.run(made(4)).ends, ["hit"; 4]);
    assert_eq!(bench.submitted().len(), 3);
}

#[test]
fn there_are_never_more_jobs_than_allowed() {
    let mut bench = Bench::new(&[]);
    bench.cluster.max_jobs = 2;
    assert_eq!(bench.run(made(5)).ends, ["ran"; 5]);
    assert!(bench.submitted().iter().all(|n| *n <= 2), "{:?}", bench.submitted());
}

#[test]
fn a_submission_without_an_answer_is_looked_up_before_it_is_repeated() {
    let ghost = Bench::new(&[Act::Ghost]);
    let outcomes = ghost.run(made(2));
    assert_eq!((outcomes.ends, ghost.submitted()), (vec!["ran".to_owned(); 2], vec![2]));
    assert!(outcomes.notes.iter().any(|n| n.contains("accepted after all")), "{:?}", outcomes.notes);
    let vanished = Bench::new(&[Act::Vanish, Act::Vanish]);
    assert_eq!(vanished.run(made(2)).ends, ["ran"; 2]);
    assert_eq!(vanished.submitted(), [2, 2, 2]);
}

#[test]
fn a_lost_job_is_submitted_again_and_a_bad_node_is_avoided() {
    let bench = Bench::new(&[Act::Lose(Ending::Node), Act::Lose(Ending::Preempted)]);
    assert_eq!(bench.run(made(1)).ends, ["ran"]);
    assert_eq!(bench.submitted(), [1, 1, 1]);
    assert_eq!(bench.queue.0.lock().unwrap().excluded, ["n1", "n1"]);
    // Not for ever.
    let mut hopeless = Bench::new(&vec![Act::Lose(Ending::Failed); 9]);
    hopeless.cluster.retries = 2;
    let outcomes = hopeless.run(made(1));
    assert!(outcomes.ends[0].starts_with("its job was lost 3 times"), "{:?}", outcomes.ends);
    assert_eq!((hopeless.submitted().len(), hopeless.claims()), (3, 0));
}

#[test]
fn after_running_out_of_memory_a_job_gets_more() {
    let bench = Bench::new(&[Act::Lose(Ending::Memory)]);
    let policy = Policy { memory: Some(100 << 20), ..Policy::default() };
    assert_eq!(bench.run(vec![action("make", "a", policy)]).ends, ["ran"]);
    let submitted = bench.queue.0.lock().unwrap().submitted.clone();
    assert_eq!(submitted, [(1, Some(100 << 20)), (1, Some(200 << 20))]);
}

#[test]
fn a_result_counts_although_the_queue_forgot_its_job_or_does_not_answer() {
    let bench = Bench::new(&[Act::Forget]);
    bench.queue.0.lock().unwrap().mute_polls = 3;
    let outcomes = bench.run(made(1));
    assert_eq!((outcomes.ends, bench.submitted()), (vec!["ran".to_owned()], vec![1]));
    assert!(outcomes.notes.iter().any(|n| n.contains("the queue does not answer")));
}

#[test]
fn refused_and_hopeless_jobs_fail_with_the_reason() {
    let refused = Bench::new(&[Act::Refuse]);
    let outcomes = refused.run(made(2));
    assert!(outcomes.ends.iter().all(|e| e.contains("invalid partition")), "{:?}", outcomes.ends);
    assert_eq!(refused.claims(), 0);
    let pending = Bench::new(&[Act::Pend("PartitionTimeLimit")]);
    assert!(pending.run(made(1)).ends[0].contains("PartitionTimeLimit"));
    assert_eq!(pending.queue.0.lock().unwrap().cancelled, ["1_0"]);
    // Held after a failed launch: another attempt.
    let held = Bench::new(&[Act::Pend("launch failed requeued held")]);
    assert_eq!(held.run(made(1)).ends, ["ran"]);
}

#[test]
fn a_failure_of_the_operation_is_its_own_and_retries_are_those_of_the_study() {
    let bench = Bench::new(&[]);
    assert_eq!(bench.run(vec![action("fail", "a", Policy::default())]).ends, ["line 3 is odd"]);
    assert_eq!(bench.submitted(), [1]);
    let once = Bench::new(&[]);
    assert_eq!(once.run(vec![action("flaky", "a", Policy::default())]).ends, ["no network"]);
    let again = Bench::new(&[]);
    let policy = Policy { retries: Some(1), ..Policy::default() };
    assert_eq!(again.run(vec![action("flaky", "a", policy)]).ends, ["ran"]);
    assert_eq!(again.submitted(), [1, 1]);
}

#[test]
fn a_job_of_a_dead_run_is_taken_over() {
    // A first run dies after its job was accepted: as if it had been killed, its claim stays and nothing is finished.
    let bench = Bench::new(&[Act::Pend("Priority")]);
    let begun = std::thread::scope(|scope| {
        scope.spawn(|| {
            while bench.queue.0.lock().unwrap().rows.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Twice: it does not wait for the end of its jobs.
            bench.cancel.request();
            bench.cancel.request();
        });
        bench.run(made(1))
    });
    assert_eq!(begun.ends, ["interrupted"]);
    assert_eq!(bench.claims(), 1);
    // Its job was not cancelled in time, and runs.
    let at = {
        let mut state = bench.queue.0.lock().unwrap();
        state.cancelled.clear();
        let (at, row) = state.rows.iter_mut().next().unwrap();
        row.seen = Seen::Alive;
        at.clone()
    };
    let cache = bench.dir.path().join("cache/v1/runs");
    let run = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    let folder = run.join("jobs").join(&at.0).join("0");
    let next = Bench { cancel: CancelToken::new(), ..bench };
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            attempt_main(&Ops, folder, &CancelToken::new());
        });
        next.run(made(1))
    });
    assert_eq!(outcomes.ends, ["ran"], "{:?}", outcomes.notes);
    assert!(outcomes.notes.iter().any(|n| n.contains("is taken over")), "{:?}", outcomes.notes);
    assert_eq!((next.submitted(), next.claims()), (vec![1], 0));
}

#[test]
fn a_forced_action_runs_although_there_is_a_result() {
    let bench = Bench::new(&[]);
    assert_eq!(bench.run(made(1)).ends, ["ran"]);
    let forced = Bench { forced: true, ..bench };
    assert_eq!(forced.run(made(1)).ends, ["ran"]);
    assert_eq!(forced.submitted(), [1, 1]);
}

#[test]
fn a_stop_cancels_all_jobs_at_once_and_forgets_them() {
    let bench = Bench::new(&[Act::Pend("Priority")]);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while bench.queue.0.lock().unwrap().rows.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            bench.cancel.request();
        });
        bench.run(made(2))
    });
    assert_eq!(outcomes.ends, ["interrupted"; 2]);
    let state = bench.queue.0.lock().unwrap();
    assert_eq!(state.cancelled, ["1"], "the whole array, once");
    drop(state);
    assert_eq!(bench.claims(), 0);
}
