//! What a click on a cell shows: its queries against those of another cell, and the rankings of the most different.
//!
//! A tested cell is compared with its reference, another with the best of its row (of its column in a table of one
//! column), the best with the second. All is bounded: of each comparison the shape of the differences and a few
//! queries, of the whole page so many rankings and so much text.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::Page;
use crate::report::Results;
use crate::report::fill::{self, Filled};
use crate::report::units::{self, Units};
use xpipe_base::value::{ActionId, Value};
use xpipe_lang::graph::{Graph, Table};

/// Queries of a comparison that are listed, for each direction.
const QUERIES: usize = 10;
/// Points of the shape of the differences.
const SHAPE: usize = 120;
/// Smaller differences come from rounding.
const NOTHING: f64 = 5e-7;
/// Digits of values and differences in the data.
const DIGITS: i32 = 4;

/// A cell: table, row, column.
type Place = (usize, usize, usize);

/// All comparisons of a page.
#[derive(Default)]
pub(super) struct Compared {
    cells: BTreeMap<Place, Comparison>,
    /// Judgements that queries belong to, over all tables.
    collections: Vec<Value>,
}

struct Comparison {
    with: (usize, usize),
    wins: usize,
    ties: usize,
    losses: usize,
    mean: f64,
    shape: Vec<f64>,
    queries: Vec<Query>,
}

/// A query with the values of both cells, and the evaluations whose rankings are shown.
struct Query {
    collection: usize,
    id: String,
    values: (f64, f64),
    evaluations: (Option<ActionId>, Option<ActionId>),
}

impl Compared {
    /// Compares the cells of all tables.
    pub(super) fn of(tables: &[(&Table, &Filled)], graph: &Graph, results: &dyn Results) -> Self {
        let mut compared = Self::default();
        for (number, (declared, table)) in tables.iter().enumerate() {
            // By the cell that others are compared with, so that its queries are read once.
            let mut groups: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
            for (r, row) in table.cells.iter().enumerate() {
                for c in 0..row.len() {
                    if let Some(with) = other(table, r, c) {
                        groups.entry(with).or_default().push((r, c));
                    }
                }
            }
            for (with, cells) in groups {
                let mut read = |(r, c): (usize, usize)| {
                    let value = fill::at(&declared.values, r, c)?;
                    let found = units::units(value, graph, results, &mut compared.collections).ok()?;
                    Some((value, found))
                };
                let Some(base) = read(with) else { continue };
                for (r, c) in cells {
                    let Some(own) = read((r, c)) else { continue };
                    if let Some(found) = compare(with, &base, &own) {
                        compared.cells.insert((number, r, c), found);
                    }
                }
            }
        }
        let collections = compared.collections.clone();
        for ((number, r, c), found) in &mut compared.cells {
            let declared = tables[*number].0;
            for query in &mut found.queries {
                let of = |(r, c): (usize, usize)| {
                    let value = fill::at(&declared.values, r, c)?;
                    units::first_of(value, graph, collections.get(query.collection)?)
                };
                query.evaluations = (of(found.with), of((*r, *c)));
            }
        }
        compared
    }

    /// The name of a cell that can be opened.
    pub(super) fn key(&self, table: usize, row: usize, column: usize) -> Option<String> {
        self.cells.contains_key(&(table, row, column)).then(|| format!("{table}-{row}-{column}"))
    }
}

/// The cell that another is compared with.
fn other(table: &Filled, r: usize, c: usize) -> Option<(usize, usize)> {
    let cell = &table.cells[r][c];
    cell.number()?;
    let tested = table.cells.iter().flatten().any(|c| c.reference);
    let in_row = |wanted: &dyn Fn(usize) -> bool| {
        (0..table.cells[r].len()).filter(|c| wanted(*c)).map(|c| (r, c)).collect()
    };
    let in_column = || (0..table.cells.len()).map(|r| (r, c)).collect();
    let candidates: Vec<(usize, usize)> = if tested {
        if cell.reference {
            return None;
        }
        let row: Vec<(usize, usize)> = in_row(&|c| table.cells[r][c].reference);
        if row.is_empty() { in_column() } else { row }
    } else if table.cells[r].len() > 1 {
        in_row(&|_| true)
    } else {
        in_column()
    };
    let others = candidates.into_iter().filter(|at| *at != (r, c));
    let of = |(r, c): &(usize, usize)| table.cells[*r][*c].number();
    let mut known = others.filter(|at| of(at).is_some() && (!tested || table.cells[at.0][at.1].reference));
    // Of equal ones the first.
    let first = known.next()?;
    Some(known.fold(first, |best, at| if of(&at) > of(&best) { at } else { best }))
}

