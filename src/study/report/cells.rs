//! The cells of a table as records with all digits, for files of any kind.

use super::filled::{Content, Filled};

/// The fields of a record.
///
/// `n` and what follows are of the test: units, p-values, Cohen's d_z with its confidence interval, Hedges' g_z, the
/// mean difference to the reference with its confidence interval. `grade` is `ok`, `near` or `off` beside a published
/// number. `mark` is words: `best`, `reference`, `significant`.
pub(super) const NAMES: [&str; 17] = [
    "row",
    "column",
    "value",
    "spread",
    "n",
    "p",
    "p_adjusted",
    "effect",
    "effect_low",
    "effect_high",
    "hedges",
    "difference",
    "low",
    "high",
    "published",
    "grade",
    "mark",
];

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    /// Text; may be empty.
    Text(String),
    /// A number, or none.
    Number(Option<f64>),
    /// The content of the cell.
    Value(Content),
}

/// The records of a table, by rows.
pub(super) fn cells(table: &Filled) -> Vec<[Field; NAMES.len()]> {
    let mut out = Vec::new();
    for (row, cells) in table.rows.1.iter().zip(&table.cells) {
        for (column, cell) in table.columns.1.iter().zip(cells) {
            let test = cell.test;
            let significant = test.is_some_and(|t| t.significant);
            let marks = [(cell.best, "best"), (cell.reference, "reference"), (significant, "significant")];
            let marks: Vec<&str> = marks.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
            out.push([
                Field::Text(row.to_string()),
                Field::Text(column.to_string()),
                Field::Value(cell.content.clone()),
                Field::Number(cell.spread),
                Field::Number(test.map(|t| t.n as f64)),
                Field::Number(test.map(|t| t.p)),
                Field::Number(test.map(|t| t.p_adjusted)),
                Field::Number(test.and_then(|t| t.effect)),
                Field::Number(test.and_then(|t| t.effect_interval).map(|i| i.0)),
                Field::Number(test.and_then(|t| t.effect_interval).map(|i| i.1)),
                Field::Number(test.and_then(|t| t.hedges)),
                Field::Number(test.map(|t| t.difference)),
                Field::Number(test.map(|t| t.low)),
                Field::Number(test.map(|t| t.high)),
                Field::Number(cell.published.map(|p| p.value)),
                Field::Text(cell.published.map(|p| p.grade.word().to_owned()).unwrap_or_default()),
                Field::Text(marks.join(" ")),
            ]);
        }
    }
    out
}
