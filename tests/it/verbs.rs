//! What every verb prints, as text and as JSON, when it succeeds and when it does not.

use crate::space::{Ended, RETRIEVAL, Space};

/// Asserts the exit code, and that standard output is one JSON value.
#[track_caller]
fn json(ended: &Ended, code: i32) -> serde_json::Value {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    ended.json()
}

#[test]
fn every_verb_prints_one_json_value_when_it_succeeds() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let study = "study.xpipe";
    let calls: [(&[&str], &[&str]); 18] = [
        (&["run", study], &["counts", "results", "cache"]),
        (&["plan", study], &[]),
        (&["check", study], &[]),
        (&["why", study, "scores[low]"], &[]),
        (&["show", study], &["tables", "claims"]),
        (&["report", study], &["files", "open"]),
        (&["graph", study], &["format", "text"]),
        (&["graph", study, "--format", "dot", "--cells"], &["text"]),
        (&["graph", study, "--format", "svg"], &["text"]),
        (&["export", study, "first[low]", "out.run"], &["written", "key"]),
        (&["explain"], &[]),
        (&["explain", "types::free_axis"], &["code", "page"]),
        (&["cache", "du"], &["ops", "total"]),
        (&["cache", "verify"], &["manifests", "damage"]),
        (&["fmt", study], &["files", "changed"]),
        (&["init", "new.xpipe"], &["written"]),
        (&["doctor"], &["problems", "findings"]),
        (&["diff", study, study], &["added", "changed"]),
    ];
    for (args, fields) in calls {
        let ended = space.xpipe(&[args, &["--json"]].concat());
        let value = json(&ended, 0);
        for field in fields {
            assert!(value.get(field).is_some(), "{args:?} has no {field}: {value:#}");
        }
        assert!(ended.err.is_empty(), "{args:?} {ended:#?}");
    }
    let listed = json(&space.xpipe(&["cache", "ls", "--json"]), 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(8));
    let claims = json(&space.xpipe(&["show", study, "--json"]), 0)["claims"].clone();
    assert_eq!(claims[0]["name"], "found", "{claims:#}");
}

#[test]
fn every_verb_prints_one_json_value_when_it_fails() {
    // long: a table of calls
    let space = Space::new(RETRIEVAL);
    space.write("wrong.xpipe", "edition 2026\nlet x = y\n");
    space.write("file", "no folder");
    let (study, wrong, gone) = ("study.xpipe", "wrong.xpipe", "gone.xpipe");
    let calls: [(&[&str], i32); 29] = [
        // What is not understood.
        (&["run"], 2),
        (&["frobnicate"], 2),
        (&["plan", study, "--set", "data"], 3),
        (&["run", study, "--only", "k2=low"], 2),
        (&["run", study, "--profile", "none"], 2),
        (&["run", study, "--target", "frist"], 2),
        (&["why", study, "first[middle]"], 2),
        (&["export", study, "first", "out"], 4),
        (&["explain", "types::free_axes"], 2),
        (&["describe", "evaluat"], 2),
        (&["init", study], 2),
        (&["fmt", gone], 4),
        (&["diff", study, wrong], 3),
        (&["cache"], 2),
        // Studies that are wrong or not there.
        (&["run", wrong], 3),
        (&["plan", wrong], 3),
        (&["check", wrong], 3),
        (&["why", wrong, "x"], 3),
        (&["show", wrong], 3),
        (&["report", wrong], 3),
        (&["graph", wrong], 3),
        (&["export", wrong, "x", "out"], 3),
        (&["run", gone], 4),
        (&["check", gone], 4),
        (&["graph", gone], 4),
        // What is missing.
        (&["export", study, "first[low]", "out"], 4),
        (&["run", study, "--cache", "file"], 4),
        (&["run", study, "--set", "data=\"elsewhere\""], 4),
        (&["cache", "verify", "--set-aside", "--cache", "file"], 4),
    ];
    for (args, code) in calls {
        let ended = space.xpipe(&[args, &["--json"]].concat());
        let value = json(&ended, code);
        if args[0] == "check" && code == 3 {
            assert_eq!(value[0]["code"], "resolve::unknown_name", "{value:#}");
        } else {
            assert_eq!(value["exit"], code, "{args:?}: {value:#}");
            assert!(value["error"].as_str().is_some_and(|e| !e.is_empty()), "{args:?}: {value:#}");
        }
    }
    let value = json(&space.xpipe(&["show", wrong, "--json"]), 3);
    assert_eq!(value["diagnostics"][0]["place"]["line"], 2, "{value:#}");

    // A run in which something failed: the queries are those that the judgements name.
    space.edit("data/qrels.tsv", "q-bread-0\td1\t1", "q-bread-0\td1");
    let value = json(&space.xpipe(&["run", study, "--json"]), 1);
    assert_eq!(value["exit"], 1);
    assert_eq!(value["failures"][0]["address"], "tiny.queries", "{value:#}");
    assert!(value["failures"][0]["message"].as_str().unwrap().contains("qrels.tsv:3"), "{value:#}");
    assert_eq!(value["counts"]["blocked"], 5, "{value:#}");

    // A store that is damaged.
    let blob = std::fs::read_dir(space.cache().join("v1/objects")).unwrap().next().unwrap().unwrap().path();
    let blob = std::fs::read_dir(blob).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, "other").unwrap();
    let value = json(&space.xpipe(&["cache", "verify", "--json"]), 5);
    assert!(!value["damage"].as_array().unwrap().is_empty(), "{value:#}");
}

