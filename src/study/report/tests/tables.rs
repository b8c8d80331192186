use super::super::{Content, Sign, terminal};
use super::*;
use xpipe_base::value::pending::BinaryOp;

#[test]
fn numbers_spread_and_best_by_hand() {
    let mut s = Study::default();
    let q = s.qrels("dl19.qrels");
    let a: Vec<Value> = [0.5, 0.6].iter().map(|x| s.evaluation("a", q, &[*x])).collect();
    let b: Vec<Value> = [0.7, 0.9].iter().map(|x| s.evaluation("b", q, &[*x])).collect();
    let both = |how| vec![vec![Some(reduce(how, "seed", &a)), Some(reduce(how, "seed", &b))]];
    let mut t = table(&["bert"], &["infonce", "bce"], both(Reduction::Mean));
    t.spread = Some(both(Reduction::Sd));
    t.best_per = Some(BestPer::Row);
    let f = s.fill(&t);
    near(f.cells[0][0].number().unwrap(), 0.55, 1e-12);
    near(f.cells[0][1].number().unwrap(), 0.8, 1e-12);
    // sd of two values with n - 1: |a - b| / √2
    near(f.cells[0][0].spread.unwrap(), 0.1 / 2f64.sqrt(), 1e-12);
    near(f.cells[0][1].spread.unwrap(), 0.2 / 2f64.sqrt(), 1e-12);
    assert_eq!([f.cells[0][0].best, f.cells[0][1].best], [false, true]);
    let notes: Vec<(Sign, &str)> = f.notes.iter().map(|n| (n.sign, n.text.as_str())).collect();
    assert_eq!(
        notes,
        [(Sign::Best, "best of its row"), (Sign::Spread, "standard deviation (n - 1) over `seed`, n = 2")]
    );
}

