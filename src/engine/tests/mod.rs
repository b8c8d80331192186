//! The engine over tiny operations.

mod faults;
mod remote;
mod rerun;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::cache::{Change, Store};
use xpipe_base::task::{Action, Failure, FailureKind, Job as Task, Outcome, Policy, RunFn};
use xpipe_base::value::pending::PendingCell;
use xpipe_base::value::{ActionId, Input, Pending, Record, Reduction, Value, dependencies};

/// `text` and the values of everything in `from`, joined; publishes `n`, and `score` when it is given.
fn make(job: &Task<'_>) -> Result<Outcome, Failure> {
    let mut all = job.arg("text").as_str().unwrap_or("-").to_owned();
    for located in job.arg("from").as_list().unwrap_or_default() {
        let Value::Located(l) = located else { return Err(Failure::bug("not located")) };
        let file = if l.path.is_dir() { l.path.join("value") } else { l.path.clone() };
        all = format!("{all}+{}", std::fs::read_to_string(file)?);
    }
    std::fs::write(job.spec.out.join("value"), &all)?;
    if let Some(mark) = job.arg("mark").as_str() {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(mark)?;
        writeln!(file, "{}", job.spec.key)?;
    }
    let mut outcome = Outcome::default();
    outcome.values.insert("n".into(), all.len() as f64);
    if let Some(score) = job.arg("score").as_f64() {
        outcome.values.insert("score".into(), score);
    }
    Ok(outcome)
}

fn differs(change: Change) -> Stale {
    Stale::Changed { change, label: String::new() }
}

/// As `make`, and leaves a lock file in each folder that it reads; or removes a file there, which no operation may do.
fn untidy(job: &Task<'_>) -> Result<Outcome, Failure> {
    let outcome = make(job)?;
    for located in job.arg("from").as_list().unwrap_or_default() {
        let Value::Located(l) = located else { return Err(Failure::bug("not located")) };
        match job.arg("text").as_str() {
            Some("robs") => std::fs::remove_file(l.path.join("value"))?,
            _ => std::fs::write(l.path.join(".lock"), job.spec.out.display().to_string())?,
        }
    }
    Ok(outcome)
}

/// Gives the same whatever it reads.
fn constant(job: &Task<'_>) -> Result<Outcome, Failure> {
    std::fs::write(job.spec.out.join("value"), "same")?;
    Ok(Outcome::default())
}

fn fail(_: &Task<'_>) -> Result<Outcome, Failure> {
    Err(Failure::wrong("line 3 of qrels.txt has 2 columns").help("give 4"))
}

fn panics(_: &Task<'_>) -> Result<Outcome, Failure> {
    panic!("no such layer")
}

/// Fails as many times as `times` says.
fn flaky(job: &Task<'_>) -> Result<Outcome, Failure> {
    let tried = job.spec.scratch.join("tried");
    let n = std::fs::read(&tried).map(|b| b.len()).unwrap_or(0);
    std::fs::write(job.spec.out.join("half"), "left by a failed attempt")?;
    if n < job.count("times")? {
        std::fs::write(tried, vec![b'x'; n + 1])?;
        return Err(Failure {
            kind: FailureKind::Transient,
            message: "the network is down".into(),
            help: None,
        });
    }
    std::fs::remove_file(job.spec.out.join("half"))?;
    std::fs::write(job.spec.out.join("value"), n.to_string())?;
    Ok(Outcome::default())
}

/// Goes on until it is stopped the first time, and from its checkpoint the second time.
fn long(job: &Task<'_>) -> Result<Outcome, Failure> {
    let checkpoint = job.spec.scratch.join("checkpoint");
    if !checkpoint.exists() {
        while !job.progress.cancelled() {
            job.progress.progress(1, 2, "steps", "loss 0.5");
            std::thread::yield_now();
        }
        std::fs::write(checkpoint, "1")?;
        return Err(Failure::interrupted());
    }
    std::fs::write(job.spec.out.join("value"), "done")?;
    Ok(Outcome::default())
}

fn not_finite(_: &Task<'_>) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    outcome.values.insert("ap".into(), f64::NAN);
    Ok(outcome)
}

