//! `data.judged`: the judgements of some queries.

use xpipe_lang::types::Op;

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "data.judged",
        VERSION,
        "Qrels",
        "Keeps the judgements of the given queries, so that an evaluation covers only these.",
    )
    .counts(&["queries"])
    .needs("qrels", "Qrels", "The judgements.")
    .needs("queries", "Queries", "The queries whose judgements are kept.")
    .runs(run::run)
}

mod run {
    use super::super::outcome::counted;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_data::qrels::Qrels;
    use xpipe_data::store::TextStore;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let (queries, qrels) = (TextStore::open(job.path("queries")?)?, Qrels::read(job.path("qrels")?)?);
        let mut kept = Qrels::new();
        for (query, judged) in qrels.iter().filter(|(query, _)| queries.find(query).is_some()) {
            for (document, grade) in judged {
                kept.insert(query, document, *grade);
            }
        }
        if kept.is_empty() {
            return Err(Failure::wrong("none of the queries is judged")
                .help("give qrels and queries of one collection"));
        }
        kept.write(&job.spec.out)?;
        Ok(counted([("queries", kept.len() as u64), ("of", qrels.len() as u64)]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, run};
    use xpipe_data::qrels::Qrels;
    use xpipe_data::store_writer::TextStoreWriter;

    #[test]
    fn judgements_of_other_queries_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut writer = TextStoreWriter::create(&path("queries")).unwrap();
        ["q2", "q9"].iter().for_each(|id| writer.push(id, "text", "f", 1).unwrap());
        writer.finish().unwrap();
        let mut qrels = Qrels::new();
        for (query, document, grade) in [("q1", "a", 1), ("q2", "b", 0), ("q2", "c", 2)] {
            qrels.insert(query, document, grade);
        }
        qrels.write(&path("qrels")).unwrap();
        let args = [("qrels", at(path("qrels"))), ("queries", at(path("queries")))];
        let outcome = run(&super::op(), &args, &path("out")).unwrap();
        assert_eq!((&outcome.facts["queries"], &outcome.facts["of"]), (&1.into(), &2.into()));
        let kept = Qrels::read(&path("out")).unwrap();
        assert_eq!(
            (kept.grade("q1", "a"), kept.grade("q2", "b"), kept.grade("q2", "c")),
            (None, Some(0), Some(2))
        );
    }
}
