//! Reads what was trained on and the tests, compares, counts, and writes each find.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use serde_json::json;

use super::COUNTS;
use super::similar_texts::{SimilarTexts, fingerprint};
use crate::train::source::{self, Stores};
use xpipe_base::task::{Failure, Job, Outcome, located};
use xpipe_base::value::Value;
use xpipe_data::qrels::Qrels;
use xpipe_data::store::TextStore;
use xpipe_data::table::{Cell, Kind, TableWriter};

/// A test collection.
struct Test {
    name: String,
    queries: TextStore,
    corpus: TextStore,
    qrels: Qrels,
}

impl Test {
    fn open(value: &Value) -> Result<Self, Failure> {
        let record = value.as_record().ok_or_else(|| Failure::bug(format!("{value:?} is no collection")))?;
        let folder = |part: &str| {
            record
                .get(part)
                .and_then(located)
                .map(|l| l.path.as_path())
                .ok_or_else(|| Failure::bug(format!("a collection without `{part}`")))
        };
        Ok(Self {
            name: record.get("name").and_then(Value::as_str).unwrap_or("a test").to_owned(),
            queries: TextStore::open(folder("queries")?)?,
            corpus: TextStore::open(folder("corpus")?)?,
            qrels: Qrels::read(folder("qrels")?)?,
        })
    }

    /// The judged queries, which are those that count.
    fn judged(&self) -> Vec<(&str, &str)> {
        let place = |id: &str| self.queries.find(id).map(|i| self.queries.text(i as usize));
        self.qrels.iter().filter_map(|(id, _)| Some((id, place(id)?))).collect()
    }
}

/// What was seen: queries, and documents that were learnt to be irrelevant.
struct Seen {
    queries: Vec<u32>,
    negatives: Vec<u32>,
}

fn seen(job: &Job<'_>, queries: &TextStore) -> Result<(Seen, Option<Stores>), Failure> {
    if !job.has("data") {
        return Ok((Seen { queries: (0..queries.len() as u32).collect(), negatives: Vec::new() }, None));
    }
    let stores = Stores::open(job.path("corpus")?, job.path("queries")?)?;
    let pool = source::pool(job.arg("data"), job.arg("source"), &stores)?;
    let (mut asked, mut negative) = (vec![false; stores.queries.len()], vec![false; stores.corpus.len()]);
    pool.each(&mut |query, negatives| {
        asked[query as usize] = true;
        negatives.iter().for_each(|d| negative[*d as usize] = true);
    });
    Ok((Seen { queries: numbers(asked), negatives: numbers(negative) }, Some(stores)))
}

/// The places that are marked.
fn numbers(marks: Vec<bool>) -> Vec<u32> {
    (0u32..).zip(marks).filter(|(_, marked)| *marked).map(|(i, _)| i).collect()
}

/// A find: what was seen, and what it is of which test.
struct Find<'a> {
    kind: &'static str,
    seen: &'a str,
    test: &'a str,
    of: &'a str,
    share: f64,
}

pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
    let queries = TextStore::open(job.path("queries")?)?;
    let tests = job.arg("tests").as_list().unwrap_or_default().iter().map(Test::open);
    let tests = tests.collect::<Result<Vec<_>, Failure>>()?;
    let (seen, stores) = seen(job, &queries)?;
    let mut finds: Vec<Find<'_>> = Vec::new();
    for test in &tests {
        job.check_cancelled()?;
        let judged = test.judged();
        let mut equal: BTreeMap<[u8; 16], Vec<&str>> = BTreeMap::new();
        judged.iter().for_each(|(id, text)| equal.entry(fingerprint(text)).or_default().push(id));
        let alike = SimilarTexts::new(judged.iter().map(|(_, text)| *text), job.number("near")?);
        for (done, query) in seen.queries.iter().enumerate() {
            if done.is_multiple_of(1024) {
                job.check_cancelled()?;
                job.progress.progress(done as u64, seen.queries.len() as u64, "queries", &test.name);
            }
            let (id, text) = (queries.id(*query as usize), queries.text(*query as usize));
            let same = equal.get(&fingerprint(text)).map(Vec::as_slice).unwrap_or_default();
            let find = |kind, of, share| Find { kind, seen: id, test: &test.name, of, share };
            finds.extend(same.iter().map(|of| find(COUNTS[0], *of, 1.0)));
            for (place, share) in alike.find(text) {
                let of = judged[place as usize].0;
                if !same.contains(&of) {
                    finds.push(find(COUNTS[1], of, share));
                }
            }
        }
    }
    if let Some(stores) = &stores {
        negatives(job, &tests, &seen, stores, &mut finds)?;
    }
    write(job, &finds)?;
    let mut outcome = Outcome::default();
    for count in COUNTS {
        // Each query or document counts once, however many of a test it is like.
        let what: BTreeSet<&str> = finds.iter().filter(|f| f.kind == count).map(|f| f.seen).collect();
        outcome.values.insert(count.to_owned(), what.len() as f64);
        outcome.facts.insert(count.to_owned(), what.len().into());
    }
    let of =
        |test: &Test, count: &str| finds.iter().filter(|f| f.test == test.name && f.kind == count).count();
    let by_test = tests.iter().map(|t| {
        let counts: serde_json::Map<_, _> =
            COUNTS.iter().map(|c| ((*c).to_owned(), of(t, c).into())).collect();
        (t.name.clone(), counts.into())
    });
    outcome.facts.insert("by_test".into(), serde_json::Value::Object(by_test.collect()));
    outcome.facts.insert("queries".into(), seen.queries.len().into());
    outcome.facts.insert("negatives".into(), seen.negatives.len().into());
    Ok(outcome)
}

