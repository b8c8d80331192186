use super::super::{Sign, TestOutcome};
use super::*;
use xpipe_data::ir::correction::Correction;

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

/// Differences of two collections, with the figures of the test of their mean.
#[derive(serde::Deserialize)]
struct Collections {
    parts: Vec<Part>,
    mean: f64,
    p: f64,
    n: f64,
    freedom: f64,
    effect: f64,
    low: f64,
    high: f64,
    hedges: f64,
    randomisation: f64,
    bootstrap: f64,
}

#[derive(serde::Deserialize)]
struct Part {
    weight: f64,
    differences: Vec<f64>,
}

fn collections() -> Vec<Collections> {
    serde_json::from_str(include_str!("../../../../tests/data/significance/strata.json")).unwrap()
}

/// A cell and its reference, whose difference is a mean of two collections of one weight, each over two seeds.
fn two_collections(s: &mut Study, f: &Collections, seeds_outside: bool) -> (Value, Value) {
    let (dl19, dl20) = (s.qrels("dl19.qrels"), s.qrels("dl20.qrels"));
    assert!(f.parts.len() == 2 && f.parts.iter().all(|p| p.weight == 0.5));
    let mut cell = |scale: f64, noise: f64| {
        let mut by_seed = Vec::new();
        for seed in [-1.0, 1.0] {
            // Noise of the seeds cancels in their mean.
            let of = |p: &Part| -> Vec<f64> {
                p.differences.iter().map(|d| 0.5 + scale * d + seed * noise).collect()
            };
            let a = s.evaluation("scores[a]", dl19, &of(&f.parts[0]));
            let b = s.evaluation("scores[b]", dl20, &of(&f.parts[1]));
            by_seed.push([a, b]);
        }
        if seeds_outside {
            mean("seed", &[mean("eval", &by_seed[0]), mean("eval", &by_seed[1])])
        } else {
            let of = |i: usize| mean("seed", &[by_seed[0][i].clone(), by_seed[1][i].clone()]);
            mean("eval", &[of(0), of(1)])
        }
    };
    (cell(0.0, 0.1), cell(1.0, 0.3))
}

#[test]
fn a_mean_of_collections_is_tested_as_the_number_that_is_shown() {
    let f = &collections()[0];
    for seeds_outside in [true, false] {
        let mut s = Study::default();
        let (reference, other) = two_collections(&mut s, f, seeds_outside);
        let mut t = table(&["infonce", "bce"], &["dl"], vec![vec![Some(reference)], vec![Some(other)]]);
        // The reference may be a row too.
        t.test = Some(against("backbone", "infonce"));
        let filled = s.fill(&t);
        let test = filled.cells[1][0].test.unwrap();
        let shown = filled.cells[1][0].number().unwrap() - filled.cells[0][0].number().unwrap();
        near(test.difference, shown, 1e-12);
        near(test.difference, f.mean, 1e-12);
        near(test.p, f.p, 1e-9);
        near(test.low, f.low, 1e-9);
        near(test.high, f.high, 1e-9);
        near(test.effect.unwrap(), f.effect, 1e-9);
        near(test.hedges.unwrap(), f.hedges, 1e-9);
        near(test.size.n, f.n, 1e-9);
        near(test.size.freedom, f.freedom, 1e-9);
        assert_eq!(test.n, 18);
        assert_eq!(filled.test, Some(TestOutcome::Evaluated { family: 1, units: (18, 18), collections: 2 }));
        let legend = filled.notes.iter().find(|n| n.sign == Sign::Differs).unwrap();
        assert_eq!(
            legend.text,
            "differs from `infonce`: paired t-test over queries, Holm over 1 cell, alpha 0.05, \
             n = 18 queries of 2 collections, each collection with its weight in the mean"
        );
        let remark = filled.notes.iter().find(|n| n.sign == Sign::Remark).unwrap();
        assert_eq!(
            remark.text,
            "tested over queries: the values of each query are means over `seed` (n = 2), whose variation is no part of \
             the test"
        );
        for (kind, expected) in
            [(TestKind::Randomisation, f.randomisation), (TestKind::Bootstrap, f.bootstrap)]
        {
            let draws = 20_000;
            t.test = Some(TestSpec { kind, draws, seed: 3, ..against("backbone", "infonce") });
            let error = 5.0 * (expected * (1.0 - expected) / draws as f64).sqrt() + 2e-3;
            near(s.fill(&t).cells[1][0].test.unwrap().p, expected, error);
        }
    }
}

