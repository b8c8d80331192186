//! The program as a user runs it: run, run again, change something, ask why.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Space {
    folder: tempfile::TempDir,
}

const STUDY: &str = r#"edition 2026
use std.retrieval { bm25_run }
param data: Path = "DATA"
dataset tiny: TestCollection = local { docs = "{data}/corpus.jsonl", queries = "{data}/queries.jsonl", qrels = "{data}/qrels.tsv" }
axis k1: Float = { low = 0.9, high = 1.2 }
stage first for k1 = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 10, k1 = k1)
stage scores for k1 = evaluate {
    run     = first
    qrels   = tiny.qrels
    metrics = [ndcg(10), ap()]
} with { retries = 1 }
table t { title = "nDCG@10", rows = k1, value = scores.ndcg_10, write = [csv, markdown, latex] }
claim found { text = "finds something", expect = scores[k1 = low].ap > 0.2 }
"#;

impl Space {
    fn new() -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny");
        space.write(&STUDY.replace("DATA", &data.display().to_string()));
        space
    }

    fn study(&self) -> PathBuf {
        self.folder.path().join("study.xpipe")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.study(), text).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.study()).unwrap();
        assert!(text.contains(from), "{from} is not in the study");
        self.write(&text.replace(from, to));
    }

    fn xpipe(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xpipe"))
            .args(args)
            .env("XPIPE_CACHE", self.folder.path().join("cache"))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Runs the study and gives (actions run, actions cached, exit code).
    fn run(&self) -> (u64, u64, i32) {
        let out = self.xpipe(&["run", "study.xpipe", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| {
            panic!("{e}: {} {}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
        });
        let count = |n: &str| json["counts"][n].as_u64().unwrap();
        (count("ran"), count("cached"), out.status.code().unwrap())
    }
}

#[test]
fn a_second_run_does_nothing() {
    let space = Space::new();
    assert_eq!(space.run(), (8, 0, 0));
    assert_eq!(space.run(), (0, 8, 0));
    let shown = space.xpipe(&["show", "study.xpipe"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("nDCG@10") && text.contains("passed"), "{text}");
}

#[test]
fn names_labels_order_policy_and_comments_run_nothing() {
    let space = Space::new();
    assert_eq!(space.run().2, 0);
    space.edit("low", "small");
    space.edit("{ small = 0.9, high = 1.2 }", "{ high = 1.2, small = 0.9 }   # reordered");
    space.edit("scores", "measured");
    space.edit("retries = 1", "retries = 3");
    assert_eq!(space.run(), (0, 8, 0));
}

#[test]
fn a_changed_argument_runs_its_cell_and_what_follows_and_why_names_it() {
    let space = Space::new();
    assert_eq!(space.run().2, 0);
    space.edit("high = 1.2", "high = 1.4");
    let why = space.xpipe(&["why", "study.xpipe", "first[high]"]);
    let text = String::from_utf8(why.stdout).unwrap();
    assert!(text.contains("k1") && text.contains("1.2") && text.contains("1.4"), "{text}");
    let (ran, cached, code) = space.run();
    // The search runs; its evaluation too, unless the run came out the same.
    assert!((1..=2).contains(&ran) && ran + cached == 8 && code == 0, "{ran} {cached} {code}");
}

#[test]
fn an_upstream_stage_that_gives_the_same_bytes_stops_there() {
    let space = Space::new();
    assert_eq!(space.run().2, 0);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny");
    for file in ["corpus.jsonl", "queries.jsonl", "qrels.tsv"] {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        // Another file with the same content once read: a blank in the JSON.
        let text = if file == "corpus.jsonl" { text.replace("\"_id\": ", "\"_id\":  ") } else { text };
        std::fs::write(space.folder.path().join(file), text).unwrap();
    }
    let out = space.xpipe(&["run", "study.xpipe", "--set", "data=\".\"", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["counts"]["ran"], 1, "only the import of the corpus: {json}");
    assert_eq!(json["counts"]["cached"], 7);
}

#[test]
fn what_is_missing_is_named_before_anything_starts() {
    let space = Space::new();
    space.edit("corpus.jsonl", "nothing.jsonl");
    let out = space.xpipe(&["run", "study.xpipe"]);
    assert_eq!(out.status.code(), Some(4));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("nothing.jsonl"), "{text}");
    assert_eq!(space.xpipe(&["run", "absent.xpipe"]).status.code(), Some(4));
    assert_eq!(space.xpipe(&["run"]).status.code(), Some(2));
    space.edit("k1 = k1", "k1 = kk");
    assert_eq!(space.xpipe(&["check", "study.xpipe"]).status.code(), Some(3));
}

/// Key and content of every result in a cache.
fn contents(cache: &Path) -> std::collections::BTreeMap<String, String> {
    let mut found = std::collections::BTreeMap::new();
    for shard in std::fs::read_dir(cache.join("v1/actions")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let manifest = json.get("manifest").unwrap_or(&json);
            found.insert(manifest["key"].to_string(), manifest["digest"].to_string());
        }
    }
    found
}

#[test]
fn killed_at_any_moment_and_run_again_gives_the_same_results() {
    let whole = Space::new();
    assert_eq!(whole.run(), (8, 0, 0));
    let expected = contents(&whole.folder.path().join("cache"));
    assert_eq!(expected.len(), 8);
    let mut cut_short = 0;
    for delay in [5, 15, 30, 45, 60, 80, 100, 130, 170, 220] {
        let space = Space::new();
        let mut child = Command::new(env!("CARGO_BIN_EXE_xpipe"))
            .args(["run", "study.xpipe", "--plain"])
            .env("XPIPE_CACHE", space.folder.path().join("cache"))
            .current_dir(space.folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        child.kill().unwrap();
        cut_short += usize::from(!child.wait().unwrap().success());
        let (ran, cached, code) = space.run();
        assert_eq!((ran + cached, code), (8, 0), "after {delay} ms");
        assert_eq!(contents(&space.folder.path().join("cache")), expected, "after {delay} ms");
    }
    assert!(cut_short > 0, "no run was cut short");
}
