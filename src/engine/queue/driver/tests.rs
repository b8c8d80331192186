//! The driver over a queue in memory, whose jobs run at once, are lost, or are accepted without an answer.

mod bench;
mod doubts;
mod limits;
mod shared;

use self::bench::{Act, Bench, Ops, State, action, made};
use super::*;
use crate::CancelToken;
use crate::queue::attempt_main;
use crate::queue::scheduler::Ending;
use xpipe_base::task::{Action, Policy};

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
