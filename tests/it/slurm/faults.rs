//! Faults of a cluster. Each run ends with the results of a run on this machine, and no program was started twice without
//! need.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::cluster::cluster;
use super::{program, reports, same_as_here, slow, started};
use crate::space::{Space, TRAINING};

/// Counts of starts: at least once each, and so many more.
#[track_caller]
fn started_again(space: &Space, more: std::ops::RangeInclusive<usize>) {
    let started = started(space);
    assert!(started.iter().all(|n| *n >= 1), "{started:?}");
    assert!(more.contains(&(started.iter().sum::<usize>() - 4)), "{started:?}");
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_node_that_crashes_loses_its_jobs_only() {
    let Some(cluster) = cluster() else { return };
    let space = slow("5");
    cluster.settings(&space, "");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    let lost = cluster.busy_nodes().iter().filter(|n| *n == "n1").count();
    cluster.node("crash", "n1");
    run.end().says(0, &["its job was lost (NODE_FAIL on n1)"]);
    assert!(lost > 0);
    started_again(&space, lost..=lost);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_of_a_node_that_is_cut_off_go_on_and_are_not_run_twice() {
    let Some(cluster) = cluster() else { return };
    let space = slow("25");
    cluster.settings(&space, "");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    cluster.node("part", "n1");
    // Submitted again as lost, and then found to be done by the jobs that were thought to be lost.
    run.end().says(0, &["its job was lost"]);
    cluster.node("start", "n1");
    started_again(&space, 0..=0);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_that_slurm_ends_when_their_node_returns_are_run_again() {
    let Some(cluster) = cluster() else { return };
    let space = slow("40");
    cluster.settings(&space, "");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    let on_it = cluster.busy_nodes().iter().filter(|n| *n == "n1").count();
    cluster.node("part", "n1");
    std::thread::sleep(Duration::from_secs(20));
    cluster.node("start", "n1");
    run.end().says(0, &["its job was lost"]);
    started_again(&space, 0..=on_it);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_node_that_reboots_loses_its_jobs_only() {
    let Some(cluster) = cluster() else { return };
    let space = slow("5");
    cluster.settings(&space, "");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    let lost = cluster.busy_nodes().iter().filter(|n| *n == "n1").count();
    cluster.node("crash", "n1");
    std::thread::sleep(Duration::from_secs(1));
    cluster.node("start", "n1");
    run.end().says(0, &["its job was lost"]);
    started_again(&space, lost..=lost);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_controller_that_hangs_during_a_submission_leaves_no_second_job() {
    let Some(cluster) = cluster() else { return };
    let space = slow("1");
    cluster.settings(&space, "");
    kill_process(cluster.controller(), Signal::STOP).unwrap();
    let run = cluster.start(&space);
    std::thread::sleep(Duration::from_secs(7));
    kill_process(cluster.controller(), Signal::CONT).unwrap();
    run.end().says(0, &["no clear answer to the submission", "was accepted after all"]);
    started_again(&space, 0..=0);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_run_killed_between_a_submission_and_its_record_takes_its_jobs_over() {
    let Some(cluster) = cluster() else { return };
    let space = slow("3");
    cluster.settings(&space, "");
    // Submits, then kills the run that waits for the answer.
    let real = cluster_program("sbatch");
    let text = format!("#!/bin/sh\n{real} \"$@\"\n[ -e killed ] || {{ touch killed; kill -9 $PPID; }}\n");
    program(&space, "bin/sbatch", &text);
    let first = cluster.run(&space);
    assert_eq!(first.code, None, "{first:?}");
    cluster.run(&space).says(0, &["is taken over"]);
    started_again(&space, 0..=0);
    same_as_here(&space);
}

fn cluster_program(name: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let found =
        path.split(':').map(|folder| format!("{folder}/{name}")).find(|p| std::path::Path::new(p).exists());
    found.unwrap()
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn jobs_outlive_a_run_that_is_killed_or_hung_up_and_the_next_run_takes_them_over() {
    let Some(cluster) = cluster() else { return };
    for signal in [Signal::KILL, Signal::HUP] {
        let space = slow("8");
        cluster.settings(&space, "");
        let run = cluster.start(&space);
        cluster.wait_for_four(&space);
        kill_process(run.pid(), signal).unwrap();
        assert_ne!(run.end().code, Some(0));
        cluster.run(&space).says(0, &[]);
        started_again(&space, 0..=0);
        same_as_here(&space);
    }
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn ctrl_c_cancels_all_jobs_and_the_next_run_starts_them_anew() {
    let Some(cluster) = cluster() else { return };
    let space = slow("30");
    cluster.settings(&space, "");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    kill_process(run.pid(), Signal::INT).unwrap();
    run.end().says(130, &["cancelled 1 job"]);
    cluster.wait("jobs are left", || cluster.slurm("squeue", &["-h"]).trim().is_empty());
    assert!(reports(&space).iter().all(|r| r["verdict"] == "interrupted"), "{:?}", reports(&space));
    space.edit("study.xpipe", "\"30\"", "\"0\"");
    cluster.run(&space).says(0, &[]);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_job_that_runs_out_of_memory_gets_more() {
    let Some(cluster) = cluster() else { return };
    let space = slow("4");
    // 300 MB in a variable of the shell.
    let text =
        space.read("slow.sh").replace("sleep ", "x=$(head -c 300000000 /dev/zero | tr '\\0' a); sleep ");
    program(&space, "slow.sh", &format!("{text}: \"${{#x}}\"\n"));
    space.edit("study.xpipe", "b = 2, c = 3, d = 4", "b = 2");
    space.edit("study.xpipe", "\"4\" } }", "\"4\" } } with { memory = 150MiB }");
    cluster.settings(&space, "memory_factor = 8.0");
    cluster.run(&space).says(0, &["ran out of memory; the next one gets more"]);
    assert_eq!(started(&space), [2, 2, 0, 0]);
    cluster.settings(&space, "memory_factor = 1.0");
    space.edit("study.xpipe", "\"4\"", "\"5\"");
    cluster.run(&space).says(4, &["its job ran out of memory", "write what it needs as `memory`"]);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_training_whose_time_is_over_goes_on_from_its_checkpoint() {
    let Some(cluster) = cluster() else { return };
    let space = Space::new(TRAINING);
    space.edit("study.xpipe", "with { checkpoint = steps(4) }", "with { checkpoint = steps(4), time = 3s }");
    // Seconds on a fast machine, and a minute on a slow one.
    space.edit("study.xpipe", "steps(24)", "steps(160)");
    cluster.settings(&space, "");
    cluster.run(&space).says(0, &["it goes on from its checkpoint"]);
    let late = reports(&space).iter().filter(|r| r["verdict"] == "out_of_time").count();
    assert!(late > 0);
    space.edit("study.xpipe", ", time = 3s", "");
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_time_that_is_too_short_for_any_progress_is_an_error() {
    let Some(cluster) = cluster() else { return };
    let space = slow("30");
    space.edit("study.xpipe", "\"30\" } }", "\"30\" } } with { time = 1s }");
    cluster.settings(&space, "retries = 1");
    cluster.run(&space).says(1, &["its time is over", "raise `time`"]);
    assert_eq!(started(&space), [1, 1, 1, 1], "another job would need as much again");
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn preempted_jobs_come_back() {
    let Some(cluster) = cluster() else { return };
    let space = slow("15");
    cluster.settings(&space, "partition = \"scavenge\"");
    let run = cluster.start(&space);
    cluster.wait_for_four(&space);
    cluster.slurm("sbatch", &["-p", "main", "-N2", "-n2", "-c2", "-o", "/dev/null", "--wrap", "sleep 4"]);
    run.end().says(0, &["its job was ended from outside (PREEMPTED"]);
    started_again(&space, 1..=4);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn what_the_queue_refuses_or_can_never_start_fails_with_its_reason() {
    let Some(cluster) = cluster() else { return };
    let space = slow("0");
    cluster.settings(&space, "partition = \"nope\"");
    cluster.run(&space).says(4, &["the queue refuses its job: invalid partition specified: nope"]);
    cluster.settings(&space, "partition = \"short\"\ntime = \"1h\"");
    cluster.run(&space).says(4, &["can never start: the queue says PartitionTimeLimit", "lower `time`"]);
    cluster.wait("jobs are left", || cluster.slurm("squeue", &["-h"]).trim().is_empty());
    cluster.settings(&space, "");
    cluster.run(&space).says(0, &[]);
    started_again(&space, 0..=0);
    same_as_here(&space);
}

#[test]
#[ignore = "needs a private Slurm; run by .ci/run"]
fn a_log_folder_that_is_gone_costs_one_attempt() {
    let Some(cluster) = cluster() else { return };
    let space = slow("0");
    cluster.settings(&space, "");
    // The nodes are busy while the folder goes away.
    cluster.slurm("sbatch", &["-N2", "-n2", "-c2", "-o", "/dev/null", "--wrap", "sleep 6"]);
    let run = cluster.start(&space);
    let runs = space.cache().join("v1/runs");
    let logs = || {
        std::fs::read_dir(&runs)
            .ok()
            .and_then(|mut all| all.next())
            .map(|run| run.unwrap().path().join("logs"))
    };
    cluster.wait("nothing is submitted", || {
        cluster.slurm("squeue", &["-h", "-r", "-o", "%j"]).contains("xpipe-slow")
    });
    std::fs::remove_dir_all(logs().unwrap()).unwrap();
    run.end().says(0, &["its job was lost"]);
    started_again(&space, 0..=0);
    same_as_here(&space);
}