#[derive(Default)]
struct Fake {
    looked_for: AtomicUsize,
}

impl Runner for Fake {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        Some(match op {
            "make" => make,
            "constant" => constant,
            "untidy" => untidy,
            "moody" => rerun::moody,
            "fail" => fail,
            "panics" => panics,
            "flaky" => flaky,
            "long" => long,
            "not_finite" => not_finite,
            _ => return None,
        })
    }

    fn find_input(&self, input: &Input, _: Reach) -> Result<Found, Failure> {
        self.looked_for.fetch_add(1, Ordering::Relaxed);
        match input {
            Input::File(path) => {
                Ok(Found { path: path.clone(), label: path.display().to_string(), digest: None, parts: None })
            }
            _ => Err(Failure::missing("no network here")),
        }
    }
}

fn action(op: &'static str, address: &str, args: Record) -> Action {
    Action {
        op,
        version: 1,
        heavy: false,
        address: address.into(),
        also: vec![],
        deps: dependencies(args.values()),
        args,
        policy: Policy::default(),
    }
}

fn of(text: &str, from: &[u32]) -> Record {
    let from = from.iter().map(|i| Value::Artifact(ActionId(*i))).collect();
    Record::of([("text", Value::str(text)), ("from", Value::list(from))])
}

fn made(address: &str, text: &str, from: &[u32]) -> Action {
    action("make", address, of(text, from))
}

fn job(actions: Vec<Action>) -> Job {
    let wanted = (0..actions.len() as u32).map(ActionId).collect();
    Job { study: "study.xpipe".into(), actions, wanted }
}

/// data → two models → a score of each.
fn study() -> Vec<Action> {
    vec![
        made("data", "d", &[]),
        made("model[a]", "a", &[0]),
        made("model[b]", "b", &[0]),
        made("score[a]", "sa", &[1]),
        made("score[b]", "sb", &[2]),
    ]
}

struct Bench {
    dir: tempfile::TempDir,
    runner: Fake,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            runner: Fake::default(),
            options: Options::new(2, Heavy::Thread),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Runs in a store opened anew, as another process would.
    fn run(&self, job: &Job) -> RunReport {
        self.heard(job).0
    }

    fn heard(&self, job: &Job) -> (RunReport, Vec<Event>) {
        let store = Store::open(&self.root()).unwrap().durable(false);
        let mut events = Vec::new();
        let report = run(job, &self.runner, &store, &self.options, &mut events, &CancelToken::new()).unwrap();
        (report, events)
    }

    fn why(&self, job: &Job, id: u32) -> Why {
        let store = Store::reading(&self.root()).unwrap();
        why(job, ActionId(id), &self.runner, &store, &self.options)
    }

    fn value(&self, report: &RunReport, id: u32) -> String {
        let store = Store::open(&self.root()).unwrap();
        let tree = store.tree(report.actions[id as usize].manifest.as_ref().unwrap()).unwrap().unwrap();
        std::fs::read_to_string(tree.join("value")).unwrap()
    }
}

fn states(report: &RunReport) -> Vec<Final> {
    report.actions.iter().map(|a| a.state).collect()
}

fn counts(report: &RunReport) -> (usize, usize) {
    (report.counts.ran, report.counts.cached)
}

use Final::{Blocked, Cached, Failed, NotNeeded, Ran, Stopped};

#[test]
fn a_second_run_runs_nothing() {
    let bench = Bench::new();
    let first = bench.run(&job(study()));
    assert_eq!((counts(&first), first.exit_code(false)), ((5, 0), 0));
    assert_eq!(bench.value(&first, 4), "sb+b+d");
    let second = bench.run(&job(study()));
    assert_eq!(counts(&second), (0, 5));
    assert_eq!(second.number(ActionId(4), "n"), Some(6.0));
}

#[test]
fn names_and_policy_are_nobodys_key() {
    let bench = Bench::new();
    bench.run(&job(study()));
    let mut renamed = study();
    for a in &mut renamed {
        a.address = format!("other.{}", a.address);
        a.policy = Policy { cpus: Some(1), time: Some(60.0), ..Policy::default() };
    }
    assert_eq!(counts(&bench.run(&job(renamed))), (0, 5));
}

