//! What those who look after runs use: pools, notifications, logs, `--watch`, and stored actions run again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::server::Server;
use crate::space::{Ended, RETRIEVAL, Space, TRAINING, events};

fn program(space: &Space, name: &str, text: &str) {
    space.write(name, text);
    std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Six stages of one program, which counts how many of it run at once.
fn pooled() -> Space {
    let study = r#"edition 2026
axis n: Int = { a = 1, b = 2, c = 3, d = 4, e = 5, f = 6 }
stage q for n = exec {
    program = "tool.sh", reads = { n }, gives = "Queries", env = { HERE = "FOLDER" }
} with { pool = "api", cpus = 1 }
"#;
    let space = Space::new(study);
    space.edit("study.xpipe", "FOLDER", &space.folder.path().display().to_string());
    let text = "#!/bin/sh\nmkdir -p \"$HERE/now\"; : > \"$HERE/now/$$\"; ls \"$HERE/now\" | wc -l >> \"$HERE/counts\"\n\
        sleep 0.2; printf 'q%s\\tbread\\n' $$ > \"$XPIPE_OUT/queries.tsv\"; rm \"$HERE/now/$$\"\n";
    program(&space, "tool.sh", text);
    space
}

fn most(space: &Space) -> u32 {
    space.read("counts").lines().map(|l| l.trim().parse::<u32>().unwrap()).max().unwrap()
}

#[test]
fn a_pool_bounds_how_many_of_its_stages_run_at_once() {
    let space = pooled();
    let run =
        |args: &[&str]| space.xpipe(&[&["run", "study.xpipe", "--json", "--threads", "6"], args].concat());
    assert_eq!(run(&[]).counts(), (6, 0, 0));
    assert_eq!(most(&space), 1, "a pool that no number is given for");
    std::fs::remove_file(space.path("counts")).unwrap();
    assert_eq!(run(&["--pool", "api=3", "--force", "q"]).counts(), (6, 0, 0));
    let three = most(&space);
    assert!((2..=3).contains(&three), "{three}");
    let wrong = space.xpipe(&["run", "study.xpipe", "--pool", "apis=3"]);
    wrong.says(2, &["no stage of the study is in the pool `apis`", "did you mean `api`?"]);
    space.xpipe(&["run", "study.xpipe", "--pool", "api=0"]).says(2, &["expected `NAME=N`"]);
}

/// A study with one stage that fails and one that runs.
fn failing() -> Space {
    let study = r#"edition 2026
stage good = exec { program = "good.sh", gives = "Queries" }
stage bad = exec { program = "bad.sh", gives = "Queries" }
"#;
    let space = Space::new(study);
    program(
        &space,
        "good.sh",
        "#!/bin/sh\necho all is well\nprintf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n",
    );
    program(&space, "bad.sh", "#!/bin/sh\necho it hurts >&2\nexit 3\n");
    space
}

fn messages(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn the_first_failure_and_the_end_are_told_to_a_command() {
    let space = failing();
    let command = "cat >> told; echo >> told; echo $XPIPE_EVENT >> events";
    let ended = space.xpipe(&["run", "study.xpipe", "--notify", command]);
    ended.says(7, &["bad"]);
    let told = messages(&space.path("told"));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["event"], &told[0]["address"]), (&"failed".into(), &"bad".into()));
    assert!(told[0]["message"].as_str().unwrap().contains("exit code 3"));
    assert_eq!((&told[1]["event"], &told[1]["exit"]), (&"finished".into(), &7.into()));
    assert_eq!(told[1]["counts"]["ran"], 1);
    assert!(told[1]["run"].is_string() && told[1]["run"] == told[0]["run"]);
    assert_eq!(space.read("events"), "failed\nfinished\n");
    // A run that is refused is told too; a notification that fails is a note.
    space.edit("study.xpipe", "good.sh", "absent.sh");
    space.xpipe(&["run", "study.xpipe", "--notify", command]).says(4, &[]);
    assert_eq!(messages(&space.path("told"))[2]["event"], "refused");
    space.edit("study.xpipe", "absent.sh", "good.sh");
    let ended = space.xpipe(&["run", "study.xpipe", "--target", "good", "--notify", "exit 9"]);
    ended.says(0, &["note: the command of `--notify` was not told: it ended with exit status: 9"]);
}