#[test]
fn best_of_rows_columns_and_the_table() {
    let s = Study::default();
    let values = |xs: [[f64; 2]; 2]| -> Vec<Vec<Option<Value>>> {
        xs.iter().map(|row| row.iter().map(|x| Some(Value::Float(*x))).collect()).collect()
    };
    let best = |per: BestPer, smallest: bool, xs| {
        let mut t = table(&["a", "b"], &["c", "d"], values(xs));
        t.best_per = Some(per);
        t.smallest = smallest;
        s.fill(&t).cells.iter().map(|r| r.iter().map(|c| c.best).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let xs = [[0.3, 0.1], [0.2, 0.4]];
    assert_eq!(best(BestPer::Row, false, xs), [[true, false], [false, true]]);
    assert_eq!(best(BestPer::Column, false, xs), [[true, false], [false, true]]);
    assert_eq!(best(BestPer::Table, false, xs), [[false, false], [false, true]]);
    assert_eq!(best(BestPer::Row, true, xs), [[false, true], [true, false]]);
    assert_eq!(best(BestPer::Table, true, xs), [[false, true], [false, false]]);
    // Equal as printed with three digits: both.
    assert_eq!(best(BestPer::Row, false, [[0.50004, 0.49996], [0.4, 0.5]]), [[true, true], [false, true]]);
}

#[test]
fn holes_say_what_is_missing() {
    let mut s = Study::default();
    let q = s.qrels("dl19.qrels");
    let done = s.evaluation("scores[infonce, bert, 1]", q, &[0.5]);
    let open = s.unfinished("scores[bce, bert, 1]", q);
    let other = s.unfinished("scores[bce, bert, 2]", q);
    let lost = mean("seed", &[done.clone(), open, other]);
    let values = vec![vec![Some(done), Some(lost), None]];
    let mut t = table(&["bert"], &["infonce", "bce", "hinge"], values);
    t.best_per = Some(BestPer::Row);
    let f = s.fill(&t);
    assert_eq!(
        f.cells[0][1].content,
        Content::Hole("no result of `scores[bce, bert, 1]`, `scores[bce, bert, 2]`".into())
    );
    assert_eq!(f.cells[0][2].content, Content::Hole("a cell it needs was cut away".into()));
    assert!(f.cells[0][0].best);
    let holes: Vec<&str> = f.notes.iter().filter(|n| n.sign == Sign::Hole).map(|n| n.text.as_str()).collect();
    assert_eq!(
        holes,
        [
            "(bert, bce): no result of `scores[bce, bert, 1]`, `scores[bce, bert, 2]`",
            "(bert, hinge): a cell it needs was cut away"
        ]
    );
}

#[test]
fn empty_spreads_and_other_values() {
    let mut s = Study::default();
    let q = s.qrels("dl19.qrels");
    let one = s.evaluation("a", q, &[0.5]);
    let sum =
        pending(Pending::Binary { op: BinaryOp::Add, left: one.clone(), right: Value::Float(f64::NAN) });
    let values = vec![vec![Some(one.clone()), Some(Value::Int(12)), Some(Value::str("best")), Some(sum)]];
    let mut t = table(&["bert"], &["a", "b", "c", "d"], values);
    let sd = Some(reduce(Reduction::Sd, "seed", &[one]));
    t.spread = Some(vec![vec![sd, None, None, None]]);
    let f = s.fill(&t);
    assert_eq!(f.cells[0][0].spread, None);
    assert_eq!(f.cells[0][1].content, Content::Whole(12));
    assert_eq!(f.cells[0][2].content, Content::Text("best".into()));
    assert_eq!(f.cells[0][3].content, Content::Hole("a value is not a number".into()));
    let notes: Vec<&str> = f.notes.iter().map(|n| n.text.as_str()).collect();
    assert!(notes.contains(&"a spread is left out where there are too few values for one"), "{notes:?}");
    assert!(notes.contains(&"a spread is left out: a cell it needs was cut away"), "{notes:?}");
}

#[test]
fn titles_tell_the_measure_and_the_point() {
    let mut t = table(&["a"], &["b"], vec![vec![Some(Value::Float(0.5))]]);
    let title = |t: &Table| terminal(&Study::default().fill(t), false).lines().next().unwrap().to_owned();
    t.measure = "ndcg_10".into();
    assert_eq!(title(&t), "Results (nDCG@10)");
    t.title = Value::str("nDCG@10 on TREC DL");
    assert_eq!(title(&t), "nDCG@10 on TREC DL");
    t.labels = names(&["bce"]);
    t.title = Value::str("dl");
    assert_eq!(title(&t), "dl[bce] (nDCG@10)");
}

#[test]
fn published_numbers_stand_beside_and_are_graded() {
    let mut t = table(&["a", "b", "c", "d"], &["v"], Vec::new());
    let column = |xs: [Option<f64>; 4]| xs.iter().map(|x| vec![x.map(Value::Float)]).collect::<Vec<_>>();
    t.values = column([Some(0.5), Some(0.5), Some(0.5), None]);
    let values = column([Some(0.508), Some(0.485), None, Some(0.5)]);
    t.published = Some(xpipe_lang::graph::Published { values, within: 0.01 });
    let f = Study::default().fill(&t);
    let grades: Vec<Option<&str>> =
        f.cells.iter().map(|row| row[0].published.map(|p| p.grade.word())).collect();
    assert_eq!(grades, [Some("ok"), Some("near"), None, None]);
    let text = terminal(&f, false);
    let expected = "\
  backbone      v
  a         0.500 (0.508 ok)
  b         0.500 (0.485 near)
  c         0.500
  d             –
  () published, ok within 0.01, near within twice that, else off
";
    assert!(text.contains(expected), "{text}");
    assert!(super::super::csv(&f).contains("b,v,0.5,,,,,,,,,,,,0.485,near,"), "{}", super::super::csv(&f));
    assert!(
        super::super::latex(&f).contains("0.500 (0.508 ok)")
            && super::super::markdown(&f).contains("0.500 (0.485 near)")
    );
}
