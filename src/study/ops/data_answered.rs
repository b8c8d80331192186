//! `data.answered`: the queries of a collection that are judged, or whose answer a run finds.

use super::compatibility;
use xpipe_base::value::Record;
use xpipe_lang::types::op::{Facts, Issue};
use xpipe_lang::types::{Op, QueryCount};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "data.answered",
        VERSION,
        "Queries",
        "Keeps the queries that have a relevant document in the judgements; with `run`, only those that have one in \
         its first `depth` ranks. A re-ranker cannot improve the others.",
    )
    .counts(&["queries"])
    .query_count(QueryCount::AtMost("queries"))
    .needs("queries", "Queries", "The queries to select from; their order is kept.")
    .needs("qrels", "Qrels", "The judgements; grades ≥ 1 are relevant.")
    .optional("run", "Run", "A run that must retrieve a relevant document. Default: no such condition.")
    .optional("depth", "Int", "Number of ranks of the run to consider (≥ 1). Default: all.")
    .checks(check)
    .runs(run::run)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    compatibility::at_least(args, "depth", 1).into_iter().collect()
}

mod run {
    use std::collections::BTreeSet;

    use super::super::models;
    use super::super::outcome::counted;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::RunReader;
    use xpipe_data::store::TextStore;
    use xpipe_data::store_writer::TextStoreWriter;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let (queries, qrels) = (TextStore::open(job.path("queries")?)?, Qrels::read(job.path("qrels")?)?);
        let relevant = |query: &str, document: &str| qrels.grade(query, document).is_some_and(|g| g > 0);
        let found: Option<BTreeSet<String>> = if job.has("run") {
            let (mut reader, depth) = (RunReader::open(job.path("run")?)?, models::depth(job));
            let mut found = BTreeSet::new();
            while let Some(query) = reader.query()? {
                if query.hits.iter().take(depth).any(|h| relevant(&query.id, &h.document)) {
                    found.insert(query.id);
                }
            }
            Some(found)
        } else {
            None
        };
        let answered = |id: &str| match &found {
            Some(found) => found.contains(id),
            None => qrels.get(id).is_some_and(|judged| judged.values().any(|g| *g > 0)),
        };
        let source = job.located("queries")?.label.clone();
        let mut writer = TextStoreWriter::create(&job.spec.out)?;
        let mut kept = 0;
        for (i, (id, text)) in queries.iter().enumerate() {
            if answered(id) {
                writer.push(id, text, &source, i as u64 + 1)?;
                kept += 1;
            }
        }
        if kept == 0 {
            return Err(Failure::wrong(format!(
                "none of the {} is answered",
                xpipe_base::value::human::counted(queries.len(), "queries")
            ))
            .help("are the judgements and the run of these queries, and is the run deep enough?"));
        }
        writer.finish()?;
        Ok(counted([("queries", kept), ("of", queries.len() as u64)]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, run};
    use xpipe_base::value::Value;
    use xpipe_data::qrels::Qrels;
    use xpipe_data::run::{Hit, Run, RunQuery};
    use xpipe_data::store::TextStore;
    use xpipe_data::store_writer::TextStoreWriter;

    #[test]
    fn queries_with_an_answer_are_kept_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut writer = TextStoreWriter::create(&path("queries")).unwrap();
        for id in ["q3", "q1", "q2", "q4"] {
            writer.push(id, "text", "f", 1).unwrap();
        }
        writer.finish().unwrap();
        let mut qrels = Qrels::new();
        for (query, document, grade) in [("q1", "a", 1), ("q2", "b", 0), ("q3", "c", 2)] {
            assert_eq!(qrels.insert(query, document, grade), None);
        }
        qrels.write(&path("qrels")).unwrap();
        let ranked = |query: &str, documents: &[&str]| {
            let hits =
                documents.iter().enumerate().map(|(i, d)| Hit { document: (*d).into(), score: -(i as f32) });
            RunQuery::new(query, hits.collect()).unwrap()
        };
        let ranking = vec![ranked("q1", &["a", "b"]), ranked("q2", &["b"]), ranked("q3", &["a", "c"])];
        Run::new(ranking).unwrap().write(&path("run")).unwrap();
        let with = |out: &str, more: &[(&'static str, Value)]| {
            let mut args = vec![("queries", at(path("queries"))), ("qrels", at(path("qrels")))];
            args.extend(more.iter().cloned());
            run(&super::op(), &args, &path(out)).map(|_| {
                let store = TextStore::open(&path(out)).unwrap();
                (0..store.len()).map(|i| store.id(i).to_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(with("judged", &[]).unwrap(), ["q3", "q1"]);
        let deep = [("run", at(path("run")))];
        assert_eq!(with("deep", &deep).unwrap(), ["q3", "q1"]);
        let first = [("run", at(path("run"))), ("depth", Value::Int(1))];
        assert_eq!(with("first", &first).unwrap(), ["q1"]);
        let mut other = Qrels::new();
        other.insert("q4", "z", 1);
        other.write(&path("qrels")).unwrap();
        assert!(with("none", &deep).unwrap_err().message.contains("none of the 4 queries"));
    }
}
