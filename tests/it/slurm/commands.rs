//! A queue that is reached by three commands: a few lines of shell.

use std::process::Command;

use super::{program, ran, same_as_here, slow, started};
use crate::space::{Ended, Space};

/// A queue of background processes: the id of a job is that of its process, its state is in a file.
const SUBMIT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
(sh "$1" >/dev/null 2>&1 </dev/null; echo "$?" > "$2.end") >/dev/null 2>&1 &
echo $! > "$2.pid"
echo "job $2"
"#;
const STATUS: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
for file in *.pid; do
    job=${file%.pid}
    if [ -e "$job.cancelled" ]; then echo "$job CANCELED"
    elif [ -e "$job.end" ]; then echo "$job FINISHED"; else echo "$job RUNNING"; fi
done
"#;
const CANCEL: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
for job in "$@"; do [ -e "$job.end" ] || { touch "$job.cancelled"; pkill -TERM -P "$(cat "$job.pid")"; }; done
"#;

pub(super) fn with_queue(space: &Space) {
    program(space, "queue/submit", SUBMIT);
    program(space, "queue/status", STATUS);
    program(space, "queue/cancel", CANCEL);
    let at = space.path("queue").display().to_string();
    let text = format!(
        "[cluster.own]\nkind = \"commands\"\nsubmit = \"{at}/submit {{script}} {{name}} [mem={{memory_mib}}]\"\n\
         status = \"{at}/status\"\ncancel = \"{at}/cancel {{ids}}\"\npoll = \"0.2s\"\ngrace = \"2s\"\nlight = \"job\"\n"
    );
    space.write("settings.toml", &text);
}

pub(super) fn command(space: &Space, more: &[&str]) -> Command {
    let mut args = vec!["run", "study.xpipe", "--plain", "--executor", "slurm", "--cluster", "own"];
    args.extend(more);
    let mut command = space.command(&args);
    command.env("XPIPE_SETTINGS", space.path("settings.toml"));
    command
}

fn run(space: &Space, more: &[&str]) -> Ended {
    Ended::of(command(space, more).output().unwrap())
}

#[test]
fn a_queue_of_three_commands_carries_a_study_out() {
    let space = slow("0");
    with_queue(&space);
    run(&space, &[]).says(0, &["submitted job"]);
    assert_eq!((started(&space), ran(&space)), (vec![1; 4], 4));
    same_as_here(&space);
    let again = run(&space, &[]);
    assert!(again.out.contains("nothing to do"), "{again:?}");
    // Another run, because it is wanted.
    std::fs::remove_file(space.path("ran")).unwrap();
    run(&space, &["--force", "slow[a]"]).says(0, &[]);
    assert_eq!((started(&space), ran(&space)), (vec![1, 0, 0, 0], 5));
}

#[test]
fn a_program_that_fails_in_a_job_fails_its_stage_with_its_log() {
    let space = slow("0");
    with_queue(&space);
    program(&space, "slow.sh", "#!/bin/sh\necho no such column >&2\nexit 3\n");
    let ended = run(&space, &[]);
    ended.says(1, &["ended with exit code 3", "no such column", "log: "]);
    assert_eq!(space.contents().len(), 0);
}

#[test]
fn settings_of_a_cluster_are_checked_before_anything_starts() {
    let space = slow("0");
    space.write("settings.toml", "[cluster.own]\npartion = \"gpu\"\n");
    run(&space, &[]).says(2, &["unknown setting `partion`", "did you mean `partition`"]);
    space.write("settings.toml", "[cluster.owl]\n");
    run(&space, &[]).says(2, &["[cluster.own]", "`owl`"]);
    space.xpipe(&["run", "study.xpipe", "--cluster", "own"]).says(2, &["`--cluster` has no effect"]);
    assert!(!space.path("ran").exists());
}
