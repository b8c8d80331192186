use super::super::{Sign, TestOutcome};
use super::*;
use crate::ir::correction::Correction;

/// A reference and cells that differ from it by the differences given, one collection, one seed.
fn row(s: &mut Study, qrels: ActionId, differences: &[&[f64]]) -> Vec<Option<Value>> {
    let n = differences.iter().map(|d| d.len()).max().unwrap();
    let base: Vec<f64> = (0..n).map(|i| 0.25 + 0.5 * (i % 3) as f64).collect();
    let mut row = vec![Some(s.evaluation("scores[infonce]", qrels, &base))];
    for (i, d) in differences.iter().enumerate() {
        let values: Vec<f64> = d.iter().zip(&base).map(|(d, b)| b + d).collect();
        row.push(Some(s.evaluation(&format!("scores[other{i}]"), qrels, &values)));
    }
    row
}

#[test]
fn equal_to_scipy_with_holm_over_the_whole_table() {
    let figures: Vec<Figure> = figures().into_iter().filter(|f| f.differences.len() >= 43).take(4).collect();
    let mut s = Study::default();
    // Each row has its own collection, since figures differ in length: two rows of two comparisons.
    let mut values = Vec::new();
    for f in &figures {
        let q = s.qrels("qrels");
        values.push(row(&mut s, q, &[&f.differences]));
    }
    let mut t = table(&["a", "b", "c", "d"], &["infonce", "bce"], values);
    t.test = Some(against("objective", "infonce"));
    let filled = s.fill(&t);
    let ps: Vec<Option<f64>> = figures.iter().map(|f| Some(f.p)).collect();
    let holm = Correction::Holm.adjust(&ps);
    for ((f, row), holm) in figures.iter().zip(&filled.cells).zip(holm) {
        assert!(row[0].reference && row[0].test.is_none() && !row[1].reference);
        let t = row[1].test.unwrap();
        assert_eq!(t.n, f.differences.len());
        near(t.p, f.p, 1e-9);
        near(t.p_adjusted, holm.unwrap(), 1e-9);
        near(t.effect.unwrap(), f.effect, 1e-9);
        near(t.low, f.low, 1e-9);
        near(t.high, f.high, 1e-9);
        assert_eq!(t.significant, holm.unwrap() <= 0.05);
    }
    let significant = filled.cells.iter().filter(|r| r[1].test.unwrap().significant).count();
    assert!(significant > 0 && significant < 4, "{significant}");
    let units = figures.iter().map(|f| f.differences.len());
    let units = (units.clone().min().unwrap(), units.max().unwrap());
    assert_eq!(filled.test, Some(TestOutcome::Evaluated { family: 4, units, collections: 4 }));
}

#[test]
fn seeds_are_averaged_first_and_collections_keep_their_queries() {
    let f = &figures()[3];
    let n = f.differences.len();
    let (first, second) = f.differences.split_at(8);
    let mut s = Study::default();
    let (dl19, dl20) = (s.qrels("dl19.qrels"), s.qrels("dl20.qrels"));
    let base = vec![0.5; n];
    let mut cells = |differences: [&[f64]; 2], noise: f64| {
        let mut seeds = Vec::new();
        for seed in [-1.0, 1.0] {
            // Noise of the seeds cancels in their mean.
            let of = |d: &[f64]| -> Vec<f64> { d.iter().map(|d| 0.5 + d + seed * noise).collect() };
            let a = s.evaluation("scores[a]", dl19, &of(differences[0]));
            let b = s.evaluation("scores[b]", dl20, &of(differences[1]));
            seeds.push(mean("eval", &[a, b]));
        }
        Some(mean("seed", &seeds))
    };
    let zero = [&base[..8], &base[8..]].map(|b| b.iter().map(|x| x - 0.5).collect::<Vec<_>>());
    let reference = cells([&zero[0], &zero[1]], 0.1);
    let other = cells([first, second], 0.3);
    let mut t = table(&["infonce", "bce"], &["dl"], vec![vec![reference], vec![other]]);
    // The reference may be a row too.
    t.test = Some(against("backbone", "infonce"));
    let filled = s.fill(&t);
    let test = filled.cells[1][0].test.unwrap();
    assert_eq!(test.n, n);
    near(test.p, f.p, 1e-9);
    near(test.p_adjusted, f.p, 1e-9);
    near(test.difference, f.differences.iter().sum::<f64>() / n as f64, 1e-12);
    assert_eq!(filled.test, Some(TestOutcome::Evaluated { family: 1, units: (20, 20), collections: 2 }));
    let legend = filled.notes.iter().find(|n| n.sign == Sign::Differs).unwrap();
    assert_eq!(
        legend.text,
        "differs from `infonce`: paired t-test over queries, Holm over 1 cell, alpha 0.05, \
         n = 20 queries of 2 collections"
    );
}

