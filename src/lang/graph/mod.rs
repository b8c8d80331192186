//! From a study to the graph of actions: cells of stages at points of their axes, equal recipes merged.
//!
//! Expansion is evaluation: every stage call is evaluated at every point, calls become actions, equal calls become
//! one action. What is known only after a stage has run stays a [`xpipe_base::value::Pending`] expression.

mod action;
mod arguments;
mod axes;
mod bounds;
mod call;
mod compare;
mod conform;
mod csv;
mod datasets;
mod domain;
mod eval;
mod forms;
pub mod items;
mod labels;
mod layers;
mod left;
mod outputs;
mod overrides;
mod path;
mod reach;
mod reduce;
mod sealed;
mod static_names;
mod static_paths;
mod static_types;
mod svg;
mod titles;

pub mod draw;
pub mod expand;
pub mod select;
pub mod special;

pub use action::dependencies;
pub use bounds::MOST_CELLS;
pub use datasets::IMPORTS;
pub use domain::POLICY;
pub use expand::{Overrides, expand};

/// An amount of memory as studies write it: `24GiB`.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
    let number = text[..text.len() - unit.len()].replace('_', "").parse::<f64>();
    match number.ok().map(|n| conform::quantity(n, unit)) {
        Some(Ok(Value::Bytes(n))) => Ok(n),
        Some(Err(why)) => Err(why),
        _ => Err("it is no amount of memory; write for instance `24GiB`".to_owned()),
    }
}

use xpipe_base::diag::Span;
use xpipe_base::value::{ActionId, Name, Record, Value};

/// One thing to carry out, once, however many cells ask for it.
#[derive(Clone, Debug)]
pub struct Action {
    /// The operation.
    pub op: &'static str,
    /// Its version.
    pub version: u32,
    /// Whether it runs in a worker process.
    pub heavy: bool,
    /// What it needs and this build has not, and where that is written.
    pub lacks: Option<(String, Span)>,
    /// The first cell that asked: `model[infonce, bert_base, 1]`.
    pub address: String,
    /// Where its call is written.
    pub span: Span,
    /// For a call inside a def: the study's own call that led to it.
    pub called: Option<Span>,
    /// Arguments after defaults; may hold artifacts, inputs and pending values.
    pub args: Record,
    /// The `with` block of the first cell that asked.
    pub policy: Record,
    /// Actions whose results it reads.
    pub deps: Vec<ActionId>,
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
    /// Whether a user named it (only these are targets).
    pub named: bool,
    /// Notes written above it with `##`.
    pub docs: Vec<String>,
}

/// A row at one point.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Labels in the order of the row's axes.
    pub labels: Vec<Name>,
    /// What makes it.
    pub action: ActionId,
}

impl Row {
    /// The address of a cell: `model[infonce, bert_base, 1]`.
    pub fn address(&self, cell: &Cell) -> String {
        address(&self.name, &cell.labels)
    }
}

/// `name[label, label]`, or `name` without labels. Labels that are no names or numbers are quoted.
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

/// A significance test of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSpec {
    /// `paired_t`, `randomisation` or `bootstrap`.
    pub kind: String,
    /// The axis and label that others are compared with.
    pub against: (Name, Name),
    /// `holm`, `bonferroni`, `bh` or `none`.
    pub correct: String,
    /// Level, in (0, 1).
    pub alpha: f64,
    /// Draws of randomisation and bootstrap.
    pub draws: u64,
    /// Their seed.
    pub seed: u64,
}

/// A table: values to be computed when results exist.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Labels of its `for` axes; a table for several points is several of these.
    pub labels: Vec<Name>,
    /// Title with labels filled in: a text, or one that is known when stages have run.
    pub title: Value,
    /// Axis and labels of the rows.
    pub rows: (Name, Vec<Name>),
    /// Axis and labels of the columns.
    pub columns: (Name, Vec<Name>),
    /// What rows and columns are called where people read them: a name for each label, often the label itself.
    pub printed: (Vec<Name>, Vec<Name>),
    /// `values[row][column]`; `None` where a cell was cut away.
    pub values: Vec<Vec<Option<Value>>>,
    /// Spread in the same layout, when declared.
    pub spread: Option<Vec<Vec<Option<Value>>>>,
    /// Published numbers, when declared.
    pub published: Option<Published>,
    /// The number that all cells show, by its published name (`ndcg_10`); empty when they show several or another.
    pub measure: String,
    /// `row`, `column` or `table`: where the best is marked.
    pub best_per: Option<String>,
    /// Whether smaller is better.
    pub smallest: bool,
    /// The test.
    pub test: Option<TestSpec>,
    /// Digits after the point.
    pub digits: usize,
    /// Formats to write: `html`, `latex`, `csv`, `markdown`.
    pub write: Vec<String>,
}

/// Numbers that others have published for the cells of a table.
#[derive(Clone, Debug)]
pub struct Published {
    /// `values[row][column]`; `None` where there is none.
    pub values: Vec<Vec<Option<Value>>>,
    /// How far away a number may be.
    pub within: f64,
}

/// Why a cell is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `only`, of a profile or the command line, keeps others.
    Only,
    /// A `where` leaves it out, or an index that picks others.
    Where,
    /// A table of published numbers has none for it.
    Blank,
}

/// The best point of some axes, chosen when results exist: an `argmax` or `argmin`.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The `let` that it is, or the stage or output that it is written in.
    pub name: String,
    /// The labels of the axes that it depends on: name and label.
    pub at: Vec<(Name, Name)>,
    /// The expression, a [`xpipe_base::value::Pending::Arg`].
    pub value: Value,
}

/// A claim at one point.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Labels of its `for` axes.
    pub labels: Vec<Name>,
    /// The sentence: a text, or one that is known when stages have run.
    pub text: Value,
    /// The expectation, a Bool when results exist; or why a cell that it needs is not there.
    pub expect: Result<Value, Cut>,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// What it is called on a page, when it says.
    pub title: Option<Value>,
    /// Names of tables and claims, or calls such as `costs(model)` as text.
    pub sections: Vec<String>,
    /// Where the HTML goes, when it is asked for.
    pub html: Option<String>,
}

/// Everything a study comes to.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Actions; an action only depends on actions before it.
    pub actions: Vec<Action>,
    /// Rows of the plan in order of declaration.
    pub rows: Vec<Row>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Claims.
    pub claims: Vec<Claim>,
    /// Reports.
    pub reports: Vec<Report>,
    /// What a reader of the results has to know: outputs that nothing is left of.
    pub notes: Vec<String>,
    /// What is chosen by results.
    pub choices: Vec<Choice>,
    /// Whether a failed claim only reports.
    pub advisory_claims: bool,
    /// The study's title and other fields.
    pub study: Vec<(String, String)>,
}

impl Graph {
    /// The action of a number.
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.0 as usize]
    }
}
