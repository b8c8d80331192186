//! The domain check, and BM25 on CACM from corpus to means through the operations themselves.

use super::*;
use xpipe_base::value::Call;

/// Facts of actions numbered by their place in a list of arguments.
struct Actions(Vec<Record>);

impl Facts for Actions {
    fn find(&self, value: &Value, name: &str) -> Option<Value> {
        if let Value::Artifact(id) = value { self.0[id.0 as usize].get(name).cloned() } else { None }
    }
    fn op(&self, _: &Value) -> Option<&'static str> {
        None
    }
}

fn metric(name: &str, k: Option<i64>) -> Value {
    let k = k.map_or(Value::Null, Value::Int);
    Value::Call(std::sync::Arc::new(Call { name: name.into(), args: Record::of([("k", k)]) }))
}

fn action(i: u32) -> Value {
    Value::Artifact(xpipe_base::value::ActionId(i))
}

#[test]
fn a_cut_off_deeper_than_the_run_is_reported() {
    // 0: a retrieval of depth 100; 1: a re-ranking of it; 2: a run from outside.
    let facts = Actions(vec![
        Record::of([("depth", Value::Int(100))]),
        Record::of([("run", action(0))]),
        Record::default(),
    ]);
    let codes = |run: Value, metrics: Vec<Value>| -> Vec<Code> {
        let args = Record::of([("run", run), ("metrics", Value::list(metrics))]);
        check(&args, &facts).iter().map(|i| i.code).collect()
    };
    let fits = || vec![metric("ndcg", Some(10)), metric("recall", Some(100)), metric("ap", None)];
    assert_eq!(codes(action(0), fits()), []);
    assert_eq!(codes(action(1), fits()), []);
    assert_eq!(codes(action(0), vec![metric("recall", Some(101))]), [Code::CutoffTooDeep]);
    assert_eq!(codes(action(1), vec![metric("p", Some(5)), metric("rr", Some(1000))]), [Code::CutoffTooDeep]);
    assert_eq!(codes(action(2), vec![metric("recall", Some(1000))]), []);
    // A measure without sense is told where it is written.
    let of_measure = super::super::measures::p().check.unwrap();
    let zero = Record::of([("k", Value::Int(0)), ("rel", Value::Int(0))]);
    assert_eq!(of_measure(&zero, &facts).len(), 2);
    assert_eq!(codes(action(0), vec![metric("p", Some(0)), metric("p", None)]), []);
}

mod run {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use xpipe_base::task::{Failure, Job, Outcome, Policy, Silent, Spec};
    use xpipe_base::value::{Digest, Located};
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::{Hit, Run, RunQuery};
    use xpipe_data::store_writer::TextStoreWriter;
    use xpipe_data::table::{Kind, TableReader};
    use xpipe_testing::cacm::cacm;

    fn at(path: &Path) -> Value {
        Value::Located(Arc::new(Located { path: path.into(), digest: Digest::of(b""), label: String::new() }))
    }