#[test]
fn a_run_ends_with_tables_what_ran_and_where_things_are() {
    let space = Space::new(RETRIEVAL);
    let first = space.xpipe(&["run", "study.xpipe", "--threads", "1"]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    for line in [
        "start    tiny.corpus  import.corpus  (cpu, 1 thread)",
        "done     first.search[low]  ",
        "8/8 done  8 ran  ",
    ] {
        assert!(first.err.lines().any(|l| l.starts_with(line)), "no `{line}` in {}", first.err);
    }
    let table = "nDCG@10\n  k1    value\n  low   0.858\n  high  0.858\n\nclaim found: passed: 0.7176 > 0.2000\n  finds something\n\n8 ran in ";
    assert!(first.out.starts_with(table), "{}", first.out);
    assert!(
        first.out.contains("3 files in ")
            && first.out.contains("\nreport: ")
            && first.out.contains("events and logs: "),
        "{}",
        first.out
    );
    let again = space.xpipe(&["run", "study.xpipe"]);
    assert!(again.out.contains("\nnothing to do: 8 cached, in "), "{}", again.out);
    assert!(!again.err.contains("start"), "{}", again.err);

    let listed = space.xpipe(&["cache", "ls"]).out;
    assert!(listed.contains("import.qrels") && listed.contains("tiny.qrels"), "{listed}");
    assert!(listed.ends_with(&format!("8 results in {}\n", space.cache().canonicalize().unwrap().display())));
    let used = space.xpipe(&["cache", "du"]).out;
    assert!(used.contains("bm25.search") && used.contains("each file once"), "{used}");
    let verified = space.xpipe(&["cache", "verify"]).out;
    assert!(verified.contains("8 results") && verified.contains("nothing damaged"), "{verified}");
}

#[test]
fn the_graph_has_a_node_a_stage_or_a_cell() {
    let space = Space::new(RETRIEVAL);
    let rows = space.xpipe(&["graph", "study.xpipe"]).out;
    for line in ["n0[\"datasets<br/>3 cells\"]", "n1[\"first for k1<br/>2 cells\"]", "n0 --> n2", "n2 --> n1"]
    {
        assert!(rows.contains(line), "no {line} in\n{rows}");
    }
    // The index of both cells is one action.
    assert!(rows.contains("first.index for k1<br/>2 cells, 1 action\""), "{rows}");
    assert!(!rows.contains("first.search"), "a node is drawn twice:\n{rows}");
    let cells = space.xpipe(&["graph", "study.xpipe", "--format", "dot", "--cells"]).out;
    assert_eq!(cells.matches("[label=").count(), 8, "{cells}");
    let drawn = space.xpipe(&["graph", "study.xpipe", "--format", "svg"]).out;
    assert!(drawn.starts_with("<svg xmlns") && drawn.ends_with("</svg>\n"), "{drawn}");
    assert_eq!((drawn.matches("<rect").count(), drawn.matches("marker-end").count()), (4, 3), "{drawn}");
    for name in ["tiny.corpus", "tiny.qrels", "first.index[low]", "scores[high]"] {
        assert!(cells.contains(&format!("label=\"{name}\"")), "no {name} in\n{cells}");
    }
}

#[test]
fn results_are_exported_as_text_and_overwrite_nothing() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let export = |cell: &str, to: &str| space.xpipe(&["export", "study.xpipe", cell, to]);
    assert_eq!(export("first[low]", "first.run").code, Some(0));
    let run = space.read("first.run");
    let line: Vec<&str> = run.lines().next().unwrap().split(' ').collect();
    assert_eq!((line.len(), line[0], line[1], line[3]), (6, "q-bread-0", "Q0", "1"), "{run}");
    assert_eq!(export("scores[low]", "scores.csv").code, Some(0));
    let table = space.read("scores.csv");
    assert!(table.starts_with("query,metric,value\nq-bread-0,nDCG@10,"), "{table}");
    assert_eq!(table.lines().count(), 1 + 2 * 18);
    assert_eq!(export("first.index[low]", "index").code, Some(0));
    for (cell, to) in [("first[high]", "first.run"), ("first.index[low]", "index")] {
        export(cell, to).says(2, &[to, "exists; give another name"]);
    }
    assert_eq!(space.read("first.run"), run);
}

#[test]
fn a_damaged_result_is_named_by_its_cell_and_made_again() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let before = space.contents();
    let listed = space.xpipe(&["cache", "ls", "--json"]).json();
    let entry = listed.as_array().unwrap().iter().find(|e| e["address"] == "tiny.qrels").unwrap();
    let key = entry["key"].as_str().unwrap();
    let manifest = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let manifest = json.get("manifest").unwrap_or(&json);
    let digest = manifest["outputs"][0]["digest"].as_str().unwrap();
    let blob = space.cache().join("v1/objects").join(&digest[..2]).join(&digest[2..]);
    let size = std::fs::metadata(&blob).unwrap().len() as usize;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, vec![b'x'; size]).unwrap();

    let verified = space.xpipe(&["cache", "verify"]);
    assert_eq!(verified.code, Some(5));
    assert!(verified.out.contains("tiny.qrels") && verified.out.contains("1 damaged"), "{}", verified.out);
    assert!(verified.err.contains("--set-aside"), "{}", verified.err);
    assert_eq!(space.xpipe(&["cache", "verify", "--set-aside"]).code, Some(5));
    let (ran, cached, code) = space.run();
    assert_eq!((ran, cached, code), (1, 7, 0));
    assert_eq!(space.contents(), before);
    assert_eq!(space.xpipe(&["cache", "verify"]).code, Some(0));
}