#[test]
fn a_changed_argument_runs_that_and_what_comes_after() {
    let bench = Bench::new();
    bench.run(&job(study()));
    let mut changed = study();
    changed[1] = made("model[a]", "a2", &[0]);
    let why = bench.why(&job(changed.clone()), 1);
    assert_eq!(
        why.reasons,
        [differs(Change::Argument { path: "text".into(), old: Some("a".into()), new: Some("a2".into()) })]
    );
    let text = why.render(&|p| (p == "text").then(|| "study.xpipe:87".into()));
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("model[a] will run: its recipe changed since "), "{text}");
    assert_eq!(lines.next().unwrap(), "  text   a -> a2   study.xpipe:87");
    let report = bench.run(&job(changed));
    assert_eq!(states(&report), [Cached, Ran, Cached, Ran, Cached]);
}

#[test]
fn a_raised_version_runs_again_and_says_so() {
    let bench = Bench::new();
    bench.run(&job(study()));
    let mut raised = study();
    raised[2].version = 2;
    assert_eq!(bench.why(&job(raised.clone()), 2).reasons, [differs(Change::OpVersion { old: 1, new: 2 })]);
    // The result is the same, so what comes after stays.
    assert_eq!(states(&bench.run(&job(raised))), [Cached, Cached, Ran, Cached, Cached]);
}

#[test]
fn a_result_with_the_same_bytes_stops_the_change() {
    let bench = Bench::new();
    let of_text = |text: &str, after: &str| {
        let mut actions = vec![action("constant", "data", of(text, &[])), made("model", after, &[0])];
        actions[1].policy = Policy::default();
        job(actions)
    };
    bench.run(&of_text("one", "x"));
    let (report, _) = bench.heard(&of_text("two", "x"));
    assert_eq!(states(&report), [Ran, Cached]);
    // When the later one changes too, `why` says that its data is not the reason.
    let why = bench.why(&of_text("two", "y"), 1);
    assert_eq!(why.reasons.len(), 2, "{:?}", why.reasons);
    assert_eq!(why.reasons[1].text(), "same content (data re-ran and gave the same bytes)");
}

#[test]
fn input_files_count_by_content() {
    let bench = Bench::new();
    let file = bench.dir.path().join("input.txt");
    std::fs::write(&file, "one").unwrap();
    let with = |path: &Path| {
        let args =
            Record::of([("from", Value::list(vec![Value::Input(Arc::new(Input::File(path.into())))]))]);
        job(vec![action("make", "m", args)])
    };
    assert_eq!(bench.value(&bench.run(&with(&file)), 0), "-+one");
    assert_eq!(counts(&bench.run(&with(&file))), (0, 1));
    let moved = bench.dir.path().join("moved.txt");
    std::fs::rename(&file, &moved).unwrap();
    assert_eq!(counts(&bench.run(&with(&moved))), (0, 1));
    std::fs::write(&moved, "two").unwrap();
    let why = bench.why(&with(&moved), 0);
    assert!(
        matches!(&why.reasons[..], [Stale::Changed { change: Change::Content { path, .. }, .. }] if path == "from[0]"),
        "{:?}",
        why.reasons
    );
    assert_eq!(counts(&bench.run(&with(&moved))), (1, 0));
    // Gone: the run says what is missing, a plan shows it.
    std::fs::remove_file(&moved).unwrap();
    let report = bench.run(&with(&moved));
    assert_eq!((states(&report), report.exit_code(false)), (vec![Failed], 4));
    assert!(report.actions[0].failure.as_ref().unwrap().message.ends_with("moved.txt does not exist"));
    let store = Store::reading(&bench.root()).unwrap();
    let plan = forecast(&with(&moved), &bench.runner, &store, &bench.options);
    assert!(matches!(&plan[..], [Forecast::Unknown { .. }]));
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    let bench = Bench::new();
    let mark = bench.dir.path().join("ran");
    let actions: Vec<Action> = (0..24u32)
        .map(|i| {
            let from = if i < 8 { vec![] } else { vec![i - 8] };
            let args = of(&format!("t{i}"), &from).with("mark", Value::str(mark.to_str().unwrap()));
            action("make", &format!("m[{i}]"), args)
        })
        .collect();
    let job = job(actions);
    let reports: Vec<RunReport> = std::thread::scope(|s| {
        let runs: Vec<_> = (0..3).map(|_| s.spawn(|| bench.run(&job))).collect();
        runs.into_iter().map(|r| r.join().unwrap()).collect()
    });
    let text = std::fs::read_to_string(mark).unwrap();
    let keys: std::collections::BTreeSet<&str> = text.lines().collect();
    assert_eq!((keys.len(), text.lines().count()), (24, 24));
    assert_eq!(reports.iter().map(|r| r.counts.ran).sum::<usize>(), 24);
    assert!(reports.iter().all(|r| r.counts.ran + r.counts.cached == 24));
}