    /// Runs a registered operation with its defaults.
    fn act(op: &str, args: &[(&'static str, Value)], out: &Path) -> Result<Outcome, Failure> {
        let registry = crate::ops::registry();
        let op = registry.get(op).unwrap();
        let defaults = op.params.iter().filter_map(|p| Some((Arc::from(p.name), p.default.clone()?)));
        let given = args.iter().map(|(n, v)| (Arc::from(*n), v.clone()));
        std::fs::create_dir_all(out).unwrap();
        let spec = Spec {
            op: op.name.into(),
            version: op.version,
            key: String::new(),
            address: op.name.into(),
            args: Record::new(defaults.chain(given)),
            policy: Policy::default(),
            out: out.into(),
            temp: std::path::PathBuf::default(),
            log: std::path::PathBuf::default(),
            scratch: out.into(),
            answers: std::path::PathBuf::default(),
            threads: 2,
            device: "cpu".into(),
            kernels: xpipe_base::task::Kernels::Auto,
        };
        op.run.unwrap()(&Job { spec: &spec, progress: &Silent })
    }

    fn store(dir: &Path, texts: &[(String, String)]) -> Value {
        let mut writer = TextStoreWriter::create(dir).unwrap();
        for (i, (id, text)) in texts.iter().enumerate() {
            writer.push(id, text, "test", i as u64 + 1).unwrap();
        }
        writer.finish().unwrap();
        at(dir)
    }

    fn qrels(dir: &Path, rows: &[(&str, &str, i32)]) -> Value {
        let mut qrels = Qrels::new();
        rows.iter().for_each(|(q, d, g)| assert!(qrels.insert(q, d, *g).is_none()));
        qrels.write(dir).unwrap();
        at(dir)
    }

    fn run(dir: &Path, rows: &[(&str, &str, f32)]) -> Value {
        let mut queries: Vec<(String, Vec<Hit>)> = Vec::new();
        for (q, d, s) in rows {
            if queries.last().is_none_or(|(id, _)| id != q) {
                queries.push(((*q).into(), Vec::new()));
            }
            queries.last_mut().unwrap().1.push(Hit { document: (*d).into(), score: *s });
        }
        let queries = queries.into_iter().map(|(id, hits)| RunQuery::new(id, hits).unwrap()).collect();
        Run::new(queries).unwrap().write(dir).unwrap();
        at(dir)
    }

    #[test]
    fn values_means_and_facts() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let qrels = qrels(
            &path("qrels"),
            &[("q2", "a", 1), ("q1", "a", 2), ("q1", "b", 0), ("q3", "a", 1), ("q4", "a", 0)],
        );
        // q1 has a tie, which the larger id wins; q3 is not answered; q9 is not judged.
        let run = run(
            &path("run"),
            &[("q1", "a", 1.0), ("q1", "b", 1.0), ("q9", "a", 1.0), ("q2", "a", 3.0), ("q4", "a", 1.0)],
        );
        let metrics =
            Value::list(vec![metric("rr", Some(10)), metric("p", Some(1)), metric("mrr", Some(10))]);
        let outcome =
            act("evaluate", &[("run", run), ("qrels", qrels), ("metrics", metrics)], &path("out")).unwrap();
        let values: Vec<(&str, f64)> = outcome.values.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(values, [("rr_10", 1.5 / 4.0), ("p_1", 0.25)]);
        assert_eq!(outcome.facts["queries"], 4);
        assert_eq!(outcome.facts["queries_missing_from_run"], 1);
        assert_eq!(outcome.facts["queries_of_run_not_judged"], 1);

        let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
        let mut table = TableReader::open(&path("out").join("metrics.parquet"), &columns).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = table.row().unwrap() {
            rows.push((row.text(0).to_owned(), row.text(1).to_owned(), row.double(2)));
        }
        let expected = [
            ("q2", "RR@10", 1.0),
            ("q2", "P@1", 1.0),
            ("q1", "RR@10", 0.5),
            ("q1", "P@1", 0.0),
            ("q3", "RR@10", 0.0),
            ("q3", "P@1", 0.0),
            ("q4", "RR@10", 0.0),
            ("q4", "P@1", 0.0),
        ];
        assert_eq!(rows, expected.map(|(q, m, v)| (q.to_owned(), m.to_owned(), v)));
    }

    #[test]
    fn an_empty_query_finds_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let texts =
            |xs: &[(&str, &str)]| xs.iter().map(|(i, t)| ((*i).into(), (*t).into())).collect::<Vec<_>>();
        let corpus = store(&path("corpus"), &texts(&[("a", "cats"), ("b", "dogs")]));
        let queries = store(&path("queries"), &texts(&[("1", "the!"), ("2", "a cat"), ("3", "birds")]));
        act("bm25.index", &[("corpus", corpus.clone())], &path("index")).unwrap();
        let args = [("index", at(&path("index"))), ("queries", queries), ("corpus", corpus)];
        let outcome = act("bm25.search", &args, &path("run")).unwrap();
        assert_eq!(outcome.facts["queries_without_terms"], 1);
        assert_eq!(outcome.facts["queries_without_hits"], 2);
        let run = Run::read(&path("run")).unwrap();
        assert_eq!((run.len(), run.get("2").unwrap().hits[0].document.as_str()), (1, "a"));
    }