#[test]
fn a_large_collection_does_not_turn_the_sign_of_the_mean() {
    // 300 queries that lose a little, 20 that win much: the mean of the collections is won.
    let mut s = Study::default();
    let (dev, dl) = (s.qrels("dev.qrels"), s.qrels("dl.qrels"));
    let noise = |i: usize| 0.02 * ((i * 7 % 13) as f64 - 6.0);
    let mut cell = |lost: f64, won: f64| {
        let many: Vec<f64> = (0..300).map(|i| 0.5 - lost + if lost > 0.0 { noise(i) } else { 0.0 }).collect();
        let few: Vec<f64> = (0..20).map(|i| 0.5 + won + if won > 0.0 { noise(i) } else { 0.0 }).collect();
        let both = [s.evaluation("a", dev, &many), s.evaluation("b", dl, &few)];
        Some(mean("eval", &both))
    };
    let row = vec![cell(0.0, 0.0), cell(0.01, 0.1)];
    let mut t = table(&["bert"], &["infonce", "bce"], vec![row]);
    t.test = Some(against("objective", "infonce"));
    let test = s.fill(&t).cells[0][1].test.unwrap();
    assert!(test.difference > 0.035 && test.low > 0.0 && test.significant, "{test:?}");
    assert!(test.size.n < 320.0 && test.effect.unwrap() > 0.0);
}

#[test]
fn holes_change_weights_and_other_weights_are_not_compared() {
    let mut s = Study::default();
    let (a, b) = (s.qrels("a.qrels"), s.qrels("b.qrels"));
    let spread = |n: usize, at: f64| -> Vec<f64> { (0..n).map(|i| at + 0.01 * (i * i % 7) as f64).collect() };
    let mut of = |q, n, at| s.evaluation("e", q, &spread(n, at));
    // The second seed has the first collection only: weights 3/4 and 1/4.
    let uneven = |of: &mut dyn FnMut(ActionId, usize, f64) -> Value, at: f64| {
        let first = mean("eval", &[of(a, 9, at), of(b, 5, at + 0.2)]);
        mean("seed", &[first, mean("eval", &[of(a, 9, at + 0.1)])])
    };
    let reference = uneven(&mut of, 0.3);
    let alike = uneven(&mut of, 0.4);
    let even = mean("eval", &[of(a, 9, 0.4), of(b, 5, 0.4)]);
    let alone = of(a, 9, 0.4);
    let row = [reference, alike, even, alone].map(Some).to_vec();
    let mut t = table(&["bert"], &["infonce", "alike", "even", "alone"], vec![row]);
    t.test = Some(against("objective", "infonce"));
    let filled = s.fill(&t);
    let cells = &filled.cells[0];
    near(cells[1].test.unwrap().difference, cells[1].number().unwrap() - cells[0].number().unwrap(), 1e-12);
    assert!(cells[2].test.is_none() && cells[3].test.is_none());
    let texts: Vec<&str> = filled.notes.iter().map(|n| n.text.as_str()).collect();
    assert!(
        texts.contains(
            &"(bert, even): not tested: `a.qrels` has a weight of 0.5000 in its mean, and of 0.7500 in that of its \
              reference"
        ),
        "{texts:?}"
    );
    let alone = "(bert, alone): not tested: it is measured with `a.qrels`, its reference with `a.qrels` and `b.qrels`";
    assert!(texts.contains(&alone), "{texts:?}");
}

