use super::super::{ClaimOutcome, evaluate_claim};
use super::*;
use xpipe_base::value::pending::BinaryOp;
use xpipe_lang::graph::{Claim, Cut};

fn claim(expect: Result<Value, Cut>) -> Claim {
    Claim {
        name: "beats".into(),
        span: SPAN,
        labels: names(&["bert"]),
        text: Value::str("A beats B."),
        expect,
    }
}

fn study() -> (Study, Value, Value, Value) {
    let mut s = Study::default();
    let q = s.qrels("q");
    let a = s.evaluation("scores[a]", q, &[0.5, 0.6]);
    let b = s.evaluation("scores[b]", q, &[0.5, 0.5]);
    let open = s.unfinished("scores[c]", q);
    (s, a, b, open)
}

fn binary(op: BinaryOp, left: &Value, right: &Value) -> Value {
    pending(Pending::Binary { op, left: left.clone(), right: right.clone() })
}

#[test]
fn comparisons_show_both_sides() {
    let (s, a, b, _) = study();
    let outcome = |expect| evaluate_claim(&claim(Ok(expect)), &s.graph, &s.results);
    let passed = |values: &str| ClaimOutcome::Passed { values: values.into() };
    let failed = |values: &str| ClaimOutcome::Failed { values: values.into() };
    let greater = binary(BinaryOp::Gt, &a, &b);
    let less = binary(BinaryOp::Lt, &a, &b);
    assert_eq!(outcome(greater.clone()), passed("0.5500 > 0.5000"));
    assert_eq!(outcome(less.clone()), failed("0.5500 is not < 0.5000"));
    assert_eq!(
        outcome(binary(BinaryOp::And, &greater, &less)),
        failed("(0.5500 > 0.5000) and (0.5500 is not < 0.5000)")
    );
    // As many digits as tell the sides apart; sides that are equal stay as they are.
    let close = Value::Float(0.500_001);
    assert_eq!(outcome(binary(BinaryOp::Ge, &b, &close)), failed("0.500000 is not >= 0.500001"));
    assert_eq!(outcome(binary(BinaryOp::Gt, &b, &Value::Float(0.5))), failed("0.5000 is not > 0.5000"));
    assert_eq!(outcome(Value::Bool(true)), passed("true"));
}

#[test]
fn near_shows_the_distance() {
    let (s, a, _, _) = study();
    let near = |right: f64| {
        let near = Pending::Near { left: a.clone(), right: Value::Float(right), within: Value::Float(0.01) };
        evaluate_claim(&claim(Ok(pending(near))), &s.graph, &s.results)
    };
    let values = "0.5500 and 0.5450 differ by 0.0050, within 0.01".to_owned();
    assert_eq!(near(0.545), ClaimOutcome::Passed { values });
    let values = "0.5500 and 0.5300 differ by 0.0200, near: not within 0.01".to_owned();
    assert_eq!(near(0.53), ClaimOutcome::Failed { values });
    let ClaimOutcome::Failed { values } = near(0.539_99) else { panic!() };
    assert!(values.contains("differ by 0.01001") && values.ends_with("near: not within 0.01"), "{values}");
}

#[test]
fn all_shows_what_fails() {
    let (s, a, b, _) = study();
    let cells = [binary(BinaryOp::Gt, &a, &b), binary(BinaryOp::Gt, &b, &a)];
    let outcome = |cells: &[Value]| {
        evaluate_claim(&claim(Ok(reduce(Reduction::All, "backbone", cells))), &s.graph, &s.results)
    };
    let values = "1 of 2 do not hold: [2] 0.5000 is not > 0.5500".to_owned();
    assert_eq!(outcome(&cells), ClaimOutcome::Failed { values });
    let values = "all 1 hold: [1] 0.5500 > 0.5000".to_owned();
    assert_eq!(outcome(&cells[..1]), ClaimOutcome::Passed { values });
}

#[test]
fn what_cannot_be_told_is_not_a_failure() {
    let (s, a, _, open) = study();
    let reason = |expect| match evaluate_claim(&claim(expect), &s.graph, &s.results) {
        ClaimOutcome::NotEvaluated { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(Err(Cut::Only)), "a cell it needs was cut away by `only`");
    assert_eq!(reason(Ok(binary(BinaryOp::Gt, &a, &open))), "no result of `scores[c]`");
    assert_eq!(reason(Ok(a)), "the expectation is 0.55, expected true or false");
}