#[test]
fn an_address_is_told_and_never_shown() {
    let server = Server::start();
    let space = failing();
    let url = server.put("/hook/s3cr3t", "told");
    let ended = space.xpipe(&["run", "study.xpipe", "--target", "good", "--notify-url", &url]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/hook/s3cr3t");
    let nobody = "http://127.0.0.1:9/hook/s3cr3t";
    let ended = space.xpipe(&["run", "study.xpipe", "--target", "good", "--notify-url", nobody]);
    ended.says(0, &["note: the address of `--notify-url` was not told"]);
    assert!(!ended.err.contains("s3cr3t"), "{}", ended.err);
    space.xpipe(&["run", "study.xpipe", "--notify-url", "me@lab"]).says(2, &["begins with `https://`"]);
    // The variable keeps the address out of the arguments, which other users of the machine see.
    let run = |value: &str, more: &[&str]| {
        let mut command = space.command(&[&["run", "study.xpipe", "--target", "good"], more].concat());
        Ended::of(command.env("XPIPE_NOTIFY_URL", value).output().unwrap())
    };
    let other = server.put("/hook/t0k3n", "told");
    run(&other, &[]).says(0, &[]);
    assert_eq!(server.asked().last().unwrap().path, "/hook/t0k3n");
    run(&other, &["--notify-url", &url]).says(0, &[]);
    assert_eq!(server.asked().last().unwrap().path, "/hook/s3cr3t", "the argument goes first");
    let told = server.asked().len();
    run("", &[]).says(0, &[]);
    assert_eq!(server.asked().len(), told, "an empty variable is none");
    let wrong = run("s3cr3t@lab", &[]);
    wrong.says(2, &["XPIPE_NOTIFY_URL", "begins with `https://`"]);
    assert!(!wrong.err.contains("s3cr3t"), "{}", wrong.err);
}

#[test]
fn logs_of_a_stage_are_found_by_its_name() {
    let space = failing();
    space.xpipe(&["logs"]).says(4, &["there are no runs"]);
    let ended = space.xpipe(&["run", "study.xpipe"]);
    ended.says(7, &["log: "]);
    assert_eq!(space.xpipe(&["logs", "good"]).says(0, &[]).out, "all is well\n");
    assert_eq!(space.xpipe(&["logs", "bad"]).says(0, &[]).out, "it hurts\n");
    let run = space.xpipe(&["logs"]);
    assert!(run.says(0, &[]).out.contains("failed   bad") && run.out.contains("finished  good: "), "{run:?}");
    let json = space.xpipe(&["logs", "--json"]).json();
    let logs = json["logs"].as_array().unwrap();
    assert_eq!(logs.len(), 2, "{json:#}");
    assert_eq!((&logs[1]["address"], &logs[1]["state"]), (&"bad".into(), &"failed".into()));
    let name = json["run"].as_str().unwrap();
    assert_eq!(space.xpipe(&["logs", name]).says(0, &[]).out, run.out);
    assert_eq!(space.xpipe(&["logs", "bad", "--run", name]).says(0, &[]).out, "it hurts\n");
    // A later run without a log of it does not hide it.
    space.xpipe(&["run", "study.xpipe", "--target", "good"]).says(0, &[]);
    assert_eq!(space.xpipe(&["logs", "bad", "--follow"]).says(0, &[]).out, "it hurts\n");
    space.xpipe(&["logs", "other"]).says(2, &["no run has a log of other"]);
    space.xpipe(&["logs", "--run", "1999"]).says(2, &["there is no run 1999"]);
}

#[test]
fn following_a_run_ends_with_it() {
    let space = pooled();
    let child = space.command(&["run", "study.xpipe", "--json"]).spawn().unwrap();
    let begun = Instant::now();
    let has_begun = || space.cache().join("v1/runs").exists() && !events(&space.cache()).is_empty();
    while !has_begun() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let followed = space.xpipe(&["logs", "--follow"]);
    followed.says(0, &[]);
    assert!(followed.out.contains("q[a]") && followed.out.contains("q[f]"), "{}", followed.out);
    assert_eq!(Ended::of(child.wait_with_output().unwrap()).code, Some(0));
}

#[test]
fn watching_runs_again_after_a_change() {
    use std::io::{BufRead as _, BufReader};
    let space = Space::new(RETRIEVAL);
    let mut child = space.command(&["run", "study.xpipe", "--watch", "--plain"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |what: &str| -> String {
        let mut seen = String::new();
        loop {
            let line = out.next().unwrap_or_else(|| panic!("no `{what}` in {seen}")).unwrap();
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(what) {
                return seen;
            }
        }
    };
    assert!(until("watching").contains("8 ran"));
    space.edit("study.xpipe", "nDCG@10", "nDCG at 10");
    assert!(until("watching").contains("nDCG at 10"));
    // A mistake is told, and mended.
    space.edit("study.xpipe", "k1 = k1", "k1 = k2");
    until("watching");
    space.edit("study.xpipe", "k1 = k2", "k1 = k1");
    assert!(until("watching").contains("nothing to do"));
    // Files that the study reads count as well.
    space.edit("data/qrels.tsv", "\t1", "\t2");
    until("watching");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    space.xpipe(&["run", "study.xpipe", "--watch", "--json"]).says(2, &[]);
}

#[test]
fn stored_actions_that_are_run_again_give_the_same() {
    let space = Space::new(TRAINING);
    assert_eq!(space.run(), (12, 0, 0));
    let before = space.contents();
    let again = space.xpipe(&["cache", "verify", "--rerun", "100", "--json"]).json();
    let actions = again["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 12, "{again:#}");
    let wrong: Vec<&Json> = actions.iter().filter(|a| a["rerun"] != "same").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(again["first_different"], Json::Null);
    // Every action comes after what it reads.
    let place = |address: &str| actions.iter().position(|a| a["address"] == address).unwrap();
    assert!(place("samples") < place("model[slow]") && place("model[slow]") < place("ranked[slow]"));
    let few = |seed: &str| {
        let json = space.xpipe(&["cache", "verify", "--rerun", "2", "--seed", seed, "--json"]).json();
        json["actions"].as_array().unwrap().iter().map(|a| a["key"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(few("1"), few("1"));
    assert!((2..8).any(|seed| few(&seed.to_string()) != few("1")));
    assert_eq!(space.contents(), before, "nothing is stored");
    space.is_whole();
}

#[test]
fn a_result_that_differs_is_named_with_its_reason() {
    let study = r#"edition 2026
stage steady = exec { program = "steady.sh", gives = "Queries", env = { SAY = "SAID" } }
stage random = exec { program = "random.sh", gives = "Queries" }
stage gone = exec { program = "gone.sh", gives = "Queries" }
"#;
    let space = Space::new(study);
    space.edit("study.xpipe", "SAID", &space.path("said").display().to_string());
    space.write("said", "bread");
    program(
        &space,
        "steady.sh",
        "#!/bin/sh\nprintf 'q1\\t%s\\n' \"$(cat $SAY)\" > \"$XPIPE_OUT/queries.tsv\"\n",
    );
    program(&space, "random.sh", "#!/bin/sh\nprintf 'q1\\t%s\\n' $$ > \"$XPIPE_OUT/queries.tsv\"\n");
    program(&space, "gone.sh", "#!/bin/sh\nprintf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n");
    assert_eq!(space.run(), (3, 0, 0));
    // What the program reads behind xpipe's back has changed.
    space.write("said", "sails");
    std::fs::remove_file(space.path("gone.sh")).unwrap();
    let found = space.xpipe(&["cache", "verify", "--rerun", "9", "--json"]);
    assert_eq!(found.code, Some(5), "{found:?}");
    let json = found.json();
    let of = |address: &str| {
        json["actions"].as_array().unwrap().iter().find(|a| a["address"] == address).unwrap().clone()
    };
    assert_eq!(of("random")["reasons"][0]["reason"], "not_deterministic", "{json:#}");
    assert_eq!(of("steady")["reasons"][0]["reason"], "unknown", "{json:#}");
    assert_eq!(of("gone")["rerun"], "skipped", "{json:#}");
    assert!(of("gone")["why"].as_str().unwrap().contains("is not here, or has changed"), "{json:#}");
    assert_eq!(json["first_different"], "random");
    let text = space.xpipe(&["cache", "verify", "--rerun"]);
    assert!(text.out.contains("the first that differs: different  random"), "{text:?}");
    assert!(
        text.out.contains("2 actions of a sample of 3 (seed 0): 0 gave the same, 2 something else, 0 failed"),
        "{text:?}"
    );
}

#[test]
fn a_rerun_names_damage_and_sets_nothing_aside() {
    let study = "edition 2026\nstage made = exec { program = \"made.sh\", gives = \"Queries\" }\n";
    let space = Space::new(study);
    program(&space, "made.sh", "#!/bin/sh\nprintf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n");
    assert_eq!(space.run(), (1, 0, 0));
    let stored = space.xpipe(&["cache", "verify", "--rerun", "--json"]).json();
    let key = stored["actions"][0]["key"].as_str().unwrap().to_owned();
    let manifest = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
    let manifest: Json = serde_json::from_str(&std::fs::read_to_string(manifest).unwrap()).unwrap();
    let digest = manifest["outputs"][0]["digest"].as_str().unwrap();
    let blob = space.cache().join("v1/objects").join(&digest[..2]).join(&digest[2..]);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    let sound = std::fs::read(&blob).unwrap();
    let mut changed = sound.clone();
    changed[0] ^= 1;
    for (bytes, why) in [(&changed[..], "recorded content"), (&sound[1..], "recorded size")] {
        std::fs::write(&blob, bytes).unwrap();
        let damaged = space.xpipe(&["cache", "verify", "--rerun", "9", "--json"]).json();
        let reason = &damaged["actions"][0]["reasons"][0];
        assert_eq!(reason["reason"], "damage", "{damaged:#}");
        let what = reason["what"].as_str().unwrap();
        assert!(what.contains(&format!("does not have its {why}")), "{what}");
        assert_eq!(space.xpipe(&["cache", "ls"]).code, Some(0));
        assert_eq!(space.xpipe(&["cache", "du"]).code, Some(0));
        assert_eq!(std::fs::read(&blob).unwrap(), bytes, "nothing is set aside");
        assert!(!space.cache().join("v1/damaged").exists());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_not_set_aside() {
    let space = Space::new(RETRIEVAL);
    space.run();
    assert_eq!(space.xpipe(&["cache", "verify"]).code, Some(0));
    let first = |path: &Path| std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let answer = space.cache().join("v1/answers/ab/1.json");
    std::fs::create_dir_all(answer.parent().unwrap()).unwrap();
    let blob = first(&first(&space.cache().join("v1/objects")));
    // First nothing is damaged; without a blob its result cannot be used either.
    for (path, damaged) in [(answer, false), (blob, true)] {
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        for args in [&["cache", "verify"][..], &["cache", "verify", "--set-aside"]] {
            let text = space.xpipe(args);
            assert_eq!(text.code, Some(5), "{text:?}");
            assert!(text.out.contains("not read, so that") && text.out.contains(" not read\n"), "{text:?}");
            let helps = text.err.contains("`xpipe cache verify --set-aside` moves damaged files");
            assert_eq!(helps, damaged && args.len() == 2, "{text:?}");
            let json = space.xpipe(&[args, &["--json"]].concat()).json();
            let why = format!("reading {}", path.display());
            let told = |d: &Json| d["damage"] == "not_read" && d["why"].as_str().unwrap().contains(&why);
            assert!(json["damage"].as_array().unwrap().iter().any(told), "{json:#}");
            assert!(path.is_symlink(), "it was set aside");
        }
    }
    assert!(!space.cache().join("v1/damaged").exists());
}

#[test]
fn a_rerun_that_fails_or_compares_nothing_is_no_success() {
    let study = r#"edition 2026
stage made = exec { program = "made.sh", gives = "Queries", env = { SAY = "SAID" } }
"#;
    let space = Space::new(study);
    space.edit("study.xpipe", "SAID", &space.path("said").display().to_string());
    space.write("said", "bread");
    program(
        &space,
        "made.sh",
        "#!/bin/sh\nset -e\nsaid=$(cat $SAY)\nprintf 'q1\\t%s\\n' \"$said\" > \"$XPIPE_OUT/queries.tsv\"\n",
    );
    // Nothing is stored yet.
    let rerun = || space.xpipe(&["cache", "verify", "--rerun"]);
    assert!(rerun().code == Some(1) && rerun().out.contains("nothing was compared"), "{:?}", rerun());
    assert_eq!(space.run(), (1, 0, 0));
    assert_eq!(rerun().code, Some(0), "{:?}", rerun());
    std::fs::remove_file(space.path("said")).unwrap();
    let text = rerun();
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.out.contains("failed     made (exec)") && text.out.contains("1 failed"), "{text:?}");
    let json = space.xpipe(&["cache", "verify", "--rerun", "--json"]).json();
    assert_eq!(
        (&json["compared"], &json["failed"], &json["exit"]),
        (&0.into(), &1.into(), &1.into()),
        "{json:#}"
    );
    assert_eq!(json["actions"][0]["rerun"], "failed", "{json:#}");
    // What cannot be carried out here is no failure, and no success.
    std::fs::remove_file(space.path("made.sh")).unwrap();
    let json = space.xpipe(&["cache", "verify", "--rerun", "--json"]).json();
    assert_eq!((&json["failed"], &json["exit"]), (&0.into(), &1.into()), "{json:#}");
}
