//! What a study says when it has run: tables with their tests, claims and costs; in the terminal and in files.
//!
//! [`evaluate`] fills everything in once, the renderers only lay it out. Numbers come through [`Results`]; what has
//! no result becomes a hole with its reason, never a default. Must not know: the store, the language, how actions
//! are run.

mod claims;
mod costs;
mod csv;
mod fill;
mod latex;
mod layout;
mod markdown;
mod missing;
mod names;
#[cfg(feature = "models")]
pub mod per_query;
mod significance;
mod terminal;
#[cfg(test)]
mod tests;
mod units;
mod write;

pub use claims::{ClaimOutcome, ClaimResult, evaluate_claim};
pub use costs::{CostRow, Costs, costs};
pub use csv::{costs as costs_csv, table as csv};
pub use fill::{Content, Filled, FilledCell, Note, Sign, evaluate_table};
pub use latex::table as latex;
pub use markdown::{costs as costs_markdown, table as markdown};
pub use significance::{CellTest, TestOutcome};
pub use terminal::{claims as terminal_claims, costs as terminal_costs, table as terminal};
pub use write::{Written, write_all};

use crate::graph::Graph;
use crate::value::ActionId;

/// What finished actions have published. `None` where an action has no result (yet).
pub trait Results {
    /// A number by its published name, for instance `ndcg_10`.
    fn number(&self, action: ActionId, member: &str) -> Option<f64>;
    /// The values of each query behind a number: (query id, value), each query once.
    fn per_query(&self, action: ActionId, member: &str) -> Option<Vec<(String, f64)>>;
    /// The facts that the action recorded.
    fn facts(&self, action: ActionId) -> Option<serde_json::Map<String, serde_json::Value>>;
    /// Seconds that the action took when it was carried out.
    fn seconds(&self, action: ActionId) -> Option<f64>;
}

/// Everything a study says, filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// Tables in order of declaration.
    pub tables: Vec<Filled>,
    /// Claims in order of declaration.
    pub claims: Vec<ClaimResult>,
    /// Costs that reports ask for, each stage once.
    pub costs: Vec<Costs>,
    /// What was asked for and is not given, for people.
    pub notes: Vec<String>,
}

impl Evaluated {
    /// How many claims failed.
    pub fn failed_claims(&self) -> usize {
        self.claims.iter().filter(|c| matches!(c.outcome, ClaimOutcome::Failed { .. })).count()
    }

    /// How many cells of tables are holes.
    pub fn holes(&self) -> usize {
        let cells = self.tables.iter().flat_map(|t| t.cells.iter().flatten());
        cells.filter(|c| matches!(c.content, Content::Hole(_))).count()
    }
}

/// Fills in all tables, claims and costs of a graph.
pub fn evaluate(graph: &Graph, results: &dyn Results) -> Evaluated {
    let mut out = Evaluated {
        tables: graph.tables.iter().map(|t| evaluate_table(t, graph, results)).collect(),
        claims: graph
            .claims
            .iter()
            .map(|c| ClaimResult {
                name: c.name.clone(),
                labels: c.labels.clone(),
                text: c.text.clone(),
                outcome: evaluate_claim(c, graph, results),
            })
            .collect(),
        ..Evaluated::default()
    };
    for report in &graph.reports {
        for section in &report.sections {
            let known = graph.tables.iter().any(|t| t.name == *section)
                || graph.claims.iter().any(|c| c.name == *section);
            if known {
                continue;
            }
            let Some(stages) = costs::stages(section) else {
                out.notes.push(format!("report `{}`: there is nothing to show for `{section}`", report.name));
                continue;
            };
            for stage in stages {
                if out.costs.iter().any(|c| c.stage == stage) {
                    continue;
                }
                match costs(stage, graph, results) {
                    Some(found) => out.costs.push(found),
                    None => out.notes.push(format!(
                        "report `{}`: `{section}` names no stage of this study: `{stage}`",
                        report.name
                    )),
                }
            }
        }
        if report.html.is_some() {
            out.notes.push(format!("report `{}`: html is not written by this version", report.name));
        }
    }
    let mut told: Vec<&str> = Vec::new();
    for table in &graph.tables {
        if told.contains(&table.name.as_str()) {
            continue;
        }
        told.push(&table.name);
        for format in &table.write {
            if !write::FORMATS.contains(&format.as_str()) {
                out.notes.push(format!("table `{}`: {format} is not written by this version", table.name));
            }
        }
    }
    out
}
