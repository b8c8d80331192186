//! What a click on a cell shows: its queries against those of another cell.
//!
//! A tested cell is compared with its reference; any other with the best of its row (of its column in a table with one
//! column); the best with the second best. Each comparison keeps the shape of the differences and a few queries.

use std::collections::BTreeMap;

use crate::report::Results;
use crate::report::filled::{Filled, at};
use crate::report::units::{self, Units};
use xpipe_base::value::{ActionId, Value};
use xpipe_lang::graph::{Graph, Table};

/// Queries of a comparison that are listed, for each direction.
const QUERIES: usize = 10;
/// Points of the shape of the differences.
const SHAPE: usize = 120;
/// Smaller differences are rounding errors.
const NOTHING: f64 = 5e-7;

/// A cell: table, row, column.
type Place = (usize, usize, usize);

/// All comparisons of a page.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) cells: BTreeMap<Place, Comparison>,
    /// The qrels of all tables; queries refer to them by position.
    pub(super) collections: Vec<Value>,
}

pub(super) struct Comparison {
    /// The cell it is compared with.
    pub(super) with: (usize, usize),
    pub(super) wins: usize,
    pub(super) ties: usize,
    pub(super) losses: usize,
    pub(super) mean: f64,
    pub(super) shape: Vec<f64>,
    pub(super) queries: Vec<Query>,
}

/// A query with the values of both cells, and the evaluations whose rankings are shown.
pub(super) struct Query {
    pub(super) collection: usize,
    pub(super) id: String,
    pub(super) values: (f64, f64),
    pub(super) evaluations: (Option<ActionId>, Option<ActionId>),
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
                    let value = at(&declared.values, r, c)?;
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
                    let value = at(&declared.values, r, c)?;
                    units::first_of(value, graph, collections.get(query.collection)?)
                };
                query.evaluations = (of(found.with), of((*r, *c)));
            }
        }
        compared
    }

    /// The key of a cell's comparison; `None` where it has none.
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
    // The first of equal ones.
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
    // The difference of the numbers in the cells, with the weights of collections.
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
