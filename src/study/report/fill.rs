//! Filling a table in: numbers, spread, best marks, the test, and the notes that go under it.

use std::collections::BTreeMap;

use super::Results;
use super::grade::Published;
use super::layout;
use super::missing::{self, Reason};
use super::names;
use super::significance::{self, CellTest, TestOutcome};
use xpipe_base::task::Failure;
use xpipe_base::value::pending::Reduction;
use xpipe_base::value::{self, Name, Pending, Value};
use xpipe_lang::graph::{Graph, Table};

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A number, printed with the digits of the table.
    Number(f64),
    /// A whole number, printed as it is.
    Whole(i64),
    /// Another value, as text.
    Text(String),
    /// Nothing, and why: a lowercase fragment.
    Hole(String),
}

/// A cell of a filled table.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledCell {
    /// What stands in it.
    pub content: Content,
    /// The spread; `None` where none is declared or it is empty.
    pub spread: Option<f64>,
    /// The published number beside it.
    pub published: Option<Published>,
    /// Whether it is a best one.
    pub best: bool,
    /// Whether the test compares others with it.
    pub reference: bool,
    /// Its comparison with the reference, when there is one.
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
    /// What stands after ±.
    Spread,
    /// The published number in brackets.
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
    fn new(sign: Sign, text: impl Into<String>) -> Self {
        Self { sign, text: text.into() }
    }
}

/// A table with everything that is printed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// Its name.
    pub name: String,
    /// Labels of its `for` axes.
    pub labels: Vec<Name>,
    /// Its title; empty when none is declared.
    pub title: String,
    /// Axis and labels of the rows.
    pub rows: (Name, Vec<Name>),
    /// Axis and labels of the columns.
    pub columns: (Name, Vec<Name>),
    /// What rows and columns are called where people read them.
    pub printed: (Vec<Name>, Vec<Name>),
    /// What its value is called, for instance `nDCG@10`; may be empty.
    pub measure: String,
    /// Digits after the point.
    pub digits: usize,
    /// `cells[row][column]`, as many as there are labels.
    pub cells: Vec<Vec<FilledCell>>,
    /// What came of its test, when one is declared.
    pub test: Option<TestOutcome>,
    /// Lines under it.
    pub notes: Vec<Note>,
    /// Formats to write.
    pub write: Vec<String>,
}

/// Fills a table in. What cannot be computed is a hole or a note, never left out silently.
///
/// # Errors
/// A defect of ours: what was tested is not the difference of the numbers shown.
pub fn evaluate_table(table: &Table, graph: &Graph, results: &dyn Results) -> Result<Filled, Failure> {
    let mut notes = Vec::new();
    let mut cells: Vec<Vec<FilledCell>> = Vec::new();
    let mut holes: Vec<Holes> = Vec::new();
    let mut spreads = Spreads::default();
    for r in 0..table.rows.1.len() {
        let mut line = Vec::new();
        for c in 0..table.columns.1.len() {
            let (content, several) = content(at(&table.values, r, c), graph, results);
            if let Content::Hole(why) = &content {
                match holes.iter_mut().find(|h| h.several == several) {
                    Some(known) => known.places.push((r, c)),
                    None => holes.push(Holes { why: why.clone(), several, places: vec![(r, c)] }),
                }
            }
            let hole = matches!(content, Content::Hole(_));
            let spread = match &table.spread {
                Some(spread) if !hole => spreads.value(at(spread, r, c), graph, results),
                _ => None,
            };
            let mut cell =
                FilledCell { content, spread, published: None, best: false, reference: false, test: None };
            if let (Some(x), Some(p)) = (cell.number(), &table.published) {
                cell.published = Published::of(x, at(&p.values, r, c), p.within, results);
            }
            line.push(cell);
        }
        cells.push(line);
    }
    if let Some(per) = &table.best_per
        && mark_best(&mut cells, per, table.smallest, table.digits)
    {
        let which = if table.smallest { "smallest" } else { "best" };
        notes.push(Note::new(Sign::Best, format!("{which} of its {per}")));
    }
    notes.extend(spreads.notes());
    if let Some(p) =
        table.published.as_ref().filter(|_| cells.iter().flatten().any(|c| c.published.is_some()))
    {
        let text = format!("published, ok within {}, near within twice that, else off", p.within);
        notes.push(Note::new(Sign::Published, text));
    }
    let mut test = None;
    if let Some(spec) = &table.test {
        let (outcome, legend, remarks) = significance::run(spec, table, graph, results, &mut cells)?;
        notes.extend(legend.map(|text| Note::new(Sign::Differs, text)));
        notes.extend(remarks.into_iter().map(|text| Note::new(Sign::Remark, text)));
        test = Some(outcome);
    }
    for Holes { why, several, places } in holes {
        let why = if places.len() == 1 { why } else { several };
        notes.push(Note::new(Sign::Hole, format!("{}: {why}", which(table, &places))));
    }
    Ok(Filled {
        name: table.name.clone(),
        labels: table.labels.clone(),
        title: missing::text(&table.title, results),
        rows: table.rows.clone(),
        columns: table.columns.clone(),
        printed: table.printed.clone(),
        measure: names::printed(&table.measure),
        digits: table.digits,
        cells,
        test,
        notes,
        write: table.write.clone(),
    })
}

