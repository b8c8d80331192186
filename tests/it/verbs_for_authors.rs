//! `fmt`, `describe`, `init`, `doctor` and `diff`: what helps whoever writes a study.

use std::io::Write as _;
use std::process::Stdio;

use crate::space::{Ended, RETRIEVAL, Space, repository};

const UNTIDY: &str = "edition 2026\n\n\n# kept\nparam a:Int=1 # and this\nparam long : Int = 2\n";
const TIDY: &str = "edition 2026\n\n# kept\nparam a: Int    = 1  # and this\nparam long: Int = 2\n";

#[test]
fn fmt_writes_what_differs_and_names_it() {
    let space = Space::new(RETRIEVAL);
    space.write("a.xpipe", UNTIDY);
    space.write("b.xpipe", TIDY);
    let check = space.xpipe(&["fmt", "--check", "a.xpipe", "b.xpipe"]);
    assert_eq!((check.code, check.out.as_str()), (Some(1), "a.xpipe\n"), "{check:#?}");
    assert_eq!(space.read("a.xpipe"), UNTIDY);
    let json = space.xpipe(&["fmt", "--check", "a.xpipe", "b.xpipe", "--json"]);
    assert_eq!(json.code, Some(1));
    assert_eq!(json.json()["changed"], serde_json::json!(["a.xpipe"]));
    let written = space.xpipe(&["fmt", "a.xpipe", "b.xpipe"]);
    assert_eq!((written.code, written.out.as_str()), (Some(0), "a.xpipe\n"), "{written:#?}");
    assert_eq!(space.read("a.xpipe"), TIDY);
    assert_eq!(space.xpipe(&["fmt", "--check", "a.xpipe", "b.xpipe"]).code, Some(0));
    let left = std::fs::read_dir(space.folder.path()).unwrap();
    assert!(left.flatten().all(|e| !e.file_name().to_string_lossy().ends_with(".tmp")));
}

#[test]
fn fmt_leaves_all_as_they_are_when_one_is_wrong() {
    let space = Space::new(RETRIEVAL);
    space.write("a.xpipe", UNTIDY);
    space.write("wrong.xpipe", "edition  2026\nparam a: Int = {\n");
    space.xpipe(&["fmt", "a.xpipe", "wrong.xpipe"]).says(3, &["wrong.xpipe"]);
    assert_eq!(space.read("a.xpipe"), UNTIDY);
    assert_eq!(space.read("wrong.xpipe"), "edition  2026\nparam a: Int = {\n");
    space.xpipe(&["fmt", "gone.xpipe"]).says(4, &["gone.xpipe"]);
    space.xpipe(&["fmt"]).says(2, &[]);
}

