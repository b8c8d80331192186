//! External programs: what outlives a kill, what a study promises, what they say, what is tried again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::space::{Ended, Space, TRAINING, events};

/// A space with a study, and programs beside it.
fn space(study: &str, programs: &[(&str, &str)]) -> Space {
    let space = Space::new(&format!("edition 2026\n{study}\n"));
    for (name, text) in programs {
        program(&space, name, text);
    }
    space
}

fn program(space: &Space, name: &str, text: &str) {
    space.write(name, text);
    std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn start(space: &Space) -> Child {
    space.command(&["run", "study.xpipe", "--plain"]).spawn().unwrap()
}

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[track_caller]
fn wait(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a file with a line, and gives the line.
#[track_caller]
fn line(path: &Path) -> String {
    wait(&format!("{} does not appear", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|t| t.ends_with('\n'))
    });
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z"))
}

fn parent(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(1).unwrap().to_owned()
}

/// The texts of the one stage's result.
fn texts(space: &Space) -> u64 {
    let facts = events_of_results(space);
    assert_eq!(facts.len(), 1, "{facts:?}");
    facts[0]["texts"].as_u64().unwrap()
}

fn events_of_results(space: &Space) -> Vec<serde_json::Value> {
    let mut facts = Vec::new();
    for shard in std::fs::read_dir(space.cache().join("v1/actions")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            facts.push(json.get("manifest").unwrap_or(&json)["facts"].clone());
        }
    }
    facts
}

/// Writes eight queries named by its process, slowly; says who it is in files beside the study.
const SLOW: &str = r#"#!/bin/sh
trap '' TERM HUP INT
echo $$ >> "$HERE/programs"
i=0
while [ $i -lt 8 ]; do
    i=$((i+1)); printf 'q%s-%s\tbread\n' $i $$ >> "$XPIPE_OUT/queries.tsv"; sleep "$PAUSE"
done
"#;

/// The same as a daemon of a child: it has left the group and the session, and forgets its environment.
const DAEMON: &str = r#"#!/bin/sh
export OUT="$XPIPE_OUT" HERE
setsid sh -c '
    trap "" TERM HUP INT
    env -i OUT="$OUT" HERE="$HERE" PATH="$PATH" sh -c "
        echo \$\$ >> \$HERE/programs
        sleep 0.3
        while [ ! -f \$HERE/enough ] && [ \$(head -1 \$HERE/programs) = \$\$ ]; do
            echo x >> \$OUT/noise; printf \"q\$\$-\$(date +%N)\tbread\n\" >> \$OUT/queries.tsv; sleep 0.05
        done" &'
while ! [ -s "$HERE/programs" ]; do sleep 0.01; done
sleep "$PAUSE"
printf 'q1-%s\tbread\n' $$ > "$XPIPE_OUT/queries.tsv"
rm -f "$XPIPE_OUT/noise"
"#;

fn slow(program: &str, pause: &str) -> Space {
    let study = r#"stage q = exec { program = "slow.sh", gives = "Queries", env = { HERE = "FOLDER", PAUSE = "P" } }"#;
    let space = space(study, &[("slow.sh", program)]);
    space.edit("study.xpipe", "FOLDER", &space.folder.path().display().to_string());
    space.edit("study.xpipe", "\"P\"", &format!("\"{pause}\""));
    space
}

fn programs(space: &Space) -> Vec<String> {
    space.read("programs").lines().map(str::to_owned).collect()
}

#[test]
fn a_killed_run_takes_its_program_along_and_the_next_one_begins_anew() {
    for whom in ["the run", "the guard", "both"] {
        let space = slow(SLOW, "0.2");
        let mut run = start(&space);
        let program = line(&space.path("programs"));
        let guard = parent(&program);
        assert_eq!(parent(&guard), run.id().to_string(), "the guard is the run's child");
        // A moment in which something was written.
        std::thread::sleep(Duration::from_millis(300));
        if whom != "the run" {
            kill(&guard);
        }
        if whom != "the guard" {
            run.kill().unwrap();
        }
        let ended = Ended::of(run.wait_with_output().unwrap());
        wait(&format!("{whom} killed: the program goes on"), || !alive(&program));
        if whom == "the guard" {
            ended.says(1, &["was ended together with the process that watches over it"]);
        }
        let again = space.xpipe(&["run", "study.xpipe", "--json"]).counts();
        assert_eq!(again, (1, 0, 0), "{whom}");
        assert_eq!(texts(&space), 8, "{whom}: a mixture was stored");
        assert_eq!(programs(&space).len(), 2);
        space.is_whole();
    }
}

