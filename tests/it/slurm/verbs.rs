//! Verbs that look at runs from outside, over the queue of shell commands; and what a run on Slurm would submit.

use std::time::{Duration, Instant};

use super::commands::{command, with_queue};
use super::{Run, slow, started};
use crate::space::{Ended, Space, TRAINING};

/// A run that has started its four programs.
fn running(space: &Space) -> Run {
    let run = Run::start(&mut command(space, &[]));
    let begun = Instant::now();
    while started(space).iter().sum::<usize>() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "four programs are not started");
        std::thread::sleep(Duration::from_millis(20));
    }
    run
}

fn verb(space: &Space, args: &[&str]) -> Ended {
    let mut command = space.command(args);
    Ended::of(command.env("XPIPE_SETTINGS", space.path("settings.toml")).output().unwrap())
}

#[test]
fn a_run_is_seen_and_ended_from_outside() {
    let space = slow("60");
    with_queue(&space);
    let run = running(&space);
    let status = verb(&space, &["status", "--json"]).json();
    assert_eq!((status["state"].as_str(), status["cluster"].as_str()), (Some("running"), Some("own")));
    let live = status["jobs"].as_array().unwrap().iter().filter(|j| j["live"] == true).count();
    assert_eq!((live, status["actions"].as_u64()), (4, Some(4)));
    let name = status["run"].as_str().unwrap().to_owned();
    let shown = verb(&space, &["status"]).out;
    assert!(shown.contains(&name) && shown.contains("slow[a]  attempt 1  running"), "{shown}");
    // One stage is ended, and the others go on.
    let one = verb(&space, &["cancel", &name, "slow[b]"]);
    assert!(one.out.contains("cancelled 1 job"), "{one:?}");
    let begun = Instant::now();
    while verb(&space, &["status", "--json"]).json()["counts"]["failed"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the stage does not fail");
        std::thread::sleep(Duration::from_millis(200));
    }
    // The whole run.
    let all = verb(&space, &["cancel", &name]);
    assert!(all.out.contains("asked to stop"), "{all:?}");
    run.end().says(130, &["cancelled with `xpipe cancel`", "stopped  slow[a]"]);
    assert_eq!(verb(&space, &["status", "--json"]).json()["state"], "ended");
    let nothing = verb(&space, &["cancel", &name]);
    assert!(nothing.out.contains("nothing to cancel"), "{nothing:?}");
    verb(&space, &["status", "no-such-run"]).says(2, &["there is no run `no-such-run`"]);
}

#[test]
fn jobs_that_a_run_took_over_are_seen_and_ended_like_its_own() {
    let space = slow("60");
    with_queue(&space);
    // Killed: its jobs go on.
    drop(running(&space));
    let first = verb(&space, &["status", "--json"]).json()["run"].as_str().unwrap().to_owned();
    let run = Run::start(&mut command(&space, &[]));
    let begun = Instant::now();
    let status = loop {
        let status = verb(&space, &["status", "--json"]).json();
        if status["run"] != first.as_str() && status["jobs"].as_array().is_some_and(|jobs| jobs.len() == 4) {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "its jobs are not shown: {status:#}");
        std::thread::sleep(Duration::from_millis(100));
    };
    for job in status["jobs"].as_array().unwrap() {
        assert_eq!((job["live"].as_bool(), job["taken_from"].as_str()), (Some(true), Some(first.as_str())));
    }
    let name = status["run"].as_str().unwrap();
    let shown = verb(&space, &["status"]).out;
    assert!(shown.contains(&format!("slow[a]  attempt 1  running (of run {first})")), "{shown}");
    let one = verb(&space, &["cancel", name, "slow[b]"]);
    assert!(one.out.contains("cancelled 1 job"), "{one:?}");
    let begun = Instant::now();
    while verb(&space, &["status", "--json"]).json()["counts"]["failed"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the stage does not fail");
        std::thread::sleep(Duration::from_millis(200));
    }
    let all = verb(&space, &["cancel", name]);
    assert!(all.out.contains("asked to stop"), "{all:?}");
    run.end().says(130, &["its job", "is taken over", "stopped  slow[a]"]);
    assert_eq!(started(&space), [1; 4], "nothing was submitted again");
}

#[test]
fn another_process_follows_a_run_to_its_end() {
    let space = slow("2");
    with_queue(&space);
    let run = running(&space);
    let attached = verb(&space, &["attach", "--plain"]);
    attached.says(0, &["submitted job", "start    slow[a]", "4/4 done"]);
    run.end().says(0, &[]);
    // Of a run that was killed it is told that its jobs may go on.
    let other = slow("4");
    with_queue(&other);
    drop(running(&other));
    verb(&other, &["attach", "--plain"]).says(7, &["its process is gone"]);
    assert_eq!(verb(&other, &["status", "--json"]).json()["state"], "abandoned");
    Run::start(&mut command(&other, &[])).end().says(0, &["is taken over"]);
    assert_eq!(started(&other), [1; 4]);
}

#[test]
fn a_dry_run_prints_the_commands_and_submits_nothing() {
    let space = Space::new(TRAINING);
    space.write(
        "settings.toml",
        "[cluster.lab]\npartition = \"gpu\"\naccount = \"ir\"\nenvironment = [\"module load x\"]\nlight = \"job\"\n",
    );
    space.edit(
        "study.xpipe",
        "checkpoint = steps(4) }",
        "checkpoint = steps(4), time = 2h, memory = 3GiB, cpus = 4 }",
    );
    let ended = verb(&space, &["run", "study.xpipe", "--executor", "slurm", "--cluster", "lab", "--dry-run"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Imports without inputs from other actions are all that can be submitted at once.
    for text in [
        "# tiny.corpus, tiny.queries",
        "--array=0-1",
        "--partition=gpu",
        "--account=ir",
        "--export=NONE",
        "\nmodule load x\nexec ",
        " worker --attempt ",
        "may follow",
    ] {
        assert!(ended.out.contains(text), "no `{text}` in {}", ended.out);
    }
    assert!(!space.cache().join("v1/runs").exists() && space.contents().is_empty());
    assert_eq!(space.run().2, 0);
    std::fs::remove_dir_all(space.cache().join("v1/actions")).unwrap();
    let one = verb(
        &space,
        &["run", "study.xpipe", "--executor", "slurm", "--cluster", "lab", "--dry-run", "--json"],
    );
    assert_eq!(one.json()["submissions"].as_array().unwrap().len(), 1);
    verb(&space, &["run", "study.xpipe", "--dry-run"]).says(2, &["no effect without `--executor slurm`"]);
}
