//! The comparisons of a page as data for its script.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::compared::Query;
use super::lists::Rankings;
use super::page::Page;
use super::plots::tested;
use crate::report::layout;
use crate::report::missing::address;
use xpipe_base::value::{ActionId, Value};
use xpipe_lang::graph::Graph;

/// Digits of values and differences.
const DIGITS: i32 = 4;

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
            cell["test"] = Json::String(tested(&test, digits));
        }
        cells.insert(format!("{number}-{r}-{c}"), cell);
    }
    let tables: Vec<Json> = page
        .tables
        .iter()
        .map(|(_, t)| {
            json!({
                "title": layout::title(t), "measure": t.measure, "digits": t.digits,
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
        Value::Artifact(id) => address(graph, *id),
        _ => String::new(),
    }
}

fn rankings(page: &Page<'_>) -> Rankings {
    // First the most different query of every cell, then the second: where space ends, all cells have some.
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
    Rankings::read(wanted, page.graph, page.results)
}