#[test]
fn equal_recipes_of_one_run_are_made_once() {
    let bench = Bench::new();
    let mark = bench.dir.path().join("ran");
    let args = of("same", &[]).with("mark", Value::str(mark.to_str().unwrap()));
    // Different actions in the graph, one key: they differ in what they are made from, not in its content.
    let mut actions = vec![action("constant", "c1", of("1", &[])), action("constant", "c2", of("2", &[]))];
    for i in 0..2u32 {
        let from = Value::list(vec![Value::Artifact(ActionId(i))]);
        actions.push(action("make", &format!("m{i}"), args.with("from", from)));
    }
    let report = bench.run(&job(actions));
    assert_eq!(report.counts.total(), 4);
    assert_eq!(std::fs::read_to_string(mark).unwrap().lines().count(), 1);
    assert_eq!(report.actions[2].key, report.actions[3].key);
}

#[test]
fn values_known_later_become_arguments() {
    let bench = Bench::new();
    let study = |best: f64| {
        let trial = |i: usize, score: f64| {
            action(
                "make",
                &format!("trial[{i}]"),
                of(&format!("t{i}"), &[]).with("score", Value::Float(score)),
            )
        };
        let cells = [(0u32, 3e-6), (1, 1e-5)]
            .map(|(i, lr)| PendingCell {
                labels: vec![("learning_rate".into(), lr.to_string().into())],
                point: Record::of([("learning_rate", Value::Float(lr))]),
                value: Value::Pending(Arc::new(Pending::Reduce {
                    how: Reduction::Mean,
                    cells: vec![PendingCell {
                        labels: vec![],
                        point: Record::default(),
                        value: Value::Pending(Arc::new(Pending::Metric {
                            action: ActionId(i),
                            member: "score".into(),
                        })),
                    }],
                })),
            })
            .to_vec();
        let arg = Value::Pending(Arc::new(Pending::Arg { largest: true, cells }));
        let rate = Value::Pending(Arc::new(Pending::Member { of: arg, name: "learning_rate".into() }));
        job(vec![
            trial(0, 0.5),
            trial(1, best),
            action("make", "model", of("final", &[]).with("learning_rate", rate)),
        ])
    };
    let store = Store::reading(&bench.root()).unwrap();
    let plan = forecast(&study(0.6), &bench.runner, &store, &bench.options);
    assert!(matches!(
        &plan[..],
        [Forecast::WillRun { .. }, Forecast::WillRun { .. }, Forecast::Depends { on: ActionId(0) }]
    ));
    bench.run(&study(0.6));
    let recipe = |report: &RunReport| {
        Store::open(&bench.root()).unwrap().recipe(&report.actions[2].key.unwrap()).unwrap().args
    };
    let same_choice = bench.run(&study(0.7));
    assert_eq!(states(&same_choice), [Cached, Ran, Cached]);
    assert_eq!(recipe(&same_choice).get("learning_rate"), Some(&Value::Float(1e-5)));
    let other = bench.why(&study(0.4), 2);
    assert_eq!(other.outlook, Outlook::Depends);
    assert!(
        matches!(&other.reasons[..], [Stale::Waits { path, on }] if path == "learning_rate" && on == "trial[1]")
    );
    let other_choice = bench.run(&study(0.4));
    assert_eq!(states(&other_choice), [Cached, Ran, Ran]);
    assert_eq!(recipe(&other_choice).get("learning_rate"), Some(&Value::Float(3e-6)));
}