/// Cells in words: whole columns and rows by their labels, the others one by one.
fn which(table: &Table, places: &[(usize, usize)]) -> String {
    let (rows, columns) = (&table.printed.0, &table.printed.1);
    if places.len() == rows.len() * columns.len() {
        return "all cells".to_owned();
    }
    let has = |r: usize, c: usize| places.contains(&(r, c));
    // A column of one row, or a row of one column, is a cell.
    let whole_columns: Vec<usize> = (0..columns.len())
        .filter(|c| rows.len() > 1 && columns.len() > 1 && (0..rows.len()).all(|r| has(r, *c)))
        .collect();
    let whole_rows: Vec<usize> = (0..rows.len())
        .filter(|r| rows.len() > 1 && columns.len() > 1 && (0..columns.len()).all(|c| has(*r, c)))
        .collect();
    let mut named: Vec<String> = whole_columns.iter().map(|c| columns[*c].to_string()).collect();
    named.extend(whole_rows.iter().map(|r| rows[*r].to_string()));
    let others: Vec<String> = places
        .iter()
        .filter(|(r, c)| !whole_columns.contains(c) && !whole_rows.contains(r))
        .map(|(r, c)| format!("{}, {}", rows[*r], columns[*c]))
        .collect();
    if !others.is_empty() {
        named.push(listed(&others));
    }
    named.join(", ")
}

/// Names of cells, at most six.
pub(super) fn listed(names: &[String]) -> String {
    let mut shown = names.iter().take(6).map(|n| format!("({n})")).collect::<Vec<_>>();
    if names.len() > shown.len() {
        shown.push(format!("{} more cells", names.len() - shown.len()));
    }
    shown.join(" ")
}

pub(super) fn at(values: &[Vec<Option<Value>>], r: usize, c: usize) -> Option<&Value> {
    values.get(r).and_then(|row| row.get(c)).and_then(Option::as_ref)
}

/// Cells without a value for one reason.
struct Holes {
    /// The reason of the first.
    why: String,
    /// The reason in words that hold for all of them.
    several: String,
    places: Vec<(usize, usize)>,
}

/// What stands in a cell, and for a hole the reason in words that hold for others too.
fn content(value: Option<&Value>, graph: &Graph, results: &dyn Results) -> (Content, String) {
    let found = value.ok_or(Reason::Cut(None)).and_then(|v| missing::value(v, results));
    let content = match found {
        Ok(Value::Float(x)) if !x.is_finite() => {
            let why = "it is not a number".to_owned();
            return (Content::Hole(why.clone()), why);
        }
        Ok(Value::Float(x)) => Content::Number(x),
        Ok(Value::Int(i)) => Content::Whole(i),
        Ok(other) => Content::Text(text(&other)),
        Err(reason) => {
            return (Content::Hole(reason.text(graph, results)), reason.of_several(graph, results));
        }
    };
    (content, String::new())
}

/// A value that is no number, as a cell shows it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => value::shown::shortest(*x),
        Value::Str(s) => s.to_string(),
        Value::Bytes(n) => value::shown::bytes(*n),
        Value::Seconds(s) => value::shown::seconds(*s),
        Value::Percent(p) => format!("{}%", value::shown::shortest(*p)),
        Value::Budget(xpipe_base::value::Budget::Steps(n)) => format!("{} steps", layout::count(*n)),
        Value::Budget(xpipe_base::value::Budget::Epochs(x)) => format!("{x} epochs"),
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Record(r) => {
            r.iter().map(|(n, v)| format!("{n} = {}", text(v))).collect::<Vec<_>>().join(", ")
        }
        Value::Call(c) => {
            let args: Vec<String> = c.args.iter().map(|(n, v)| format!("{n} = {}", text(v))).collect();
            format!("{}({})", c.name, args.join(", "))
        }
        Value::Input(_) | Value::Artifact(_) | Value::Located(_) => "a result".into(),
        Value::Pending(_) => "not known yet".into(),
    }
}

