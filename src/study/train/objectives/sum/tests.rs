//! Weighted sums: their loss, what they need, and what is wrong with them.

use super::*;

fn call(name: &str, args: &[(&'static str, Value)]) -> Value {
    Value::call(name, Record::of(args.iter().cloned()))
}

fn sum(parts: &[Value], weights: &[f64]) -> Call {
    let weights = weights.iter().map(|w| Value::Float(*w)).collect();
    let args = [("parts", Value::list(parts.to_vec())), ("weights", Value::list(weights))];
    call(SUM, &args).as_call().unwrap().clone()
}

fn batch() -> Vec<Group> {
    let group = |scores: [f64; 3], teacher: [f64; 3]| Group {
        scores: scores.to_vec(),
        teacher: Some(teacher.to_vec()),
        positives: 1,
    };
    vec![group([0.3, -1.0, 2.0], [4.0, 1.0, -0.5]), group([-0.7, 0.2, 0.1], [2.0, 2.5, 0.0])]
}

fn loss(call: &Call) -> Loss {
    Objective::read(call).unwrap().loss(&batch()).unwrap()
}

fn of(value: &Value) -> Loss {
    loss(value.as_call().unwrap())
}

#[test]
fn a_sum_is_the_weighted_sum_of_its_parts() {
    let infonce = call("objective.infonce", &[("temperature", Value::Float(0.5))]);
    let margin = call("objective.margin_mse", &[]);
    let both = loss(&sum(&[infonce.clone(), margin.clone()], &[0.25, 3.0]));
    let (a, b) = (of(&infonce), of(&margin));
    assert!((both.value - (0.25 * a.value + 3.0 * b.value)).abs() < 1e-12);
    for (g, (a, b)) in both.gradients.iter().zip(a.gradients.iter().zip(&b.gradients)) {
        for (g, (a, b)) in g.iter().zip(a.iter().zip(b)) {
            assert!((g - (0.25 * a + 3.0 * b)).abs() < 1e-12);
        }
    }
    // A part of weight 0 gives nothing, a sum of one is that one, and a sum in a sum multiplies its weights.
    assert_eq!(loss(&sum(&[infonce.clone(), margin.clone()], &[1.0, 0.0])), of(&infonce));
    assert_eq!(loss(&sum(std::slice::from_ref(&margin), &[1.0])), of(&margin));
    let inner = Value::Call(std::sync::Arc::new(sum(&[margin, infonce.clone()], &[6.0, 0.0])));
    let nested = loss(&sum(&[infonce, inner], &[0.25, 0.5]));
    assert!((nested.value - both.value).abs() < 1e-12);
}

#[test]
fn an_objective_alone_is_read_as_it_is() {
    for definition in super::super::ALL {
        let one = call(definition.name, &[]);
        let read = Objective::read(one.as_call().unwrap()).unwrap();
        assert_eq!(read.loss(&batch()).unwrap(), definition.loss(&batch(), None).unwrap());
        assert_eq!(read.to_string(), definition.name);
        assert_eq!((read.forms().len(), read.asks()), (definition.forms.len(), definition.asks(None)));
    }
}

#[test]
fn a_sum_needs_what_its_parts_need() {
    let parts = ["objective.infonce", "objective.ranknet"].map(|name| call(name, &[]));
    let read = Objective::read(&sum(&parts, &[1.0, 0.5])).unwrap();
    assert_eq!((read.forms(), read.asks()), (vec![SampleForm::Group], Teacher::Order));
    assert_eq!(read.to_string(), "1 objective.infonce + 0.5 objective.ranknet");
    let bare = [Group { teacher: None, ..batch()[0].clone() }];
    assert!(read.loss(&bare).unwrap_err().message.contains("objective.ranknet needs a teacher score"));
}

#[test]
fn wrong_sums_are_told() {
    let bce = || call("objective.bce", &[]);
    for (parts, weights, wanted) in [
        (vec![], vec![], "`parts` of objective.sum is empty"),
        (vec![bce(), bce()], vec![1.0], "`weights` of objective.sum has 1, and `parts` has 2"),
        (vec![bce(), bce()], vec![1.0, -0.5], "a weight of objective.sum is -0.5"),
        (vec![bce(), bce()], vec![0.0, 0.0], "every weight of objective.sum is 0"),
        (
            vec![call("objective.kl", &[("temperature", Value::Int(0))])],
            vec![1.0],
            "`temperature` of objective.kl",
        ),
        (vec![call("objective.none", &[])], vec![1.0], "`objective.none` has no implementation"),
    ] {
        let failure = Objective::read(&sum(&parts, &weights)).unwrap_err();
        assert!(failure.message.starts_with(wanted), "{failure}");
    }
    // What is known only later is no fault of the text.
    let later = Value::Pending(std::sync::Arc::new(xpipe_base::value::Pending::Member {
        of: Value::Null,
        name: "weight".into(),
    }));
    let args = [("parts", Value::list(vec![bce()])), ("weights", Value::list(vec![later]))];
    assert_eq!(faults(&Record::of(args)), vec![]);
}