#[test]
fn a_forced_action_runs_and_stops_there() {
    let mut bench = Bench::new();
    bench.run(&job(study()));
    bench.options.force.insert(ActionId(0));
    assert_eq!(bench.why(&job(study()), 0).reasons, [Stale::Forced]);
    assert_eq!(states(&bench.run(&job(study()))), [Ran, Cached, Cached, Cached, Cached]);
}

#[test]
fn only_what_is_wanted_runs() {
    let bench = Bench::new();
    let wanted = Job { wanted: vec![ActionId(3)], ..job(study()) };
    assert_eq!(states(&bench.run(&wanted)), [Ran, Ran, NotNeeded, Ran, NotNeeded]);
}

#[test]
fn a_first_run_and_an_up_to_date_one_say_so() {
    let bench = Bench::new();
    assert_eq!(bench.why(&job(study()), 0).render(&|_| None), "data will run: first run");
    let waiting = bench.why(&job(study()), 1);
    assert_eq!(waiting.outlook, Outlook::Depends);
    assert_eq!(waiting.reasons[1], Stale::Waits { path: "from[0]".into(), on: "data".into() });
    bench.run(&job(study()));
    let made = bench.why(&job(study()), 1);
    assert!(made.render(&|_| None).starts_with("model[a] is up to date: made "));
    assert_eq!((made.from[0].path.as_str(), made.from[0].label.as_str()), ("from[0]", "data"));
    assert!(made.render(&|_| None).contains("from data  (key "), "{}", made.render(&|_| None));
}

#[test]
fn every_run_writes_its_events() {
    let bench = Bench::new();
    let report = bench.run(&job(study()));
    let text = std::fs::read_to_string(report.dir.join("events.jsonl")).unwrap();
    let kinds: Vec<String> = text
        .lines()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["what"]["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        (kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()),
        ("run_started", "run_finished")
    );
    for kind in ["queued", "started", "finished"] {
        assert_eq!(kinds.iter().filter(|k| *k == kind).count(), 5, "{kind}");
    }
}

#[test]
fn thousands_of_cells_with_nothing_to_do_take_no_time() {
    // XPIPE_TEST_CELLS=4000 is the figure of the goal; making so many small files takes long on some disks.
    let cells: u32 = std::env::var("XPIPE_TEST_CELLS").ok().and_then(|n| n.parse().ok()).unwrap_or(800);
    let bench = Bench::new();
    let corpus = bench.dir.path().join("corpus.txt");
    std::fs::write(&corpus, "text").unwrap();
    let input = Value::Input(Arc::new(Input::File(corpus)));
    let optimiser = Record::of([("learning_rate", Value::Float(2e-5)), ("weight_decay", Value::Float(0.0))]);
    let mut actions = Vec::new();
    let models = cells / 20;
    for i in 0..models {
        let args = of(&format!("m{i}"), &[])
            .with("corpus", input.clone())
            .with("optimiser", Value::call("adamw", optimiser.clone()))
            .with("seed", Value::Int(i64::from(i)));
        actions.push(action("make", &format!("model[{i}]"), args));
    }
    for i in 0..cells - models {
        let args = of(&format!("s{i}"), &[i % models]).with("depth", Value::Int(100));
        actions.push(action("make", &format!("score[{i}]"), args));
    }
    let job = job(actions);
    bench.run(&job);
    let mut seconds = f64::INFINITY;
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let report = bench.run(&job);
        seconds = seconds.min(begun.elapsed().as_secs_f64());
        assert_eq!(counts(&report), (0, cells as usize));
    }
    // Generous: tests run beside each other, and without all optimisations.
    assert!(seconds < 2.0, "{seconds}");
    println!("{cells} cached actions: {seconds:.3} s, the best of three");
}
