//! A hostile machine: limits, paths, outputs that cannot be written, texts that steer a terminal; and what is
//! remembered of failures.

use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::space::{Ended, RETRIEVAL, Space};

fn program(space: &Space, name: &str, text: &str) {
    space.write(name, text);
    std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn of_a_program(text: &str) -> Space {
    let space = Space::new(
        "edition 2026\nparam x: Int = 1\nstage f = exec { program = \"p.sh\", gives = \"Run\", args = [\"{x}\"] }\n",
    );
    program(&space, "p.sh", text);
    space
}

#[test]
fn nothing_a_program_says_steers_the_terminal() {
    let says = "#!/bin/sh\nprintf '\\033]52;c;cHduZWQ=\\007\\033[2J\\b\\b \\302\\2331m error: \\033[31mred\\n' >&2\nexit 3\n";
    let space = of_a_program(says);
    let steers = |text: &str| text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    for args in [
        vec!["run", "study.xpipe", "--plain"],
        vec!["run", "study.xpipe", "--json"],
        vec!["why", "study.xpipe", "f"],
        vec!["plan", "study.xpipe"],
        vec!["show", "study.xpipe"],
    ] {
        let ended = space.xpipe(&args);
        assert!(!steers(&ended.err) && !steers(&ended.out), "{args:?}: {ended:?}");
        assert!(
            !["run", "why"].contains(&args[0]) || (ended.out + &ended.err).contains("]52;c;"),
            "{args:?} does not tell"
        );
    }
    // A file's name, in the message about it.
    let space = Space::new("edition 2026\nstage f = exec { program = \"a\u{1b}[2J.sh\", gives = \"Run\" }\n");
    let ended = space.xpipe(&["run", "study.xpipe"]);
    assert!(ended.code == Some(4) && !steers(&ended.err) && ended.err.contains("\\u{1b}[2J"), "{ended:?}");
}

#[test]
fn a_failure_is_remembered_until_it_is_mended() {
    let space = of_a_program("#!/bin/sh\necho 'ValueError: no such index' >&2\nexit 3\n");
    assert_eq!(space.xpipe(&["run", "study.xpipe"]).code, Some(1));
    let why = space.xpipe(&["why", "study.xpipe", "f"]);
    assert!(why.out.starts_with("f failed ") && why.out.contains("ended with exit code 3"), "{why:?}");
    assert!(why.out.contains("log: ") && !why.out.contains("first run"), "{why:?}");
    let json = space.xpipe(&["why", "study.xpipe", "f", "--json"]).json();
    let log = json[0]["failed"]["log"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "ValueError: no such index\n");
    for verb in ["plan", "show"] {
        let told = space.xpipe(&[verb, "study.xpipe"]);
        assert!(told.out.contains("note: f failed "), "{told:?}");
        let json = space.xpipe(&[verb, "study.xpipe", "--json"]).json();
        let failed = if verb == "plan" { &json["total"]["failed"] } else { &json["failed"] };
        assert_eq!(failed[0]["address"], "f");
    }
    // Advice is what was asked for.
    let told = space.xpipe(&["show", "study.xpipe", "--set", "x=2"]);
    assert!(told.out.contains("`xpipe run study.xpipe --set x=2`"), "{told:?}");
    // A study that never ran says so; one that is mended has forgotten.
    program(&space, "p.sh", "#!/bin/sh\necho 'q1 Q0 d1 1 1.0 x' > $XPIPE_OUT/run.txt\n");
    assert_eq!(space.run(), (1, 0, 0));
    let why = space.xpipe(&["why", "study.xpipe", "f"]);
    assert!(why.out.contains("is up to date"), "{why:?}");
    assert!(!space.xpipe(&["plan", "study.xpipe"]).out.contains("failed"));
}

#[test]
fn what_finished_last_is_remembered_also_when_the_study_moves() {
    let study = "edition 2026\ndataset t: TestCollection = local { docs = \"data/corpus.jsonl\", queries = \"data/queries.jsonl\", qrels = \"data/qrels.tsv\", role = validation }\nstage q = data.sample { queries = t.queries, n = 2, seed = 1 }\n";
    let space = Space::new(study);
    assert_eq!(space.run().2, 0);
    space.edit("study.xpipe", "n = 2", "n = 3");
    let why = space.xpipe(&["why", "study.xpipe", "q"]);
    assert!(why.out.contains("its recipe changed") && why.out.contains("2 -> 3"), "{why:?}");
    std::fs::create_dir(space.path("moved")).unwrap();
    std::fs::rename(space.path("study.xpipe"), space.path("moved/study.xpipe")).unwrap();
    std::fs::rename(space.path("data"), space.path("moved/data")).unwrap();
    let why = space.xpipe(&["why", "moved/study.xpipe", "q"]);
    assert!(why.out.contains("its recipe changed") && why.out.contains("2 -> 3"), "{why:?}");
}

#[test]
fn why_points_into_the_study() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    space.edit("study.xpipe", "high = 1.2", "high = 1.4");
    let why = space.xpipe(&["why", "study.xpipe", "first[high]"]);
    let line =
        why.out.lines().find(|l| l.trim_start().starts_with("k1")).unwrap_or_else(|| panic!("{why:?}"));
    assert!(line.contains("study.xpipe:6 (retrieval.xpipe:"), "{why:?}");
}

