//! The measures against trec_eval's own outputs, against independent implementations, and by their properties.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Judgements = BTreeMap<String, BTreeMap<String, i32>>;
type Rankings = BTreeMap<String, Vec<(String, f32)>>;

/// Grades in trec_eval's order, and all judged grades, of one query.
fn query(qrels: &Judgements, run: &Rankings, id: &str, depth: usize) -> (Vec<Option<i32>>, Vec<i32>) {
    let judged = &qrels[id];
    let mut hits = run.get(id).cloned().unwrap_or_default();
    hits.sort_by(|(d, s), (e, t)| t.total_cmp(s).then(e.as_bytes().cmp(d.as_bytes())));
    hits.truncate(depth);
    let ranked = hits.iter().map(|(d, _)| judged.get(d).copied()).collect();
    (ranked, judged.values().copied().collect())
}

/// The measure of a name in ir-measures' form.
fn named(name: &str) -> Measure {
    let (head, k) = name.split_once('@').map_or((name, None), |(h, k)| (h, Some(k.parse().unwrap())));
    let (head, rel) =
        head.split_once("(rel=").map_or((head, 1), |(h, r)| (h, r.trim_end_matches(')').parse().unwrap()));
    let cut = k.unwrap_or(0);
    match head {
        "nDCG" => Measure::Ndcg { k },
        "RR" => Measure::Rr { k, rel },
        "AP" => Measure::Ap { k, rel },
        "P" => Measure::P { k: cut, rel },
        "R" => Measure::R { k: cut, rel },
        "Success" => Measure::Success { k: cut, rel },
        "Judged" => Measure::Judged { k: cut },
        other => panic!("{other}"),
    }
}

#[test]
fn equal_to_independent_implementations() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/data/metrics/cases.json")).unwrap();
    let qrels: Judgements = serde_json::from_value(cases["qrels"].clone()).unwrap();
    let run: BTreeMap<String, BTreeMap<String, f64>> = serde_json::from_value(cases["run"].clone()).unwrap();
    let run: Rankings = run
        .into_iter()
        .map(|(q, hits)| (q, hits.into_iter().map(|(d, s)| (d, s as f32)).collect()))
        .collect();
    let figures: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_value(cases["figures"].clone()).unwrap();
    assert!(figures.len() > 25);
    for (name, values) in &figures {
        let measure = named(name);
        assert_eq!(measure.to_string(), *name);
        assert_eq!(values.len(), qrels.len());
        for (id, expected) in values {
            let (ranked, judged) = query(&qrels, &run, id, usize::MAX);
            let got = measure.value(&ranked, &judged);
            assert!((got - expected).abs() < 1e-12, "{name} of {id}: {got}, expected {expected}");
        }
    }
}

fn read(qrels: &str, run: &str) -> (Judgements, Rankings) {
    let (mut q, mut r) = (Judgements::new(), Rankings::new());
    for f in qrels.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()) {
        q.entry(f[0].into()).or_default().insert(f[2].into(), f[3].parse().unwrap());
    }
    for f in run.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()) {
        r.entry(f[0].into()).or_default().push((f[2].into(), f[4].parse().unwrap()));
    }
    (q, r)
}

/// Our measure of a name of trec_eval.
fn trec_measure(name: &str, rel: i32) -> Option<Measure> {
    let (head, k) = name.rsplit_once('_').map_or((name, None), |(h, k)| match k.parse() {
        Ok(k) => (h, Some(k)),
        Err(_) => (name, None),
    });
    Some(match (head, k) {
        ("ndcg" | "ndcg_cut", k) => Measure::Ndcg { k },
        ("recip_rank", None) => Measure::Rr { k, rel },
        ("map" | "map_cut", k) => Measure::Ap { k, rel },
        ("P", Some(k)) => Measure::P { k, rel },
        ("recall", Some(k)) => Measure::R { k, rel },
        ("success", Some(k)) => Measure::Success { k, rel },
        _ => return None,
    })
}