fn compare(with: (usize, usize), base: &(&Value, Units), own: &(&Value, Units)) -> Option<Comparison> {
    let (base, own) = (&base.1, &own.1);
    if base.member != own.member || base.collections.keys().ne(own.collections.keys()) {
        return None;
    }
    let mut all: Vec<(f64, (usize, &str), f64, f64)> = Vec::new();
    for (number, collection) in &own.collections {
        let Some(other) = base.collections.get(number) else { continue };
        all.extend(collection.values.iter().filter_map(|(query, x)| {
            other.values.get(query).map(|y| (x - y, (*number, query.as_str()), *y, *x))
        }));
    }
    if all.is_empty() {
        return None;
    }
    // Of the numbers in the cells: collections have their weights in it.
    let mean = own.mean() - base.mean();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let wins = all.iter().filter(|d| d.0 > NOTHING).count();
    let losses = all.iter().filter(|d| d.0 < -NOTHING).count();
    let gained = all.iter().take(wins.min(QUERIES));
    let lost = all.iter().rev().take(losses.min(QUERIES));
    let queries = gained.chain(lost).map(|(_, (collection, id), y, x)| Query {
        collection: *collection,
        id: (*id).to_owned(),
        values: (*y, *x),
        evaluations: (None, None),
    });
    let points = all.len().min(SHAPE);
    // The middle of each of equally many stretches.
    let shape = (0..points).map(|i| all[(2 * i + 1) * all.len() / (2 * points)].0);
    Some(Comparison {
        with,
        wins,
        ties: all.len() - wins - losses,
        losses,
        mean,
        shape: shape.collect(),
        queries: queries.collect(),
    })
}

/// What the page's script shows; `None` when nothing can be opened.
pub(super) fn data(page: &Page<'_>) -> Option<Json> {
    let compared = &page.compared;
    if compared.cells.is_empty() {
        return None;
    }
    let rankings = rankings(page);
    let mut places: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    let mut queries: Vec<Json> = Vec::new();
    let mut cells = serde_json::Map::new();
    for ((number, r, c), found) in &compared.cells {
        let listed = found.queries.iter().map(|q| {
            let at = *places.entry((q.collection, &q.id)).or_insert_with(|| {
                let text = rankings.text(q.evaluations.0.or(q.evaluations.1), &q.id);
                queries.push(json!([q.collection, q.id, text]));
                queries.len() - 1
            });
            let ranking = |e: Option<ActionId>| e.and_then(|e| rankings.place(e, &q.id));
            let both = ranking(q.evaluations.0).zip(ranking(q.evaluations.1));
            let mut line = vec![json!(at), rounded(q.values.0), rounded(q.values.1)];
            line.extend(both.into_iter().flat_map(|(a, b)| [json!(a), json!(b)]));
            Json::Array(line)
        });
        let listed: Vec<Json> = listed.collect();
        let shape: Vec<Json> = found.shape.iter().map(|d| rounded(*d)).collect();
        let mut cell = json!({
            "with": [found.with.0, found.with.1],
            "counts": [found.wins, found.ties, found.losses],
            "mean": rounded(found.mean),
            "shape": shape,
            "queries": listed,
        });
        if let Some(test) = page.tables[*number].1.cells[*r][*c].test {
            let digits = page.tables[*number].1.digits;
            cell["test"] = Json::String(super::plots::tested(&test, digits));
        }
        cells.insert(format!("{number}-{r}-{c}"), cell);
    }
    let tables: Vec<Json> = page
        .tables
        .iter()
        .map(|(_, t)| {
            json!({
                "title": crate::report::layout::title(t), "measure": t.measure, "digits": t.digits,
                "rows": t.printed.0, "columns": t.printed.1, "one": t.columns.0.is_empty(),
            })
        })
        .collect();
    let collections: Vec<String> = compared.collections.iter().map(|c| called(c, page.graph)).collect();
    Some(json!({
        "tables": tables, "cells": cells, "queries": queries, "collections": collections,
        "rankings": rankings.json(), "documents": rankings.documents(),
    }))
}

fn rounded(x: f64) -> Json {
    let scale = 10f64.powi(DIGITS);
    let x = (x * scale).round() / scale;
    // Whole numbers without their `.0`, which is most of them.
    if x == x.trunc() { json!(x as i64) } else { json!(x) }
}

/// What judgements are called: the address of what made them.
fn called(qrels: &Value, graph: &Graph) -> String {
    match qrels {
        Value::Artifact(id) => crate::report::missing::address(graph, *id),
        _ => String::new(),
    }
}

fn rankings(page: &Page<'_>) -> super::lists::Rankings {
    // First the most different query of every cell, then the second: where room ends, all cells have some.
    let cells = &page.compared.cells;
    let most = cells.values().map(|c| c.queries.len()).max().unwrap_or(0);
    let wanted = (0..most).flat_map(|k| {
        cells.values().filter_map(move |cell| {
            let mut order: Vec<&Query> = cell.queries.iter().collect();
            let by = |q: &Query| (q.values.0 - q.values.1).abs();
            order.sort_by(|a, b| by(b).total_cmp(&by(a)));
            let query = *order.get(k)?;
            Some((query.evaluations.0?, query.evaluations.1?, query.id.as_str()))
        })
    });
    super::lists::Rankings::read(wanted, page.graph, page.results)
}
