//! Submissions without a clear answer, and the user's wish that a stage ends.

use super::*;

/// A queue that finds jobs by their ids only.
fn blind(acts: &[Act], grace: Duration) -> Bench {
    let mut bench = Bench::new(acts);
    bench.queue.0.lock().unwrap().blind = true;
    bench.cluster.grace = grace;
    bench
}

#[test]
fn a_job_without_an_id_that_has_begun_is_not_submitted_again() {
    let bench = blind(&[Act::Begin], Duration::from_secs(5));
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = bench.wait_for_attempt();
            std::thread::sleep(Duration::from_millis(600));
            attempt_main(&Ops, folder, &CancelToken::new());
        });
        bench.run(made(1))
    });
    assert_eq!((outcomes.ends, bench.submitted()), (vec!["ran".to_owned()], vec![1]));
}

#[test]
fn a_job_without_an_id_had_time_to_begin_before_it_is_submitted_again() {
    let grace = Duration::from_millis(700);
    let bench = blind(&[Act::Vanish], grace);
    let begun = Instant::now();
    assert_eq!(bench.run(made(1)).ends, ["ran"]);
    assert!(begun.elapsed() >= grace);
    assert_eq!(bench.submitted(), [1, 1]);
    // One that has begun and says no more is lost, and a new attempt follows in a folder of its own.
    let silent = blind(&[Act::Begin], grace);
    let outcomes = silent.run(made(1));
    assert_eq!((outcomes.ends, silent.submitted()), (vec!["ran".to_owned()], vec![1, 1]));
    assert!(outcomes.notes.iter().any(|n| n.contains("its job was lost")), "{:?}", outcomes.notes);
}

#[test]
fn a_program_that_always_fails_to_submit_is_a_refusal_in_the_end() {
    let hopeless = Bench::new(&vec![Act::Fail; 9]);
    let outcomes = hopeless.run(made(1));
    assert!(
        outcomes.ends[0].contains("the queue refuses its job: qsub: no space left"),
        "{:?}",
        outcomes.ends
    );
    assert_eq!((hopeless.submitted().len(), hopeless.claims()), (5, 0));
    // No answer at all is no failure of the program, however often.
    let silent = Bench::new(&vec![Act::Vanish; 5]);
    assert_eq!(silent.run(made(1)).ends, ["ran"]);
    let passing = Bench::new(&vec![Act::Fail; 4]);
    assert_eq!(passing.run(made(1)).ends, ["ran"]);
}

#[test]
fn a_queue_that_finds_no_names_is_not_asked_for_ever_without_an_answer() {
    let silent = blind(&vec![Act::Vanish; 9], Duration::ZERO);
    let outcomes = silent.run(made(1));
    assert!(outcomes.ends[0].contains("may be in the queue"), "{:?}", outcomes.ends);
    assert_eq!((silent.submitted(), silent.claims()), (vec![1, 1], 0));
}

#[test]
fn failures_are_counted_one_after_another() {
    let mut acts = vec![Act::Fail; 3];
    acts.push(Act::Vanish);
    acts.extend(vec![Act::Fail; 4]);
    let bench = Bench::new(&acts);
    let outcomes = bench.run(made(1));
    assert_eq!((outcomes.ends, bench.submitted().len()), (vec!["ran".to_owned()], 9));
    // Where jobs are found by their ids only, one may be in the queue.
    let mut acts = vec![Act::Vanish];
    acts.extend(vec![Act::Fail; 9]);
    let blind = blind(&acts, Duration::ZERO);
    let outcomes = blind.run(made(1));
    assert!(outcomes.ends[0].contains("may be in the queue"), "{:?}", outcomes.ends);
    assert_eq!((blind.submitted().len(), blind.claims()), (6, 0));
}

#[test]
fn a_stage_that_the_user_cancelled_fails_without_another_attempt() {
    let mut bench = Bench::new(&[Act::Pend("Priority")]);
    bench.cluster.grace = Duration::from_secs(60);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = bench.wait_for_attempt();
            std::thread::sleep(Duration::from_millis(300));
            let run = folder.ancestors().nth(3).unwrap().file_name().unwrap();
            AttemptFolder { path: folder.clone() }.cancel(run.to_str().unwrap()).unwrap();
            // The queue forgets what was cancelled.
            bench.queue.0.lock().unwrap().rows.clear();
        });
        bench.run(made(1))
    });
    assert!(outcomes.ends[0].contains("cancelled with `xpipe cancel`"), "{:?}", outcomes.ends);
    assert_eq!((bench.submitted(), bench.claims()), (vec![1], 0));
}
