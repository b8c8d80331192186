//! A run that is killed before any file-system call of a publication, and a power failure at that moment: the next run
//! comes to the same results, and the cache is whole. The calls are those of `engine/cache/faults.rs`.

mod power;

use std::collections::BTreeMap;

use crate::space::{Ended, RETRIEVAL, Space};
use power::{Loss, lose_power};

/// The results of a run that nothing interrupts, and the number of calls that it begins.
struct Unbroken {
    contents: BTreeMap<String, String>,
    calls: usize,
}

/// Starts the study with one thread, so that calls come in nearly the same order each time.
fn run(space: &Space, crash_at: Option<usize>) -> Ended {
    let mut command = space.command(&["run", "study.xpipe", "--json", "--threads", "1"]);
    command.env("RAYON_NUM_THREADS", "1").env("XPIPE_TEST_CALLS", space.path("calls"));
    if let Some(n) = crash_at {
        command.env("XPIPE_TEST_CRASH_AT", n.to_string());
    }
    Ended::of(command.output().unwrap())
}

fn unbroken() -> Unbroken {
    let space = Space::new(RETRIEVAL);
    assert_eq!(run(&space, None).counts(), (8, 0, 0));
    let calls = power::calls(&space);
    for kind in ["folder", "protect", "sync", "link", "rename", "write", "remove"] {
        assert!(calls.iter().any(|c| c.call == kind), "no call `{kind}`: {calls:?}");
    }
    let begun = power::begun(&space);
    assert!(begun >= calls.len(), "{begun} calls begun, and {} returned", calls.len());
    Unbroken { contents: space.contents(), calls: begun }
}

/// Kills a run before a call, loses what a power failure would, and runs again; `false` if there are fewer calls.
#[track_caller]
fn crash(unbroken: &Unbroken, at: usize, loss: Option<&Loss>) -> bool {
    let space = Space::new(RETRIEVAL);
    let killed = run(&space, Some(at));
    if killed.code.is_some() {
        assert!(at >= unbroken.calls, "call {at}: the run was not killed: {killed:?}");
        return false;
    }
    if let Some(loss) = loss {
        lose_power(&space, loss);
    }
    let verified = space.xpipe(&["cache", "verify", "--json"]);
    assert_eq!(verified.code, Some(0), "call {at}, {loss:?}: {verified:#?}");
    let kept = space.contents();
    assert!(
        kept.iter().all(|(key, digest)| unbroken.contents.get(key) == Some(digest)),
        "call {at}, {loss:?}"
    );
    let (ran, cached, code) = space.run();
    assert_eq!((ran + cached, cached as usize, code), (8, kept.len(), 0), "call {at}, {loss:?}");
    assert_eq!(space.contents(), unbroken.contents, "call {at}, {loss:?}");
    space.is_whole();
    true
}

#[test]
fn a_run_killed_between_two_calls_of_a_publication_loses_nothing() {
    let unbroken = unbroken();
    // A few calls from beginning to end; the test below takes all.
    for i in 0..8 {
        let at = unbroken.calls * i / 8;
        let loss = [None, Some(Loss::everything()), Some(Loss::seeded(i as u64))];
        assert!(crash(&unbroken, at, loss[i % 3].as_ref()));
    }
}

#[test]
fn power_failures_would_damage_a_cache_that_is_not_synced() {
    // Otherwise the tests here would show nothing.
    let damaged = (0..24).any(|seed| {
        let space = Space::new(RETRIEVAL);
        assert_eq!(run(&space, None).counts(), (8, 0, 0));
        let calls = space.read("calls");
        // Without any sync the whole cache is often gone, which is no damage; without those of files it is there.
        let is_left_out = |line: &str| {
            let call: serde_json::Value = serde_json::from_str(line).unwrap();
            let is_folder = std::path::Path::new(call["path"].as_str().unwrap()).is_dir();
            call["call"] == "sync" && (seed % 2 == 0 || !is_folder)
        };
        let unsynced: Vec<&str> = calls.lines().filter(|line| !is_left_out(line)).collect();
        space.write("calls", &unsynced.join("\n"));
        lose_power(&space, &Loss::seeded(seed));
        space.xpipe(&["cache", "verify"]).code == Some(5)
    });
    assert!(damaged);
}

/// Crashes before each call; the number of calls.
fn crash_before_each(loss: Option<&Loss>) -> usize {
    let unbroken = unbroken();
    let crashed = (0..).take_while(|at| crash(&unbroken, *at, loss)).count();
    assert_eq!(crashed, unbroken.calls);
    crashed
}

#[test]
#[ignore = "takes minutes: every call"]
fn crash_matrix_of_every_call() {
    println!("killed before each of {} calls: nothing lost", crash_before_each(None));
}

#[test]
#[ignore = "takes minutes, and the test below includes nearly all of it: every call"]
fn power_failure_at_every_call() {
    let calls = crash_before_each(Some(&Loss::everything()));
    println!("a power failure before each of {calls} calls that lost all that was not synced: nothing lost");
}

#[test]
#[ignore = "takes minutes: 200 power failures"]
fn crash_matrix_of_seeded_power_failures() {
    let unbroken = unbroken();
    for seed in 0..200 {
        let at = power::drawn(seed, "at") as usize % unbroken.calls;
        assert!(crash(&unbroken, at, Some(&Loss::seeded(seed))));
    }
    println!("200 seeded power failures over {} calls: nothing lost", unbroken.calls);
}
