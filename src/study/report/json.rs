//! What a study says as JSON: tables cell by cell with the labels of their axes, claims, and notes.

use serde_json::{Map, Value as Json, json};

use super::cells::{Field, NAMES, cells};
use super::chosen::ChosenPoint;
use super::claims::{ClaimOutcome, ClaimResult};
use super::filled::{Content, Filled, Sign};
use super::{Evaluated, csv, layout};
use xpipe_lang::graph;

/// Tables, claims, notes and chosen values.
pub fn json(evaluated: &Evaluated) -> Json {
    let caveats = evaluated.caveats.iter().map(|told| {
        json!({
            "kind": told.caveat.kind, "cause": told.caveat.cause, "count": told.caveat.count, "cells": told.cells,
            "example": told.caveat.example,
        })
    });
    // What was asked for and cannot be given has neither count nor cells.
    let remarks = evaluated.notes.iter().map(
        |text| json!({ "kind": "not_given", "cause": text, "count": null, "cells": [], "example": null }),
    );
    json!({
        "tables": evaluated.tables.iter().map(table).collect::<Vec<_>>(),
        "claims": evaluated.claims.iter().map(claim).collect::<Vec<_>>(),
        "chosen": evaluated.chosen.iter().map(ChosenPoint::json).collect::<Vec<_>>(),
        "notes": caveats.chain(remarks).collect::<Vec<_>>(),
    })
}

/// A table: its axes, its cells by rows, its notes, and the same cells as CSV.
fn table(table: &Filled) -> Json {
    let mut axes = Map::new();
    for (axis, labels) in [&table.rows, &table.columns] {
        if !axis.is_empty() {
            axes.insert(axis.to_string(), json!(labels));
        }
    }
    let mut printed = Map::new();
    for ((axis, labels), names) in [(&table.rows, &table.printed.0), (&table.columns, &table.printed.1)] {
        if !axis.is_empty() {
            let names = labels.iter().zip(names).map(|(label, name)| (label.to_string(), json!(name)));
            printed.insert(axis.to_string(), Json::Object(names.collect()));
        }
    }
    let places = table.rows.1.iter().flat_map(|row| table.columns.1.iter().map(move |column| (row, column)));
    let cells: Vec<Json> = places
        .zip(cells(table))
        .zip(table.cells.iter().flatten())
        .map(|(((row, column), fields), cell)| {
            let mut at = Map::new();
            for ((axis, _), label) in [(&table.rows, row), (&table.columns, column)] {
                if !axis.is_empty() {
                    at.insert(axis.to_string(), json!(label));
                }
            }
            let mut out = Map::new();
            out.insert("at".into(), Json::Object(at));
            // Row and column are in `at`.
            for (name, field) in NAMES.iter().zip(fields).skip(2) {
                let value = match field {
                    Field::Text(text) if *name == "mark" => {
                        json!(text.split_whitespace().collect::<Vec<_>>())
                    }
                    Field::Text(text) if text.is_empty() => Json::Null,
                    Field::Text(text) => json!(text),
                    // A count.
                    Field::Number(x) if *name == "n" => json!(x.map(|n| n as u64)),
                    Field::Number(x) => json!(x),
                    Field::Value(Content::Number(x)) => json!(x),
                    Field::Value(Content::Whole(i)) => json!(i),
                    Field::Value(Content::Text(text)) => json!(text),
                    Field::Value(Content::Hole(_)) => Json::Null,
                };
                let name = if *name == "mark" { "marks" } else { name };
                out.insert(name.into(), value);
            }
            let hole = if let Content::Hole(why) = &cell.content { Some(why) } else { None };
            out.insert("hole".into(), json!(hole));
            Json::Object(out)
        })
        .collect();
    let notes: Vec<Json> =
        table.notes.iter().map(|n| json!({ "of": sign(n.sign), "text": n.text })).collect();
    json!({
        "name": table.name, "labels": table.labels, "title": table.title, "shown_title": layout::title(table),
        "measure": table.measure, "axes": axes, "printed": printed, "cells": cells, "notes": notes, "csv": csv::table(table),
    })
}

/// What a note explains.
fn sign(sign: Sign) -> &'static str {
    match sign {
        Sign::Best => "best",
        Sign::Differs => "test",
        Sign::Spread => "spread",
        Sign::Published => "published",
        Sign::Hole => "hole",
        Sign::Remark => "remark",
    }
}

fn claim(claim: &ClaimResult) -> Json {
    let (outcome, shown, reason) = match &claim.outcome {
        ClaimOutcome::Passed { values } => ("passed", Some(values), None),
        ClaimOutcome::Failed { values } => ("failed", Some(values), None),
        ClaimOutcome::NotEvaluated { reason, .. } => ("not_evaluated", None, Some(reason)),
    };
    json!({
        "name": claim.name, "labels": claim.labels, "address": graph::address(&claim.name, &claim.labels),
        "text": claim.text, "outcome": outcome, "shown": shown, "reason": reason,
    })
}
