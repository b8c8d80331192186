//! `score.mean`: the mean of several teachers' scores.

use xpipe_base::diag::Code;
use xpipe_base::value::{Record, Value};
use xpipe_lang::types::Op;
use xpipe_lang::types::op::{Facts, Issue};

const VERSION: u32 = 1;

pub(crate) fn op() -> Op {
    Op::stage(
        "score.mean",
        VERSION,
        "Scores",
        "The mean of several teachers' scores of the same pairs. `min_max` first maps each teacher's scores of a query \
         to [0, 1] (if all are equal: to 0).",
    )
    .counts(&["pairs"])
    .example("score.mean { scores = [teacher, second_teacher] }")
    .needs("scores", "List<Scores>", "The scores of each teacher (≥ 1), all of the same pairs.")
    .takes("normalise", "'raw' | 'min_max'", Value::str("raw"), "Score normalisation per query: none, or to [0, 1].")
    .checks(check)
    .runs(run::run)
}

fn check(args: &Record, _: &dyn Facts) -> Vec<Issue> {
    if args.get("scores").and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
        let help = "give at least one stage of scores";
        return vec![super::compatibility::issue(
            Code::OutOfRange,
            "scores",
            "there are no scores to average",
            help,
        )];
    }
    Vec::new()
}

mod run {
    use indexmap::IndexMap;
    use serde_json::json;

    use xpipe_base::task::{Failure, Job, Outcome, located};
    use xpipe_base::value::Value;
    use xpipe_data::scores::{Scores, ScoresWriter};

    pub(super) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        let teachers = match job.arg("scores") {
            Value::List(list) => list.iter().collect(),
            one => vec![one],
        };
        let mut tables = Vec::new();
        for teacher in teachers {
            let found = located(teacher).ok_or_else(|| Failure::bug(format!("{teacher:?} is not scores")))?;
            tables.push((found.label.as_str(), Scores::read(&found.path)?));
        }
        let mean = mean(&tables, job.text("normalise")? == "min_max")?;
        let mut writer = ScoresWriter::create(&job.spec.out)?;
        for (query, document, score) in &mean {
            writer.push(query, document, *score)?;
        }
        writer.finish()?;
        let mut outcome = Outcome::default();
        outcome.facts.insert("pairs".into(), json!(mean.len()));
        outcome.facts.insert("teachers".into(), json!(tables.len()));
        Ok(outcome)
    }

    /// The mean, in the order of the first table.
    fn mean(tables: &[(&str, Scores)], min_max: bool) -> Result<Vec<(String, String, f32)>, Failure> {
        let Some((first_label, first)) = tables.first() else {
            return Err(Failure::wrong("the mean of no scores"));
        };
        for (label, table) in tables {
            // Either may have a pair that the other lacks.
            for ((a, x), (b, y)) in
                [((label, table), (first_label, first)), ((first_label, first), (label, table))]
            {
                if let Some((query, document)) = missing(x, y) {
                    let message = format!(
                        "{b} has no score of query `{query}`, document `{document}`, and {a} has one"
                    );
                    return Err(Failure::wrong(message).help("score the same pairs with each teacher"));
                }
            }
        }
        let mut rows = Vec::with_capacity(first.pairs());
        for (query, documents) in first.iter() {
            let teachers: Vec<(&IndexMap<String, f32>, f64, f64)> = tables
                .iter()
                .filter_map(|(_, table)| table.get(query))
                .map(|scores| {
                    let (shift, scale) = if min_max { range(scores) } else { (0.0, 1.0) };
                    (scores, shift, scale)
                })
                .collect();
            for document in documents.keys() {
                let of = teachers.iter().map(|(s, shift, scale)| (f64::from(s[document]) - shift) * scale);
                let mean = of.sum::<f64>() / tables.len() as f64;
                rows.push((query.to_owned(), document.clone(), mean as f32));
            }
        }
        Ok(rows)
    }

    /// The first pair of `a` that `b` lacks.
    fn missing<'a>(a: &'a Scores, b: &Scores) -> Option<(&'a str, &'a str)> {
        a.iter().find_map(|(query, documents)| {
            let other = b.get(query);
            let lacking = documents.keys().find(|d| other.is_none_or(|o| !o.contains_key(*d)));
            lacking.map(|d| (query, d.as_str()))
        })
    }

    /// The least score, and one over the distance to the largest (0 when all are equal).
    fn range(scores: &IndexMap<String, f32>) -> (f64, f64) {
        let least = scores.values().copied().fold(f32::INFINITY, f32::min);
        let most = scores.values().copied().fold(f32::NEG_INFINITY, f32::max);
        let distance = f64::from(most) - f64::from(least);
        (f64::from(least), if distance > 0.0 { 1.0 / distance } else { 0.0 })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn table(rows: &[(&str, &str, f32)]) -> Scores {
            let mut scores = Scores::new();
            for (query, document, score) in rows {
                assert_eq!(scores.insert(query, document, *score), None);
            }
            scores
        }

        #[test]
        fn raw_and_min_max_means() {
            let a = table(&[("q", "x", 1.0), ("q", "y", 3.0), ("q", "z", 2.0), ("p", "x", 5.0)]);
            let b = table(&[("p", "x", 7.0), ("q", "x", -4.0), ("q", "y", 4.0), ("q", "z", 4.0)]);
            let tables = [("a", a), ("b", b)];
            let scores =
                |min_max| mean(&tables, min_max).unwrap().into_iter().map(|r| r.2).collect::<Vec<_>>();
            assert_eq!(scores(false), [-1.5, 3.5, 3.0, 6.0]);
            assert_eq!(scores(true), [0.0, 1.0, 0.75, 0.0]);
        }

        #[test]
        fn a_pair_missing_on_either_side_is_named() {
            let a = table(&[("q", "x", 1.0), ("q", "y", 3.0)]);
            let b = table(&[("q", "x", 1.0)]);
            for tables in [[("a", a.clone()), ("b", b.clone())], [("b", b), ("a", a)]] {
                let failure = mean(&tables, false).unwrap_err();
                assert!(
                    failure.message.contains("b has no score of query `q`, document `y`, and a has one"),
                    "{failure}"
                );
            }
        }
    }
}