#[test]
fn a_second_run_beside_an_orphan_stores_nothing_of_it() {
    // Run and guard killed together: what the program started has nobody to end it but the next run.
    let space = slow(DAEMON, "1");
    let mut run = start(&space);
    let daemon = line(&space.path("programs"));
    let guard = {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id()));
        children.unwrap_or_default().split_ascii_whitespace().next().map(str::to_owned)
    };
    if let Some(guard) = guard {
        kill(&guard);
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let again = space.xpipe(&["run", "study.xpipe", "--json"]).counts();
    space.write("enough", "");
    assert_eq!(again, (1, 0, 0));
    assert_eq!(texts(&space), 1, "a mixture was stored");
    wait("the daemon goes on", || !alive(&daemon));
    space.xpipe(&["run", "study.xpipe"]);
    space.is_whole();
}

#[test]
fn what_a_program_leaves_running_is_ended_before_its_output_is_read() {
    let space = slow(DAEMON, "0");
    assert_eq!(space.run(), (1, 0, 0));
    let daemon = line(&space.path("programs"));
    assert!(!alive(&daemon));
    assert_eq!(texts(&space), 1);
    // A stop ends it as well.
    let space = slow(DAEMON, "1000");
    let run = start(&space);
    let daemon = line(&space.path("programs"));
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    Ended::of(run.wait_with_output().unwrap()).says(130, &["stopped  q"]);
    assert!(!alive(&daemon));
}

#[test]
fn a_worker_dies_with_its_run_and_alone_works_on_a_checkpoint() {
    let space = Space::new(TRAINING);
    space.edit("study.xpipe", "steps(24)", "steps(4_000)");
    let mut run = start(&space);
    let workers = || -> Vec<String> {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mine = all.filter_map(|e| e.file_name().into_string().ok()).filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.ends_with(b"\0worker\0")
                && std::fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|p| p == space.folder.path().canonicalize().unwrap())
        });
        mine.collect()
    };
    let scratch = || std::fs::read_dir(space.cache().join("v1/scratch")).into_iter().flatten().flatten();
    wait("no checkpoint", || scratch().any(|e| e.path().join("checkpoint").is_file()));
    let workers = workers();
    assert!(!workers.is_empty());
    // Another process that wants a folder for checkpoints waits.
    let held = scratch().filter(|e| std::fs::File::open(e.path()).unwrap().try_lock().is_err()).count();
    assert!(held > 0, "no worker holds its folder");
    run.kill().unwrap();
    run.wait().unwrap();
    wait("a worker goes on", || workers.iter().all(|pid| !alive(pid)));
}

