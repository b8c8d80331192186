//! What a study says when it has run: tables with their tests, claims and costs; in the terminal and in files.
//!
//! [`evaluate`] fills everything in once, the renderers only lay it out. Numbers come through [`Results`]; what has
//! no result becomes a hole with its reason, never a default. Must not know: the store, the language, how actions
//! are run.

pub mod caveats;
mod cells;
pub mod chosen;
mod claims;
mod costs;
mod csv;
mod detectable;
mod fill;
mod grade;
pub mod html;
mod json;
mod latex;
mod layout;
mod markdown;
mod missing;
mod names;
mod parquet;
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
pub use detectable::{Detectable, detectable};
pub use fill::{Content, Filled, FilledCell, Note, Sign, evaluate_table};
pub use grade::{Grade, Published};
pub use json::json;
pub use latex::table as latex;
pub use markdown::{costs as costs_markdown, table as markdown};
pub use significance::{CellTest, TestOutcome};
pub use terminal::{claims as terminal_claims, costs as terminal_costs, table as terminal};
pub use write::{Written, file_name, write_all, write_file};

use std::path::PathBuf;

use xpipe_base::task::{Caveat, Failure};
use xpipe_base::value::ActionId;
use xpipe_lang::graph::Graph;

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
    /// The folder of the action's files.
    fn folder(&self, action: ActionId) -> Option<PathBuf> {
        let _ = action;
        None
    }
    /// Why an action without a result has none, when it failed.
    fn failure(&self, action: ActionId) -> Option<String> {
        let _ = action;
        None
    }
    /// What a reader of the action's result has to know.
    fn caveats(&self, action: ActionId) -> Vec<Caveat> {
        let _ = action;
        Vec::new()
    }
    /// When and how the action was carried out.
    fn made(&self, action: ActionId) -> Option<Made> {
        let _ = action;
        None
    }
}

/// When and how an action was carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Seconds since 1970.
    pub started: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// The most memory it used, in bytes, where that is known.
    pub peak_memory: Option<u64>,
    /// Bytes of its files.
    pub size: u64,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The kernel level; empty when none was recorded.
    pub kernels: String,
    /// The name of the study that asked for it first, without folder and suffix.
    pub study: String,
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
    /// What was chosen by results.
    pub chosen: Vec<chosen::Chosen>,
    /// What a reader of the numbers has to know, of all results that tables and claims rest on.
    pub caveats: Vec<caveats::Told>,
}

impl Evaluated {
    /// How many claims failed.
    pub fn failed_claims(&self) -> usize {
        self.claims.iter().filter(|c| matches!(c.outcome, ClaimOutcome::Failed { .. })).count()
    }

    /// How many claims could not be evaluated, though nothing asks for that.
    pub fn open_claims(&self) -> usize {
        let open = |c: &&ClaimResult| matches!(c.outcome, ClaimOutcome::NotEvaluated { asked: false, .. });
        self.claims.iter().filter(open).count()
    }

    /// How many cells of tables are holes.
    pub fn holes(&self) -> usize {
        let cells = self.tables.iter().flat_map(|t| t.cells.iter().flatten());
        cells.filter(|c| matches!(c.content, Content::Hole(_))).count()
    }
}

/// Fills in all tables, claims and costs of a graph.
///
/// # Errors
/// A defect of ours: what was tested is not the difference of the numbers shown.
pub fn evaluate(graph: &Graph, results: &dyn Results) -> Result<Evaluated, Failure> {
    let mut out = Evaluated {
        tables: graph.tables.iter().map(|t| evaluate_table(t, graph, results)).collect::<Result<_, _>>()?,
        claims: graph
            .claims
            .iter()
            .map(|c| ClaimResult {
                name: c.name.clone(),
                labels: c.labels.clone(),
                text: missing::text(&c.text, results),
                outcome: evaluate_claim(c, graph, results),
            })
            .collect(),
        notes: graph.notes.clone(),
        ..Evaluated::default()
    };
    let behind = caveats::behind(graph, graph.tables.iter(), graph.claims.iter());
    out.chosen = chosen::chosen(graph, results);
    out.caveats = caveats::told(graph, results, &behind);
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
    }
    Ok(out)
}