#[test]
fn labels_are_named_as_they_are_printed_and_an_empty_list_is_a_mistake() {
    let study = "edition 2026\ndataset t: TestCollection = local { docs = \"data/corpus.jsonl\", queries = \"data/queries.jsonl\", qrels = \"data/qrels.tsv\", role = validation }\naxis text = [\"c,d\", 'x\"y', \"plain\"]\nstage q for text = data.sample { queries = t.queries, n = if text == \"c,d\" then 1 else 2, seed = 1 }\n";
    let space = Space::new(study);
    for (only, ran) in [
        ("text=\"c,d\"", "q[\"c,d\"]"),
        ("text='x\"y'", "q[\"x\\\"y\"]"),
        ("text=\"x\\\"y\"", "q[\"x\\\"y\"]"),
    ] {
        let plan = space.xpipe(&["plan", "study.xpipe", "--only", only]);
        assert_eq!(plan.code, Some(0), "{only}: {plan:?}");
        let why = space.xpipe(&["why", "study.xpipe", ran]);
        assert!(why.code == Some(0) && why.out.starts_with(ran), "{ran}: {why:?}");
    }
    for only in ["text=", "", "text=plain,", "text=\"\"", "text=,"] {
        let run = space.xpipe(&["run", "study.xpipe", "--only", only]);
        assert_eq!(run.code, Some(2), "{only}: {run:?}");
    }
}

#[test]
fn what_cannot_be_printed_is_an_error_and_a_closed_pipe_is_none() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    for line in [
        "run study.xpipe",
        "show study.xpipe",
        "show study.xpipe --json",
        "plan study.xpipe",
        "why study.xpipe first",
        "check study.xpipe",
        "graph study.xpipe",
        "describe",
        "cache ls",
        "explain",
        "--help",
        "--version",
        "fmt - < study.xpipe",
        "export study.xpipe 'first[low]' out.run",
        "diff study.xpipe study.xpipe",
    ] {
        let full = space.shell(&format!("\"$X\" {line} > /dev/full"));
        assert!(
            full.code == Some(4) && full.err.contains("standard output cannot be written"),
            "{line}: {full:?}"
        );
        let _ = std::fs::remove_file(space.path("out.run"));
    }
    let closed = space.shell("{ \"$X\" show study.xpipe; echo code $? >&2; } | true");
    assert!(closed.err.contains("code 0"), "{closed:?}");
}

#[test]
fn paths_that_are_no_text_are_refused_before_anything_starts() {
    let space = Space::new(RETRIEVAL);
    let odd = std::ffi::OsString::from_vec(b"bad\xff".to_vec());
    let mut command = space.command(&["run", "study.xpipe", "--cache"]);
    for (ended, what) in [
        (command.arg(&odd).output().unwrap(), "the argument"),
        (space.command(&["run", "study.xpipe"]).env("XPIPE_CACHE", &odd).output().unwrap(), "XPIPE_CACHE"),
        (space.command(&["run", "study.xpipe", "--output"]).arg(&odd).output().unwrap(), "the argument"),
        (space.command(&["run", "study.xpipe"]).env("TMPDIR", &odd).output().unwrap(), "TMPDIR"),
    ] {
        let ended = Ended::of(ended);
        ended.says(2, &[what, "not UTF-8"]);
    }
    let json = Ended::of(space.command(&["plan", "--json"]).arg(&odd).output().unwrap());
    assert!(json.json()["error"].as_str().unwrap().contains("not UTF-8"), "{json:?}");
    // A folder that leads there.
    let real = space.folder.path().join(&odd);
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, space.path("link")).unwrap();
    space.xpipe(&["run", "study.xpipe", "--cache", "link"]).says(2, &["the path of the cache", "not UTF-8"]);
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
    std::fs::copy(space.path("study.xpipe"), real.join("study.xpipe")).unwrap();
    let inside = Ended::of(space.command(&["run", "study.xpipe"]).current_dir(&real).output().unwrap());
    inside.says(2, &["the path of the study", "not UTF-8"]);
}