    /// Output of version 1. When this fails, raise `VERSION` of the operation that changed, or undo the change.
    #[test]
    fn golden_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let texts =
            |xs: &[(&str, &str)]| xs.iter().map(|(i, t)| ((*i).into(), (*t).into())).collect::<Vec<_>>();
        let corpus = store(
            &path("corpus"),
            &texts(&[
                ("a", "The dog's tails were wagging."),
                ("b", "Cats and dogs, dogs and cats"),
                ("c", "naïve café"),
                ("d", ""),
                ("e", "A tail of dogs"),
                ("f", "A tail of dogs"),
            ]),
        );
        let built = act("bm25.index", &[("corpus", corpus.clone())], &path("index")).unwrap();
        assert_eq!(
            built.digest.unwrap().hex(),
            "76a4d5cb7fab682ecd8deaf2920c5f63fc045e3ed0e983305ef6df47348a7791"
        );
        let queries = store(&path("queries"), &texts(&[("1", "dogs with tails"), ("2", "Café cats cats")]));
        let args = [("index", at(&path("index"))), ("queries", queries), ("corpus", corpus)];
        act("bm25.search", &args, &path("run")).unwrap();
        let mut rows = Vec::new();
        Run::read(&path("run")).unwrap().export(&mut rows, "x").unwrap();
        assert_eq!(
            String::from_utf8(rows).unwrap(),
            "1 Q0 f 1 0.45999607 x\n1 Q0 e 2 0.45999607 x\n1 Q0 a 3 0.40241656 x\n1 Q0 b 4 0.18837929 x\n2 Q0 b 1 1.8155398 x\n2 Q0 c 2 0.771388 x\n"
        );
    }

    #[test]
    fn cacm_means_are_anserinis() {
        let Some(cacm) = cacm() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let corpus = store(&path("corpus"), &cacm.documents);
        let queries = store(&path("queries"), &cacm.topics);
        let judged: Vec<(&str, &str, i32)> = cacm.qrels.iter().map(|(q, d, g)| (&**q, &**d, *g)).collect();
        let qrels = qrels(&path("qrels"), &judged);
        let hits: Vec<(&str, &str, f32)> = cacm.run.iter().map(|(q, d, s)| (&**q, &**d, *s)).collect();
        let theirs = run(&path("anserini"), &hits);

        let built = act("bm25.index", &[("corpus", corpus.clone())], &path("index")).unwrap();
        let again = act("bm25.index", &[("corpus", corpus.clone())], &path("again")).unwrap();
        assert_eq!((built.digest, built.facts["documents"].as_u64()), (again.digest, Some(3204)));
        assert!(built.digest.is_some());
        // The file has the 30 best documents of each query.
        let args = [
            ("index", at(&path("index"))),
            ("queries", queries),
            ("corpus", corpus),
            ("depth", Value::Int(30)),
        ];
        act("bm25.search", &args, &path("run")).unwrap();
        let means = |run: Value, out: &str| {
            let metrics = Value::list(vec![metric("ap", None), metric("ndcg", Some(10))]);
            let args = [("run", run), ("qrels", qrels.clone()), ("metrics", metrics)];
            let outcome = act("evaluate", &args, &path(out)).unwrap();
            (outcome.values["ap"], outcome.values["ndcg_10"])
        };
        let (ours, theirs) = (means(at(&path("run")), "ours"), means(theirs, "theirs"));
        assert!(
            (ours.0 - theirs.0).abs() < 0.001 && (ours.1 - theirs.1).abs() < 0.001,
            "{ours:?} {theirs:?}"
        );
        assert!(ours.0 > 0.2 && ours.1 > 0.3);
    }

    /// Its first ten documents of each query with RM3: tests/data/rm3 says how they were made.
    #[test]
    fn cacm_feedback_is_anserinis() {
        let Some(cacm) = cacm() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let corpus = store(&path("corpus"), &cacm.documents);
        let queries = store(&path("queries"), &cacm.topics);
        let judged: Vec<(&str, &str, i32)> = cacm.qrels.iter().map(|(q, d, g)| (&**q, &**d, *g)).collect();
        let qrels = qrels(&path("qrels"), &judged);
        act("bm25.index", &[("corpus", corpus.clone())], &path("index")).unwrap();
        let both = [("index", at(&path("index"))), ("queries", queries), ("corpus", corpus)];
        act("bm25.search", &both, &path("run")).unwrap();
        let with = |documents: i64, weight: f64, out: &str| {
            let own = [
                ("run", at(&path("run"))),
                ("documents", Value::Int(documents)),
                ("original_weight", Value::Float(weight)),
            ];
            act("bm25.rm3", &[&both[..], &own].concat(), &path(out)).unwrap();
            Run::read(&path(out)).unwrap()
        };
        let longer = with(10, 0.5, "longer");
        let theirs = std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/rm3/cacm.tsv"),
        );
        let theirs = theirs.unwrap();
        let rows: Vec<Vec<&str>> = theirs.lines().map(|l| l.split('\t').collect()).collect();
        let (mut same, mut queries, mut scores) = (0, 0, Vec::new());
        for of_query in rows.chunk_by(|a, b| a[0] == b[0]) {
            let ours = longer.get(of_query[0][0]).unwrap();
            let apart = of_query.iter().zip(&ours.hits).map(|(row, hit)| {
                let score: f32 = row[2].parse().unwrap();
                (score - hit.score).abs()
            });
            let most = apart.fold(0.0, f32::max);
            (queries, same) = (queries + 1, same + usize::from(most < 1e-4));
            scores.push((of_query[0][0], most));
        }
        println!("{same} of {queries} queries have Anserini's ten scores; others: {scores:?}");
        assert_eq!(queries, 64);
        assert!(same >= 63, "{same}");
        // With the query alone the ranking is that of the first search.
        let first = Run::read(&path("run")).unwrap();
        for (a, b) in with(10, 1.0, "own").queries().iter().zip(first.queries()) {
            let ids = |q: &xpipe_data::run::RunQuery| {
                q.hits.iter().take(5).map(|h| h.document.clone()).collect::<Vec<_>>()
            };
            assert_eq!(ids(a), ids(b));
        }
        let means = |run: &str| {
            let metrics =
                Value::list(vec![metric("ap", None), metric("ndcg", Some(10)), metric("recall", Some(100))]);
            let args = [("run", at(&path(run))), ("qrels", qrels.clone()), ("metrics", metrics)];
            let outcome = act("evaluate", &args, &path(&format!("{run}.metrics"))).unwrap();
            ["ap", "ndcg_10", "recall_100"].map(|name| outcome.values[name])
        };
        let (without, with) = (means("run"), means("longer"));
        println!("AP, nDCG@10, R@100: BM25 {without:.4?}, with RM3 {with:.4?}");
        assert!(with[0] > without[0], "{without:?} {with:?}");
    }
}
