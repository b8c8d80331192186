//! Runs and plans with a remote cache: here a second store in the same process.

use std::sync::Mutex;

use super::*;
use crate::cache::{Manifest, PortableManifest};
use xpipe_base::value::Digest;

/// A remote cache that is a store, with the keys that it was asked for and offered.
struct Other {
    store: Store,
    /// Keys whose results it claims to have and cannot give.
    broken: Vec<Digest>,
    brought: Mutex<Vec<Digest>>,
    offered: Mutex<Vec<Digest>>,
}

impl RemoteCache for Other {
    fn find(&self, key: &Digest) -> Option<Arc<Manifest>> {
        (!self.broken.contains(key)).then(|| self.store.lookup(key).map(Arc::new)).flatten()
    }

    fn bring(&self, key: &Digest, store: &Store, _: &(dyn Fn() -> bool + Sync)) -> Option<Manifest> {
        self.brought.lock().unwrap().push(*key);
        let portable: PortableManifest = self.store.portable(key).ok()?;
        if self.broken.contains(key) {
            return None;
        }
        let work = store.workspace(key).unwrap();
        for output in &portable.manifest().outputs {
            let mut from = self.store.open_output(output).unwrap();
            std::io::copy(&mut from, &mut store.place_new(output, &work.out).unwrap()).unwrap();
        }
        Some(store.adopt(work, &portable, "the other store").unwrap())
    }

    fn offer(&self, key: &Digest) {
        self.offered.lock().unwrap().push(*key);
    }
}

/// The tiny operations, with a remote cache.
struct WithRemote(Other);

impl Runner for WithRemote {
    fn implementation(&self, op: &str) -> Option<RunFn> {
        Fake::default().implementation(op)
    }

    fn find_input(&self, input: &Input, reach: Reach) -> Result<Found, Failure> {
        Fake::default().find_input(input, reach)
    }

    fn remote(&self) -> Option<&dyn RemoteCache> {
        Some(&self.0)
    }
}

/// A remote cache with the results of some actions of the study.
fn remote_with(actions: Vec<Action>) -> (Bench, WithRemote) {
    let made = Bench::new();
    made.run(&job(actions));
    let store = Store::open(&made.root()).unwrap();
    let (brought, offered) = (Mutex::default(), Mutex::default());
    (made, WithRemote(Other { store, broken: Vec::new(), brought, offered }))
}

fn run_with(bench: &Bench, runner: &WithRemote, job: &Job) -> (RunReport, Vec<Event>) {
    let store = Store::open(&bench.root()).unwrap().durable(false);
    let mut events = Vec::new();
    let report = run(job, runner, &store, &bench.options, &mut events, &CancelToken::new()).unwrap();
    (report, events)
}

#[test]
fn a_plan_names_what_the_remote_cache_has_and_a_run_brings_it() {
    // The remote cache lacks the scores, whose keys follow from what it has.
    let (_made, runner) = remote_with(study()[..3].to_vec());
    let bench = Bench::new();
    let store = Store::reading(&bench.root()).unwrap();
    let plan = forecast(&job(study()), &runner, &store, &bench.options);
    let remote = |f: &Forecast| matches!(f, Forecast::Remote { .. });
    assert_eq!(plan.iter().map(remote).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert!(plan[3..].iter().all(|f| matches!(f, Forecast::WillRun { .. }) && f.is_open()));
    assert!(runner.0.brought.lock().unwrap().is_empty(), "a plan brings nothing");
    let (report, events) = run_with(&bench, &runner, &job(study()));
    assert_eq!(states(&report), [Cached, Cached, Cached, Ran, Ran]);
    assert_eq!(bench.value(&report, 4), "sb+b+d");
    assert_eq!(runner.0.offered.lock().unwrap().len(), 2, "what ran is offered");
    assert!(events.iter().any(|e| matches!(e, Event::Note { text, .. } if text.contains("the other store"))));
    let (again, _) = run_with(&bench, &runner, &job(study()));
    assert_eq!((counts(&again), runner.0.brought.lock().unwrap().len()), ((0, 5), 5), "asked once each");
}

#[test]
fn what_is_known_before_a_run_is_brought_at_once() {
    let (_made, runner) = remote_with(study());
    let bench = Bench::new();
    let store = Store::open(&bench.root()).unwrap();
    let bring = || bring_known(&job(study()), &runner, &store, &bench.options, &|| false);
    assert_eq!(bring(), 5);
    assert_eq!(bring(), 0);
    let plan = forecast(&job(study()), &runner, &store, &bench.options);
    assert!(plan.iter().all(|f| matches!(f, Forecast::Cached { .. })), "{plan:?}");
}

#[test]
fn what_the_remote_cache_cannot_give_runs_here() {
    let (_made, mut runner) = remote_with(study());
    let bench = Bench::new();
    let store = Store::reading(&bench.root()).unwrap();
    let Forecast::Remote { key } = forecast(&job(study()), &runner, &store, &bench.options)[1].clone() else {
        panic!("the remote cache has it")
    };
    runner.0.broken.push(key);
    let (report, _) = run_with(&bench, &runner, &job(study()));
    assert_eq!(states(&report), [Cached, Ran, Cached, Cached, Cached]);
}

#[test]
fn what_is_forced_is_not_brought_and_equal_actions_are_asked_for_once() {
    let (_made, runner) = remote_with(study());
    let mut bench = Bench::new();
    bench.options.force.insert(ActionId(0));
    let (report, _) = run_with(&bench, &runner, &job(study()));
    assert_eq!(states(&report), [Ran, Cached, Cached, Cached, Cached]);
    let twice = vec![made("a", "d", &[]), made("b", "d", &[])];
    let bench = Bench::new();
    runner.0.brought.lock().unwrap().clear();
    let (report, _) = run_with(&bench, &runner, &job(twice));
    assert_eq!((states(&report), runner.0.brought.lock().unwrap().len()), (vec![Cached, Cached], 1));
}