#[test]
fn effects_have_their_intervals_and_lose_their_bias() {
    #[derive(serde::Deserialize)]
    struct Effect {
        n: usize,
        d: f64,
        hedges: f64,
        low: f64,
        high: f64,
    }
    let figures: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/data/significance/power.json")).unwrap();
    let effects: Vec<Effect> = serde_json::from_value(figures["effects"].clone()).unwrap();
    let e = effects.iter().find(|e| e.n == 12).unwrap();
    // Differences with the wanted effect: ±1 around it, in their own deviations.
    let mut differences: Vec<f64> = (0..e.n).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let sd = (e.n as f64 / (e.n as f64 - 1.0)).sqrt();
    differences.iter_mut().for_each(|x| *x = *x / sd + e.d);
    let mut s = Study::default();
    let q = s.qrels("q");
    let all = row(&mut s, q, &[&differences]);
    let mut t = table(&["bert"], &["infonce", "a"], vec![all]);
    t.test = Some(against("objective", "infonce"));
    let test = s.fill(&t).cells[0][1].test.unwrap();
    near(test.sd, 1.0, 1e-9);
    near(test.effect.unwrap(), e.d, 1e-9);
    near(test.hedges.unwrap(), e.hedges, 1e-9);
    let (low, high) = test.effect_interval.unwrap();
    near(low, e.low, 1e-6);
    near(high, e.high, 1e-6);
}

#[test]
fn what_a_test_can_find_is_told_before_and_with_results() {
    use super::super::detectable;
    let mut s = Study::default();
    let q = s.qrels("q");
    let cells: Vec<Option<Value>> = ["a", "b", "c"].iter().map(|n| Some(s.unfinished(n, q))).collect();
    let mut t = table(&["a", "b", "c"], &["value"], cells.into_iter().map(|c| vec![c]).collect());
    t.measure = "ndcg_10".into();
    assert_eq!(detectable(&t, &s.graph, &s.results), None, "no test");
    t.test = Some(TestSpec { correct: "none".into(), ..against("backbone", "a") });
    assert_eq!(detectable(&t, &s.graph, &s.results), None, "how many queries there are is not known");
    s.results.facts.insert(q.0, serde_json::json!({ "queries": 20 }));
    let found = detectable(&t, &s.graph, &s.results).unwrap();
    assert_eq!((found.queries, found.comparisons, found.sd), (20, 2, None));
    // statsmodels: TTestPower().solve_power(None, 20, 0.05, 0.8)
    near(found.effect, 0.660_441_654_438, 1e-6);
    assert_eq!(
        found.to_string(),
        "dl: 20 queries find a difference of 0.66 standard deviations with a chance of 80 %, in a t-test at 0.05; \
         how large the deviation is, results will tell"
    );
    // With results: their queries, their deviation, the level divided by the comparisons.
    let mut with = Study::default();
    let q = with.qrels("q");
    let f = &figures()[3].differences;
    let columns = row(&mut with, q, &[f, f]);
    t.values = columns.into_iter().map(|c| vec![c]).collect();
    t.test = Some(against("backbone", "a"));
    let found = detectable(&t, &with.graph, &with.results).unwrap();
    assert!(found.divided && found.effect > 0.6604);
    let sd = with.fill(&t).cells[1][0].test.unwrap().sd;
    near(found.sd.unwrap(), sd, 1e-12);
    assert!(found.to_string().contains("at 0.05 divided by 2 comparisons; 0."), "{found}");
}

#[test]
fn weights_of_nested_means_are_kept() {
    let mut s = Study::default();
    let q = s.qrels("q");
    let x = s.evaluation("x", q, &[0.0, 0.0, 0.0]);
    let a = s.evaluation("a", q, &[0.1, 0.2, 0.3]);
    let b = s.evaluation("b", q, &[0.3, 0.4, 0.9]);
    let c = s.evaluation("c", q, &[0.5, 0.8, 0.1]);
    // mean(mean(a, b), c): weights 1/4, 1/4, 1/2
    let value = mean("y", &[mean("z", &[a, b]), c]);
    let mut t = table(&["r"], &["x", "v"], vec![vec![Some(x), Some(value)]]);
    t.test = Some(against("objective", "x"));
    let f = s.fill(&t);
    let by_hand: f64 = [0.35, 0.55, 0.35].iter().sum::<f64>() / 3.0;
    near(f.cells[0][1].test.unwrap().difference, by_hand, 1e-12);
    near(f.cells[0][1].number().unwrap(), by_hand, 1e-12);
}

