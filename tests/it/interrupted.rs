//! Runs that are killed, interrupted or doubled come to the same results as a run left alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::space::{Ended, RETRIEVAL, Space, TRAINING, events};

/// Results of an unbroken run of the training study.
fn unbroken() -> &'static BTreeMap<String, String> {
    static CONTENTS: std::sync::OnceLock<BTreeMap<String, String>> = std::sync::OnceLock::new();
    CONTENTS.get_or_init(|| {
        let space = Space::new(TRAINING);
        assert_eq!(space.run(), (12, 0, 0));
        let contents = space.contents();
        assert_eq!(contents.len(), 12);
        contents
    })
}

fn start(space: &Space, threads: &str) -> Child {
    space.command(&["run", "study.xpipe", "--plain", "--threads", threads]).spawn().unwrap()
}

/// The checkpoints of a cache.
fn checkpoints(space: &Space) -> Vec<PathBuf> {
    let scratch = std::fs::read_dir(space.cache().join("v1/scratch")).into_iter().flatten().flatten();
    scratch.map(|e| e.path().join("checkpoint")).filter(|p| p.is_file()).collect()
}

/// Waits until a condition holds while the run goes on.
#[track_caller]
fn wait(child: &mut Child, what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too early");
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// The steps that trainings went on from.
fn resumed(space: &Space) -> Vec<String> {
    let notes = events(&space.cache()).into_iter().filter(|e| e["event"] == "note");
    notes
        .filter_map(|e| e["text"].as_str().map(str::to_owned))
        .filter(|t| t.starts_with("goes on from step"))
        .collect()
}

/// Runs again to the end: the same results as an unbroken run.
#[track_caller]
fn finish(space: &Space, threads: &str, what: &str) {
    let (ran, cached, code) = space.xpipe(&["run", "study.xpipe", "--json", "--threads", threads]).counts();
    assert_eq!((ran + cached, code), (12, 0), "{what}");
    assert_eq!(space.contents(), *unbroken(), "{what}");
    assert!(checkpoints(space).is_empty(), "{what}: checkpoints are left");
    space.is_whole();
}

#[test]
fn a_training_killed_in_the_middle_goes_on_and_ends_the_same() {
    let mut went_on = 0;
    // Moments after the first checkpoint, in milliseconds; threads before and after.
    for (moment, threads, later) in
        [(0, "2", "3"), (3, "1", "1"), (11, "3", "3"), (40, "1", "2"), (90, "2", "2"), (170, "3", "1")]
    {
        let what = format!("killed {moment} ms after a checkpoint, {threads} threads, then {later}");
        let space = Space::new(TRAINING);
        let mut child = start(&space, threads);
        wait(&mut child, || !checkpoints(&space).is_empty());
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        finish(&space, later, &what);
        went_on += usize::from(!resumed(&space).is_empty());
    }
    // One may have been over when the signal came.
    assert!(went_on >= 4, "{went_on} of 6 went on from a checkpoint");
}

#[test]
fn killed_at_any_moment_and_run_again_gives_the_same_results() {
    let whole = Space::new(RETRIEVAL);
    assert_eq!(whole.run(), (8, 0, 0));
    let expected = whole.contents();
    assert_eq!(expected.len(), 8);
    let mut cut_short = 0;
    for delay in [5, 15, 30, 45, 60, 80, 100, 130, 170, 220] {
        let space = Space::new(RETRIEVAL);
        let mut child = start(&space, "2");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        cut_short += usize::from(!child.wait().unwrap().success());
        let (ran, cached, code) = space.run();
        assert_eq!((ran + cached, code), (8, 0), "after {delay} ms");
        assert_eq!(space.contents(), expected, "after {delay} ms");
        space.is_whole();
    }
    assert!(cut_short > 0, "no run was cut short");
}

#[test]
fn ctrl_c_once_keeps_a_checkpoint_and_the_next_run_goes_on() {
    // What an unbroken run of this study gives.
    let whole = Space::new(TRAINING);
    whole.edit("study.xpipe", "steps(24)", "steps(60)");
    assert_eq!(whole.run(), (12, 0, 0));
    for threads in ["1", "2"] {
        let space = Space::new(TRAINING);
        // Only a stop writes a checkpoint here.
        space.edit("study.xpipe", "checkpoint = steps(4)", "checkpoint = steps(1_000)");
        space.edit("study.xpipe", "steps(24)", "steps(60)");
        let mut child = start(&space, threads);
        wait(&mut child, || {
            let at_work = || {
                events(&space.cache())
                    .iter()
                    .any(|e| e["op"] == "train.cross_encoder" && e["event"] == "started")
            };
            space.cache().join("v1/runs").exists() && at_work()
        });
        std::thread::sleep(Duration::from_millis(150));
        interrupt(&child);
        let ended = Ended::of(child.wait_with_output().unwrap());
        ended.says(130, &["note     stopping: ", "stopped  model["]);
        assert!(ended.out.contains("run again"), "{}", ended.out);
        assert!(!checkpoints(&space).is_empty(), "no checkpoint was kept");
        space.is_whole();
        let before = space.contents().len();
        assert!((6..12).contains(&before), "{before} results");
        let (ran, cached, code) = space.run();
        assert_eq!((ran as usize, cached as usize, code), (12 - before, before, 0));
        assert!(!resumed(&space).is_empty(), "it began anew");
        assert_eq!(space.contents(), whole.contents());
    }
}

#[test]
fn ctrl_c_twice_ends_at_once_and_nothing_is_lost() {
    for threads in ["1", "2"] {
        let space = Space::new(TRAINING);
        let mut child = start(&space, threads);
        wait(&mut child, || !checkpoints(&space).is_empty());
        let begun = Instant::now();
        interrupt(&child);
        interrupt(&child);
        // Two signals that come together may count as one.
        std::thread::sleep(Duration::from_millis(20));
        interrupt(&child);
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        finish(&space, threads, "interrupted twice");
    }
}

#[test]
fn two_runs_at_once_compute_each_action_once() {
    let space = Space::new(TRAINING);
    let children = [start(&space, "1"), start(&space, "1")];
    for child in children {
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("nDCG@10"), "{ended:?}");
    }
    assert_eq!(space.contents(), *unbroken());
    let mut finished: BTreeMap<String, usize> = BTreeMap::new();
    let mut cached = 0;
    for event in events(&space.cache()) {
        if event["event"] == "finished" {
            *finished.entry(event["key"].to_string()).or_default() += 1;
        }
        cached += usize::from(event["event"] == "cached");
    }
    assert_eq!((finished.len(), cached), (12, 12));
    assert!(finished.values().all(|n| *n == 1), "{finished:?}");
    space.is_whole();
}
