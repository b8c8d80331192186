use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::builtin::{Builtin, BuiltinCall};
use crate::ops::testing::{at, run, run_with};
use crate::ops::{exec, exec_part, imports};
use xpipe_base::task::{Failure, FailureKind, Job, Policy, Progress, Silent, Spec};
use xpipe_base::value::{Digest, Located, Record, Value};
use xpipe_data::qrels::Qrels;
use xpipe_data::run::Run;
use xpipe_data::store::TextStore;
use xpipe_testing::file;

#[test]
#[ignore = "is the guard of the programs that other tests start"]
fn plays_the_guard() {
    std::process::exit(i32::from(xpipe_engine::process::guard_main()));
}

fn script(dir: &Path, text: &str) -> Value {
    let path = file(dir, "tool.sh", format!("#!/bin/sh\nset -e\n{text}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    at(path)
}

fn record(fields: &[(&str, Value)]) -> Value {
    Value::Record(Record::new(fields.iter().map(|(n, v)| (Arc::from(*n), v.clone()))))
}

fn gives(kind: &str) -> (&'static str, Value) {
    ("gives", Value::str(kind))
}

const DOCS: &str = r#"printf '{"_id": "a", "text": "one"}\n{"_id": "b", "text": "two"}\n' > "$XPIPE_OUT/docs.jsonl"
printf '1\tx\n2\ty\n' > "$XPIPE_OUT/queries.tsv""#;

#[test]
fn a_collection_has_parts_and_splits() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "{DOCS}\nprintf '1 0 a 1\\n' > \"$XPIPE_OUT/qrels.train.tsv\"\nprintf '2 0 b 1\\n' > \"$XPIPE_OUT/qrels.test.tsv\""
    );
    let out = dir.path().join("out");
    let done =
        run(&exec::op(), &[("program", script(dir.path(), &text)), gives("TestCollection")], &out).unwrap();
    assert_eq!(done.facts["corpus"]["texts"], 2);
    assert_eq!(TextStore::open(&out.join("corpus")).unwrap().find("b"), Some(1));
    let part = |name: &str| {
        let to = dir.path().join(name);
        run(&exec_part::op(), &[("of", at(&out)), ("part", Value::str(name))], &to).map(|_| to)
    };
    assert_eq!(Qrels::read(&part("qrels.test").unwrap()).unwrap().grade("2", "b"), Some(1));
    assert_eq!(TextStore::open(&part("queries").unwrap()).unwrap().text(1), "y");
    let e = part("qrels").unwrap_err();
    assert!(
        e.message.ends_with("has no part `qrels`; it has corpus, qrels.test, qrels.train, queries"),
        "{e}"
    );
}

#[test]
fn inputs_arrive_in_the_formats_of_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let docs = file(dir.path(), "d.tsv", "a\tone \"1\"\nb\ttwo\n");
    let topics = file(dir.path(), "q.tsv", "q1\tx\n");
    let (corpus, queries) = (dir.path().join("corpus"), dir.path().join("queries"));
    run(&imports::op("import.corpus"), &[("source", at(docs))], &corpus).unwrap();
    run(&imports::op("import.queries"), &[("source", at(topics))], &queries).unwrap();
    let text = r#"
        test "$1" = "--fast" && test "$2" = "--out" && test "$3" = "$XPIPE_OUT"
        test "$DECLARED" = 7 && test -z "$CARGO_MANIFEST_DIR" && test -n "$PATH"
        grep -q '"gives": "Run"' "$XPIPE_SPEC"
        test "$4" = "k=3"
        docs="${5#set.corpus=}"
        grep -q '{"_id":"a","text":"one \\"1\\""}' "$docs"
        grep -q q1 "${6#set.queries=}"
        printf 'q1 Q0 a 1 0.5 t\nq1 Q0 b 2 0.75 t\n' > "$XPIPE_OUT/run.txt""#;
    let set = record(&[("corpus", at(&corpus)), ("queries", at(&queries))]);
    let args = [
        ("program", script(dir.path(), text)),
        ("args", Value::list(vec![Value::str("--fast")])),
        ("reads", record(&[("set", set.clone()), ("k", Value::Int(3))])),
        ("env", record(&[("DECLARED", Value::Int(7))])),
        gives("Run"),
    ];
    let out = dir.path().join("out");
    run(&exec::op(), &args, &out).unwrap();
    assert_eq!(Run::read(&out).unwrap().get("q1").unwrap().hits[0].document, "b");

    let text = r#"printf 'q1 Q0 a 1 0.5 t\nq1 Q0 z 2 0.75 t\n' > "$XPIPE_OUT/run.txt""#;
    let args = [("program", script(dir.path(), text)), ("reads", record(&[("set", set)])), gives("Run")];
    let e = run(&exec::op(), &args, &out).unwrap_err();
    assert!(e.message.contains("tool.sh` wrote a bad output: run.txt:2: found the document id `z`"), "{e}");
}