#[test]
fn equal_to_trec_eval_to_all_printed_digits() {
    // Output, judgements, run, lowest relevant grade, depth; whether the mean is over all judged queries.
    let cases = [
        ("out.test", "qrels.test", "results.test", 1, usize::MAX, false),
        ("out.test.a", "qrels.test", "results.test", 1, usize::MAX, false),
        ("out.test.aq", "qrels.test", "results.test", 1, usize::MAX, false),
        ("out.test.aqc", "qrels.test", "results.trunc", 1, usize::MAX, true),
        ("out.test.aqcM", "qrels.test", "results.trunc", 1, 100, true),
        ("out.test.aql", "qrels.rel_level", "results.test", 2, usize::MAX, false),
        ("out.test.meas_params", "qrels.test", "results.test", 1, usize::MAX, false),
    ];
    let Some(folder) = xpipe_testing::shared("trec_eval/test") else { return };
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let mut compared = 0;
    for (out, qrels, run, rel, depth, complete) in cases {
        let (out_text, (qrels, run)) = (text(out), read(&text(qrels), &text(run)));
        for line in out_text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let Some(measure) = trec_measure(fields[0], rel) else { continue };
            let value = |id: &str| {
                let (ranked, judged) = query(&qrels, &run, id, depth);
                measure.value(&ranked, &judged)
            };
            let got = if fields[1] == "all" {
                let ids: Vec<&String> = qrels.keys().filter(|q| complete || run.contains_key(*q)).collect();
                ids.iter().map(|q| value(q)).sum::<f64>() / ids.len() as f64
            } else {
                value(fields[1])
            };
            assert_eq!(format!("{got:.4}"), fields[2], "{out}: {line}");
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn names_and_members() {
    let call = |name: &str, k: Option<i64>, rel: Option<i64>| {
        let fields = [("k", k), ("rel", rel)].map(|(n, v)| (n, v.map_or(Value::Null, Value::Int)));
        Measure::from_call(&Call { name: name.into(), args: Record::of(fields) })
    };
    let cases = [
        ("ndcg", Some(10), None, "nDCG@10", "ndcg_10"),
        ("ndcg", None, None, "nDCG", "ndcg"),
        ("rr", Some(10), None, "RR@10", "rr_10"),
        ("mrr", Some(10), Some(1), "RR@10", "rr_10"),
        ("ap", None, None, "AP", "ap"),
        ("p", Some(5), Some(2), "P(rel=2)@5", "p_5_rel2"),
        ("recall", Some(100), None, "R@100", "recall_100"),
        ("success", Some(5), None, "Success@5", "success_5"),
        ("judged", Some(10), None, "Judged@10", "judged_10"),
    ];
    for (name, k, rel, printed, member) in cases {
        let measure = call(name, k, rel).unwrap();
        assert_eq!((measure.to_string().as_str(), measure.member().as_str()), (printed, member));
    }
    assert!(call("p", None, None).unwrap_err().message.contains("no cut-off"));
    assert!(call("p", Some(0), None).unwrap_err().message.contains("cut-off 0"));
    assert!(call("rr", Some(1), Some(0)).unwrap_err().message.contains("grade 0"));
    assert!(call("dcg", Some(1), None).unwrap_err().message.contains("not a measure"));
}

fn any_measure() -> impl Strategy<Value = Measure> {
    let k = prop::option::of(1usize..12);
    (0..7, k, 1..12usize, 1..3i32).prop_map(|(which, some, k, rel)| match which {
        0 => Measure::Ndcg { k: some },
        1 => Measure::Rr { k: some, rel },
        2 => Measure::Ap { k: some, rel },
        3 => Measure::P { k, rel },
        4 => Measure::R { k, rel },
        5 => Measure::Success { k, rel },
        _ => Measure::Judged { k },
    })
}

/// A ranking of judged and unjudged documents, and grades that were not retrieved.
fn any_query() -> impl Strategy<Value = (Vec<Option<i32>>, Vec<i32>)> {
    let ranked = prop::collection::vec(prop::option::of(-2..4i32), 0..20);
    (ranked, prop::collection::vec(-2..4i32, 0..10)).prop_map(|(ranked, rest)| {
        let judged = ranked.iter().flatten().copied().chain(rest).collect();
        (ranked, judged)
    })
}

proptest! {
    #[test]
    fn values_lie_between_0_and_1(measure in any_measure(), (ranked, judged) in any_query()) {
        let value = measure.value(&ranked, &judged);
        prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{value}");
    }

    #[test]
    fn the_ideal_ranking_is_1(k in prop::option::of(1usize..12), (_, mut judged) in any_query()) {
        judged.push(3);
        judged.sort_unstable_by(|a, b| b.cmp(a));
        let ranked: Vec<Option<i32>> = judged.iter().copied().map(Some).collect();
        for measure in [Measure::Ndcg { k }, Measure::Rr { k, rel: 1 }, Measure::Ap { k: None, rel: 1 }] {
            prop_assert!((measure.value(&ranked, &judged) - 1.0).abs() < 1e-12, "{measure}");
        }
    }

    #[test]
    fn what_is_below_the_cut_off_does_not_matter(
        measure in any_measure(), (ranked, judged) in any_query(), turn in 0..20usize,
    ) {
        let mut other = ranked.clone();
        if let Some(tail) = measure.cutoff().and_then(|k| other.get_mut(k..)).filter(|t| !t.is_empty()) {
            tail.reverse();
            tail.rotate_left(turn % tail.len());
        } else if measure.cutoff().is_some() {
            return Ok(());
        }
        if measure.cutoff().is_some() {
            prop_assert_eq!(measure.value(&ranked, &judged).to_bits(), measure.value(&other, &judged).to_bits());
        }
    }

    #[test]
    fn a_better_document_higher_up_never_hurts(measure in any_measure(), (ranked, judged) in any_query(), at in 0..20usize) {
        if at + 1 < ranked.len() {
            let grade = |i: usize| ranked[i].unwrap_or(-9);
            let mut other = ranked.clone();
            if grade(at + 1) > grade(at) {
                other.swap(at, at + 1);
            }
            prop_assert!(measure.value(&other, &judged) >= measure.value(&ranked, &judged) - 1e-12);
        }
    }
}

#[test]
fn names_of_measures_are_read_back() {
    for (member, printed) in [
        ("ndcg_10", "nDCG@10"),
        ("ndcg", "nDCG"),
        ("ap", "AP"),
        ("ap_rel2", "AP(rel=2)"),
        ("p_5_rel2", "P(rel=2)@5"),
        ("recall_100", "R@100"),
        ("rr_10", "RR@10"),
        ("success_5", "Success@5"),
        ("judged_10", "Judged@10"),
    ] {
        assert_eq!(Measure::from_member(member).unwrap().to_string(), printed);
    }
    for bad in ["", "ndcg_", "ndcg_x", "ndcg_0", "mrr_10", "p", "ndcg_10_10", "ap_rel1", "p_05"] {
        assert_eq!(Measure::from_member(bad), None, "{bad}");
    }
}
