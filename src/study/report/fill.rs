//! Filling in a table: numbers, spread, best marks, the test, and the notes under it.

use std::collections::BTreeMap;

use super::Results;
use super::filled::{Content, Filled, FilledCell, Note, Sign, at, listed};
use super::grade::Published;
use super::layout;
use super::missing::{self, Reason};
use super::significance;
use super::spreads::Spreads;
use xpipe_base::task::Failure;
use xpipe_base::value::Value;
use xpipe_lang::graph::{BestPer, Graph, Table};

/// Fills in a table. What cannot be computed becomes a hole or a note, and is never left out silently.
///
/// # Errors
/// A defect of xpipe: what was tested is not the difference of the numbers shown.
pub fn evaluate_table(table: &Table, graph: &Graph, results: &dyn Results) -> Result<Filled, Failure> {
    let mut notes = Vec::new();
    let (mut cells, holes, spreads) = numbers(table, graph, results);
    if let Some(per) = table.best_per
        && mark_best(&mut cells, per, table.smallest, table.digits)
    {
        let which = if table.smallest { "smallest" } else { "best" };
        notes.push(Note::new(Sign::Best, format!("{which} of its {}", per.word())));
    }
    notes.extend(spreads.notes());
    if let Some(p) =
        table.published.as_ref().filter(|_| cells.iter().flatten().any(|c| c.published.is_some()))
    {
        let text = format!("published, ok within {}, near within twice that, else off", p.within);
        notes.push(Note::new(Sign::Published, text));
    }
    let mut outcome = None;
    if let Some(spec) = &table.test {
        let test = significance::run(spec, table, graph, results, &mut cells)?;
        notes.extend(test.legend.map(|text| Note::new(Sign::Differs, text)));
        notes.extend(test.remarks.into_iter().map(|text| Note::new(Sign::Remark, text)));
        outcome = Some(test.outcome);
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
        measure: layout::measure(&table.measure),
        digits: table.digits,
        cells,
        test: outcome,
        notes,
        write: table.write.clone(),
    })
}

/// The cells of a table with numbers, spreads and published numbers; its holes, and what is known of its spreads.
fn numbers(
    table: &Table,
    graph: &Graph,
    results: &dyn Results,
) -> (Vec<Vec<FilledCell>>, Vec<Holes>, Spreads) {
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
    (cells, holes, spreads)
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

/// Cells without a value for one reason.
struct Holes {
    /// The reason of the first.
    why: String,
    /// A reason that holds for all of them.
    several: String,
    places: Vec<(usize, usize)>,
}

/// The content of a cell, and for a hole a reason that holds for several cells.
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

/// A value that is not a number, as a cell shows it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Record(r) => {
            r.iter().map(|(n, v)| format!("{n} = {}", text(v))).collect::<Vec<_>>().join(", ")
        }
        Value::Input(_) | Value::Artifact(_) | Value::Located(_) => "a result".into(),
        other => other.to_string(),
    }
}

/// Marks the best cells; equal ones, as printed, are all marked. Returns whether any was.
fn mark_best(cells: &mut [Vec<FilledCell>], per: BestPer, smallest: bool, digits: usize) -> bool {
    let mut groups: BTreeMap<usize, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for (r, row) in cells.iter().enumerate() {
        for (c, cell) in row.iter().enumerate() {
            let group = match per {
                BestPer::Row => r,
                BestPer::Column => c,
                BestPer::Table => 0,
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