/// Marks the best cells; equal ones, as printed, are all marked. Returns whether any was.
fn mark_best(cells: &mut [Vec<FilledCell>], per: &str, smallest: bool, digits: usize) -> bool {
    let mut groups: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for (r, row) in cells.iter().enumerate() {
        for (c, cell) in row.iter().enumerate() {
            let group = match per {
                "row" => r,
                "column" => c,
                _ => 0,
            };
            if let Some(x) = cell.number() {
                groups.entry(group).or_default().push((r, c, if smallest { -x } else { x }));
            }
        }
    }
    let mut any = false;
    for group in groups.into_values() {
        let Some(best) = group.iter().max_by(|a, b| a.2.total_cmp(&b.2)) else { continue };
        let printed = layout::content(&cells[best.0][best.1], digits, "");
        for (r, c, _) in &group {
            let cell = &mut cells[*r][*c];
            if layout::content(cell, digits, "") == printed {
                cell.best = true;
                any = true;
            }
        }
    }
    any
}

/// What is learned about spreads while cells are filled.
#[derive(Default)]
struct Spreads {
    any: bool,
    /// What they are, as long as all are alike.
    kind: Option<(Reduction, Vec<Name>)>,
    mixed: bool,
    /// Over how many values, from and to.
    over: Option<(usize, usize)>,
    empty: bool,
    missing: Vec<String>,
}

impl Spreads {
    fn value(&mut self, value: Option<&Value>, graph: &Graph, results: &dyn Results) -> Option<f64> {
        let found =
            value.ok_or(Reason::Cut(None)).and_then(|v| missing::value(v, results).map(|found| (v, found)));
        match found {
            Ok((declared, found)) => {
                let Some(x) = found.as_f64().filter(|x| x.is_finite()) else {
                    self.note_missing("it is not a number".into());
                    return None;
                };
                self.any = true;
                self.describe(declared);
                Some(x)
            }
            Err(Reason::Empty) => {
                self.empty = true;
                None
            }
            Err(reason) => {
                self.note_missing(reason.text(graph, results));
                None
            }
        }
    }

    fn note_missing(&mut self, why: String) {
        if !self.missing.contains(&why) {
            self.missing.push(why);
        }
    }

    fn describe(&mut self, declared: &Value) {
        let kind = match declared {
            Value::Pending(p) => match &**p {
                Pending::Reduce { how, cells } => {
                    let n = cells.len();
                    let (from, to) = self.over.unwrap_or((n, n));
                    self.over = Some((from.min(n), to.max(n)));
                    let axes = cells.first().map(|c| c.labels.iter().map(|(axis, _)| axis.clone()).collect());
                    axes.map(|axes| (*how, axes))
                }
                _ => None,
            },
            _ => None,
        };
        self.mixed |= kind.is_none() || self.kind.as_ref().is_some_and(|known| Some(known) != kind.as_ref());
        self.kind = kind;
    }

    fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.any {
            let text = match (&self.kind, self.mixed, self.over) {
                (Some((how, axes)), false, Some((from, to))) => {
                    let how = match how {
                        Reduction::Sd => "standard deviation (n - 1)",
                        Reduction::Mean => "mean",
                        Reduction::Min => "smallest",
                        Reduction::Max => "largest",
                        Reduction::All => "all",
                    };
                    let n = if from == to { from.to_string() } else { format!("{from} to {to}") };
                    format!("{how} over `{}`, n = {n}", axes.join("`, `"))
                }
                _ => "the declared spread".into(),
            };
            notes.push(Note::new(Sign::Spread, text));
        }
        if self.empty {
            let text = "a spread is left out where there are too few values for one";
            notes.push(Note::new(Sign::Remark, text));
        }
        notes.extend(
            self.missing.iter().map(|why| Note::new(Sign::Remark, format!("a spread is left out: {why}"))),
        );
        notes
    }
}
