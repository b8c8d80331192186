//! Everything a study says, with its numbers: tables, claims, costs, notes.

use super::caveats::{self, CaveatSummary};
use super::chosen::{self, ChosenPoint};
use super::claims::{ClaimOutcome, ClaimResult, evaluate_claim};
use super::costs::{Costs, costs};
use super::fill::evaluate_table;
use super::filled::{Content, Filled};
use super::{Results, missing};
use xpipe_base::task::Failure;
use xpipe_lang::graph::{Graph, Report, Section};

/// Everything a study says, with its numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// Tables in order of declaration.
    pub tables: Vec<Filled>,
    /// Claims in order of declaration.
    pub claims: Vec<ClaimResult>,
    /// Costs that reports ask for, each stage once.
    pub costs: Vec<Costs>,
    /// What was asked for and cannot be given.
    pub notes: Vec<String>,
    /// Values chosen by results.
    pub chosen: Vec<ChosenPoint>,
    /// What a reader of the numbers has to know, over all results that tables and claims use.
    pub caveats: Vec<CaveatSummary>,
}

impl Evaluated {
    /// How many claims failed.
    pub fn failed_claims(&self) -> usize {
        self.claims.iter().filter(|c| matches!(c.outcome, ClaimOutcome::Failed { .. })).count()
    }

    /// How many claims could not be evaluated although nothing asks for that.
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

/// Evaluates all tables, claims and costs of a graph.
///
/// # Errors
/// A defect of xpipe: what was tested is not the difference of the numbers shown.
pub fn evaluate(graph: &Graph, results: &dyn Results) -> Result<Evaluated, Failure> {
    let tables = graph.tables.iter().map(|t| evaluate_table(t, graph, results));
    let claims = graph.claims.iter().map(|c| ClaimResult {
        name: c.name.clone(),
        labels: c.labels.clone(),
        text: missing::text(&c.text, results),
        outcome: evaluate_claim(c, graph, results),
    });
    let used = caveats::results_behind(graph, graph.tables.iter(), graph.claims.iter());
    let mut out = Evaluated {
        tables: tables.collect::<Result<_, _>>()?,
        claims: claims.collect(),
        notes: graph.notes.clone(),
        chosen: chosen::chosen(graph, results),
        caveats: caveats::summaries(graph, results, &used),
        ..Evaluated::default()
    };
    for report in &graph.reports {
        add_costs(&mut out, report, graph, results);
    }
    Ok(out)
}

/// Adds the costs that a report asks for.
fn add_costs(out: &mut Evaluated, report: &Report, graph: &Graph, results: &dyn Results) {
    for section in &report.sections {
        let Section::Costs(stages) = section else { continue };
        for stage in stages {
            if out.costs.iter().any(|c| c.stage == *stage) {
                continue;
            }
            match costs(stage, graph, results) {
                Some(found) => out.costs.push(found),
                None => out.notes.push(format!("report `{}`: there is no stage `{stage}`", report.name)),
            }
        }
    }
}
