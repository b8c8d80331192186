//! Every objective against PyTorch's figures (`tests/data/objectives`) and against finite differences.

use serde::Deserialize;

use super::*;
use crate::value::{Record, rng::Stream};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    objective: String,
    case: String,
    arguments: serde_json::Map<String, serde_json::Value>,
    groups: Vec<Given>,
    loss: f64,
    gradients: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Given {
    scores: Vec<f64>,
    teacher: Vec<f64>,
    positives: usize,
}

fn reference() -> Vec<Case> {
    let text = include_str!("../../../tests/data/objectives/reference.json");
    serde_json::from_str::<Reference>(text).unwrap().cases
}

fn call(case: &Case) -> Call {
    let args = case.arguments.iter().map(|(name, value)| {
        let value = match value {
            serde_json::Value::String(s) => Value::str(s),
            number => Value::Float(number.as_f64().unwrap()),
        };
        (name.as_str().into(), value)
    });
    Call { name: format!("objective.{}", case.objective).as_str().into(), args: Record::new(args) }
}

fn batch(case: &Case) -> Vec<Group> {
    let group = |g: &Given| Group {
        scores: g.scores.clone(),
        teacher: Some(g.teacher.clone()),
        positives: g.positives,
    };
    case.groups.iter().map(group).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + b.abs())
}

#[test]
fn losses_and_gradients_equal_pytorch() {
    let cases = reference();
    for definition in ALL {
        let n = cases.iter().filter(|c| format!("objective.{}", c.objective) == definition.name).count();
        assert!(n >= 9, "{} has {n} cases", definition.name);
    }
    for case in &cases {
        let call = call(case);
        let loss = find(&call.name).unwrap().loss(&batch(case), Some(&call)).unwrap();
        let at = format!("{} {:?} {}", case.objective, case.arguments, case.case);
        assert!(close(loss.value, case.loss), "{at}: {} is not {}", loss.value, case.loss);
        for (ours, theirs) in loss.gradients.iter().flatten().zip(case.gradients.iter().flatten()) {
            assert!(close(*ours, *theirs), "{at}: {ours} is not {theirs}");
        }
        let lengths = |g: &[Vec<f64>]| g.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&loss.gradients), lengths(&case.gradients), "{at}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let draw = Stream::new(5, &["objective test"]);
    for definition in ALL {
        let mut batch: Vec<Group> = (0..3u64)
            .map(|g| Group {
                scores: (0..5).map(|i| draw.normal(10 * g + i)).collect(),
                teacher: Some((0..5).map(|i| draw.normal(100 + 10 * g + i)).collect()),
                positives: 1 + g as usize % 2,
            })
            .collect();
        let gradients = definition.loss(&batch, None).unwrap().gradients;
        let h = 1e-6;
        for (g, of_group) in gradients.iter().enumerate() {
            for (i, &ours) in of_group.iter().enumerate() {
                let s = batch[g].scores[i];
                let mut at = |x: f64| {
                    batch[g].scores[i] = x;
                    definition.loss(&batch, None).unwrap().value
                };
                let slope = (at(s + h) - at(s - h)) / (2.0 * h);
                batch[g].scores[i] = s;
                assert!((slope - ours).abs() < 1e-7, "{} [{g}][{i}]: {ours} is not {slope}", definition.name);
            }
        }
    }
}

#[test]
fn an_objective_says_what_a_sample_lacks() {
    let bare = [Group { scores: vec![1.0, 2.0], teacher: None, positives: 0 }];
    for name in ["objective.margin_mse", "objective.ranknet", "objective.approx_rank_mse"] {
        let definition = find(name).unwrap();
        assert!(definition.teacher);
        assert!(definition.loss(&bare, None).unwrap_err().message.contains("teacher"), "{name}");
    }
    assert!(find("objective.infonce").unwrap().loss(&bare, None).unwrap_err().message.contains("positive"));
}

#[test]
fn arguments_out_of_range_are_named() {
    let with = |value| Call { name: "objective.infonce".into(), args: Record::of([("temperature", value)]) };
    let definition = find("objective.infonce").unwrap();
    assert_eq!(definition.faults(&with(Value::Float(0.5))), vec![]);
    assert_eq!(definition.faults(&with(Value::Float(0.0)))[0].0, "temperature");
    assert_eq!(definition.faults(&with(Value::Int(-1))).len(), 1);
}

#[test]
fn an_empty_batch_costs_nothing() {
    for definition in ALL {
        assert_eq!(definition.loss(&[], None).unwrap(), Loss { value: 0.0, gradients: vec![] });
    }
}
