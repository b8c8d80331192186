//! What a reader of the numbers has to know, over all results behind them: data that was left out, read differently, or
//! is doubtful.
//!
//! An action's caveats are kept with its result. Results of older versions, and counts that operations record in any
//! case, have facts instead: [`FACTS`] reads those as caveats, so that there is one list. Counts of one cause are summed
//! over actions.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Results;
use xpipe_base::task::{Action, Caveat, CaveatKind, cause};
use xpipe_base::value::{ActionId, Value, dependencies};
use xpipe_lang::graph::{Claim, Graph, Table};

/// The most results that a line names.
const NAMED: usize = 3;

/// A caveat over the results that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaveatSummary {
    /// Kind, cause, the sum of the counts, and the first example.
    pub caveat: Caveat,
    /// Addresses of the results, in the order of the plan.
    pub cells: Vec<String>,
}

impl CaveatSummary {
    /// The addresses of the results.
    pub fn place(&self) -> String {
        let mut named: Vec<String> = self.cells.iter().take(NAMED).map(|c| format!("`{c}`")).collect();
        if self.cells.len() > NAMED {
            named.push(format!("{} more", self.cells.len() - NAMED));
        }
        named.join(", ")
    }

    /// The count, of how many, the cause, and the first example.
    pub fn text(&self) -> String {
        self.caveat.to_string()
    }
}

/// Counts among facts that a reader has to know of when they are not 0.
const FACTS: [(&str, CaveatKind, &str); 11] = [
    ("answers_repaired", CaveatKind::Doubt, cause::REPAIRED),
    ("queries_missing_from_run", CaveatKind::Doubt, "judged queries are not in the run and count 0"),
    ("queries_of_run_not_judged", CaveatKind::Dropped, "queries of the run are not judged and do not count"),
    ("queries_without_terms", CaveatKind::Doubt, cause::WITHOUT_TERMS),
    ("queries_without_hits", CaveatKind::Doubt, "queries found nothing"),
    (
        "equal_queries",
        CaveatKind::Doubt,
        "queries that were learnt or chosen on are word for word queries of a test (`audit.leakage`)",
    ),
    (
        "near_queries",
        CaveatKind::Doubt,
        "queries that were learnt or chosen on are nearly queries of a test (`audit.leakage`)",
    ),
    (
        "judged_negatives",
        CaveatKind::Doubt,
        "negatives of the training are judged relevant in a test (`audit.leakage`)",
    ),
    ("unknown", CaveatKind::Dropped, cause::OUTSIDE_LEFT_OUT),
    ("left_out", CaveatKind::Dropped, cause::REPEATED_IDS),
    ("skipped", CaveatKind::Dropped, ""),
];

/// The caveats of results, summed by kind and cause.
pub fn summaries(graph: &Graph, results: &dyn Results, of: &BTreeSet<ActionId>) -> Vec<CaveatSummary> {
    let mut list: Vec<CaveatSummary> = Vec::new();
    for id in of {
        let Some(action) = graph.actions.get(id.0 as usize) else { continue };
        for caveat in caveats(*id, action, results) {
            let known =
                list.iter_mut().find(|t| t.caveat.kind == caveat.kind && t.caveat.cause == caveat.cause);
            let Some(known) = known else {
                list.push(CaveatSummary { caveat, cells: vec![action.address.clone()] });
                continue;
            };
            known.cells.push(action.address.clone());
            let mut sum = vec![known.caveat.clone()];
            Caveat::add(&mut sum, caveat);
            known.caveat = sum.remove(0);
        }
    }
    list.sort_by(|a, b| (a.caveat.kind, &a.caveat.cause).cmp(&(b.caveat.kind, &b.caveat.cause)));
    list
}

/// The caveats that are kept with a result, and those of its facts.
fn caveats(id: ActionId, action: &Action, results: &dyn Results) -> Vec<Caveat> {
    let mut list = results.caveats(id);
    let facts = results.facts(id).unwrap_or_default();
    // A count that the result itself tells is not told once more by its fact.
    let mut add = |caveat: Caveat| {
        if !list.iter().any(|known| known.cause == caveat.cause) {
            list.push(caveat);
        }
    };
    for (fact, kind, cause) in FACTS {
        match facts.get(fact) {
            Some(Json::Number(n)) => {
                let n = n.as_u64().filter(|n| *n > 0);
                let kept = action.args.get("unknown").and_then(Value::as_str) == Some("keep");
                match (fact, n) {
                    (_, None) => {}
                    ("unknown", Some(n)) if kept => {
                        add(Caveat::counted(CaveatKind::Doubt, n, cause::OUTSIDE_KEPT));
                    }
                    (_, Some(n)) => add(Caveat::counted(kind, n, cause)),
                }
            }
            Some(Json::Object(by_cause)) => {
                for (why, n) in by_cause {
                    if let Some(n) = n.as_u64().filter(|n| *n > 0) {
                        add(Caveat::counted(kind, n, format!("{why} were left out")));
                    }
                }
            }
            _ => {}
        }
    }
    list
}

/// The actions behind tables and claims; without any of them, every named action of the study.
pub fn results_behind<'t>(
    graph: &Graph,
    tables: impl Iterator<Item = &'t Table>,
    claims: impl Iterator<Item = &'t Claim>,
) -> BTreeSet<ActionId> {
    let mut found = Vec::new();
    let mut shown = false;
    for table in tables {
        shown = true;
        for values in
            [Some(&table.values), table.spread.as_ref(), table.published.as_ref().map(|p| &p.values)]
        {
            found.extend(dependencies(values.into_iter().flatten().flatten().flatten()));
        }
    }
    for claim in claims {
        shown = true;
        found.extend(dependencies(&claim.expect));
    }
    if !shown {
        found.extend(graph.rows.iter().filter(|r| r.named).flat_map(|r| r.cells.iter().map(|c| c.action)));
    }
    let mut all = BTreeSet::new();
    while let Some(id) = found.pop() {
        if all.insert(id) {
            found.extend(graph.actions.get(id.0 as usize).map(|a| a.deps.as_slice()).unwrap_or_default());
        }
    }
    all
}
