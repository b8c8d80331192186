//! Inputs that change while a run is under way: what was read is what the key says, or nothing is stored.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::space::{Ended, Space, repository};

/// A program that says that it has begun and waits until it may go on; it reads `note` before and after.
const WAITS: &str = r#"#!/bin/sh
note=
for a in "$@"; do case $a in note=*) note="${a#note=}";; esac; done
[ -z "$note" ] || cat "$note" >/dev/null
here=$(dirname "$0")
touch "$here/begun"
while [ ! -e "$here/go" ]; do sleep 0.02; done
score=1; [ -z "$note" ] || score=$(cat "$note")
case $0 in
*queries*) echo '{"_id": "q1", "text": "bread sail mast"}' > "$2/queries.jsonl";;
*) echo "q1 Q0 d1 1 $score x" > "$2/run.txt";;
esac
"#;

/// A program that gives a run whose score is the number in the file `note`.
const LABEL: &str = r#"#!/bin/sh
for a in "$@"; do case $a in note=*) s=$(cat "${a#note=}");; esac; done
echo "q1 Q0 d1 1 $s x" > "$2/run.txt"
"#;

fn space(study: &str) -> Space {
    let space = Space::new(study);
    for (name, text) in [("wait_queries.sh", WAITS), ("wait_run.sh", WAITS), ("label.sh", LABEL)] {
        space.write(name, text);
        std::fs::set_permissions(space.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    space.write("note.txt", "2.5\n");
    space
}

/// A run that is at work on the program that waits.
struct Under<'s> {
    space: &'s Space,
    child: Child,
}

fn start(space: &Space) -> Under<'_> {
    for name in ["begun", "go"] {
        let _ = std::fs::remove_file(space.path(name));
    }
    let child = space.command(&["run", "study.xpipe", "--json"]).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(120);
    while !space.path("begun").exists() {
        assert!(Instant::now() < limit, "it never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Longer than a tick of the clock that stamps files.
    std::thread::sleep(Duration::from_millis(30));
    Under { space, child }
}

impl Under<'_> {
    fn end(self) -> Ended {
        self.space.write("go", "");
        Ended::of(self.child.wait_with_output().unwrap())
    }
}

#[track_caller]
fn refused(ended: &Ended, file: &str, when: &str) {
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    let failures = ended.json()["failures"].clone();
    let told = failures.as_array().unwrap().iter().any(|f| {
        let message = f["message"].as_str().unwrap();
        message.contains(&format!("{file} was changed")) && message.contains(when)
    });
    assert!(told, "{failures:#}");
}

#[test]
fn a_file_that_changed_before_its_stage_began_gives_no_result() {
    let study = r#"edition 2026
param note: Path = "note.txt"
stage first = exec { program = "wait_queries.sh", gives = "Queries" }
stage late = exec { program = "label.sh", reads = { note = note, q = first }, gives = "Run" }
"#;
    let space = space(study);
    let run = start(&space);
    space.write("note.txt", "7.5\n");
    refused(&run.end(), "note.txt", "after this run had digested it");
    // What was not changed was kept, and each content has its own result.
    for (text, score) in [("2.5\n", "2.5"), ("7.5\n", "7.5")] {
        space.write("note.txt", text);
        let (ran, cached, code) = space.run();
        assert_eq!((ran, cached, code), (1, 1, 0), "{text}");
        let to = format!("{score}.run");
        assert_eq!(space.xpipe(&["export", "study.xpipe", "late", &to]).code, Some(0));
        assert!(space.read(&to).contains(&format!(" {score} ")), "{}", space.read(&to));
    }
    space.is_whole();
}

#[test]
fn a_file_that_was_another_one_for_a_moment_gives_no_result() {
    let study = r#"edition 2026
param note: Path = "note.txt"
stage single = exec { program = "wait_run.sh", reads = { note = note }, gives = "Run" }
"#;
    let space = space(study);
    let run = start(&space);
    space.write("note.txt", "9.5\n");
    space.write("note.txt", "2.5\n");
    refused(&run.end(), "note.txt", "while it was in use");
    let run = start(&space);
    space.write("other", "9.5\n");
    std::fs::rename(space.path("note.txt"), space.path("aside")).unwrap();
    std::fs::rename(space.path("other"), space.path("note.txt")).unwrap();
    std::fs::rename(space.path("aside"), space.path("note.txt")).unwrap();
    refused(&run.end(), "note.txt", "while it was in use");
    let run = start(&space);
    assert_eq!(run.end().counts(), (1, 0, 0));
}

#[test]
fn data_programs_and_folders_that_changed_give_no_result() {
    let study = r#"edition 2026
param note: Path = "note.txt"
use std.retrieval { bm25_run }
dataset tiny: TestCollection = local { docs = "data/corpus.jsonl", queries = "data/queries.jsonl", qrels = "data/qrels.tsv" }
stage first = exec { program = "wait_queries.sh", gives = "Queries" }
stage found = bm25_run(corpus = tiny.corpus, queries = tiny.queries, depth = 5)
stage other = bm25_run(corpus = tiny.corpus, queries = first, depth = 5)
stage ranked = rerank.cross_encoder { model = untrained(checkpoint("model")), run = other, input = query_document(query = 16, document = 32) }
stage late = exec { program = "label.sh", reads = { note = note, q = first }, gives = "Run" }
"#;
    let space = space(study);
    copy(&repository("examples/quickstart/model"), &space.path("model"));
    let run = start(&space);
    space.edit("label.sh", "d1 1", "d2 1");
    let config = space.path("model/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text} ")).unwrap();
    let ended = run.end();
    refused(&ended, "label.sh", "after this run had digested it");
    refused(&ended, "model/config.json", "after this run had digested it");
    assert_eq!(space.run().2, 0);
    space.is_whole();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_a_program_reads_by_the_name_of_a_param_or_an_axis_of_paths_counts_by_content() {
    let study = r#"edition 2026
param note: Path = "note.txt"
axis file: Path = { one = "one.txt", two = "two.txt" }
stage by_param = exec { program = "label.sh", reads = { inner = { deep = 1 }, note }, gives = "Run" }
stage by_axis for file = exec { program = "label.sh", reads = { note = file }, gives = "Run" }
"#;
    let space = space(study);
    space.write("one.txt", "1.5\n");
    space.write("two.txt", "3.5\n");
    assert_eq!(space.run(), (3, 0, 0));
    space.write("note.txt", "4.5\n");
    assert_eq!(space.run(), (1, 2, 0));
    space.write("two.txt", "5.5\n");
    assert_eq!(space.run(), (1, 2, 0));
    // The same content under another name.
    std::fs::rename(space.path("one.txt"), space.path("moved.txt")).unwrap();
    space.edit("study.xpipe", "one.txt", "moved.txt");
    assert_eq!(space.run(), (0, 3, 0));
}
