//! Every objective against PyTorch's figures (`tests/data/objectives`) and against finite differences.

use serde::Deserialize;

use super::*;
use xpipe_base::value::{Record, rng::Stream};

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
    let text = include_str!("../../../../tests/data/objectives/reference.json");
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

/// Three groups of five documents, with positives or as ranked lists.
fn random(positives: bool) -> Vec<Group> {
    let draw = Stream::new(5, &["objective test"]);
    let group = |g: u64| Group {
        scores: (0..5).map(|i| draw.normal(10 * g + i)).collect(),
        teacher: Some((0..5).map(|i| draw.normal(100 + 10 * g + i)).collect()),
        positives: if positives { 1 + g as usize % 2 } else { 0 },
    };
    (0..3).map(group).collect()
}

/// Compares a gradient with the slope of the loss at every score.
fn differences_agree(name: &str, batch: &mut [Group], loss: &dyn Fn(&[Group]) -> Loss) {
    let gradients = loss(batch).gradients;
    let h = 1e-6;
    for (g, of_group) in gradients.iter().enumerate() {
        for (i, &ours) in of_group.iter().enumerate() {
            let s = batch[g].scores[i];
            let mut at = |x: f64| {
                batch[g].scores[i] = x;
                loss(batch).value
            };
            let slope = (at(s + h) - at(s - h)) / (2.0 * h);
            batch[g].scores[i] = s;
            assert!((slope - ours).abs() < 1e-7, "{name} [{g}][{i}]: {ours} is not {slope}");
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for definition in ALL {
        let cooler = Call {
            name: definition.name.into(),
            args: Record::of([("temperature", Value::Float(0.7)), ("mu", Value::Float(0.4))]),
        };
        for positives in [true, false] {
            if positives || definition.forms.contains(&SampleForm::RankedList) {
                for call in [None, Some(&cooler)] {
                    let loss = |batch: &[Group]| definition.loss(batch, call).unwrap();
                    differences_agree(definition.name, &mut random(positives), &loss);
                }
            }
        }
    }
}

#[test]
fn an_objective_says_what_a_sample_lacks() {
    let bare = [Group { scores: vec![1.0, 2.0], teacher: None, positives: 0 }];
    for definition in ALL.iter().filter(|d| d.asks(None) > Teacher::Nothing) {
        let failure = definition.loss(&bare, None).unwrap_err();
        assert!(failure.message.contains("teacher"), "{}: {failure}", definition.name);
    }
    let lists = find("objective.localized_contrastive").unwrap();
    assert!(lists.loss(&bare, None).unwrap_err().message.contains("teacher"));
    assert!(find("objective.infonce").unwrap().loss(&bare, None).unwrap_err().message.contains("positive"));
}

#[test]
fn what_an_objective_asks_of_the_teacher() {
    use Teacher::{Nothing, Order, Scores};
    for (name, wanted) in [
        ("bce", Nothing),
        ("hinge", Nothing),
        ("infonce", Nothing),
        ("localized_contrastive", Nothing),
        ("ranknet", Order),
        ("approx_rank_mse", Order),
        ("list_mle", Order),
        ("p_list_mle", Order),
        ("lambda", Order),
        ("margin_mse", Scores),
        ("mse", Scores),
        ("kl", Scores),
        ("list_net", Scores),
    ] {
        let definition = find(&format!("objective.{name}")).unwrap();
        assert_eq!(definition.asks(None), wanted, "{name}");
        // What asks for an order only does not see the size of scores; what asks for nothing does not see them at all.
        let lists = definition.forms.contains(&SampleForm::RankedList);
        let batch = random(!lists);
        let stretched = |change: &dyn Fn(f64) -> f64| {
            let mut batch = batch.clone();
            batch.iter_mut().flat_map(|g| g.teacher.as_mut().unwrap()).for_each(|t| *t = change(*t));
            definition.loss(&batch, None).unwrap()
        };
        let same = stretched(&f64::exp) == stretched(&|t| t);
        assert_eq!(same, wanted < Scores, "{name}");
    }
    let graded = Call { name: "objective.lambda".into(), args: Record::of([("grade", Value::str("score"))]) };
    assert_eq!(find("objective.lambda").unwrap().asks(Some(&graded)), Scores);
}

#[test]
fn long_lists_do_not_overflow() {
    let n = 1100;
    let list = Group {
        scores: (0..n).map(|i| f64::from(i % 7)).collect(),
        teacher: Some((0..n).map(|i| f64::from(n - i)).collect()),
        positives: 0,
    };
    for definition in ALL.iter().filter(|d| d.forms.contains(&SampleForm::RankedList)) {
        let loss = definition.loss(std::slice::from_ref(&list), None).unwrap();
        assert!(loss.value.is_finite() && loss.value > 0.0, "{}", definition.name);
        assert!(loss.gradients[0].iter().all(|g| (*g as f32).is_finite()), "{}", definition.name);
    }
}

#[test]
fn a_list_of_one_costs_nothing_where_order_is_learned() {
    let one = [Group { scores: vec![0.3], teacher: Some(vec![2.0]), positives: 0 }];
    for definition in ALL.iter().filter(|d| d.forms.contains(&SampleForm::RankedList)) {
        let loss = definition.loss(&one, None).unwrap();
        let pointwise = definition.name == "objective.mse";
        let expected =
            if pointwise { Loss { value: 2.89, gradients: vec![vec![-3.4]] } } else { Loss::zero(&one) };
        assert!((loss.value - expected.value).abs() < 1e-12, "{}", definition.name);
        assert!((loss.gradients[0][0] - expected.gradients[0][0]).abs() < 1e-12, "{}", definition.name);
    }
}

#[test]
fn list_net_over_t_and_kl_have_one_gradient() {
    let batch = random(false);
    let at = |name: &str| {
        let args = Record::of([("temperature", Value::Float(2.0))]);
        find(name).unwrap().loss(&batch, Some(&Call { name: name.into(), args })).unwrap()
    };
    let (kl, net) = (at("objective.kl"), at("objective.list_net"));
    for (a, b) in kl.gradients.iter().flatten().zip(net.gradients.iter().flatten()) {
        assert!((a - 4.0 * b).abs() < 1e-14);
    }
    assert!(kl.value > 0.0);
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
