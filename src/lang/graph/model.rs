//! The expanded study as data: actions, rows of the plan, tables, claims and reports.

use super::output_options::{BestPer, Format, Section, TestSpec};
use crate::types::Artifact;
use xpipe_base::diag::Span;
use xpipe_base::task::Action;
use xpipe_base::value::{ActionId, Name, Value};

/// Where an action comes from in the text of the study.
#[derive(Clone, Debug)]
pub struct CallSite {
    /// The call of the operation.
    pub span: Span,
    /// For a call inside a def: the study's own call that led to it.
    pub caller: Option<Span>,
    /// What of the call this build does not implement, and where that is written.
    pub unimplemented: Option<(String, Span)>,
}

/// A row of the plan: a named stage, a stage inside a def, an anonymous stage, or the imports of datasets.
#[derive(Clone, Debug)]
pub struct Row {
    /// `model`, `first_stage.index`, `model.data#1`, `datasets`.
    pub name: String,
    /// The axes it varies over.
    pub axes: Vec<Name>,
    /// Its cells in axis order.
    pub cells: Vec<Cell>,
    /// Whether the study names it; only such rows are targets.
    pub named: bool,
    /// The notes above it that begin with `##`.
    pub docs: Vec<String>,
}

/// A row at one point.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Labels in the order of the row's axes.
    pub labels: Vec<Name>,
    /// The action whose result it is.
    pub action: ActionId,
}

impl Row {
    /// The address of a cell: `model[infonce, bert_base, 1]`.
    pub fn address(&self, cell: &Cell) -> String {
        address(&self.name, &cell.labels)
    }
}

/// `name[label, label]`, or `name` without labels. Labels that are neither names nor numbers are quoted.
pub fn address(name: &str, labels: &[Name]) -> String {
    let mut out = String::from(name);
    for (i, label) in labels.iter().enumerate() {
        out.push_str(if i == 0 { "[" } else { ", " });
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '%');
        // A bare `_` stands for any label.
        if !label.is_empty() && &**label != "_" && label.chars().all(plain) {
            out.push_str(label);
        } else {
            out.push('"');
            for c in label.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
    }
    if !labels.is_empty() {
        out.push(']');
    }
    out
}

/// A table: values to be computed when results exist.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name in the study, unique among tables, claims and reports.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Labels of its `for` axes; a table for several points is several of these.
    pub labels: Vec<Name>,
    /// Title with labels filled in: a text, or an expression that is known when stages have run.
    pub title: Value,
    /// Axis and labels of the rows.
    pub rows: (Name, Vec<Name>),
    /// Axis and labels of the columns.
    pub columns: (Name, Vec<Name>),
    /// Display names of the labels of rows and columns.
    pub printed: (Vec<Name>, Vec<Name>),
    /// `values[row][column]`; `None` where a cell was cut away.
    pub values: Vec<Vec<Option<Value>>>,
    /// What is printed after ±, in the layout of `values`.
    pub spread: Option<Vec<Vec<Option<Value>>>>,
    /// Published numbers to compare with.
    pub published: Option<Published>,
    /// The measure that all cells show (`ndcg_10`); empty when they show different ones, or none.
    pub measure: String,
    /// Scope in which the best value is marked: `row`, `column` or `table`.
    pub best_per: Option<BestPer>,
    /// Whether smaller values are better.
    pub smallest: bool,
    /// The significance test of the table.
    pub test: Option<TestSpec>,
    /// Digits after the point.
    pub digits: usize,
    /// Formats of the files to write: `html`, `latex`, `csv`, `markdown`, `parquet`.
    pub write: Vec<Format>,
}

/// Numbers that others have published for the cells of a table.
#[derive(Clone, Debug)]
pub struct Published {
    /// `values[row][column]`; `None` where there is none.
    pub values: Vec<Vec<Option<Value>>>,
    /// Tolerance: the largest difference that counts as reproduced.
    pub within: f64,
}

/// Why a cell does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// An `only` (of a profile or the command line) keeps other labels.
    Only,
    /// A `where` excludes it, or an index that picks other labels.
    Where,
    /// A file of published numbers has an empty field for it.
    Blank,
}

/// The best point of some axes, chosen when results exist: an `argmax` or `argmin`.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The `let` that it is, or the stage or output that it is written in.
    pub name: String,
    /// Axis and label of every axis that it depends on.
    pub at: Vec<(Name, Name)>,
    /// The choice, a [`xpipe_base::value::Pending::Arg`].
    pub value: Value,
}

/// A claim at one point.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name in the study.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Labels of its `for` axes.
    pub labels: Vec<Name>,
    /// The sentence: a text, or an expression that is known when stages have run.
    pub text: Value,
    /// The condition, a Bool when results exist; or why a cell that it needs does not exist.
    pub expect: Result<Value, Cut>,
}

/// A report: one HTML page.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name in the study.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// The heading of the page. Default: the name.
    pub title: Option<Value>,
    /// Names of tables and claims, or calls such as `costs(model)` as text.
    pub sections: Vec<Section>,
    /// Path of the page in the folder of results.
    pub html: Option<String>,
}

/// The expanded study.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Actions; an action only depends on actions before it.
    pub actions: Vec<Action>,
    /// By action: where it comes from.
    pub call_sites: Vec<CallSite>,
    /// By action: what it gives.
    pub artifacts: Vec<Artifact>,
    /// Rows of the plan in order of declaration.
    pub rows: Vec<Row>,
    /// Tables in order of declaration, one for each point of their axes.
    pub tables: Vec<Table>,
    /// Claims in order of declaration, one for each point of their axes.
    pub claims: Vec<Claim>,
    /// Reports in order of declaration.
    pub reports: Vec<Report>,
    /// Notes for readers of the results: tables and claims of which no cell is left.
    pub notes: Vec<String>,
    /// Every `argmax` and `argmin`, each once.
    pub choices: Vec<Choice>,
    /// Whether failed claims are reported without failing the run.
    pub advisory_claims: bool,
    /// The fields of `study`: name and text.
    pub study: Vec<(String, String)>,
}

impl Graph {
    /// The action of a number.
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.0 as usize]
    }

    /// What an action gives.
    pub fn artifact(&self, id: ActionId) -> &Artifact {
        &self.artifacts[id.0 as usize]
    }

    /// Where an action comes from.
    pub fn call_site(&self, id: ActionId) -> &CallSite {
        &self.call_sites[id.0 as usize]
    }
}
