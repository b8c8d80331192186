//! The units of a test: the values behind a cell's number, query by query.
//!
//! The number must be a mean (also of means) of numbers of evaluations. A unit is a query of a collection, and a
//! collection is what the evaluation names as `qrels`; its value is the mean over the evaluations of the same
//! collection (the seeds), with the weights they have in the number. The number is then the mean of the means of
//! collections, each with the weight it has in the number, whatever its number of queries.

use std::collections::{BTreeMap, BTreeSet};

use super::Results;
use super::missing::address;
use xpipe_base::value::pending::Reduction;
use xpipe_base::value::{ActionId, Name, Pending, Value};
use xpipe_lang::graph::Graph;

/// Values of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    /// The measure: the published name.
    pub(super) member: Name,
    /// By the number of the collection.
    pub(super) collections: BTreeMap<usize, Collection>,
    /// The axes that values of a query are means over.
    pub(super) averaged: BTreeSet<Name>,
    /// The most evaluations that a value of a query is a mean of.
    pub(super) runs: usize,
}

/// A collection's part of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Collection {
    /// The weight of its mean in the number; they sum to 1.
    pub(super) weight: f64,
    /// The value of each query.
    pub(super) values: BTreeMap<String, f64>,
}

impl Collection {
    fn mean(&self) -> f64 {
        self.values.values().sum::<f64>() / self.values.len() as f64
    }
}

impl Units {
    /// The mean of the collections' means, which is the cell's number.
    pub(super) fn mean(&self) -> f64 {
        self.collections.values().map(|c| c.weight * c.mean()).sum()
    }
}

struct Leaf {
    action: ActionId,
    member: Name,
    weight: f64,
    /// The labels of the means around it.
    labels: Vec<(Name, Name)>,
}

/// The evaluations of one collection: weight and values by query.
type Weighted = (f64, BTreeMap<String, f64>);

/// The units of a cell's value. `collections` numbers the collections of the whole table.
///
/// # Errors
/// Why its queries are unknown, a lowercase fragment.
pub(super) fn units(
    value: &Value,
    graph: &Graph,
    results: &dyn Results,
    collections: &mut Vec<Value>,
) -> Result<Units, String> {
    let leaves = leaves(value)?;
    let member = leaves.first().map(|l| l.member.clone()).ok_or("the value is a mean over nothing")?;
    if let Some(other) = leaves.iter().find(|l| l.member != member) {
        return Err(format!("the value mixes the measures `{member}` and `{}`", other.member));
    }
    let mut found: BTreeMap<usize, Vec<Weighted>> = BTreeMap::new();
    let mut labels: BTreeMap<usize, BTreeMap<Name, BTreeSet<Name>>> = BTreeMap::new();
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
        let known = labels.entry(number).or_default();
        leaf.labels.into_iter().for_each(|(axis, label)| {
            known.entry(axis).or_default().insert(label);
        });
        found.entry(number).or_default().push((leaf.weight, queries.into_iter().collect()));
    }
    let single = found.len() == 1;
    let averaged =
        labels.into_values().flatten().filter(|(_, labels)| labels.len() > 1).map(|(axis, _)| axis);
    let mut units = Units {
        member,
        averaged: averaged.collect(),
        runs: found.values().map(Vec::len).max().unwrap_or(0),
        collections: BTreeMap::new(),
    };
    for (number, runs) in found {
        let mut collection = mean_of_evaluations(&runs)?;
        if single {
            // Sums of parts of 1 need not be 1 to the last bit.
            collection.weight = 1.0;
        }
        units.collections.insert(number, collection);
    }
    Ok(units)
}

/// The weighted mean of the evaluations of one collection, query by query.
fn mean_of_evaluations(runs: &[Weighted]) -> Result<Collection, String> {
    let weight: f64 = runs.iter().map(|(weight, _)| weight).sum();
    let mut values = BTreeMap::new();
    let Some((_, first)) = runs.first() else { return Ok(Collection { weight, values }) };
    for query in first.keys() {
        let sum: Option<f64> =
            runs.iter().map(|(weight, run)| run.get(query).map(|x| weight * x)).sum::<Option<f64>>();
        let Some(sum) = sum else {
            return Err(format!("query `{query}` is not in all evaluations of one collection"));
        };
        values.insert(query.clone(), sum / weight);
    }
    if runs.iter().any(|(_, run)| run.len() != first.len()) {
        return Err("evaluations of one collection have different queries".into());
    }
    Ok(Collection { weight, values })
}

/// The collections of a cell's value with the weights of their means; `None` for a value that is no mean of numbers of
/// evaluations.
pub(super) fn weights<'g>(value: &Value, graph: &'g Graph) -> Option<Vec<(&'g Value, f64)>> {
    let mut found: Vec<(&Value, f64)> = Vec::new();
    for leaf in leaves(value).ok()? {
        let qrels = measured_with(leaf.action, graph)?;
        match found.iter_mut().find(|(known, _)| *known == qrels) {
            Some((_, weight)) => *weight += leaf.weight,
            None => found.push((qrels, leaf.weight)),
        }
    }
    Some(found)
}

/// The evaluations whose numbers a cell's value is a mean of; none when it is something else.
pub(super) fn evaluations(value: &Value) -> Vec<ActionId> {
    leaves(value).map(|leaves| leaves.into_iter().map(|l| l.action).collect()).unwrap_or_default()
}

/// The first evaluation with these qrels that a cell's value is a mean of.
pub(super) fn first_of(value: &Value, graph: &Graph, qrels: &Value) -> Option<ActionId> {
    evaluations(value).into_iter().find(|id| measured_with(*id, graph) == Some(qrels))
}

/// The qrels of an evaluation.
pub(super) fn measured_with(evaluation: ActionId, graph: &Graph) -> Option<&Value> {
    graph.actions.get(evaluation.0 as usize)?.args.get("qrels")
}

/// The evaluations that a value is a mean of.
fn leaves(value: &Value) -> Result<Vec<Leaf>, String> {
    let mut leaves = Vec::new();
    collect_leaves(value, 1.0, &[], &mut leaves)?;
    Ok(leaves)
}

fn collect_leaves(
    value: &Value,
    weight: f64,
    labels: &[(Name, Name)],
    leaves: &mut Vec<Leaf>,
) -> Result<(), String> {
    let not_a_mean = "the value is not a plain mean of numbers of evaluations";
    let Value::Pending(pending) = value else { return Err(not_a_mean.into()) };
    match &**pending {
        Pending::Metric { action, member } => {
            leaves.push(Leaf { action: *action, member: member.clone(), weight, labels: labels.to_vec() });
            Ok(())
        }
        Pending::Reduce { how: Reduction::Mean, cells } => cells.iter().try_for_each(|c| {
            let labels: Vec<_> = labels.iter().chain(&c.labels).cloned().collect();
            collect_leaves(&c.value, weight / cells.len() as f64, &labels, leaves)
        }),
        _ => Err(not_a_mean.into()),
    }
}
