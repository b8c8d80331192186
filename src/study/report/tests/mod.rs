//! Hand-made studies with hand-made results.

mod claims;
mod files;
mod page;
mod rendering;
mod significance;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Execution, Filled, Results, evaluate_table};
use xpipe_base::diag::{FileId, Span};
use xpipe_base::task::Action;
use xpipe_base::value::pending::{PendingCell, Reduction};
use xpipe_base::value::{ActionId, Name, Pending, Record, Value};
use xpipe_lang::graph::{BestPer, CorrectionMethod, Graph, Table, TestKind, TestSpec};
use xpipe_lang::types::{Artifact, Type};

const SPAN: Span = Span { file: FileId(0), start: 0, end: 0 };

#[derive(Default)]
struct Fake {
    queries: BTreeMap<(u32, String), Vec<(String, f64)>>,
    numbers: BTreeMap<(u32, String), f64>,
    facts: BTreeMap<u32, serde_json::Value>,
    seconds: BTreeMap<u32, f64>,
    made: BTreeMap<u32, Execution>,
}

impl Results for Fake {
    fn number(&self, action: ActionId, member: &str) -> Option<f64> {
        self.numbers.get(&(action.0, member.to_owned())).copied()
    }
    fn per_query(&self, action: ActionId, member: &str) -> Option<Vec<(String, f64)>> {
        self.queries.get(&(action.0, member.to_owned())).cloned()
    }
    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>> {
        self.facts.get(&action.0).and_then(|f| f.as_object().cloned())
    }
    fn seconds(&self, action: ActionId) -> Option<f64> {
        self.seconds.get(&action.0).copied()
    }
    fn execution(&self, action: ActionId) -> Option<Execution> {
        self.made.get(&action.0).cloned()
    }
}

#[derive(Default)]
struct Study {
    graph: Graph,
    results: Fake,
}

impl Study {
    fn action(&mut self, op: &'static str, address: &str, args: Record) -> ActionId {
        self.graph.actions.push(Action {
            op,
            version: 1,
            heavy: false,
            address: address.to_owned(),
            also: Vec::new(),
            args,
            policy: xpipe_base::task::Policy::default(),
            deps: Vec::new(),
        });
        const COUNTS: &[&str] = &["steps", "samples", "documents", "tokens", "pairs", "queries", "requests"];
        self.graph.artifacts.push(Artifact { ty: Type::Any, counts: COUNTS });
        ActionId(self.graph.actions.len() as u32 - 1)
    }

    fn qrels(&mut self, name: &str) -> ActionId {
        self.action("import.qrels", name, Record::default())
    }

    /// An evaluation without results.
    fn unfinished(&mut self, address: &str, qrels: ActionId) -> Value {
        let action = self.action("evaluate", address, Record::of([("qrels", Value::Artifact(qrels))]));
        metric(action, "ndcg_10")
    }

    /// An evaluation whose queries `q0`, `q1`, … have these values.
    fn evaluation(&mut self, address: &str, qrels: ActionId, values: &[f64]) -> Value {
        let value = self.unfinished(address, qrels);
        let key = (self.graph.actions.len() as u32 - 1, "ndcg_10".to_owned());
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        self.results.numbers.insert(key.clone(), mean);
        let queries = values.iter().enumerate().map(|(i, v)| (format!("q{i}"), *v)).collect();
        self.results.queries.insert(key, queries);
        value
    }

    fn fill(&self, table: &Table) -> Filled {
        evaluate_table(table, &self.graph, &self.results).unwrap()
    }
}

fn pending(p: Pending) -> Value {
    Value::Pending(Arc::new(p))
}

fn metric(action: ActionId, member: &str) -> Value {
    pending(Pending::Metric { action, member: member.into() })
}

fn reduce(how: Reduction, axis: &str, values: &[Value]) -> Value {
    let cells = values
        .iter()
        .enumerate()
        .map(|(i, value)| PendingCell {
            labels: vec![(axis.into(), (i + 1).to_string().into())],
            point: Record::default(),
            value: value.clone(),
        })
        .collect();
    pending(Pending::Reduce { how, cells })
}

fn mean(axis: &str, values: &[Value]) -> Value {
    reduce(Reduction::Mean, axis, values)
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|n| Name::from(*n)).collect()
}

fn table(rows: &[&str], columns: &[&str], values: Vec<Vec<Option<Value>>>) -> Table {
    Table {
        name: "dl".into(),
        span: SPAN,
        labels: Vec::new(),
        title: Value::str("Results"),
        rows: ("backbone".into(), names(rows)),
        columns: ("objective".into(), names(columns)),
        printed: (names(rows), names(columns)),
        values,
        spread: None,
        published: None,
        measure: "nDCG@10".into(),
        best_per: None,
        smallest: false,
        test: None,
        digits: 3,
        write: Vec::new(),
    }
}

fn against(axis: &str, label: &str) -> TestSpec {
    TestSpec {
        kind: TestKind::PairedT,
        against: (axis.into(), label.into()),
        correct: CorrectionMethod::Holm,
        alpha: 0.05,
        draws: 0,
        seed: 0,
    }
}

/// Differences of scipy's figures, with t-test p, effect and interval.
#[derive(serde::Deserialize)]
struct Figure {
    differences: Vec<f64>,
    p: f64,
    effect: f64,
    low: f64,
    high: f64,
    randomisation: f64,
    bootstrap: f64,
}

fn figures() -> Vec<Figure> {
    serde_json::from_str(include_str!("../../../../tests/data/significance/tests.json")).unwrap()
}

fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a}, expected {b}");
}
