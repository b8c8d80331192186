//! Sources over small collections on disk.

use std::sync::Arc;

use super::*;
use crate::train::samples::{Samples, Shape};
use xpipe_base::value::{Digest, Located, Record};
use xpipe_data::known::Known;
use xpipe_data::qrels::Qrels;
use xpipe_data::run::{Hit, Run, RunQuery};
use xpipe_data::store_writer::TextStoreWriter;
use xpipe_data::triples::{TripleOptions, import};

fn store(dir: &Path, prefix: &str, n: usize) {
    let mut writer = TextStoreWriter::create(dir).unwrap();
    // Ids do not sort as their numbers do.
    (0..n).for_each(|i| writer.push(&format!("{prefix}{i}"), &format!("text {i}"), "test", 1).unwrap());
    writer.finish().unwrap();
}

/// Three queries; the run of query i is d(12i), d(12i + 1), …, ten deep; d(12i + 2) is judged relevant and
/// d(12i + 1) judged not relevant. Query 2 has no judgement.
struct World {
    dir: tempfile::TempDir,
    stores: Stores,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    store(&at("corpus"), "d", 40);
    store(&at("queries"), "q", 3);
    let hit = |d: usize, i: usize| Hit { document: format!("d{d}"), score: 10.0 - i as f32 };
    let run = (0..3)
        .map(|q| RunQuery::new(format!("q{q}"), (0..10).map(|i| hit(12 * q + i, i)).collect()).unwrap())
        .collect();
    Run::new(run).unwrap().write(&at("run")).unwrap();
    let mut qrels = Qrels::new();
    for q in 0..2 {
        qrels.insert(&format!("q{q}"), &format!("d{}", 12 * q + 2), 1);
        qrels.insert(&format!("q{q}"), &format!("d{}", 12 * q + 1), 0);
        qrels.insert(&format!("q{q}"), "d39", 2);
    }
    qrels.write(&at("qrels")).unwrap();
    let mut scores = Scores::new();
    for i in 0..9 {
        scores.insert("q0", &format!("d{i}"), (i * 7 % 10) as f32);
    }
    scores.write(&at("scores")).unwrap();
    let stores = Stores::open(&at("corpus"), &at("queries")).unwrap();
    World { dir, stores }
}

impl World {
    fn located(&self, name: &str) -> Value {
        let path = self.dir.path().join(name);
        Value::Located(Arc::new(Located { path, digest: Digest::of(name.as_bytes()), label: name.into() }))
    }