#[test]
fn results_without_a_folder_are_known_before_the_work() {
    let space = Space::new(RETRIEVAL);
    space.write("taken", "a file");
    let run = space.xpipe(&["run", "study.xpipe", "--output", "taken"]);
    run.says(4, &["results cannot go to taken", "is not a folder", "nothing was started"]);
    assert!(space.contents().is_empty());
    assert_eq!(space.run().2, 0);
    // With nothing to do the tables are shown all the same.
    let idle = space.xpipe(&["run", "study.xpipe", "--output", "taken/below"]);
    assert!(idle.code == Some(4) && idle.out.contains("nDCG@10") && idle.err.contains("taken"), "{idle:?}");
    let json = space.xpipe(&["run", "study.xpipe", "--output", "taken", "--json"]);
    assert!(json.code == Some(4) && json.json()["not_written"].is_string(), "{json:?}");
}

fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let may = tried.is_ok_and(|o| o.status.success());
    if !may {
        xpipe_testing::skip("no mount namespaces");
    }
    may
}

#[test]
fn a_cache_that_cannot_be_written_serves_what_it_holds() {
    if !may_mount() {
        return;
    }
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    let read_only = |line: &str| {
        let script = format!("mount --bind cache cache && mount -o remount,ro,bind cache && {line}");
        space.shell(&format!("unshare -rm sh -c '{script}'"))
    };
    let served = read_only("\"$X\" run study.xpipe");
    assert!(served.code == Some(0) && served.out.contains("nDCG@10"), "{served:?}");
    assert!(
        served.out.contains("nothing to do: 8 cached") && served.out.contains("is read-only"),
        "{served:?}"
    );
    assert_eq!(read_only("\"$X\" run study.xpipe --json").counts(), (0, 8, 0));
    for line in [
        "show study.xpipe",
        "plan study.xpipe",
        "why study.xpipe first",
        "export study.xpipe \"first[low]\" out.run",
    ] {
        let ended = read_only(&format!("\"$X\" {line}"));
        assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
    }
    space.edit("study.xpipe", "high = 1.2", "high = 1.4");
    let more = read_only("\"$X\" run study.xpipe");
    more.says(4, &["no result in this cache and must run"]);
}

#[test]
fn a_limit_of_threads_is_a_message() {
    // A user of its own, whose processes alone count; only root may become one.
    let user = "setpriv --reuid=61234 --regid=61234 --clear-groups";
    let space = Space::new(RETRIEVAL);
    let may = space.shell(&format!("chmod -R a+rwX . && {user} true"));
    if may.code != Some(0) {
        return xpipe_testing::skip("cannot become another user");
    }
    // A cache and a program that this user may reach.
    std::fs::copy(env!("CARGO_BIN_EXE_xpipe"), space.path("xpipe")).unwrap();
    for limit in 1..14 {
        let line = format!(
            "mkdir -m 777 c{limit}; chmod a+rx . && {user} sh -c 'ulimit -u {limit}; exec ./xpipe run study.xpipe --plain --threads 2 --cache c{limit}'"
        );
        let ended = space.shell(&line);
        let code = ended.code.unwrap_or(-1);
        assert!([0, 1, 4, 7].contains(&code), "{limit}: {ended:?}");
        assert!(!ended.err.contains("panicked") && !ended.err.contains("defect"), "{limit}: {ended:?}");
        if code != 0 {
            assert!(
                ended.err.contains("no more threads") || ended.err.contains("cannot be started"),
                "{limit}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_limit_of_file_sizes_is_a_message() {
    let space = Space::new(RETRIEVAL);
    for blocks in [0, 1, 2] {
        let ended =
            space.shell(&format!("ulimit -f {blocks}; \"$X\" run study.xpipe --plain 2>&1 | cat; exit 0"));
        let said = ended.out;
        assert!(said.contains("file-size limit"), "{blocks}: {said}");
        assert!(!said.contains("panicked") && !said.contains("defect"), "{blocks}: {said}");
    }
    assert_eq!(space.run(), (8, 0, 0));
}
