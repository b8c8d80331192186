//! Actions that several jobs share, and attempts that outlive their successors.

use super::*;

fn shared(op: &'static str, jobs: usize) -> Vec<Action> {
    vec![action(op, "a", Policy { jobs: Some(jobs), ..Policy::default() })]
}

#[test]
fn a_result_of_a_job_that_helps_counts_and_the_first_one_is_cancelled() {
    for forced in [false, true] {
        let bench = Bench { forced, ..Bench::new(&[Act::Help]) };
        let outcomes = bench.run(shared("make", 2));
        assert_eq!(outcomes.ends, ["ran"], "{:?}", outcomes.notes);
        assert_eq!(bench.queue.0.lock().unwrap().cancelled, ["1_0"]);
    }
}

#[test]
fn more_jobs_than_the_queue_allows_are_told() {
    let bench = Bench::new(&[]);
    let outcomes = bench.run(shared("make", 5));
    assert_eq!((outcomes.ends, bench.submitted()), (vec!["ran".to_owned()], vec![3]));
    let told = outcomes.notes.iter().filter(|n| n.contains("`jobs = 5`, and 3 of them compute it")).count();
    assert_eq!(told, 1, "{:?}", outcomes.notes);
}

#[test]
fn jobs_of_earlier_attempts_are_cancelled_when_the_action_has_ended_or_failed() {
    for (op, end) in [("make", "ran"), ("fail", "line 3 is odd")] {
        let bench = Bench::new(&[Act::LoseFirst]);
        assert_eq!(bench.run(shared(op, 2)).ends, [end]);
        assert_eq!(bench.submitted(), [2, 2]);
        assert_eq!(bench.queue.0.lock().unwrap().cancelled, ["1_1"], "of the first attempt, still alive");
    }
}

#[test]
fn a_stop_also_cancels_jobs_that_help_an_earlier_attempt() {
    let bench = Bench::new(&[Act::LoseFirst, Act::Pend("Priority")]);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while bench.submitted().len() < 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            bench.cancel.request();
        });
        bench.run(shared("make", 2))
    });
    assert_eq!(outcomes.ends, ["interrupted"]);
    assert_eq!(bench.queue.0.lock().unwrap().cancelled[..2], ["1_1", "2"]);
}

#[test]
fn jobs_that_help_are_taken_over_with_the_one_that_they_help() {
    let bench = Bench::new(&[Act::Pend("Priority")]);
    let stop = |bench: &Bench, until: &(dyn Fn(&State) -> bool + Sync), requests: usize| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !until(&bench.queue.0.lock().unwrap()) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::thread::sleep(Duration::from_millis(300));
                (0..requests).for_each(|_| _ = bench.cancel.request());
            });
            bench.run(shared("make", 3))
        })
    };
    assert_eq!(stop(&bench, &|state| !state.rows.is_empty(), 2).ends, ["interrupted"]);
    {
        // The run died without a wish to its jobs.
        let mut state = bench.queue.0.lock().unwrap();
        state.cancelled.clear();
        state.rows.values_mut().for_each(|row| row.seen = Seen::Alive);
    }
    let next = Bench { cancel: CancelToken::new(), ..bench };
    let outcomes = stop(&next, &|_| true, 1);
    assert!(outcomes.notes.iter().any(|n| n.contains("is taken over")), "{:?}", outcomes.notes);
    assert_eq!(next.queue.0.lock().unwrap().cancelled, ["1_0", "1_1", "1_2"]);
}

#[test]
fn a_stopped_job_is_resumed_only_while_it_gets_further_than_every_one_before() {
    let mut bench = Bench::new(&[Act::Stop(5), Act::Stop(7), Act::Stop(7), Act::Stop(9)]);
    bench.cluster.retries = 0;
    let outcomes = bench.run(made(1));
    assert!(outcomes.ends[0].contains("got any further"), "{:?}", outcomes.ends);
    assert_eq!(bench.submitted(), [1, 1, 1]);
}

#[test]
fn a_program_that_was_killed_for_its_memory_gets_more() {
    let bench = Bench::new(&[Act::End(Ending::Memory)]);
    let policy = Policy { memory: Some(100 << 20), ..Policy::default() };
    assert_eq!(bench.run(vec![action("flaky", "a", policy)]).ends, ["ran"]);
    let submitted = bench.queue.0.lock().unwrap().submitted.clone();
    assert_eq!(submitted, [(1, Some(100 << 20)), (1, Some(200 << 20))]);
}
