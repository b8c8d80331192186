//! Each import by itself, over small files and over CACM.

use super::super::testing::{at, run};
use super::*;
use xpipe_data::qrels::Qrels;
use xpipe_data::run::Run;
use xpipe_data::scores::Scores;
use xpipe_data::store::TextStore;
use xpipe_testing::{file, shared};

#[test]
fn a_collection_is_imported_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path();
    let docs = file(raw, "docs.tsv", "a\tone\nb\ttwo\nc\t\n");
    let topics = file(raw, "t", "<top>\n<num> 1\n<title> x\n<desc> y\n</top>\n");
    let qrels = file(raw, "qrels.txt", "1 0 a 2\n1 0 z 1\n");
    let run_file = file(raw, "x.run", "1 Q0 b 1 3 t\n1 Q0 c 2 3 t\n1 Q0 a 3 9 t\n");
    let scores = file(raw, "s.tsv", "1\ta\t0.5\n");
    let triples = file(raw, "t.tsv", "1\ta\tb\n");
    let (corpus, queries) = (raw.join("corpus"), raw.join("queries"));
    let done = run(&op("import.corpus"), &[("source", at(docs))], &corpus).unwrap();
    assert_eq!(done.facts["texts"], 3);
    let args = [("source", at(topics)), ("field", Value::str("title + desc"))];
    run(&op("import.queries"), &args, &queries).unwrap();
    assert_eq!(TextStore::open(&queries).unwrap().text(0), "x y");

    let both = [("queries", at(&queries)), ("corpus", at(&corpus))];
    let with = |source: Value, more: &[(&'static str, Value)]| {
        [&[("source", source)], both.as_slice(), more].concat()
    };
    let out = raw.join("qrels");
    let e = run(&op("import.qrels"), &with(at(&qrels), &[]), &out).unwrap_err();
    assert!(e.message.contains("qrels.txt:2: found the document id `z`"), "{e}");
    let drop = [("unknown", Value::str("drop"))];
    run(&op("import.qrels"), &with(at(&qrels), &drop), &out).unwrap();
    assert_eq!(Qrels::read(&out).unwrap().judgements(), 1);

    let out = raw.join("run");
    run(&op("import.run"), &with(at(&run_file), &[]), &out).unwrap();
    let ids: Vec<String> =
        Run::read(&out).unwrap().queries()[0].hits.iter().map(|h| h.document.clone()).collect();
    assert_eq!(ids, ["a", "c", "b"]);
    let out = raw.join("scores");
    run(&op("import.scores"), &with(at(&scores), &[]), &out).unwrap();
    assert_eq!(Scores::read(&out).unwrap().score("1", "a"), Some(0.5));
    let out = raw.join("triples");
    let done = run(&op("import.triples"), &with(at(&triples), &[]), &out).unwrap();
    assert_eq!(done.facts["triples"], 1);
}

#[test]
fn real_judgements_are_checked_against_their_collection() {
    let Some(docs) = shared("cacm/cacm.tar.gz") else { return };
    let (Some(topics), Some(qrels), Some(anserini)) = (
        shared("cacm/topics.cacm.txt"),
        shared("cacm/qrels.cacm.txt"),
        shared("cacm/anserini.cacm-bm25.run.txt"),
    ) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (corpus, queries) = (dir.path().join("corpus"), dir.path().join("queries"));
    run(&op("import.corpus"), &[("source", at(docs))], &corpus).unwrap();
    run(&op("import.queries"), &[("source", at(topics))], &queries).unwrap();
    let args = |source: Value, unknown: &str| {
        let unknown = Value::str(unknown);
        [("source", source), ("queries", at(&queries)), ("corpus", at(&corpus)), ("unknown", unknown)]
    };
    // 46 documents have ids like CACM-115 there and CACM-0115 in the archive (comm of the sorted ids).
    let out = dir.path().join("qrels");
    let e = run(&op("import.qrels"), &args(at(&qrels), "error"), &out).unwrap_err();
    assert!(e.message.contains("found the document id `CACM-756`"), "{e}");
    run(&op("import.qrels"), &args(at(&qrels), "keep"), &out).unwrap();
    assert_eq!(Qrels::read(&out).unwrap().judgements(), 796);
    let out = dir.path().join("run");
    let done = run(&op("import.run"), &args(at(&anserini), "error"), &out).unwrap();
    assert_eq!(done.facts["documents"], 1920);
}