/// Documents that a test judges relevant among the negatives, by text.
fn negatives<'a>(
    job: &Job<'_>,
    tests: &'a [Test],
    seen: &Seen,
    stores: &'a Stores,
    finds: &mut Vec<Find<'a>>,
) -> Result<(), Failure> {
    let mut relevant: BTreeMap<[u8; 16], Vec<(usize, &'a str)>> = BTreeMap::new();
    for (t, test) in tests.iter().enumerate() {
        let graded = test.qrels.iter().flat_map(|(_, judged)| judged.iter());
        let ids: BTreeSet<&str> = graded.filter(|(_, g)| **g > 0).map(|(d, _)| d.as_str()).collect();
        for id in ids {
            if let Some(place) = test.corpus.find(id) {
                let text = test.corpus.text(place as usize);
                relevant.entry(fingerprint(text)).or_default().push((t, id));
            }
        }
    }
    for (done, document) in seen.negatives.iter().enumerate() {
        if done.is_multiple_of(4096) {
            job.check_cancelled()?;
            job.progress.progress(done as u64, seen.negatives.len() as u64, "documents", "negatives");
        }
        let (id, text) = (stores.corpus.id(*document as usize), stores.corpus.text(*document as usize));
        for (t, of) in relevant.get(&fingerprint(text)).into_iter().flatten() {
            finds.push(Find { kind: COUNTS[2], seen: id, test: &tests[*t].name, of, share: 1.0 });
        }
    }
    Ok(())
}

/// Each find as a line of `leaks.jsonl`, and as a row of the table that other measures have.
fn write(job: &Job<'_>, finds: &[Find<'_>]) -> Result<(), Failure> {
    std::fs::create_dir_all(&job.spec.out)?;
    let mut lines = BufWriter::new(std::fs::File::create(job.spec.out.join("leaks.jsonl"))?);
    let columns = [("query_id", Kind::Text), ("metric", Kind::Text), ("value", Kind::Double)];
    let mut table = TableWriter::create(&job.spec.out.join("metrics.parquet"), &columns)?;
    for f in finds {
        let line = json!({ "kind": f.kind, "seen": f.seen, "test": f.test, "of": f.of, "share": f.share });
        writeln!(lines, "{line}")?;
        table.row(&[Cell::Text(f.seen), Cell::Text(f.kind), Cell::Double(f.share)])?;
    }
    lines.flush()?;
    table.finish()
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{at, run};
    use xpipe_base::value::{Record, Value};
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::{Hit, Run, RunQuery};
    use xpipe_data::store_writer::TextStoreWriter;

    fn texts(folder: &std::path::Path, texts: &[(&str, &str)]) {
        let mut writer = TextStoreWriter::create(folder).unwrap();
        texts.iter().for_each(|(id, text)| writer.push(id, text, "f", 1).unwrap());
        writer.finish().unwrap();
    }

    fn judged(folder: &std::path::Path, rows: &[(&str, &str, i32)]) {
        let mut qrels = Qrels::new();
        for (query, document, grade) in rows {
            assert_eq!(qrels.insert(query, document, *grade), None);
        }
        qrels.write(folder).unwrap();
    }

    /// Writes a training collection with a run, and a test collection, into folders of these names.
    fn plant(path: &dyn Fn(&str) -> std::path::PathBuf) {
        texts(
            &path("queries"),
            &[
                ("1", "What is a heat pump?"),
                ("2", "how to bake rye bread at home"),
                ("3", "tides of the north sea"),
                ("4", "not trained on: how to bake bread"),
            ],
        );
        texts(
            &path("corpus"),
            &[("a", "A pump moves heat."), ("b", "Bread."), ("c", "The moon pulls."), ("d", "Salt")],
        );
        judged(&path("qrels"), &[("1", "a", 1), ("2", "b", 1), ("3", "d", 1)]);
        let hits = |docs: &[&str]| {
            docs.iter().zip(0u8..).map(|(d, i)| Hit { document: (*d).into(), score: -f32::from(i) }).collect()
        };
        let ranked = ["1", "2", "3"].map(|q| RunQuery::new(q, hits(&["a", "b", "c"])).unwrap());
        Run::new(ranked.into()).unwrap().write(&path("run")).unwrap();
        // Other ids; the unjudged query would be equal.
        texts(
            &path("test-queries"),
            &[
                ("t1", "what is a heat pump"),
                ("t2", "how to bake rye bread at"),
                ("t3", "tides of the north sea"),
            ],
        );
        texts(&path("test-corpus"), &[("x", "the MOON pulls"), ("y", "salt"), ("z", "bread")]);
        judged(&path("test-qrels"), &[("t1", "x", 2), ("t2", "y", 1), ("t2", "z", 0)]);
    }

    #[test]
    fn what_was_planted_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        plant(&path);
        let test = Value::Record(Record::of([
            ("corpus", at(path("test-corpus"))),
            ("queries", at(path("test-queries"))),
            ("qrels", at(path("test-qrels"))),
            ("name", Value::str("held")),
        ]));
        let source =
            Value::call("candidates", Record::of([("qrels", at(path("qrels"))), ("run", at(path("run")))]));
        let common = [("queries", at(path("queries"))), ("tests", Value::list(vec![test]))];
        let args = [&common[..], &[("data", source), ("corpus", at(path("corpus")))]].concat();
        let out = path("out");
        let outcome = run(&super::super::op(), &args, &out).unwrap();
        // Query 3 has no positive in the run, so nothing of it is drawn; `d` is its positive, `y` equals it.
        let counts: Vec<f64> = super::COUNTS.iter().map(|c| outcome.values[*c]).collect();
        assert_eq!(counts, [1.0, 1.0, 1.0]);
        let lines = std::fs::read_to_string(out.join("leaks.jsonl")).unwrap();
        let found: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let told: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|f| (f["kind"].as_str().unwrap(), f["seen"].as_str().unwrap(), f["of"].as_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [("equal_queries", "1", "t1"), ("near_queries", "2", "t2"), ("judged_negatives", "c", "x")]
        );
        // 6 of 7 words are common.
        assert!((found[1]["share"].as_f64().unwrap() - 6.0 / 7.0).abs() < 1e-12);
        assert_eq!(outcome.facts["by_test"]["held"]["near_queries"], 1);

        // Queries alone, as of a validation set: all of them are looked at.
        let outcome =
            run(&super::super::op(), &[&common[..], &[("near", Value::Float(1.0))]].concat(), &path("o2"))
                .unwrap();
        let counts: Vec<f64> = super::COUNTS.iter().map(|c| outcome.values[*c]).collect();
        assert_eq!(counts, [1.0, 0.0, 0.0]);
    }
}
