//! The units of a test: what a cell's number is made of, query by query.
//!
//! The number must be a mean (also of means) of numbers of evaluations. A unit is a query of a collection, and a
//! collection is what the evaluation names as `qrels`; its value is the mean over the evaluations of the same
//! collection (the seeds), with the weights they have in the number.

use std::collections::BTreeMap;

use super::Results;
use super::missing::address;
use crate::graph::Graph;
use crate::value::pending::Reduction;
use crate::value::{ActionId, Name, Pending, Value};

/// Values of a cell: by (number of the collection, query id).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    /// The measure: the published name.
    pub(super) member: Name,
    /// The values.
    pub(super) values: BTreeMap<(usize, String), f64>,
}

struct Leaf {
    action: ActionId,
    member: Name,
    weight: f64,
}

/// The weight of an evaluation, and its values by query.
type Weighted = (f64, BTreeMap<String, f64>);

/// Takes a cell's value apart. `collections` numbers the collections of the whole table.
///
/// # Errors
/// Why its queries cannot be told, a lowercase fragment.
pub(super) fn units(
    value: &Value,
    graph: &Graph,
    results: &dyn Results,
    collections: &mut Vec<Value>,
) -> Result<Units, String> {
    let mut leaves = Vec::new();
    take_apart(value, 1.0, &mut leaves)?;
    let member = leaves.first().map(|l| l.member.clone()).ok_or("the value is a mean over nothing")?;
    if let Some(other) = leaves.iter().find(|l| l.member != member) {
        return Err(format!("the value mixes the measures `{member}` and `{}`", other.member));
    }
    let mut found: BTreeMap<usize, Vec<Weighted>> = BTreeMap::new();
    for leaf in leaves {
        let name = || address(graph, leaf.action);
        let Some(qrels) = measured_with(leaf.action, graph) else {
            return Err(format!("`{}` does not say which qrels it measures with", name()));
        };
        let Some(queries) = results.per_query(leaf.action, &leaf.member) else {
            return Err(format!("`{}` has no values for each query", name()));
        };
        let number = collections.iter().position(|c| c == qrels).unwrap_or_else(|| {
            collections.push(qrels.clone());
            collections.len() - 1
        });
        found.entry(number).or_default().push((leaf.weight, queries.into_iter().collect()));
    }
    let mut values = BTreeMap::new();
    for (collection, runs) in found {
        let Some((_, first)) = runs.first() else { continue };
        let total: f64 = runs.iter().map(|(weight, _)| weight).sum();
        for query in first.keys() {
            let sum: Option<f64> =
                runs.iter().map(|(weight, run)| run.get(query).map(|x| weight * x)).sum::<Option<f64>>();
            let Some(sum) = sum else {
                return Err(format!("query `{query}` is not in all evaluations of one collection"));
            };
            values.insert((collection, query.clone()), sum / total);
        }
        if runs.iter().any(|(_, run)| run.len() != first.len()) {
            return Err("evaluations of one collection have different queries".into());
        }
    }
    Ok(Units { member, values })
}

/// The evaluations whose numbers a cell's value is a mean of; none when it is something else.
pub(super) fn evaluations(value: &Value) -> Vec<ActionId> {
    let mut leaves = Vec::new();
    match take_apart(value, 1.0, &mut leaves) {
        Ok(()) => leaves.into_iter().map(|l| l.action).collect(),
        Err(_) => Vec::new(),
    }
}

/// The first evaluation with these judgements that a cell's value is a mean of.
pub(super) fn first_of(value: &Value, graph: &Graph, qrels: &Value) -> Option<ActionId> {
    evaluations(value).into_iter().find(|id| measured_with(*id, graph) == Some(qrels))
}

/// The judgements that an evaluation measures with.
pub(super) fn measured_with(evaluation: ActionId, graph: &Graph) -> Option<&Value> {
    graph.actions.get(evaluation.0 as usize)?.args.get("qrels")
}

fn take_apart(value: &Value, weight: f64, leaves: &mut Vec<Leaf>) -> Result<(), String> {
    let not_a_mean = "the value is not a plain mean of numbers of evaluations";
    let Value::Pending(pending) = value else { return Err(not_a_mean.into()) };
    match &**pending {
        Pending::Metric { action, member } => {
            leaves.push(Leaf { action: *action, member: member.clone(), weight });
            Ok(())
        }
        Pending::Reduce { how: Reduction::Mean, cells } => {
            cells.iter().try_for_each(|c| take_apart(&c.value, weight / cells.len() as f64, leaves))
        }
        _ => Err(not_a_mean.into()),
    }
}
