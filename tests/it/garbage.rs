//! `cache gc` and pins through the program, also while another process runs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::space::{Ended, RETRIEVAL, Space, TRAINING, events};

#[test]
fn gc_removes_what_no_study_uses_and_only_with_yes() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    space.edit("study.xpipe", "high = 1.2", "high = 1.4");
    let (ran, ..) = space.run();
    let all = space.contents().len();
    let gc = ["cache", "gc", "--older", "0s"];
    let young = space.xpipe(&["cache", "gc"]);
    assert!(young.says(0, &[]).out.starts_with("nothing may go; the cache has"), "{young:?}");
    let dry = space.xpipe(&gc);
    dry.says(0, &[]);
    assert!(dry.out.contains("study.xpipe") && dry.out.contains("`--yes` removes it"), "{}", dry.out);
    assert_eq!(space.contents().len(), all, "a dry run removes nothing");
    // The earlier search and, unless the ranking came out the same, its evaluation.
    let removed = space.xpipe(&[&gc[..], &["--yes", "--json"]].concat()).json();
    assert_eq!(removed["removed"]["results"], ran, "{removed:#}");
    assert_eq!(space.contents().len(), 8);
    space.is_whole();
    assert_eq!(space.run(), (0, 8, 0));
    space.edit("study.xpipe", "high = 1.4", "high = 1.2");
    assert_eq!(space.run(), (ran, 8 - ran, 0), "what was removed is made again");
}

#[test]
fn pins_and_days_decide_what_stays() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let pinned = space.xpipe(&["cache", "pin", "first[low]", "--note", "for the paper"]);
    assert!(pinned.says(0, &[]).out.contains("pinned 1 result of first[low]"), "{pinned:?}");
    space.xpipe(&["cache", "pin", "none[1]"]).says(4, &["none[1] has no result", "help: name a study"]);
    let pins = space.xpipe(&["cache", "pins", "--json"]).json();
    assert_eq!(
        (pins[0]["what"].as_str(), pins[0]["note"].as_str()),
        (Some("first[low]"), Some("for the paper"))
    );
    std::fs::rename(space.path("study.xpipe"), space.path("moved.xpipe")).unwrap();
    let gc = ["cache", "gc", "--older", "0s", "--forget-gone", "--yes"];
    space.xpipe(&gc).says(0, &[]);
    // The search with its index, its queries and the imports that these were made from.
    let kept = space.contents().len();
    assert!((3..8).contains(&kept), "{kept}");
    let key = pins[0]["keys"][0].as_str().unwrap();
    assert!(space.contents().keys().any(|k| k.contains(key)));
    space.xpipe(&["cache", "unpin", "first[low]"]).says(0, &[]);
    space.xpipe(&["cache", "unpin", "first[low]"]).says(2, &["there is no pin of first[low]"]);
    space.xpipe(&gc).says(0, &[]);
    assert_eq!(space.contents().len(), 0);

    // A study that is there, in a run whose results may go at once.
    std::fs::rename(space.path("moved.xpipe"), space.path("study.xpipe")).unwrap();
    let run = space.xpipe(&["run", "study.xpipe", "--json", "--keep-days", "0"]);
    assert_eq!(run.counts(), (8, 0, 0));
    let kept = space.xpipe(&["cache", "pin", "study.xpipe"]);
    assert!(kept.says(0, &[]).out.contains("pinned 8 results of"), "{kept:?}");
    space.xpipe(&["cache", "gc", "--yes"]).says(0, &[]);
    assert_eq!(space.contents().len(), 8);
    assert_eq!(space.xpipe(&["run", "study.xpipe", "--json", "--keep-days", "0"]).counts(), (0, 8, 0));
    space.xpipe(&["cache", "unpin", "study.xpipe"]).says(0, &[]);
    space.xpipe(&["cache", "gc", "--yes"]).says(0, &[]);
    assert_eq!(space.contents().len(), 0);

    // What a run without days made stays, also when its folder is gone and a run with days used it.
    assert_eq!(space.run(), (8, 0, 0));
    std::fs::remove_dir_all(space.cache().join("v1/runs")).unwrap();
    assert_eq!(space.xpipe(&["run", "study.xpipe", "--json", "--keep-days", "0"]).counts(), (0, 8, 0));
    space.xpipe(&["cache", "gc", "--yes"]).says(0, &[]);
    assert_eq!(space.contents().len(), 8);
}

#[test]
fn gc_during_a_run_takes_nothing_from_it() {
    let whole = Space::new(TRAINING);
    let unbroken = whole.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(unbroken.counts(), (12, 0, 0));
    let space = Space::new(TRAINING);
    // Results from before, all of which the run uses.
    let (before, _, code) = space.xpipe(&["run", "study.xpipe", "--json", "--target", "samples"]).counts();
    assert!(before > 0 && code == 0);
    let first = events(&space.cache()).len();
    let mut child = space.command(&["run", "study.xpipe", "--json"]).spawn().unwrap();
    let (begun, mut sweeps) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(300));
        if events(&space.cache()).len() == first {
            continue;
        }
        let gc = ["cache", "gc", "--older", "0s", "--max-size", "1B", "--forget-gone", "--yes", "--json"];
        let swept = space.xpipe(&gc);
        assert_eq!(swept.code, Some(0), "{swept:?}");
        sweeps += 1;
    }
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.counts(), (12 - before, before, 0), "{ended:?}");
    assert_eq!(ended.json()["results"]["tables"], unbroken.json()["results"]["tables"]);
    assert!(sweeps > 1, "{sweeps}");
    space.is_whole();
}

/// A program that copies what it reads once it may, and counts its calls.
const COPY: &str = r#"#!/bin/sh
for word in "$@"; do case "$word" in first=*) from="${word#first=}";; esac; done
echo call >> "$HERE/calls"
while ! [ -e "$HERE/go" ]; do sleep 0.01; done
sed 's/^q/copy/' "$from" | sed 's/.*/{"_id": "c", "text": "bread"}/' > "$XPIPE_OUT/queries.jsonl"
"#;

#[test]
fn a_result_that_disappears_while_it_is_read_is_made_again() {
    let space = Space::new(
        r#"edition 2026
stage first = exec { program = "first.sh", gives = "Queries" }
stage second = exec { program = "copy.sh", reads = { first }, gives = "Queries", env = { HERE = "FOLDER" } }
"#,
    );
    space.edit("study.xpipe", "FOLDER", &space.folder.path().display().to_string());
    for (name, text) in
        [("copy.sh", COPY), ("first.sh", "#!/bin/sh\nprintf 'q1\\tbread\\n' > \"$XPIPE_OUT/queries.tsv\"\n")]
    {
        space.write(name, text);
        std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let child = space.command(&["run", "study.xpipe", "--json"]).spawn().unwrap();
    let begun = Instant::now();
    while !space.path("calls").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the second program does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Everything that a careless hand can remove, while the second program runs.
    for folder in ["actions", "objects", "trees"] {
        let path = space.cache().join("v1").join(folder);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
    }
    space.write("go", "");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(space.read("calls").lines().count(), 2, "the second program read what was gone");
    let notes: Vec<String> = events(&space.cache())
        .into_iter()
        .filter(|e| e["event"] == "note")
        .filter_map(|e| e["text"].as_str().map(str::to_owned))
        .collect();
    assert!(notes.iter().any(|n| n.contains("was removed while it was read; it is made again")), "{notes:?}");
    space.is_whole();
    assert_eq!(space.run(), (0, 2, 0));
}
