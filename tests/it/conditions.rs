//! Conditions of a machine that must neither lose nor change a result: few file handles, a clock that jumps back, other
//! runs at the same time, a worker that is killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::space::{Ended, RETRIEVAL, Space, TRAINING, events};

#[test]
fn without_file_handles_a_run_ends_with_a_message_and_spoils_nothing() {
    let whole = Space::new(RETRIEVAL);
    assert_eq!(whole.run(), (8, 0, 0));
    let (expected, space) = (whole.contents(), Space::new(RETRIEVAL));
    let mut short = 0;
    for limit in [5, 8, 11, 14, 17, 20, 24, 28, 34, 40, 60, 100] {
        let ended =
            space.shell(&format!("ulimit -n {limit}; exec \"$X\" run study.xpipe --plain --threads 2"));
        assert!(matches!(ended.code, Some(0 | 1 | 4 | 5 | 7)), "{limit}: {ended:?}");
        assert!(!ended.err.contains("panicked") && !ended.err.contains("defect"), "{limit}: {ended:?}");
        if ended.code != Some(0) {
            short += 1;
            let said = format!("{}{}", ended.out, ended.err).to_lowercase();
            assert!(said.contains("open files"), "{limit} says not why: {ended:?}");
        }
        assert!(!space.cache().join("v1/damaged").exists(), "{limit}: a sound result was moved away");
        let kept = space.contents();
        assert!(kept.iter().all(|(key, digest)| expected.get(key) == Some(digest)), "{limit}");
    }
    assert!(short >= 3, "only {short} runs were short of handles");
    assert_eq!(space.run().2, 0);
    assert_eq!(space.contents(), expected);
    space.is_whole();
}

/// Gives everything below a folder the same time.
fn set_times(folder: &Path, time: SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            set_times(&entry.path(), time);
        }
        std::fs::File::open(entry.path()).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn a_clock_that_jumped_back_hides_no_change_and_loses_no_result() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    // What was written before the jump is of tomorrow.
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    set_times(&space.cache(), tomorrow);
    set_times(&space.path("data"), tomorrow);
    for _ in 0..2 {
        assert_eq!(space.run(), (0, 8, 0));
    }
    // A change that leaves size and time as they were.
    space.edit("data/corpus.jsonl", "bread", "bred ");
    set_times(&space.path("data"), tomorrow);
    let (ran, _, code) = space.run();
    assert!(ran >= 1 && code == 0, "a changed input was not noticed");
    space.edit("data/corpus.jsonl", "bred ", "bread");
    set_times(&space.path("data"), tomorrow);
    assert_eq!(space.run().2, 0);
    assert_eq!(space.run(), (0, 8, 0));
    space.is_whole();
}

/// How often each key was computed in the runs of a cache.
fn computed(space: &Space) -> BTreeMap<String, usize> {
    let mut finished = BTreeMap::new();
    for event in events(&space.cache()).iter().filter(|e| e["event"] == "finished") {
        *finished.entry(event["key"].to_string()).or_default() += 1;
    }
    finished
}

#[test]
fn two_studies_at_once_compute_what_they_share_once() {
    let space = Space::new(RETRIEVAL);
    let other = RETRIEVAL.replace("{ low = 0.9, high = 1.2 }", "{ low = 0.9, highest = 1.5 }");
    space.write("other.xpipe", &other);
    let start = |study: &str| space.command(&["run", study, "--json", "--threads", "1"]).spawn().unwrap();
    let runs =
        [start("study.xpipe"), start("other.xpipe")].map(|run| Ended::of(run.wait_with_output().unwrap()));
    for ended in &runs {
        let (ran, cached, code) = ended.counts();
        assert_eq!((ran + cached, code), (8, 0), "{ended:?}");
    }
    let computed = computed(&space);
    assert!(computed.values().all(|n| *n == 1), "{computed:?}");
    // Data, index and the lower k1 are shared; another search and its evaluation are not, unless they come out the same.
    assert!((9..=10).contains(&computed.len()), "{computed:?}");
    let alone = Space::new(RETRIEVAL);
    assert_eq!(alone.run(), (8, 0, 0));
    assert!(alone.contents().iter().all(|(key, digest)| space.contents().get(key) == Some(digest)));
    space.is_whole();
}

/// The workers of a run.
fn workers(run: &Child) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", run.id())).into_iter().flatten().flatten();
    let children: String =
        threads.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok()).collect();
    let is_worker = |pid: &&str| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0worker\0"))
    };
    let pids = children.split_ascii_whitespace().filter(is_worker);
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[test]
fn a_worker_that_is_killed_fails_its_action_alone_and_the_next_run_ends_the_same() {
    let whole = Space::new(TRAINING);
    assert_eq!(whole.run(), (12, 0, 0));
    let space = Space::new(TRAINING);
    let mut run = space.command(&["run", "study.xpipe", "--plain", "--threads", "1"]).spawn().unwrap();
    let checkpoint = || {
        let keys = std::fs::read_dir(space.cache().join("v1/scratch")).into_iter().flatten().flatten();
        keys.map(|e| e.path().join("checkpoint")).any(|p| p.is_file())
    };
    let begun = Instant::now();
    while !checkpoint() || workers(&run).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no worker keeps a checkpoint");
        assert!(run.try_wait().unwrap().is_none(), "the run ended too early");
        std::thread::sleep(Duration::from_millis(2));
    }
    for worker in workers(&run) {
        // It may have ended just now.
        let _ = kill_process(worker, Signal::KILL);
    }
    let ended = Ended::of(run.wait_with_output().unwrap());
    ended.says(7, &["failed   model[", "killed"]);
    let again = space.xpipe(&["run", "study.xpipe", "--json"]).counts();
    assert_eq!((again.0 + again.1, again.2), (12, 0));
    assert_eq!(space.contents(), whole.contents());
    space.is_whole();
}
