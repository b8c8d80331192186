//! The same study gives the same results with any number of threads and in any order of execution.

use std::collections::BTreeMap;

use crate::space::{Ended, Space, contents, events, repository};

/// Runs the quickstart's smoke profile into a cache of its own; its results, and the order in which actions started.
fn quickstart(
    space: &Space,
    cache: &str,
    threads: &str,
    shuffle: Option<&str>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let study = repository("examples/quickstart/quickstart.xpipe").display().to_string();
    let mut args = vec!["run", &study, "--profile", "smoke", "--json", "--threads", threads];
    args.extend(["--cache", cache, "--output", "results"]);
    args.extend(shuffle.into_iter().flat_map(|seed| ["--shuffle", seed]));
    let ended = Ended::of(space.command(&args).output().unwrap());
    // The claim of the quickstart needs the whole training; a failed claim is no failed run.
    let counts = &ended.json()["counts"];
    assert_eq!(
        (&counts["failed"], &counts["blocked"], &counts["cached"]),
        (&0.into(), &0.into(), &0.into()),
        "{ended:?}"
    );
    let started = events(&space.path(cache)).into_iter().filter(|e| e["event"] == "started");
    let order = started.map(|e| e["address"].as_str().unwrap().to_owned()).collect();
    (contents(&space.path(cache)), order)
}

#[test]
#[ignore = "takes minutes: the quickstart six times"]
fn determinism_of_threads_and_order() {
    let space = Space::new("edition 2026\n");
    let (expected, order) = quickstart(&space, "first", "1", None);
    assert!(expected.len() > 20, "{}", expected.len());
    let mut orders = vec![order];
    for (i, (threads, shuffle)) in
        [("2", None), ("7", None), ("1", Some("1")), ("2", Some("2")), ("7", Some("3"))]
            .into_iter()
            .enumerate()
    {
        let (found, order) = quickstart(&space, &format!("cache{i}"), threads, shuffle);
        assert_eq!(found, expected, "{threads} threads, order {shuffle:?}");
        orders.push(order);
    }
    assert_ne!(orders[0], orders[3], "the order was not shuffled");
}

#[test]
fn another_order_of_execution_gives_the_same_results() {
    let study = crate::space::TRAINING;
    let whole = Space::new(study);
    assert_eq!(whole.run(), (12, 0, 0));
    let started = |space: &Space| -> Vec<String> {
        let all = events(&space.cache()).into_iter().filter(|e| e["event"] == "started");
        all.map(|e| e["address"].as_str().unwrap().to_owned()).collect()
    };
    let mut orders = std::collections::BTreeSet::new();
    for seed in ["1", "2", "3"] {
        let space = Space::new(study);
        let ended = space.xpipe(&["run", "study.xpipe", "--json", "--threads", "1", "--shuffle", seed]);
        assert_eq!(ended.counts(), (12, 0, 0));
        assert_eq!(space.contents(), whole.contents(), "order {seed}");
        orders.insert(started(&space));
    }
    assert!(orders.len() > 1, "every seed gave the same order");
}
