//! The costs of stages: seconds of their actions, and the documents, tokens and pairs that they processed.
//!
//! An action that several cells share counts once. Its seconds are those of the run that carried it out, this one or an
//! earlier one.

use std::collections::BTreeSet;

use super::Results;
use xpipe_lang::graph::{self, Graph};

/// The cost of one action.
#[derive(Clone, Debug, PartialEq)]
pub struct CostRow {
    /// The first cell that it makes: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Seconds; `None` where it has no result.
    pub seconds: Option<f64>,
    /// Its counts, in the order of [`Costs::counted`].
    pub counts: Vec<Option<u64>>,
}

/// The costs of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// The stage's name.
    pub stage: String,
    /// The counts that at least one action records: `documents`, `tokens`, …
    pub counted: Vec<&'static str>,
    /// Its actions in the order of the cells.
    pub rows: Vec<CostRow>,
}

impl Costs {
    /// Seconds of all actions that have a result.
    pub fn seconds(&self) -> f64 {
        self.rows.iter().filter_map(|r| r.seconds).sum()
    }

    /// The sum of a column of [`Costs::counted`].
    pub fn total(&self, column: usize) -> u64 {
        self.rows.iter().filter_map(|r| r.counts.get(column).copied().flatten()).sum()
    }

    /// How many actions have no result.
    pub fn missing(&self) -> usize {
        self.rows.iter().filter(|r| r.seconds.is_none()).count()
    }
}

/// The costs of a row of the plan; `None` when there is no such row.
pub fn costs(stage: &str, graph: &Graph, results: &dyn Results) -> Option<Costs> {
    let row = graph.rows.iter().find(|r| r.name == stage)?;
    let mut seen = BTreeSet::new();
    let cells: Vec<_> = row.cells.iter().filter(|c| seen.insert(c.action)).collect();
    let declared = counts_of(cells.iter().map(|c| graph.artifact(c.action).counts));
    let mut found = Vec::new();
    for cell in cells {
        let facts = results.facts(cell.action).unwrap_or_default();
        let known = graph.artifact(cell.action).counts;
        let count = |name: &&str| known.contains(name).then(|| facts.get(*name)?.as_u64()).flatten();
        let counts: Vec<Option<u64>> = declared.iter().map(count).collect();
        found.push((graph::address(&row.name, &cell.labels), results.seconds(cell.action), counts));
    }
    let kept: Vec<usize> =
        (0..declared.len()).filter(|i| found.iter().any(|(_, _, counts)| counts[*i].is_some())).collect();
    Some(Costs {
        stage: stage.to_owned(),
        counted: kept.iter().map(|i| declared[*i]).collect(),
        rows: found
            .into_iter()
            .map(|(address, seconds, counts)| CostRow {
                address,
                seconds,
                counts: kept.iter().map(|i| counts[*i]).collect(),
            })
            .collect(),
    })
}

/// The counts of several operations, each once, in an order that keeps that of every operation where they agree.
pub(super) fn counts_of<'c>(declared: impl Iterator<Item = &'c [&'static str]>) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = Vec::new();
    for counts in declared {
        let mut next = all.len();
        for name in counts.iter().rev() {
            match all.iter().position(|known| known == name) {
                Some(at) => next = at,
                None => all.insert(next, name),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_the_order_of_each_operation() {
        let of = |declared: &[&'static [&'static str]]| counts_of(declared.iter().copied());
        assert_eq!(of(&[&["queries"], &["documents", "queries"], &[]]), ["documents", "queries"]);
        assert_eq!(of(&[&["steps", "tokens"], &["tokens", "pairs"]]), ["steps", "tokens", "pairs"]);
    }
}
