//! What a test says nothing about: other seeds.

use std::collections::BTreeSet;

use super::super::units::{self, Units};
use xpipe_base::value::{ActionId, Name, Value};
use xpipe_lang::graph::Graph;

/// The seeds behind the numbers of a table.
#[derive(Default)]
pub(super) struct Seeds {
    /// The axes that values of a query are means over.
    averaged: BTreeSet<Name>,
    /// The fewest and the most evaluations that a query's value is a mean of.
    runs: Option<(usize, usize)>,
    evaluations: BTreeSet<ActionId>,
}

impl Seeds {
    /// Adds the units of a cell.
    pub(super) fn add(&mut self, units: &Units) {
        self.averaged.extend(units.averaged.iter().cloned());
        if !units.averaged.is_empty() {
            let n = units.runs;
            self.runs = Some(self.runs.map_or((n, n), |(from, to)| (from.min(n), to.max(n))));
        }
    }

    /// Adds the evaluations of a cell.
    pub(super) fn add_evaluations(&mut self, value: Option<&Value>) {
        self.evaluations.extend(value.map(units::evaluations).unwrap_or_default());
    }

    /// What a reader has to know.
    pub(super) fn remark(&self, graph: &Graph) -> Option<String> {
        if let Some((from, to)) = self.runs {
            let axes: Vec<String> = self.averaged.iter().map(|axis| format!("`{axis}`")).collect();
            let axes = axes.join(" and ");
            let n = if from == to { from.to_string() } else { format!("{from} to {to}") };
            return Some(format!(
                "tested over queries: the values of each query are means over {axes} (n = {n}), whose variation is no \
                 part of the test"
            ));
        }
        let mut trained = vec![false; graph.actions.len()];
        for (i, action) in graph.actions.iter().enumerate() {
            let of = |id: &ActionId| trained.get(id.0 as usize).copied().unwrap_or(false);
            trained[i] = action.op.starts_with("train.") || action.deps.iter().any(of);
        }
        let of_trained = self.evaluations.iter().any(|id| trained.get(id.0 as usize) == Some(&true));
        of_trained.then(|| {
            "tested over queries: each trained model is of one seed, and how much another seed would change is no \
             part of the test"
                .to_owned()
        })
    }
}
