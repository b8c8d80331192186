//! Failures, stops and damage.

use super::*;

/// Asks to stop as soon as something goes on.
struct StopAtProgress(CancelToken);

impl EventSink for StopAtProgress {
    fn event(&mut self, _: f64, event: &Event) {
        if matches!(event, Event::Progress { .. }) && !self.0.stopping() {
            self.0.request();
        }
    }
}

#[test]
fn a_failure_blocks_what_needs_it_and_nothing_else() {
    let bench = Bench::new();
    let mut actions = study();
    actions[1] = action("fail", "model[a]", of("a", &[0]));
    actions.push(made("table", "t", &[3, 4]));
    let (report, events) = bench.heard(&job(actions));
    assert_eq!(states(&report), [Ran, Failed, Ran, Blocked, Ran, Blocked]);
    assert_eq!(report.actions[5].blocked_by, Some(ActionId(1)));
    assert_eq!(report.exit_code(false), 7);
    assert!(events.iter().any(|e| matches!(e, Event::Blocked { address, by, .. }
        if address == "table" && by == "model[a]")));
    assert!(events.iter().any(|e| matches!(e, Event::Failed { failure, .. }
        if failure.message == "line 3 of qrels.txt has 2 columns" && failure.help.as_deref() == Some("give 4"))));
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let mut bench = Bench::new();
    bench.options.fail_fast = true;
    let mut actions = vec![action("fail", "f", of("a", &[])), made("m", "x", &[])];
    // One after the other: the failing one holds every thread.
    actions.iter_mut().for_each(|a| a.heavy = true);
    let report = bench.run(&job(actions));
    assert_eq!((states(&report), report.exit_code(false)), (vec![Failed, Stopped], 1));
}

#[test]
fn defects_are_failures_of_their_action_alone() {
    let bench = Bench::new();
    let actions = vec![
        action("panics", "p", of("a", &[])),
        made("m", "x", &[]),
        action("unknown", "u", of("a", &[])),
        action("not_finite", "n", of("a", &[])),
    ];
    let report = bench.run(&job(actions));
    assert_eq!(states(&report), [Failed, Ran, Failed, Failed]);
    let failure = |i: usize| report.actions[i].failure.clone().unwrap();
    assert!(
        failure(0).message.starts_with("panicked: no such layer (src/engine/tests/mod.rs:"),
        "{}",
        failure(0)
    );
    assert_eq!((failure(0).kind, failure(2).kind), (FailureKind::Bug, FailureKind::Missing));
    assert_eq!(failure(3).message, "the published value `ap` is NaN, not a finite number");
    assert_eq!(report.exit_code(false), 70);
}

#[test]
fn only_transient_failures_are_tried_again() {
    let bench = Bench::new();
    let flaky = |times: i64, retries: usize| {
        let mut a = action("flaky", "f", Record::of([("times", Value::Int(times))]));
        a.policy = Policy { retries: Some(retries), ..Policy::default() };
        job(vec![a])
    };
    let (report, events) = bench.heard(&flaky(1, 1));
    assert_eq!((states(&report), bench.value(&report, 0)), (vec![Ran], "1".into()));
    let starts = events.iter().filter(|e| matches!(e, Event::Started { .. })).count();
    assert_eq!(starts, 2);
    assert_eq!(states(&bench.run(&flaky(2, 0))), [Failed]);
    let mut wrong = action("fail", "w", of("a", &[]));
    wrong.policy = Policy { retries: Some(5), ..Policy::default() };
    let (_, events) = bench.heard(&job(vec![wrong]));
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Started { .. })).count(), 1);
}

