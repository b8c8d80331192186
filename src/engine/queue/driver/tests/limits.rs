//! How many jobs are in the queue at once, and on which nodes.

use super::*;

#[test]
fn stages_of_a_pool_are_never_more_at_once_than_the_pool_allows() {
    let of = |pool: &str, n: usize| -> Vec<Action> {
        let policy = || Policy { pool: Some(pool.into()), ..Policy::default() };
        (0..n).map(|i| action("make", &format!("{pool}{i}"), policy())).collect()
    };
    // A job runs during its submission, so tasks of one submission are those that live at once.
    let bench = Bench::new(&[]);
    assert_eq!(bench.run(of("api", 3)).ends, ["ran"; 3]);
    assert_eq!(bench.submitted(), [1, 1, 1], "one at a time");
    let mut two = Bench::new(&[]);
    two.pools.insert("api".into(), 2);
    let mut actions = of("api", 3);
    actions.extend(of("other", 1));
    assert_eq!(two.run(actions).ends, ["ran"; 4]);
    assert_eq!(two.submitted(), [3, 1], "two of the one and one of the other");
    // What waits for its pool keeps nobody else waiting.
    let beside = Bench::new(&[Act::Pend("Priority")]);
    let mut actions = of("api", 2);
    actions.push(action("make", "large", Policy { memory: Some(9 << 20), ..Policy::default() }));
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while beside.submitted().len() < 2 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(300));
            beside.cancel.request();
        });
        beside.run(actions)
    });
    assert_eq!(outcomes.ends, ["interrupted", "interrupted", "ran"]);
    assert_eq!(beside.submitted(), [1, 1]);
}

#[test]
fn places_that_stay_free_are_used_although_they_are_few() {
    let mut bench = Bench::new(&vec![Act::Pend("Priority"); 5]);
    bench.cluster.max_jobs = 16;
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while bench.submitted().iter().sum::<usize>() < 18 && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(300));
            bench.cancel.request();
        });
        bench.run(made(18))
    });
    // One place of sixteen is left, and two actions wait for it.
    assert_eq!(outcomes.ends.iter().filter(|end| *end == "ran").count(), 3, "{:?}", outcomes.ends);
}

#[test]
fn a_job_may_run_on_the_node_that_failed_where_no_other_one_is_left() {
    let bench = Bench::new(&[Act::Lose(Ending::Node), Act::Refuse]);
    let outcomes = bench.run(made(2));
    assert_eq!(outcomes.ends, ["ran"; 2], "{:?}", outcomes.notes);
    assert_eq!(bench.submitted(), [2, 2, 2]);
    assert_eq!(bench.queue.0.lock().unwrap().excluded, ["n1"]);
    assert!(outcomes.notes.iter().any(|n| n.contains("without n1")), "{:?}", outcomes.notes);
    // What the queue refuses in itself is refused after all.
    let refused = Bench::new(&[Act::Lose(Ending::Node), Act::Refuse, Act::Refuse]);
    assert!(refused.run(made(1)).ends[0].contains("invalid partition"));
}
