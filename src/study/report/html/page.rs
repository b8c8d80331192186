//! What a page is made of.

use super::compared::Compared;
use super::markup::Html;
use crate::report::claims::ClaimResult;
use crate::report::costs::Costs;
use crate::report::filled::Filled;
use crate::report::{Evaluated, Results, missing};
use xpipe_lang::graph::{self, Graph, Report, Table};

/// The state of an action, as a page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// It is not asked for.
    NotNeeded,
    /// It was carried out by the run that the page describes.
    Ran,
    /// Its result was in the cache.
    Cached,
    /// It has no result and did not fail: it waits, or was stopped.
    Open,
    /// It failed.
    Failed,
}

/// A failure or a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: a cell's address, or a place of the study.
    pub about: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// Whether it is a failure.
    pub failed: bool,
}

/// What a page shows beside results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageContext {
    /// The study's file without folder and suffix.
    pub name: String,
    /// States, by action.
    pub states: Vec<ActionState>,
    /// Failures and warnings.
    pub problems: Vec<Problem>,
    /// The study's files: name and text.
    pub sources: Vec<(String, String)>,
    /// Options of the command line: `--profile pilot`.
    pub options: Vec<String>,
    /// The program's name and version.
    pub tool: String,
    /// The digest of everything that the page is made of: a page with the same digest need not be written again.
    pub digest: String,
}

/// Everything that sections are made of.
pub(super) struct Page<'a> {
    pub(super) graph: &'a Graph,
    pub(super) results: &'a dyn Results,
    pub(super) evaluated: &'a Evaluated,
    pub(super) context: &'a PageContext,
    pub(super) title: String,
    /// The tables that are shown, with their declarations.
    pub(super) tables: Vec<(&'a Table, &'a Filled)>,
    pub(super) claims: Vec<&'a ClaimResult>,
    pub(super) costs: Vec<&'a Costs>,
    /// What a click on a cell shows.
    pub(super) compared: Compared,
}

/// A part of the page with a heading.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Html,
}

impl<'a> Page<'a> {
    /// A page of a report, or of everything.
    pub(super) fn new(
        report: Option<&'a Report>,
        graph: &'a Graph,
        evaluated: &'a Evaluated,
        results: &'a dyn Results,
        context: &'a PageContext,
    ) -> Self {
        let mut page = Self {
            graph,
            results,
            evaluated,
            context,
            title: title(report, graph, results, context),
            tables: Vec::new(),
            claims: Vec::new(),
            costs: Vec::new(),
            compared: Compared::default(),
        };
        page.choose(report);
        page.compared = Compared::of(&page.tables, graph, results);
        page
    }

    /// What the report names, in its order; everything without one.
    fn choose(&mut self, report: Option<&Report>) {
        let (declared, evaluated) = (&self.graph.tables, self.evaluated);
        let all = || declared.iter().zip(&evaluated.tables);
        let Some(report) = report.filter(|r| !r.sections.is_empty()) else {
            self.tables = all().collect();
            self.claims = evaluated.claims.iter().collect();
            self.costs = evaluated.costs.iter().collect();
            return;
        };
        for section in &report.sections {
            match section {
                graph::Section::Output(name) => {
                    self.tables.extend(all().filter(|(t, _)| t.name == *name));
                    self.claims.extend(evaluated.claims.iter().filter(|c| c.name == *name));
                }
                graph::Section::Costs(stages) => {
                    self.costs.extend(evaluated.costs.iter().filter(|c| stages.contains(&c.stage)));
                }
            }
        }
    }
}

fn title(report: Option<&Report>, graph: &Graph, results: &dyn Results, context: &PageContext) -> String {
    let study = graph.study.iter().find(|(name, _)| name == "title").map(|(_, title)| title.clone());
    let own = report.and_then(|r| Some(missing::text(r.title.as_ref()?, results)));
    own.or(study).unwrap_or_else(|| context.name.clone())
}