#[test]
fn what_a_mean_of_collections_can_find_is_less_than_its_queries_could() {
    use super::super::detectable;
    let mut s = Study::default();
    let (dev, dl) = (s.qrels("dev.qrels"), s.qrels("dl.qrels"));
    s.results.facts.insert(dev.0, serde_json::json!({ "queries": 200 }));
    s.results.facts.insert(dl.0, serde_json::json!({ "queries": 50 }));
    let mut cell = || {
        let both = [s.unfinished("scores[dev]", dev), s.unfinished("scores[dl]", dl)];
        vec![Some(mean("eval", &both))]
    };
    let mut t = table(&["a", "b"], &["value"], vec![cell(), cell()]);
    t.test = Some(TestSpec { correct: CorrectionMethod::None, ..against("backbone", "a") });
    let found = detectable(&t, &s.graph, &s.results).unwrap();
    // 1 / (¼/200 + ¼/50), and its degrees of freedom.
    near(found.size.n, 160.0, 1e-9);
    let freedom = (0.25f64 / 200.0 + 0.25 / 50.0).powi(2)
        / ((0.25f64 / 200.0).powi(2) / 199.0 + (0.25f64 / 50.0).powi(2) / 49.0);
    near(found.size.freedom, freedom, 1e-9);
    assert_eq!(found.queries, 250);
    let told = found.to_string();
    let expected = "dl: 250 queries (with the weights of their collections worth 160) find a difference of 0.22 standard";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn numbers_that_their_queries_do_not_give_are_not_tested() {
    let f = &figures()[3].differences;
    let mut s = Study::default();
    let q = s.qrels("q");
    let all = row(&mut s, q, &[f, f]);
    // The number of the second cell is another one than the mean of its queries.
    let number = s.graph.actions.len() as u32 - 1;
    s.results.numbers.insert((number, "ndcg_10".into()), 0.9);
    let mut t = table(&["bert"], &["infonce", "a", "b"], vec![all]);
    t.test = Some(against("objective", "infonce"));
    let filled = s.fill(&t);
    assert!(filled.cells[0][1].test.is_some() && filled.cells[0][2].test.is_none());
    let told = "(bert, b): not tested: its number is 0.9, but the values of its queries give ";
    assert!(filled.notes.iter().any(|n| n.text.starts_with(told)), "{:?}", filled.notes);
}

#[test]
fn one_seed_of_a_trained_model_is_told() {
    let f = &figures()[3].differences;
    let mut s = Study::default();
    let q = s.qrels("q");
    let all = row(&mut s, q, &[f]);
    let mut t = table(&["bert"], &["infonce", "a"], vec![all]);
    t.test = Some(against("objective", "infonce"));
    let of_seed = "tested over queries: each trained model is of one seed";
    let told = |s: &Study| s.fill(&t).notes.iter().any(|n| n.text.starts_with(of_seed));
    assert!(!told(&s), "nothing is trained");
    s.graph.actions[0].op = "train.cross_encoder";
    s.graph.actions[2].deps = vec![ActionId(0)];
    assert!(told(&s));
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
        serde_json::from_str(include_str!("../../../../tests/data/significance/power.json")).unwrap();
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
    t.test = Some(TestSpec { correct: CorrectionMethod::None, ..against("backbone", "a") });
    assert_eq!(detectable(&t, &s.graph, &s.results), None, "how many queries there are is not known");
    s.results.facts.insert(q.0, serde_json::json!({ "queries": 20 }));
    let found = detectable(&t, &s.graph, &s.results).unwrap();
    assert_eq!((found.queries, found.comparisons, found.sd), (20, 2, None));
    // statsmodels: TTestPower().solve_power(None, 20, 0.05, 0.8)
    near(found.effect, 0.660_441_654_438, 1e-6);
    assert_eq!(
        found.to_string(),
        "dl: 20 queries find a difference of 0.66 standard deviations with a chance of 80 %, in a t-test at 0.05; \
         the deviation is unknown until there are results"
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
    let other: Vec<f64> = f.iter().map(|d| d * 0.5 + 0.01).collect();
    let mut s = Study::default();
    let q = s.qrels("q");
    let mut all = row(&mut s, q, &[f, &other, &figures()[2].differences]);
    let open = s.unfinished("scores[open]", q);
    all.push(Some(open));
    all.push(None);
    let mut t = table(&["bert"], &["infonce", "a", "b", "short", "open", "cut"], vec![all]);
    t.test = Some(TestSpec { correct: CorrectionMethod::Bonferroni, ..against("objective", "infonce") });
    let filled = s.fill(&t);
    let tests: Vec<_> = filled.cells[0].iter().map(|c| c.test).collect();
    assert!(tests[0].is_none() && tests[3..].iter().all(Option::is_none));
    let a = tests[1].unwrap();
    near(a.p_adjusted, (2.0 * a.p).min(1.0), 1e-12);
    assert!(matches!(filled.test, Some(TestOutcome::Evaluated { family: 2, .. })));
    // That figure has 12 queries, the reference 20: the difference of the numbers is not one over queries.
    let remark = filled.notes.iter().find(|n| n.sign == Sign::Remark).unwrap();
    let of = "of `q` it is measured on 12 queries, its reference on 20; 12 are in both";
    assert_eq!(remark.text, format!("(bert, short): not tested: {of}"));
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
    let p = |kind: TestKind, seed| {
        let mut t = table(&["bert"], &["infonce", "a"], vec![all.clone()]);
        t.test = Some(TestSpec { kind, draws: 5_000, seed, ..against("objective", "infonce") });
        s.fill(&t).cells[0][1].test.unwrap().p
    };
    for (kind, expected) in [(TestKind::Randomisation, f.randomisation), (TestKind::Bootstrap, f.bootstrap)] {
        let error = 5.0 * (expected * (1.0 - expected) / 5_000.0).sqrt() + 1e-3;
        near(p(kind, 1), expected, error);
        assert_eq!(p(kind, 1), p(kind, 1));
        assert_ne!(p(kind, 1), p(kind, 2));
    }
}