#[test]
fn what_goes_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let try_with = |text: &str, kind: &str| {
        run(&exec::op(), &[("program", script(dir.path(), text)), gives(kind)], &out).unwrap_err()
    };
    let e = try_with("echo working\necho 'no luck' >&2\nexit 3", "Run");
    assert!(
        e.message.contains("ended with exit code 3; the last it said:") && e.message.contains("no luck"),
        "{e}"
    );
    let e = try_with("kill -9 $$", "Run");
    assert!(e.message.contains("killed by signal 9"), "{e}");
    let e = try_with("true", "Corpus");
    assert!(e.message.contains("found no files, expected `docs.jsonl`"), "{e}");
    let e = try_with("touch $XPIPE_OUT/docs.csv", "Corpus");
    assert!(e.message.contains("found the files `docs.csv`, expected"), "{e}");
    let e = try_with("printf 'q\\ta\\tnan\\n' > $XPIPE_OUT/scores.tsv", "Scores");
    assert!(e.message.contains("wrote a bad output: scores.tsv:1: found the score `nan`"), "{e}");
    let e = try_with("true", "Table");
    assert!(e.message.contains("gives: found `Table`"), "{e}");
    let plain = file(dir.path(), "plain.sh", "echo");
    let e = run(&exec::op(), &[("program", at(&plain)), gives("Run")], &out).unwrap_err();
    assert!(e.kind == FailureKind::Missing && e.message.contains("not executable"), "{e:?}");
    let e = run(&exec::op(), &[("program", at(dir.path().join("none"))), gives("Run")], &out).unwrap_err();
    assert!(e.message.contains("there is no such file"), "{e}");
    let e = run(&exec::op(), &[("program", Value::str("self:nothing")), gives("Run")], &out).unwrap_err();
    assert!(e.message.contains("found `self:nothing`"), "{e}");
}

/// Asks to stop as soon as the program has said that it runs.
struct StopWhenRunning(AtomicBool);

impl Progress for StopWhenRunning {
    fn progress(&self, _: u64, _: u64, _: &str, last: &str) {
        self.0.fetch_or(last == "running", Ordering::Relaxed);
    }
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stop_ends_the_program_and_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let child = dir.path().join("child");
    let text = format!("sleep 300 &\necho $! > {}\necho running\nwait", child.display());
    let args = [("program", script(dir.path(), &text)), gives("Run")];
    let begin = std::time::Instant::now();
    let stop = StopWhenRunning(AtomicBool::new(false));
    let e = run_with(&exec::op(), &args, &dir.path().join("out"), &stop).unwrap_err();
    assert_eq!(e.kind, FailureKind::Interrupted);
    // Gone, or dead and not yet collected; the signal takes a moment to arrive.
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(child).unwrap().trim());
    while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z")) {
        assert!(begin.elapsed().as_secs() < 60, "what the program started still runs");
        std::thread::yield_now();
    }
}

#[test]
fn a_built_in_program_writes_files_too() {
    fn write(_: &Job<'_>, call: &BuiltinCall<'_>) -> Result<(), Failure> {
        assert_eq!(call.args, ["x"]);
        Ok(std::fs::write(call.out.join("qrels.txt"), "1 0 a 1\n")?)
    }
    let builtins =
        [Builtin { name: "fixture", doc: "Writes.", run: write, identity: || Ok(Digest::of(b"fixture 1")) }];
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let label = "self:fixture".to_owned();
    let program = Located { path: PathBuf::new(), digest: Digest::of(b"fixture 1"), label };
    let args = Record::of([
        ("program", Value::Located(Arc::new(program))),
        ("args", Value::list(vec![Value::str("x")])),
        gives("Qrels"),
    ]);
    let spec = Spec {
        op: "exec".into(),
        version: 1,
        key: "0".into(),
        address: "test".into(),
        args,
        policy: Policy::default(),
        out: out.clone(),
        temp: dir.path().join("temp"),
        log: dir.path().join("log"),
        scratch: dir.path().join("scratch"),
        answers: std::path::PathBuf::default(),
        threads: 1,
        device: "cpu".into(),
        kernels: xpipe_base::task::Kernels::Auto,
    };
    super::run::run_among(&Job { spec: &spec, progress: &Silent }, &builtins).unwrap();
    assert_eq!(Qrels::read(&out).unwrap().grade("1", "a"), Some(1));
    assert!(super::builtin::located("./tool.py").unwrap().is_none());
    assert!(super::builtin::located("self:none").is_err());
}
