//! A table with its numbers: what all renderings lay out.

use super::grade::Published;
use xpipe_base::value::{Name, Value};
use xpipe_data::ir::strata::Size;
use xpipe_lang::graph::Format;

/// The content of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A number, printed with the digits of the table.
    Number(f64),
    /// A whole number, printed as it is.
    Whole(i64),
    /// Another value, as text.
    Text(String),
    /// Nothing, with the reason as a lowercase fragment.
    Hole(String),
}

/// A cell of a filled table.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledCell {
    /// Its content.
    pub content: Content,
    /// The spread; `None` where none is declared or it is over too few values.
    pub spread: Option<f64>,
    /// The published number beside it.
    pub published: Option<Published>,
    /// Whether it is marked as best.
    pub best: bool,
    /// Whether the test compares other cells with it.
    pub reference: bool,
    /// Its comparison with the reference; `None` where there is none.
    pub test: Option<CellTest>,
}

impl FilledCell {
    /// The number in it, when it is one.
    pub fn number(&self) -> Option<f64> {
        match self.content {
            Content::Number(x) => Some(x),
            Content::Whole(i) => Some(i as f64),
            Content::Text(_) | Content::Hole(_) => None,
        }
    }
}

/// The sign in the table that a note explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The mark of best cells.
    Best,
    /// The mark of cells that differ from the reference.
    Differs,
    /// The spread, after ±.
    Spread,
    /// The published number, in brackets.
    Published,
    /// A hole.
    Hole,
    /// No sign: a remark.
    Remark,
}

/// A line under a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it explains.
    pub sign: Sign,
    /// The explanation, a lowercase fragment.
    pub text: String,
}

impl Note {
    pub(super) fn new(sign: Sign, text: impl Into<String>) -> Self {
        Self { sign, text: text.into() }
    }
}

/// A table with its numbers, as all renderings print it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// Its name in the study.
    pub name: String,
    /// Labels of its `for` axes.
    pub labels: Vec<Name>,
    /// Its title; empty when none is declared.
    pub title: String,
    /// Axis and labels of the rows.
    pub rows: (Name, Vec<Name>),
    /// Axis and labels of the columns.
    pub columns: (Name, Vec<Name>),
    /// The printed names of rows and columns.
    pub printed: (Vec<Name>, Vec<Name>),
    /// The measure of its values, for instance `nDCG@10`; may be empty.
    pub measure: String,
    /// Digits after the decimal point.
    pub digits: usize,
    /// `cells[row][column]`, as many as there are labels.
    pub cells: Vec<Vec<FilledCell>>,
    /// The outcome of its test, when one is declared.
    pub test: Option<TestOutcome>,
    /// Notes under it.
    pub notes: Vec<Note>,
    /// Formats to write.
    pub write: Vec<Format>,
}

/// The comparison of a cell with the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellTest {
    /// Units compared: queries of collections.
    pub n: usize,
    /// Two-sided p-value.
    pub p: f64,
    /// Adjusted over the table.
    pub p_adjusted: f64,
    /// This cell minus the reference.
    pub difference: f64,
    /// Standard deviation of the differences (n - 1), within collections.
    pub sd: f64,
    /// The effective sample size: several collections count less than as many queries of one.
    pub size: Size,
    /// Cohen's d_z of the differences; `None` without variance.
    pub effect: Option<f64>,
    /// Hedges' g_z: d_z without its bias in small samples; `None` without variance or for two differences.
    pub hedges: Option<f64>,
    /// Confidence interval (1 - alpha) of d_z.
    pub effect_interval: Option<(f64, f64)>,
    /// Lower end of the confidence interval (1 - alpha) of the difference.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the adjusted p-value is at most alpha.
    pub significant: bool,
}

/// The outcome of a table's test.
#[derive(Clone, Debug, PartialEq)]
pub enum TestOutcome {
    /// Cells were compared.
    Evaluated {
        /// How many: the size of the family.
        family: usize,
        /// The fewest and the most units of a comparison.
        units: (usize, usize),
        /// How many collections the units are from.
        collections: usize,
    },
    /// Nothing could be compared.
    NotEvaluated {
        /// Why, a lowercase fragment.
        reason: String,
    },
}

/// Names of cells in brackets, at most six.
pub(super) fn listed(names: &[String]) -> String {
    let mut shown = names.iter().take(6).map(|n| format!("({n})")).collect::<Vec<_>>();
    if names.len() > shown.len() {
        shown.push(format!("{} more cells", names.len() - shown.len()));
    }
    shown.join(" ")
}

/// The value at a row and a column, where there is one.
pub(super) fn at(values: &[Vec<Option<Value>>], r: usize, c: usize) -> Option<&Value> {
    values.get(r).and_then(|row| row.get(c)).and_then(Option::as_ref)
}
