//! A job on its node: waiting for others, and the end of its time.

use super::*;
use crate::cache::Recipe;
use crate::queue::spec::TOOL;
use crate::runner::{Found, Reach};
use xpipe_base::task::{Kernels, Outcome, Policy, RunFn};
use xpipe_base::value::{Input, Record};

fn make(job: &Job<'_>) -> Result<Outcome, Failure> {
    std::fs::write(job.spec.out.join("value"), "1")?;
    Ok(Outcome::default())
}

/// Works until it is told to stop.
fn endless(job: &Job<'_>) -> Result<Outcome, Failure> {
    loop {
        job.check_cancelled()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Ops;

impl Runner for Ops {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        Some(if op == "make" { make } else { endless })
    }

    fn find_input(&self, _: &Input, _: Reach) -> Result<Found, Failure> {
        Err(Failure::bug("nothing is looked for"))
    }
}

struct Node {
    dir: tempfile::TempDir,
    folder: AttemptFolder,
    spec: AttemptSpec,
    cancel: CancelToken,
}

impl Node {
    fn new(op: &str, seconds: Option<f64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe::new(op, 1, Record::default()).unwrap();
        let spec = AttemptSpec {
            tool: TOOL.to_owned(),
            cache: dir.path().join("cache"),
            study: "study.xpipe".into(),
            address: "stage".into(),
            key: recipe.key(),
            op: op.to_owned(),
            version: 1,
            args: Record::default(),
            policy: Policy::default(),
            attempt: 1,
            forced: false,
            threads: 1,
            gpu: false,
            gpu_required: false,
            kernels: Kernels::Auto,
            seconds,
            log: dir.path().join("log"),
            notes: Vec::new(),
            inputs: Vec::new(),
            reads: Vec::new(),
            verify_always: false,
            patience: 0.0,
        };
        let folder = AttemptFolder::create(dir.path().join("0"), &spec).unwrap();
        Self { dir, folder, spec, cancel: CancelToken::new() }
    }

    fn run(&self) -> i32 {
        attempt_main(&Ops, self.folder.path.clone(), &self.cancel)
    }

    fn verdict(&self) -> Verdict {
        self.folder.look().reports.pop().unwrap().verdict
    }

    /// Another process that works in the folder for checkpoints.
    fn other(&self) -> (File, Store) {
        let store = Store::open(&self.spec.cache).unwrap();
        let scratch = store.scratch(&self.spec.key).unwrap();
        (try_alone_in(&scratch).ok().flatten().unwrap(), store)
    }

    /// Waits until the job has said that it waits.
    fn wait_until_it_waits(&self) {
        let told = || {
            let look = self.folder.look();
            look.progress()
                .is_some_and(|p| std::fs::read_to_string(p).unwrap().contains("waiting for its end"))
        };
        let begun = Instant::now();
        while !told() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the job does not wait");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_job_waits_for_the_process_that_works_in_its_folder_as_long_as_that_does() {
    let node = Node::new("make", None);
    let other = node.other();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| node.run());
        node.wait_until_it_waits();
        drop(other);
        assert_eq!(job.join().unwrap(), 0);
    });
    assert_eq!(node.verdict(), Verdict::Done);
    // Meanwhile it can be stopped.
    let node = Node::new("make", None);
    let _other = node.other();
    std::thread::scope(|scope| {
        let job = scope.spawn(|| node.run());
        node.wait_until_it_waits();
        node.cancel.request();
        assert_eq!(job.join().unwrap(), STOPPED);
    });
    assert_eq!(node.verdict(), Verdict::Interrupted);
    assert!(node.dir.path().join("cache").is_dir());
}

#[test]
fn the_time_of_a_stage_also_passes_while_its_job_waits() {
    let node = Node::new("make", Some(0.3));
    let _other = node.other();
    assert_eq!((node.run(), node.verdict()), (STOPPED, Verdict::OutOfTime));
}

#[test]
fn a_job_says_whether_its_own_time_is_over_or_it_was_stopped() {
    let late = Node::new("endless", Some(0.05));
    assert_eq!((late.run(), late.verdict()), (STOPPED, Verdict::OutOfTime));
    let stopped = Node::new("endless", Some(60.0));
    std::thread::scope(|scope| {
        let job = scope.spawn(|| stopped.run());
        std::thread::sleep(Duration::from_millis(100));
        stopped.cancel.request();
        assert_eq!(job.join().unwrap(), STOPPED);
    });
    assert_eq!(stopped.verdict(), Verdict::Interrupted);
}
