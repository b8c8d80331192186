//! `data.sample`, also called `sample`: some of a collection's queries.

use xpipe_lang::types::{Op, QueryCount};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    named("data.sample")
}

/// The name that studies usually write.
pub(crate) fn short() -> Op {
    named("sample")
}

fn named(name: &'static str) -> Op {
    Op::stage(
        name,
        VERSION,
        "Queries",
        "Draws queries uniformly at random, without replacement; their order is kept.",
    )
    .counts(&["queries"])
    .query_count(QueryCount::Exactly("n"))
    .needs("queries", "Queries", "The queries to draw from.")
    .needs("n", "Int", "Sample size (≥ 1, at most the number of queries).")
    .random()
    .runs(run::run)
}

mod run {
    use super::super::outcome::counted;
    use xpipe_base::task::{Failure, Job, Outcome};
    use xpipe_base::value::rng::{Permutation, Stream};
    use xpipe_data::store::TextStore;
    use xpipe_data::store_writer::TextStoreWriter;

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let queries = TextStore::open(job.path("queries")?)?;
        let n = job.count("n")?;
        if n == 0 || n > queries.len() {
            let found =
                format!("sample: found n = {n}, expected 1 to {}, the number of queries", queries.len());
            return Err(Failure::wrong(found).help("ask for fewer, or leave the sample out to take all"));
        }
        let order = Permutation::new(Stream::new(job.seed()?, &["data.sample"]), queries.len() as u64);
        let mut drawn: Vec<usize> = (0..n as u64).map(|i| order.at(i) as usize).collect();
        drawn.sort_unstable();
        let source = job.located("queries")?.label.clone();
        let mut writer = TextStoreWriter::create(&job.spec.out)?;
        for i in drawn {
            writer.push(queries.id(i), queries.text(i), &source, i as u64 + 1)?;
        }
        writer.finish()?;
        Ok(counted([("queries", n as u64), ("of", queries.len() as u64)]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, run};
    use xpipe_base::value::Value;
    use xpipe_data::store::TextStore;
    use xpipe_data::store_writer::TextStoreWriter;

    #[test]
    fn a_sample_is_seeded_and_ordered() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().join("all");
        let mut writer = TextStoreWriter::create(&all).unwrap();
        for i in 0..100 {
            writer.push(&format!("q{i}"), &format!("text {i}"), "f", i).unwrap();
        }
        writer.finish().unwrap();
        let draw = |n: i64, seed: i64, name: &str| {
            let out = dir.path().join(name);
            let args = [("queries", at(&all)), ("n", Value::Int(n)), ("seed", Value::Int(seed))];
            run(&super::op(), &args, &out).map(|_| {
                let store = TextStore::open(&out).unwrap();
                (0..store.len()).map(|i| store.text(i).to_owned()).collect::<Vec<_>>()
            })
        };
        let number = |text: &String| text[5..].parse::<u32>().unwrap();
        let first = draw(10, 1, "a").unwrap();
        assert_eq!(first.len(), 10);
        assert!(first.windows(2).all(|w| number(&w[0]) < number(&w[1])));
        assert_eq!(first, draw(10, 1, "b").unwrap());
        assert_ne!(first, draw(10, 2, "c").unwrap());
        // A larger sample of the same seed holds the smaller one.
        let more = draw(20, 1, "d").unwrap();
        assert!(first.iter().all(|t| more.contains(t)));
        assert_eq!(draw(100, 1, "e").unwrap().len(), 100);
        assert!(draw(101, 1, "f").unwrap_err().message.contains("found n = 101, expected 1 to 100"));
        assert!(draw(0, 1, "g").is_err());
    }
}
