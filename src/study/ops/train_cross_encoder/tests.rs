//! What the checker says about trainings, from arguments alone.

use std::collections::BTreeMap;

use super::*;
use xpipe_base::value::ActionId;
use xpipe_lang::types::Supervision;

/// Actions with their operation and arguments.
#[derive(Default)]
struct Actions(BTreeMap<u32, (&'static str, Record)>);

impl Facts for Actions {
    fn find(&self, value: &Value, name: &str) -> Option<Value> {
        match value {
            Value::Artifact(id) => self.0.get(&id.0)?.1.get(name).cloned(),
            Value::Call(call) => call.args.get(name).cloned(),
            Value::Record(record) => record.get(name).cloned(),
            _ => None,
        }
    }
    fn op(&self, value: &Value) -> Option<&'static str> {
        if let Value::Artifact(id) = value { self.0.get(&id.0).map(|a| a.0) } else { None }
    }
    fn supervision(&self, value: &Value) -> Supervision {
        let (op, args) = match value {
            Value::Artifact(id) => match self.0.get(&id.0) {
                Some((op, args)) => (*op, args),
                None => return Supervision::default(),
            },
            Value::Call(call) => (&*call.name, &call.args),
            _ => return Supervision::default(),
        };
        crate::ops::registry().get(op).map_or_else(Supervision::default, |op| op.supervision(args, self))
    }
}

const RUN: Value = Value::Artifact(ActionId(1));
const DATA: Value = Value::Artifact(ActionId(2));

fn call(name: &str, args: &[(&'static str, Value)]) -> Value {
    Value::call(name, Record::of(args.iter().cloned()))
}

/// A run of depth 20, and samples of a shape over candidates of it.
fn world(shape: &Value, scores: bool) -> Actions {
    let scores = if scores { Value::Artifact(ActionId(3)) } else { Value::Null };
    let source =
        [("run", RUN), ("qrels", Value::Artifact(ActionId(4))), ("scores", scores), ("depth", Value::Null)];
    let samples = [("source", call("candidates", &source)), ("shape", shape.clone())];
    let mut actions = Actions::default();
    actions.0.insert(1, ("bm25.search", Record::of([("depth", Value::Int(20))])));
    actions.0.insert(2, ("data.samples", Record::of(samples)));
    actions
}

fn codes(issues: &[Issue]) -> Vec<&'static str> {
    issues.iter().map(|i| i.code.as_str()).collect()
}

fn training(objective: &str, batch: Value) -> Record {
    Record::of([
        ("objective", call(objective, &[])),
        ("data", DATA),
        ("batch", batch),
        ("steps", Value::Budget(Budget::Steps(100))),
        ("optimiser", call("adamw", &[("learning_rate", Value::Float(1e-5))])),
        ("schedule", call("linear", &[("warmup", Value::Percent(2.5))])),
        ("select", Value::str("last")),
    ])
}

fn shape(name: &str) -> Value {
    match name {
        "pairs" => call("pairs", &[("n", Value::Null)]),
        "group" => call("group", &[("positives", Value::Int(1)), ("negatives", Value::Int(7))]),
        _ => call("ranked_list", &[("depth", Value::Int(50))]),
    }
}

fn batch_of(shape: &str) -> Value {
    call(if shape == "pairs" { "pairs" } else { "queries" }, &[("n", Value::Int(8))])
}

#[test]
fn objectives_meet_the_shapes_they_can_use() {
    for (objective, shape_name, scores, wanted) in [
        ("objective.bce", "pairs", false, vec![]),
        ("objective.infonce", "group", false, vec![]),
        ("objective.ranknet", "ranked_list", false, vec![]),
        ("objective.margin_mse", "pairs", true, vec![]),
        ("objective.ranknet", "group", true, vec![]),
        ("objective.ranknet", "pairs", true, vec!["op::shape_fit"]),
        ("objective.approx_rank_mse", "pairs", false, vec!["op::shape_fit"]),
        ("objective.infonce", "ranked_list", true, vec!["op::shape_fit"]),
        ("objective.margin_mse", "pairs", false, vec!["op::needs_teacher"]),
        ("objective.margin_mse", "group", false, vec!["op::needs_teacher"]),
        ("objective.kl", "ranked_list", false, vec!["op::needs_teacher"]),
        ("objective.kl", "ranked_list", true, vec![]),
        ("objective.list_mle", "ranked_list", false, vec![]),
        ("objective.list_mle", "group", false, vec!["op::needs_teacher"]),
        ("objective.list_mle", "pairs", true, vec!["op::shape_fit"]),
        ("objective.localized_contrastive", "group", false, vec![]),
        ("objective.mse", "pairs", true, vec![]),
        ("objective.mse", "pairs", false, vec!["op::needs_teacher"]),
    ] {
        let actions = world(&shape(shape_name), scores);
        let issues = check(&training(objective, batch_of(shape_name)), &actions);
        assert_eq!(codes(&issues), wanted, "{objective} on {shape_name}: {issues:?}");
    }
}

#[test]
fn rankings_say_an_order_and_no_scores() {
    let mut actions = world(&shape("ranked_list"), false);
    let lists = call("ranked_lists", &[("run", RUN), ("depth", Value::Null)]);
    // What an unknown operation gives is not known before it is read.
    for (source, known) in [(lists, true), (RUN, true), (Value::Artifact(ActionId(9)), false)] {
        let samples = [("source", source), ("shape", shape("ranked_list"))];
        actions.0.insert(2, ("data.samples", Record::of(samples)));
        for (objective, wanted) in [("objective.list_net", known), ("objective.p_list_mle", false)] {
            let issues = check(&training(objective, batch_of("ranked_list")), &actions);
            assert_eq!(!issues.is_empty(), wanted, "{objective}: {issues:?}");
        }
    }
}

#[test]
fn triples_without_scores_are_no_teacher() {
    let mut actions = world(&shape("pairs"), false);
    for (format, wanted) in
        [("triples", vec!["op::needs_teacher"]), ("scored_triples", vec![]), ("auto", vec![])]
    {
        let samples = [("source", Value::Artifact(ActionId(9))), ("shape", shape("pairs"))];
        actions.0.insert(9, ("import.triples", Record::of([("format", Value::str(format))])));
        actions.0.insert(2, ("data.samples", Record::of(samples)));
        let issues = check(&training("objective.margin_mse", batch_of("pairs")), &actions);
        assert_eq!(codes(&issues), wanted, "{format}");
        let drawn = Record::of([("source", Value::Artifact(ActionId(9))), ("shape", shape("group"))]);
        let check = super::super::data_samples::op().check.unwrap();
        assert_eq!(codes(&check(&drawn, &actions)), ["op::shape_fit"]);
    }
}

#[test]
fn batches_meet_shapes() {
    for (shape_name, batch, wanted) in [
        ("pairs", call("queries", &[("n", Value::Int(8))]), vec!["op::shape_fit"]),
        ("group", call("pairs", &[("n", Value::Int(8))]), vec!["op::shape_fit"]),
        ("pairs", call("pairs", &[("n", Value::Null)]), vec!["op::shape_fit"]),
    ] {
        let objective = if shape_name == "pairs" { "objective.bce" } else { "objective.infonce" };
        let issues = check(&training(objective, batch), &world(&shape(shape_name), false));
        assert_eq!(codes(&issues), wanted);
    }
}

#[test]
fn percentages_and_ranges_are_checked() {
    let actions = world(&shape("pairs"), false);
    let base = training("objective.bce", batch_of("pairs"));
    let adamw = |name, x| call("adamw", &[("learning_rate", Value::Float(1e-5)), (name, Value::Float(x))]);
    let best = |every| call("best_of", &[("every", every)]);
    for (name, value, wanted) in [
        ("steps", Value::Percent(5.0), "op::percent_of_steps"),
        ("steps", Value::Budget(Budget::Epochs(-1.0)), "op::out_of_range"),
        ("objective", call("objective.infonce", &[("temperature", Value::Float(0.0))]), "op::out_of_range"),
    ] {
        // InfoNCE learns from pairs too.
        assert_eq!(codes(&check(&base.with(name, value.clone()), &actions)), [wanted], "{name} = {value:?}");
    }
    assert_eq!(codes(&check(&base.with("select", best(Value::Percent(2.5))), &actions)), [""; 0]);
    let registry = crate::ops::registry();
    for (value, wanted) in [
        (call("linear", &[("warmup", Value::Percent(150.0))]), vec!["op::percent_of_steps"]),
        (call("linear", &[("warmup", Value::Percent(100.0))]), vec![]),
        (best(Value::Percent(0.0)), vec!["op::percent_of_steps"]),
        (best(Value::Budget(Budget::Steps(0))), vec!["op::percent_of_steps"]),
        (best(Value::Percent(2.5)), vec![]),
        (adamw("learning_rate", 0.0), vec!["op::out_of_range"]),
        (adamw("beta2", 1.0), vec!["op::out_of_range"]),
        (adamw("clip_norm", -1.0), vec!["op::out_of_range"]),
        (adamw("weight_decay", 0.0), vec![]),
        (call("pairs", &[("n", Value::Int(0))]), vec!["op::out_of_range"]),
        (call("ranked_list", &[("depth", Value::Int(1))]), vec!["op::out_of_range"]),
        (call("candidates", &[("from", Value::Int(0)), ("depth", Value::Int(1))]), vec!["op::out_of_range"]),
    ] {
        let call = value.as_call().unwrap();
        let check = registry.get(&call.name).and_then(|op| op.check).unwrap();
        assert_eq!(codes(&check(&call.args, &actions)), wanted, "{value:?}");
    }
}

#[test]
fn more_negatives_than_the_run_is_deep() {
    let check = super::super::data_samples::op().check.unwrap();
    let actions = world(&shape("group"), false);
    let samples = |depth: Value, from: i64, negatives: i64| {
        let source = [
            ("run", RUN),
            ("qrels", Value::Artifact(ActionId(4))),
            ("depth", depth),
            ("from", Value::Int(from)),
        ];
        let shape = call("group", &[("positives", Value::Int(1)), ("negatives", Value::Int(negatives))]);
        Record::of([("source", call("candidates", &source)), ("shape", shape)])
    };
    for (depth, from, negatives, wanted) in [
        (Value::Null, 1, 19, vec![]),
        (Value::Null, 1, 20, vec!["op::too_many_negatives"]),
        (Value::Int(8), 1, 7, vec![]),
        (Value::Int(7), 1, 7, vec!["op::too_many_negatives"]),
        (Value::Int(500), 1, 20, vec!["op::too_many_negatives"]),
        (Value::Null, 11, 10, vec![]),
        (Value::Null, 12, 10, vec!["op::too_many_negatives"]),
    ] {
        let issues = check(&samples(depth.clone(), from, negatives), &actions);
        assert_eq!(codes(&issues), wanted, "depth {depth:?}, from {from}, {negatives} negatives");
    }
    let bare = [("source", call("candidates", &[("run", RUN)])), ("shape", shape("group"))];
    assert_eq!(codes(&check(&Record::of(bare), &actions)), ["op::shape_fit"]);
    let batch = [("source", call("candidates", &[("run", RUN)])), ("shape", batch_of("pairs"))];
    assert_eq!(codes(&check(&Record::of(batch), &actions)), ["op::shape_fit", "op::shape_fit"]);
}

#[test]
fn scoring_needs_one_finite_thing() {
    let check = super::super::score_cross_encoder::op().check.unwrap();
    let actions = world(&shape("pairs"), false);
    let given =
        |fields: &[(&'static str, Value)]| codes(&check(&Record::of(fields.iter().cloned()), &actions));
    assert_eq!(given(&[("run", RUN)]), [""; 0]);
    assert_eq!(given(&[("model", Value::Artifact(ActionId(7)))]), ["op::one_of"]);
    assert_eq!(given(&[("samples", DATA)]), ["op::needs_count"]);
    assert_eq!(given(&[("run", RUN), ("samples", DATA)]), ["op::one_of", "op::needs_count"]);
    assert_eq!(given(&[("run", RUN), ("depth", Value::Int(0))]), ["op::out_of_range"]);
}

#[test]
fn the_registry_holds_everything_a_study_of_training_names() {
    let registry = crate::ops::registry();
    for name in [
        "data.samples",
        "train.cross_encoder",
        "score.cross_encoder",
        "score.mean",
        "rerank.cross_encoder",
        "objective.bce",
        "objective.hinge",
        "objective.infonce",
        "objective.margin_mse",
        "objective.ranknet",
        "objective.approx_rank_mse",
        "pairs",
        "group",
        "ranked_list",
        "queries",
        "adamw",
        "constant",
        "linear",
        "cosine",
        "best_of",
        "candidates",
        "ranked_lists",
        "scored_triples",
        "query_document",
    ] {
        assert!(registry.get(name).is_some(), "{name}");
    }
}