#[test]
fn fmt_formats_standard_input() {
    let space = Space::new(RETRIEVAL);
    let with_input = |args: &[&str]| {
        let mut child = space.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(UNTIDY.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    };
    let text = with_input(&["fmt", "-"]);
    assert_eq!((text.code, text.out.as_str()), (Some(0), TIDY), "{text:#?}");
    let check = with_input(&["fmt", "-", "--check"]);
    assert_eq!((check.code, check.out.as_str()), (Some(1), "-\n"), "{check:#?}");
    assert_eq!(with_input(&["fmt", "-", "--json"]).json()["text"], TIDY);
}

#[test]
fn describe_finds_names_and_says_what_was_meant() {
    let space = Space::new(RETRIEVAL);
    let op = space.xpipe(&["describe", "rerank.cross_encoder"]);
    assert_eq!(op.code, Some(0));
    for text in
        ["operation, version 1", "model: Model\n", "precision: `fp32` or `bf16` = fp32", "Returns Run."]
    {
        assert!(op.out.contains(text), "no {text} in {}", op.out);
    }
    let json = space.xpipe(&["describe", "infonce", "--json"]).json();
    assert_eq!(json[0]["name"], "objective.infonce");
    assert_eq!(json[0]["arguments"][0]["default"], "1.0");
    space.xpipe(&["describe", "rerank.crossencoder"]).says(2, &["did you mean `rerank.cross_encoder`"]);
    let list = space.xpipe(&["describe"]).out;
    for name in
        ["train.cross_encoder", "objective.bce", "near", "Run", "std.trec.dl19", "with", "types::unit"]
    {
        assert!(list.lines().any(|l| l.split_whitespace().next() == Some(name)), "no {name} in {list}");
    }
    let page = space.xpipe(&["describe", "--markdown"]).out;
    assert!(page.starts_with("# Reference of xpipe") && page.contains("\n### `bm25.search`\n"), "{page}");
    assert!(space.xpipe(&["describe", "--json"]).json().as_array().unwrap().len() > 150);
}

#[test]
fn init_writes_a_study_that_checks_and_is_formatted() {
    let space = Space::new(RETRIEVAL);
    space.xpipe(&["init", "new/mine.xpipe"]).says(0, &[]);
    let check = space.xpipe(&["check", "new/mine.xpipe"]);
    assert_eq!(check.code, Some(0), "{check:#?}");
    assert!(check.out.contains("mine.xpipe: ok ("), "{check:#?}");
    assert_eq!(space.xpipe(&["fmt", "--check", "new/mine.xpipe"]).code, Some(0));
    assert_eq!(space.xpipe(&["plan", "new/mine.xpipe"]).code, Some(0));
    // What is there stays.
    let before = space.read("study.xpipe");
    space.xpipe(&["init"]).says(2, &["study.xpipe", "it exists already"]);
    assert_eq!(space.read("study.xpipe"), before);
    let json = space.xpipe(&["init", "other.xpipe", "--json"]).json();
    assert_eq!(json["written"], "other.xpipe");
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let space = Space::new(RETRIEVAL);
    let fine = space.xpipe(&["doctor"]);
    assert_eq!(fine.code, Some(0), "{fine:#?}");
    for what in ["cores", "memory", "kernels", "cache", "cache space", "hub cache", "gpu"] {
        assert!(
            fine.out.lines().any(|l| l.get(9..).is_some_and(|l| l.starts_with(what))),
            "no {what} in {}",
            fine.out
        );
    }
    assert!(!space.cache().exists(), "looking makes no cache");
    space.write("file", "no folder");
    let bad = space.xpipe(&["doctor", "--cache", "file", "--models", "gone", "--json"]);
    assert_eq!(bad.code, Some(4));
    let json = bad.json();
    assert_eq!(json["problems"], 2, "{json:#}");
    for f in json["findings"].as_array().unwrap() {
        assert_eq!(f["state"] == "ok", f["help"].is_null(), "{f}");
    }
}

#[test]
fn diff_names_cells_and_arguments() {
    let space = Space::new(RETRIEVAL);
    space.write("same.xpipe", &format!("# another comment\n{RETRIEVAL}"));
    let same = space.xpipe(&["diff", "study.xpipe", "same.xpipe"]);
    assert_eq!(same.code, Some(0), "{same:#?}");
    assert!(same.out.starts_with("no difference: "), "{same:#?}");
    // One value of an axis, one more label, a metric less.
    let other =
        RETRIEVAL.replace("high = 1.2", "high = 1.5, higher = 2.0").replace("depth = 10,", "depth = 20,");
    space.write("other.xpipe", &other);
    let text = space.xpipe(&["diff", "study.xpipe", "other.xpipe"]).out;
    for line in ["  depth  10 -> 20", "  k1     1.2 -> 1.5", "follows  scores[low], scores[high]"] {
        assert!(text.lines().any(|l| l == line), "no `{line}` in {text}");
    }
    let json = space.xpipe(&["diff", "study.xpipe", "other.xpipe", "--json"]).json();
    assert!(json["added"].as_array().unwrap().contains(&serde_json::json!("scores[higher]")), "{json:#}");
    assert_eq!(json["removed"], serde_json::json!([]));
    let back = space.xpipe(&["diff", "other.xpipe", "study.xpipe", "--json"]).json();
    assert_eq!(back["removed"], json["added"]);
    let changed = json["changed"].as_array().unwrap();
    let first =
        changed.iter().find(|c| c["address"] == "first[high]" || c["address"] == "first.search[high]");
    assert_eq!(first.unwrap()["changes"].as_array().unwrap().len(), 2, "{json:#}");
    // What came out, once both have been run: with queries of one word.
    let first_words: Vec<String> = space
        .read("data/queries.jsonl")
        .lines()
        .map(|line| {
            let mut query: serde_json::Value = serde_json::from_str(line).unwrap();
            query["text"] = query["text"].as_str().unwrap().split(' ').next().unwrap().into();
            query.to_string()
        })
        .collect();
    space.write("data/words.jsonl", &first_words.join("\n"));
    space.write("words.xpipe", &RETRIEVAL.replace("queries.jsonl", "words.jsonl"));
    assert_eq!(json["measured"], serde_json::json!([]));
    for study in ["study.xpipe", "words.xpipe"] {
        space.xpipe(&["run", study]);
    }
    let json = space.xpipe(&["diff", "study.xpipe", "words.xpipe", "--json"]).json();
    let measured = json["measured"].as_array().unwrap();
    let of_low = measured.iter().find(|m| m["address"] == "scores[low]" && m["name"] == "ndcg_10").unwrap();
    let [old, new] = ["old", "new"].map(|k| of_low[k].as_f64().unwrap());
    assert!(old > new, "{json:#}");
    let shown = space.xpipe(&["show", "study.xpipe", "--json"]).json();
    assert!(shown["tables"][0]["csv"].as_str().unwrap().contains(&old.to_string()), "{shown:#}");
    let text = space.xpipe(&["diff", "study.xpipe", "words.xpipe"]).out;
    let line = format!("  ndcg_10  {old:.4} -> {new:.4}  ({:+.4})", new - old);
    assert!(text.contains("measured  scores[low]\n") && text.contains(&line), "{text}");
    space.xpipe(&["diff", "study.xpipe", "gone.xpipe"]).says(4, &["gone.xpipe"]);
    space.write("wrong.xpipe", "edition 2026\nlet x = y\n");
    space.xpipe(&["diff", "wrong.xpipe", "study.xpipe"]).says(3, &["y"]);
}

#[test]
fn the_reference_page_is_what_describe_prints() {
    let space = Space::new(RETRIEVAL);
    let page = space.xpipe(&["describe", "--markdown"]).out;
    let committed = std::fs::read_to_string(repository("grammar/REFERENCE.md")).unwrap();
    assert!(
        page == committed,
        "grammar/REFERENCE.md: write it again: xpipe describe --markdown > grammar/REFERENCE.md"
    );
}
