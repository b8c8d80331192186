//! Feedback against the runs of Anserini 0.24 over the same small corpora.

use super::super::testing::{at, run, run_with};
use xpipe_base::value::Value;
use xpipe_data::run::Run;
use xpipe_data::store_writer::TextStoreWriter;
use xpipe_testing::CaveatLog;

/// The ranking of query `storm` after feedback, its caveats, and how many queries were not expanded.
fn ranked(documents: &[(String, String)], feedback: i64) -> (Vec<(String, f32)>, Vec<String>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = |name: &str, texts: &[(String, String)]| {
        let mut writer = TextStoreWriter::create(&path(name)).unwrap();
        texts.iter().for_each(|(id, text)| writer.push(id, text, "f", 1).unwrap());
        writer.finish().unwrap();
        at(path(name))
    };
    let corpus = store("corpus", documents);
    let queries = store("queries", &[("1".into(), "storm".into()), ("2".into(), "unknown".into())]);
    run(&crate::ops::bm25_index::op(), &[("corpus", corpus.clone())], &path("index")).unwrap();
    let both = [("index", at(path("index"))), ("queries", queries), ("corpus", corpus)];
    run(&crate::ops::bm25_search::op(), &both, &path("run")).unwrap();
    let args = [&both[..], &[("run", at(path("run"))), ("documents", Value::Int(feedback))]].concat();
    let told = CaveatLog::default();
    let done = run_with(&super::op(), &args, &path("longer"), &told).unwrap();
    let run = Run::read(&path("longer")).unwrap();
    let hits = run.get("1").unwrap().hits.iter().map(|h| (h.document.clone(), h.score)).collect();
    (hits, told.caveats(), done.facts["queries_not_expanded"].as_u64().unwrap())
}

fn plain(n: usize) -> Vec<(String, String)> {
    (0..n).map(|i| (format!("n{i:02}"), format!("plain{i} other{i}"))).collect()
}

fn with(mut documents: Vec<(String, String)>, more: &[(&str, &str)]) -> Vec<(String, String)> {
    documents.extend(more.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())));
    documents
}

fn equals(found: &[(String, f32)], expected: &[(&str, f32)]) {
    let close = |((a, x), (b, y)): (&(String, f32), &(&str, f32))| a == b && (x - y).abs() < 1e-4;
    let same = found.len() == expected.len() && found.iter().zip(expected).all(close);
    assert!(same, "{found:?}\n{expected:?}");
}

const STORM: [(&str, &str); 3] =
    [("s1", "storm harbour harbour gale"), ("s2", "harbour lighthouse keeper"), ("s3", "harbour lighthouse")];

#[test]
fn blank_documents_do_not_count_and_those_of_punctuation_do() {
    // `harbour` is in 3 of 26 documents that are not blank: in more than a tenth.
    let mut documents = with(plain(22), &STORM);
    documents.extend((0..10).map(|i| (format!("e{i}"), if i % 2 == 1 { "" } else { " \t" }.to_owned())));
    documents.push(("p".into(), "...".into()));
    equals(&ranked(&documents, 10).0, &[("s1", 1.2854)]);
    // In 3 of 30: in a tenth.
    let mut documents = with(plain(22), &STORM);
    documents.extend((0..10).map(|i| (format!("e{i}"), if i % 2 == 1 { "" } else { "--- the" }.to_owned())));
    equals(&ranked(&documents, 10).0, &[("s1", 1.2755), ("s3", 0.2667), ("s2", 0.2446)]);
}

#[test]
fn of_documents_with_equal_scores_the_first_ids_give_the_feedback() {
    let documents = with(
        plain(26),
        &[
            ("z", "storm gale"),
            ("m", "storm squall"),
            ("a", "storm breeze"),
            ("g", "gale gale door"),
            ("b", "breeze roof"),
            ("q", "squall sea"),
        ],
    );
    // Our rankings have the last of equal ids first; Anserini's the first.
    let one = [("a", 1.2288), ("z", 0.8883), ("m", 0.8883), ("b", 0.3405)];
    equals(&ranked(&documents, 1).0, &one);
    let two = [("m", 1.0585), ("a", 1.0585), ("z", 0.8883), ("q", 0.1702), ("b", 0.1702)];
    equals(&ranked(&documents, 2).0, &two);
    let (all, caveats, unchanged) = ranked(&documents, 10);
    let expected = [("z", 1.0018), ("m", 1.0018), ("a", 1.0018), ("g", 0.14), ("q", 0.1135), ("b", 0.1135)];
    equals(&all, &expected);
    assert_eq!((caveats, unchanged), (Vec::new(), 0));
}

#[test]
fn a_query_that_feedback_does_not_change_is_told() {
    let documents: Vec<_> = (0..9).map(|i| (format!("d{i}"), "storm over sea".to_owned())).collect();
    let (hits, caveats, unchanged) = ranked(&documents, 10);
    assert_eq!((hits.len(), unchanged), (9, 1));
    assert!(
        caveats[0].starts_with("1 of 2 queries stay as they were: no term of their feedback"),
        "{caveats:?}"
    );
    assert_eq!(caveats.len(), 1);
}