#[test]
fn a_stopped_run_goes_on_from_its_checkpoint() {
    let bench = Bench::new();
    let mut first = action("long", "model", Record::default());
    first.heavy = true;
    let job = job(vec![first, made("after", "x", &[0])]);
    let store = Store::open(&bench.root()).unwrap();
    let token = CancelToken::new();
    let mut sink = StopAtProgress(token.clone());
    let report = run(&job, &bench.runner, &store, &bench.options, &mut sink, &token).unwrap();
    assert_eq!((states(&report), report.exit_code(false)), (vec![Stopped, Stopped], 130));
    let dir = store.dir().to_owned();
    let scratch = || std::fs::read_dir(dir.join("scratch")).unwrap().count();
    assert_eq!(scratch(), 1);
    let again = run(&job, &bench.runner, &store, &bench.options, &mut NoSink, &CancelToken::new()).unwrap();
    assert_eq!(states(&again), [Ran, Ran]);
    drop(store);
    assert_eq!(scratch(), 0, "removed after success");
    assert_eq!(std::fs::read_dir(dir.join("locks")).unwrap().count(), 0);
}

#[test]
fn a_time_limit_is_a_failure_with_a_checkpoint() {
    let bench = Bench::new();
    let mut a = action("long", "model", Record::default());
    a.policy = Policy { time: Some(0.01), ..Policy::default() };
    let report = bench.run(&job(vec![a]));
    assert_eq!(report.actions[0].failure.as_ref().unwrap().message, "its time limit is over");
    assert_eq!(report.exit_code(false), 1);
}

#[test]
fn a_damaged_result_is_made_again_when_it_is_read() {
    let bench = Bench::new();
    let first = bench.run(&Job { wanted: vec![ActionId(0)], ..job(study()) });
    let m = first.actions[0].manifest.clone().unwrap();
    // Same size, other content: only reading shows it.
    let path = Store::open(&bench.root()).unwrap().tree_path(&m).join("value");
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&path, permissions).unwrap();
    std::fs::write(&path, "X").unwrap();
    let (report, events) = bench.heard(&job(study()));
    assert_eq!(states(&report), [Ran, Ran, Ran, Ran, Ran]);
    assert_eq!(bench.value(&report, 4), "sb+b+d");
    let said = |e: &Event| matches!(e, Event::Note { text, .. } if text.contains("does not have its recorded content"));
    assert!(events.iter().any(said));
    assert_eq!(counts(&bench.run(&job(study()))), (0, 5));
}

#[test]
fn a_missing_result_is_made_again_and_why_says_so() {
    let bench = Bench::new();
    let first = bench.run(&job(study()));
    let m = first.actions[1].manifest.clone().unwrap();
    let hex = m.outputs[0].digest.hex();
    std::fs::remove_file(bench.root().join("v1/objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    let why = bench.why(&job(study()), 1);
    assert!(
        matches!(&why.reasons[..], [Stale::Missing { what }] if what == "`value` of the stored result is missing"),
        "{:?}",
        why.reasons
    );
    assert_eq!(states(&bench.run(&job(study()))), [Cached, Ran, Cached, Cached, Cached]);
}

#[test]
fn an_operation_that_leaves_a_file_beside_its_input_runs_once() {
    let bench = Bench::new();
    let mark = bench.dir.path().join("mark");
    let args = Record::of([
        ("text", Value::str("u")),
        ("from", Value::list(vec![Value::Artifact(ActionId(0))])),
        ("mark", Value::str(&mark.display().to_string())),
    ]);
    let actions = job(vec![made("data", "d", &[]), action("untidy", "untidy", args)]);
    let report = bench.run(&actions);
    assert_eq!(states(&report), [Ran, Ran]);
    assert_eq!(std::fs::read_to_string(&mark).unwrap().lines().count(), 1);
    assert_eq!(counts(&bench.run(&actions)), (0, 2));
}

#[test]
fn an_operation_that_removes_files_of_its_input_fails_with_a_message() {
    let bench = Bench::new();
    let mark = bench.dir.path().join("mark");
    let args = Record::of([
        ("text", Value::str("robs")),
        ("from", Value::list(vec![Value::Artifact(ActionId(0))])),
        ("mark", Value::str(&mark.display().to_string())),
    ]);
    let report = bench.run(&job(vec![made("data", "d", &[]), action("untidy", "u", args)]));
    assert_eq!(states(&report)[1], Failed);
    assert_eq!(std::fs::read_to_string(&mark).unwrap().lines().count(), 3);
    let failure = report.actions[1].failure.clone().unwrap();
    assert!(failure.message.starts_with("found the stored folder of data removed"), "{failure}");
    assert!(failure.help.is_some());
}
