//! The program as a user runs it: run, run again, change something, ask why.

use std::path::Path;

use crate::space::{RETRIEVAL, Space, TRAINING, events};

#[test]
fn a_second_run_does_nothing() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    assert_eq!(space.run(), (0, 8, 0));
    let shown = space.xpipe(&["show", "study.xpipe"]);
    assert!(shown.out.contains("nDCG@10") && shown.out.contains("passed"), "{shown:?}");
}

#[test]
fn names_labels_order_policy_and_comments_run_nothing() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    let study = "study.xpipe";
    space.edit(study, "low", "small");
    space.edit(study, "{ small = 0.9, high = 1.2 }", "{ high = 1.2, small = 0.9 }   # reordered");
    space.edit(study, "scores", "measured");
    space.edit(study, "retries = 1", "retries = 3");
    assert_eq!(space.run(), (0, 8, 0));
}

#[test]
fn a_changed_argument_runs_its_cell_and_what_follows_and_why_names_it() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    space.edit("study.xpipe", "high = 1.2", "high = 1.4");
    let why = space.xpipe(&["why", "study.xpipe", "first[high]"]).out;
    assert!(why.contains("k1") && why.contains("1.2") && why.contains("1.4"), "{why}");
    let (ran, cached, code) = space.run();
    // The search runs; its evaluation too, unless the run came out the same.
    assert!((1..=2).contains(&ran) && ran + cached == 8 && code == 0, "{ran} {cached} {code}");
}

#[test]
fn an_upstream_stage_that_gives_the_same_bytes_stops_there() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run().2, 0);
    // Another file with the same content once read: a blank in the JSON.
    space.edit("data/corpus.jsonl", "\"_id\": ", "\"_id\":  ");
    let out = space.xpipe(&["run", "study.xpipe", "--json"]);
    assert_eq!(out.counts(), (1, 7, 0), "only the import of the corpus: {out:?}");
}

/// The addresses of actions that the last runs carried out, `skip` events left out.
fn ran(cache: &Path, skip: usize) -> Vec<String> {
    let mut found: Vec<String> = events(cache)[skip..]
        .iter()
        .filter(|e| e["event"] == "finished")
        .map(|e| e["address"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn a_changed_learning_rate_trains_that_model_and_what_follows_and_nothing_else() {
    let space = Space::new(TRAINING);
    assert_eq!(space.run(), (12, 0, 0));
    let first = space.contents();
    assert_eq!(space.run(), (0, 12, 0));

    let study = "study.xpipe";
    space.edit(study, "slow", "gentle");
    space.edit(study, "{ gentle = 1e-4, fast = 5e-4 }", "{ fast = 0.0005, gentle = 0.0001 }  # reordered");
    space.edit(study, "stage ranked", "## Ranked again.\nstage reordered");
    space.edit(study, "run = ranked", "run = reordered");
    space.edit(study, "checkpoint = steps(4)", "checkpoint = steps(5), retries = 2, time = 2h");
    assert_eq!(space.run(), (0, 12, 0));

    let skip = events(&space.cache()).len();
    space.edit(study, "fast = 0.0005", "fast = 4e-4");
    let why = space.xpipe(&["why", study, "model[fast]"]).out;
    assert!(why.contains("optimiser.learning_rate") && why.contains("0.0005 -> 0.0004"), "{why}");
    assert!(why.contains("study.xpipe:19"), "{why}");
    let json = space.xpipe(&["why", study, "model[fast]", "--json"]).json();
    assert_eq!(json[0]["outlook"], "will_run", "{json:#}");
    assert_eq!(json[0]["reasons"].as_array().unwrap().len(), 1, "{json:#}");
    assert_eq!(json[0]["reasons"][0]["path"], "optimiser.learning_rate");
    let why = space.xpipe(&["why", study, "model[gentle]"]).out;
    assert!(why.contains("up to date") && why.contains("from samples"), "{why}");

    let (count, cached, code) = space.run();
    let done = ran(&space.cache(), skip);
    assert_eq!(done[..2], ["model[fast]", "reordered[fast]"], "{done:?}");
    // Evaluated again unless the ranking came out the same.
    assert!(done[2..].iter().all(|a| a == "scores[fast]"), "{done:?}");
    assert_eq!((count as usize, count + cached, code), (done.len(), 12, 0));

    // Back again: everything is there still.
    space.edit(study, "fast = 4e-4", "fast = 5e-4");
    assert_eq!(space.run(), (0, 12, 0));
    assert!(first.iter().all(|(key, digest)| space.contents().get(key) == Some(digest)));
}