#[test]
fn a_contract_is_checked_with_the_study() {
    let stage = |args: &str| format!(r#"stage f = exec {{ program = "p.sh", {args} }}"#);
    let ok = "#!/bin/sh\nexit 9\n";
    for (args, says) in [
        (r#"gives = "run""#, vec!["types::mismatch", "did you mean `Run`?"]),
        (r#"gives = "Qrel""#, vec!["types::mismatch", "did you mean `Qrels`?"]),
        (r#"gives = "Index""#, vec!["types::mismatch", "write one of `Corpus`"]),
        (
            r#"gives = "Run", reads = { a = { b = [1, 2] } }"#,
            vec!["types::mismatch", "`reads.a.b` has no form"],
        ),
        (r#"gives = "Run", env = { A = [1] }"#, vec!["types::mismatch", "`env.A` is no text"]),
        (r#"gives = "Run", reads = { m = ndcg(10) }"#, vec!["types::mismatch", "`reads.m` has no form"]),
    ] {
        let space = space(&stage(args), &[("p.sh", ok)]);
        space.xpipe(&["check", "study.xpipe"]).says(3, &says);
        assert_eq!(space.xpipe(&["run", "study.xpipe"]).code, Some(3));
    }
    let space = space(&stage(r#"gives = "Run", version = "3""#), &[("p.sh", ok)]);
    space.edit("study.xpipe", "p.sh", "./p.sh");
    space.xpipe(&["check", "study.xpipe"]).says(3, &["op::unknown_argument", "`version` has no effect here"]);
}

#[test]
fn what_cannot_start_is_named_before_anything_runs() {
    let first = "stage a = exec { program = \"a.sh\", gives = \"Queries\" }\n";
    let after = "stage f = exec { program = \"tools/p\", gives = \"Run\", reads = { a } }";
    let a = ("a.sh", "#!/bin/sh\necho started > /dev/null; printf '1\\tx\\n' > $XPIPE_OUT/queries.tsv\n");
    let make = |text: &str, mode: u32| {
        let space = space(&format!("{first}{after}"), &[a]);
        std::fs::create_dir(space.path("tools")).unwrap();
        space.write("tools/p", text);
        std::fs::set_permissions(space.path("tools/p"), std::fs::Permissions::from_mode(mode)).unwrap();
        space
    };
    for (text, mode, says) in [
        ("#!/bin/sh\n", 0o644, "it is not executable"),
        ("#!/no/such/interpreter -x\n", 0o755, "names `/no/such/interpreter`, which is not on this machine"),
        (
            "#!/usr/bin/env no-such-interpreter\n",
            0o755,
            "names `no-such-interpreter`, which is not on this machine",
        ),
        ("#!/bin/sh\r\n", 0o755, "ends in a carriage return"),
        ("print('hello')\n", 0o755, "its first line names no interpreter"),
    ] {
        let space = make(text, mode);
        space.xpipe(&["run", "study.xpipe"]).says(4, &[says, "nothing was started", "study.xpipe:3"]);
        assert!(space.contents().is_empty(), "{says}: something ran");
        let plan = space.xpipe(&["plan", "study.xpipe"]);
        assert!(plan.code == Some(0) && plan.out.contains(says), "{plan:?}");
    }
    let space = make("", 0o755);
    std::fs::remove_file(space.path("tools/p")).unwrap();
    space.xpipe(&["run", "study.xpipe"]).says(4, &["there is no file"]);
    std::fs::create_dir(space.path("tools/p")).unwrap();
    space.xpipe(&["run", "study.xpipe"]).says(4, &["it is a folder"]);
}

/// A folder with a program that tells a version, first in PATH.
fn with_tool(space: &Space, version: &str) -> std::ffi::OsString {
    std::fs::create_dir_all(space.path("bin")).unwrap();
    program(
        space,
        "bin/ranker",
        &format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'ranker {version} (test)'; exit; fi\nexec /bin/sh \"$@\"\n"
        ),
    );
    let mut path = space.path("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    path
}

#[test]
fn a_program_of_this_machine_is_in_the_key_by_its_declared_version() {
    let study = r#"stage f = exec { program = "ranker", version = "2.1", args = ["rank.sh"], files = ["rank.sh"], gives = "Run" }"#;
    let space = space(study, &[("rank.sh", "echo 'q1 Q0 d1 1 1.0 x' > \"$XPIPE_OUT/run.txt\"\n")]);
    let run = |path: &std::ffi::OsStr| {
        Ended::of(space.command(&["run", "study.xpipe", "--json"]).env("PATH", path).output().unwrap())
    };
    let none = std::env::var_os("PATH").unwrap();
    assert_eq!(run(&none).code, Some(4));
    let path = with_tool(&space, "2.1.4");
    assert_eq!(run(&path).counts(), (1, 0, 0));
    let says = &events_of_results(&space)[0]["program"];
    assert_eq!(says["says"], "ranker 2.1.4 (test)");
    // Another build of the declared version gives the same key; another version is named, another declared one is new.
    with_tool(&space, "2.1.7");
    assert_eq!(run(&path).counts(), (0, 1, 0));
    space.write("rank.sh", "echo 'q1 Q0 d2 1 1.0 x' > \"$XPIPE_OUT/run.txt\"\n");
    with_tool(&space, "2.10.0");
    let other = run(&path);
    assert_eq!(other.code, Some(4));
    assert!(other.out.contains("declares version 2.1 of `ranker`"), "{other:?}");
    space.edit("study.xpipe", "\"2.1\"", "\"2.10\"");
    assert_eq!(run(&path).counts(), (1, 0, 0));
    // Without the version it is a file, which is not there.
    space.edit("study.xpipe", "version = \"2.10\", ", "");
    let missing = run(&path);
    assert_eq!(missing.code, Some(4));
    assert!(missing.out.contains("add `version = "), "{missing:?}");
}

#[test]
fn what_python_and_editors_leave_is_in_no_key() {
    let study = r#"stage f = exec { program = "tool.sh", gives = "Run", files = ["lib"], reads = { more } }
param more: Path = "more""#;
    let text = r#"#!/bin/sh
here=$(dirname "$0")
for folder in lib lib/deep more; do mkdir -p $here/$folder/__pycache__ && echo x > $here/$folder/__pycache__/util.cpython-312.pyc; done
echo x > $here/lib/util.py~; mkdir -p $here/lib/.git; echo x > $here/lib/.git/HEAD
echo 'q1 Q0 d1 1 1.0 x' > "$XPIPE_OUT/run.txt"
"#;
    let space = space(study, &[("tool.sh", text)]);
    for folder in ["lib/deep", "more"] {
        std::fs::create_dir_all(space.path(folder)).unwrap();
        space.write(&format!("{folder}/util.py"), "x = 1\n");
    }
    assert_eq!(space.run(), (1, 0, 0));
    assert!(space.path("lib/deep/__pycache__").is_dir());
    assert_eq!(space.run(), (0, 1, 0), "what it left made it run again");
    space.write("lib/deep/util.py", "x = 2\n");
    assert_eq!(space.run(), (1, 0, 0), "a module changed");
}

#[test]
fn a_program_that_fails_is_tried_again_and_a_bad_output_is_not() {
    let study = |retries: u32| {
        format!(r#"stage f = exec {{ program = "p.sh", gives = "Run" }} with {{ retries = {retries} }}"#)
    };
    let flaky = |times: u32, how: &str| {
        format!(
            "#!/bin/sh\nn=$(cat $(dirname $0)/count 2>/dev/null || echo 0); n=$((n+1)); echo $n > $(dirname $0)/count\n\
             ls $XPIPE_OUT | grep . && exit 99\necho 'q1 Q0 d1 1 1.0 x' > $XPIPE_OUT/run.txt\n[ $n -le {times} ] && {how}\nexit 0\n"
        )
    };
    for (times, how, retries, runs, code) in [
        (2, "exit 75", 3, 3, 0),
        (1, "exit 1", 1, 2, 0),
        (1, "kill -9 $$", 1, 2, 0),
        (2, "exit 75", 1, 2, 1),
        (1, "exit 75", 0, 1, 1),
        // Nonsense in the output is nonsense another time.
        (9, "echo nonsense > $XPIPE_OUT/run.txt", 5, 1, 1),
    ] {
        let space = space(&study(retries), &[("p.sh", &flaky(times, how))]);
        let ended = space.xpipe(&["run", "study.xpipe", "--plain"]);
        assert_eq!(ended.code, Some(code), "{how} {times} {retries}: {ended:?}");
        assert_eq!(space.read("count").trim(), runs.to_string(), "{how} {times} {retries}: {ended:?}");
        if runs > 1 {
            assert!(ended.err.contains("attempt 1 of"), "{}", ended.err);
        }
    }
}

#[test]
fn what_a_program_says_is_in_its_log_and_its_error_on_the_terminal() {
    let loud = r#"#!/bin/sh
i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "line $i of many that nobody reads"; done
echo "Traceback (most recent call last):" >&2
echo '  File "rank.py", line 7, in <module>' >&2
echo "ValueError: the index is of another corpus" >&2
i=0; while [ $i -lt 15 ]; do i=$((i+1)); echo "shutting down $i"; echo "closing $i" >&2; done
exit 3
"#;
    let space = space(r#"stage f = exec { program = "p.sh", gives = "Run" }"#, &[("p.sh", loud)]);
    let ended = space.xpipe(&["run", "study.xpipe", "--json"]);
    let json = ended.json();
    let failure = &json["failures"][0];
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("ended with exit code 3"), "{message}");
    assert!(message.trim_end().ends_with("ValueError: the index is of another corpus"), "{message}");
    let log = std::fs::read_to_string(PathBuf::from(failure["log"].as_str().unwrap())).unwrap();
    assert!(log.contains("line 1 of many") && log.contains("line 20000 of many"));
    assert!(log.contains("shutting down 8\nclosing 8\nshutting down 9\nclosing 9\n"), "out of order");
    let told = serde_json::to_string(&events(&space.cache())).unwrap();
    assert!(told.len() < 20_000, "events hold what it said: {} bytes", told.len());
    let ended = space.xpipe(&["run", "study.xpipe", "--plain"]);
    ended.says(1, &["ValueError: the index is of another corpus", "log: "]);
    assert!(!ended.err.contains("line 777 of many") && ended.err.lines().count() < 60, "{}", ended.err);
    // What succeeded has a log too.
    program(&space, "p.sh", "#!/bin/sh\necho all is well\necho 'q1 Q0 d1 1 1.0 x' > $XPIPE_OUT/run.txt\n");
    assert_eq!(space.run(), (1, 0, 0));
    let logs = std::fs::read_dir(space.cache().join("v1/runs")).unwrap().flatten();
    let logs = logs.flat_map(|run| std::fs::read_dir(run.path().join("logs")).unwrap().flatten());
    let texts: Vec<String> = logs.map(|l| std::fs::read_to_string(l.path()).unwrap()).collect();
    assert!(texts.iter().any(|t| t == "all is well\n"), "{texts:?}");
}

#[test]
fn a_program_out_of_time_has_no_checkpoint() {
    let study = r#"stage f = exec { program = "p.sh", gives = "Run" } with { time = 1s }"#;
    let space = space(study, &[("p.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    let ended = space.xpipe(&["run", "study.xpipe", "--plain"]);
    ended.says(1, &["its time limit is over", "the next run begins anew"]);
    assert!(!ended.err.contains("checkpoint"), "{}", ended.err);
}