    fn candidates(&self, more: &[(&'static str, Value)]) -> Value {
        let fields = [("run", self.located("run")), ("qrels", self.located("qrels"))];
        Value::call("candidates", Record::of(fields.into_iter().chain(more.iter().cloned())))
    }

    fn samples(&self, source: &Value, shape: Shape) -> Result<Samples, Failure> {
        Samples::new(open(source, &self.stores)?.pool, shape, 1)
    }
}

const GROUP: Shape = Shape::Group { positives: 1, negatives: 5 };

#[test]
fn candidates_give_judged_positives_and_unjudged_negatives() {
    let w = world();
    let samples = w.samples(&w.candidates(&[]), GROUP).unwrap();
    assert_eq!(samples.epoch(), 2);
    assert_eq!(samples.skipped().values().copied().collect::<Vec<_>>(), [1]);
    for position in 0..20 {
        let s = samples.at(position);
        assert_eq!(s.documents[0], 12 * s.query + 2);
        assert!(s.documents[1..].iter().all(|d| *d != s.documents[0] && d / 12 == s.query && d % 12 < 10));
        assert_eq!(s.teacher, None);
    }
}

#[test]
fn depth_and_window_cut_the_run() {
    let w = world();
    let cut = w.candidates(&[("depth", Value::Int(7)), ("from", Value::Int(4))]);
    let samples = w.samples(&cut, Shape::Group { positives: 1, negatives: 4 }).unwrap();
    for position in 0..20 {
        let s = samples.at(position);
        let mut places: Vec<u32> = s.documents[1..].iter().map(|d| d % 12).collect();
        places.sort_unstable();
        assert_eq!(places, [3, 4, 5, 6]);
    }
    let failure = w.samples(&w.candidates(&[("depth", Value::Int(2))]), Shape::Pairs).unwrap_err();
    assert!(failure.message.contains("3 queries without a judged positive"), "{failure}");
}

#[test]
fn scores_order_lists_and_leave_out_what_has_none() {
    let w = world();
    let source = w.candidates(&[("scores", w.located("scores"))]);
    let opened = open(&source, &w.stores).unwrap();
    let left_out: Vec<(&str, u64)> = opened.left_out.into_iter().collect();
    assert_eq!(left_out, [("documents without a teacher score", 1), ("queries without teacher scores", 2)]);
    let list = w.samples(&source, Shape::RankedList { depth: 5 }).unwrap().at(0);
    assert_eq!((list.documents, list.teacher), (vec![7, 4, 1, 8, 5], Some(vec![9.0, 8.0, 7.0, 6.0, 5.0])));
    let pair = w.samples(&source, Shape::Pairs).unwrap().at(0);
    assert_eq!((pair.documents[0], pair.teacher.clone().unwrap()[0]), (2, 4.0));
    assert_eq!(pair.teacher.unwrap()[1], f64::from(pair.documents[1] * 7 % 10));
}

#[test]
fn a_run_is_a_ranked_list() {
    let w = world();
    for source in [
        w.located("run"),
        Value::call("ranked_lists", Record::of([("run", w.located("run")), ("depth", Value::Int(8))])),
    ] {
        let s = w.samples(&source, Shape::RankedList { depth: 3 }).unwrap().at(1);
        assert_eq!(s.documents, [12 * s.query, 12 * s.query + 1, 12 * s.query + 2]);
        assert_eq!(s.teacher, Some(vec![3.0, 2.0, 1.0]));
    }
}

#[test]
fn finite_samples_read_back_as_they_were_drawn() {
    let w = world();
    let scored = w.candidates(&[("scores", w.located("scores"))]);
    for (source, shape) in [
        (w.candidates(&[]), GROUP),
        (w.candidates(&[]), Shape::Pairs),
        (scored.clone(), Shape::RankedList { depth: 4 }),
        (scored, GROUP),
    ] {
        let samples = w.samples(&source, shape).unwrap();
        let out = w.dir.path().join("finite");
        std::fs::create_dir_all(&out).unwrap();
        finite::write(&samples, 7, &w.stores, &out).unwrap();
        let Pool::Fixed(_, read) = finite::read(&out, &w.stores).unwrap() else { panic!("not fixed") };
        assert_eq!(read, (0..7).map(|p| samples.at(p)).collect::<Vec<_>>());
        assert_eq!(w.samples(&w.located("finite"), shape).unwrap().epoch(), 7);
        let mut n = 0;
        finite::pairs(&out, &mut |q, d| {
            assert!(q.starts_with('q') && d.starts_with('d'));
            n += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(n, read.iter().map(|s| s.documents.len()).sum::<usize>());
        let other = Shape::Group { positives: 1, negatives: 2 };
        assert!(w.samples(&w.located("finite"), other).is_err());
    }
}

#[test]
fn triples_take_scores_from_a_table_or_from_their_own() {
    let w = world();
    let dir = w.dir.path().join("triples");
    std::fs::create_dir_all(&dir).unwrap();
    let raw = w.dir.path().join("triples.tsv");
    std::fs::write(&raw, "q0\td2\td3\nq1\td14\td20\n").unwrap();
    let again = Stores::open(&w.dir.path().join("corpus"), &w.dir.path().join("queries")).unwrap();
    let known = Known { corpus: Some(again.corpus), queries: Some(again.queries), ..Known::default() };
    import(&raw, &TripleOptions::format("triples"), &known, &dir, &xpipe_base::task::Silent).unwrap();
    let plain = w.samples(&w.located("triples"), Shape::Pairs).unwrap();
    assert_eq!((plain.epoch(), plain.at(0).teacher), (2, None));
    let with = [("triples", w.located("triples")), ("scores", w.located("scores"))];
    let source = Value::call("scored_triples", Record::of(with));
    assert_eq!(open(&source, &w.stores).unwrap().left_out.into_values().collect::<Vec<_>>(), [1]);
    let scored = w.samples(&source, Shape::Pairs).unwrap();
    assert_eq!((scored.epoch(), scored.at(0).teacher), (1, Some(vec![4.0, 1.0])));
}

#[test]
fn ids_that_are_not_there_are_named() {
    let w = world();
    let run = Run::new(vec![RunQuery::new("q0", vec![Hit { document: "dx".into(), score: 1.0 }]).unwrap()]);
    run.unwrap().write(&w.dir.path().join("odd")).unwrap();
    let failure = open(&w.located("odd"), &w.stores).unwrap_err();
    assert!(failure.message.contains("document `dx`, which is not in the corpus"), "{failure}");
    let failure = open(&w.located("nothing"), &w.stores).unwrap_err();
    assert!(failure.message.contains("nothing has no run"), "{failure}");
}

#[test]
fn descriptions_hold_digests_and_no_paths() {
    let w = world();
    let text = describe(&w.candidates(&[("depth", Value::Int(7))])).to_string();
    assert!(text.contains(&Digest::of(b"run").hex()) && text.contains("\"depth\":7"), "{text}");
    assert!(!text.contains(w.dir.path().to_str().unwrap()), "{text}");
}