#[test]
fn missing_cells_leave_the_family() {
    let f = &figures()[3].differences;
    let other = &figures()[2].differences;
    let mut s = Study::default();
    let q = s.qrels("q");
    let mut all = row(&mut s, q, &[f, other]);
    let open = s.unfinished("scores[open]", q);
    all.push(Some(open));
    all.push(None);
    let mut t = table(&["bert"], &["infonce", "a", "b", "open", "cut"], vec![all]);
    t.test = Some(TestSpec { correct: "bonferroni".into(), ..against("objective", "infonce") });
    let filled = s.fill(&t);
    let tests: Vec<_> = filled.cells[0].iter().map(|c| c.test).collect();
    assert!(tests[0].is_none() && tests[3].is_none() && tests[4].is_none());
    let a = tests[1].unwrap();
    near(a.p_adjusted, (2.0 * a.p).min(1.0), 1e-12);
    assert!(matches!(filled.test, Some(TestOutcome::Evaluated { family: 2, .. })));
    // The second figure has 12 queries, the reference 20.
    let remark = filled.notes.iter().find(|n| n.sign == Sign::Remark).unwrap();
    assert_eq!(remark.text, "(bert, b): compared on 12 of 20 queries, those in both");
    assert_eq!(tests[2].unwrap().n, 12);
}

#[test]
fn a_reference_that_is_missing_is_told() {
    let f = &figures()[3].differences;
    let mut s = Study::default();
    let q = s.qrels("q");
    let mut all = row(&mut s, q, &[f]);
    let mut t = table(&["bert"], &["infonce", "a"], vec![all.clone()]);
    t.columns.1 = names(&["was", "a"]);
    t.test = Some(against("objective", "infonce"));
    let reason = |s: &Study, t: &Table| match s.fill(t).test {
        Some(TestOutcome::NotEvaluated { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&s, &t), "`infonce` was cut away from `objective`");
    let filled = s.fill(&t);
    let told = "the test against `infonce` is not evaluated: `infonce` was cut away from `objective`";
    assert!(filled.notes.iter().any(|n| n.text == told));
    assert!(filled.cells[0].iter().all(|c| c.test.is_none() && !c.reference));

    t.test = Some(against("eval", "dl19"));
    assert_eq!(reason(&s, &t), "`eval` is neither the rows nor the columns of the table");

    // The reference's cell itself has no result.
    let open = s.unfinished("scores[open]", q);
    all[0] = Some(open);
    let mut t = table(&["bert"], &["infonce", "a"], vec![all]);
    t.test = Some(against("objective", "infonce"));
    assert_eq!(reason(&s, &t), "no cell can be compared with it");
    let texts: Vec<String> = s.fill(&t).notes.into_iter().map(|n| n.text).collect();
    assert!(texts.contains(&"(bert, a): not tested: its reference is missing".to_owned()), "{texts:?}");
}

#[test]
fn what_is_no_mean_over_queries_is_not_tested_and_told() {
    let f = &figures()[3].differences;
    let mut s = Study::default();
    let q = s.qrels("q");
    let mut all = row(&mut s, q, &[f]);
    let worst = reduce(Reduction::Min, "seed", &[all[1].clone().unwrap()]);
    let strange = s.action("exec", "odd", Record::default());
    s.results.numbers.insert((strange.0, "ndcg_10".into()), 0.4);
    let bare = s.unfinished("scores[bare]", q);
    let number = s.graph.actions.len() as u32 - 1;
    s.results.numbers.insert((number, "ndcg_10".into()), 0.4);
    all.extend([Some(worst), Some(Value::Float(0.5)), Some(metric(strange, "ndcg_10")), Some(bare)]);
    let mut t = table(&["bert"], &["infonce", "a", "min", "given", "odd", "bare"], vec![all]);
    t.test = Some(against("objective", "infonce"));
    let filled = s.fill(&t);
    assert!(matches!(filled.test, Some(TestOutcome::Evaluated { family: 1, .. })));
    assert!(filled.cells[0][1].test.is_some() && filled.cells[0][2..].iter().all(|c| c.test.is_none()));
    let texts: Vec<&str> =
        filled.notes.iter().filter(|n| n.sign == Sign::Remark).map(|n| n.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "(bert, min) (bert, given): not tested: the value is not a plain mean of numbers of evaluations",
            "(bert, odd): not tested: `odd` does not say which qrels it measures with",
            "(bert, bare): not tested: `scores[bare]` has no values for each query",
        ]
    );
}

#[test]
fn resampling_tests_are_seeded_and_near_scipys() {
    let figures = figures();
    let f = &figures[5];
    let mut s = Study::default();
    let q = s.qrels("q");
    let all = row(&mut s, q, &[&f.differences]);
    let p = |kind: &str, seed| {
        let mut t = table(&["bert"], &["infonce", "a"], vec![all.clone()]);
        t.test = Some(TestSpec { kind: kind.into(), draws: 5_000, seed, ..against("objective", "infonce") });
        s.fill(&t).cells[0][1].test.unwrap().p
    };
    for (kind, expected) in [("randomisation", f.randomisation), ("bootstrap", f.bootstrap)] {
        let error = 5.0 * (expected * (1.0 - expected) / 5_000.0).sqrt() + 1e-3;
        near(p(kind, 1), expected, error);
        assert_eq!(p(kind, 1), p(kind, 1));
        assert_ne!(p(kind, 1), p(kind, 2));
    }
}
