//! Tables as Parquet for pandas, polars and DuckDB: the records of [`super::cells`].

use std::path::Path;

use super::cells::{Field, NAMES, cells};
use super::filled::{Content, Filled};
use xpipe_base::task::Failure;
use xpipe_data::table::{Cell, Kind, TableWriter};

/// Writes one record per cell. A missing number is NaN; a cell with text has it in `text`, and NaN as its value.
///
/// # Errors
/// The file cannot be written.
pub(super) fn table(path: &Path, table: &Filled) -> Result<(), Failure> {
    let text = |name: &str| matches!(name, "row" | "column" | "grade" | "mark");
    let mut columns: Vec<(&str, Kind)> =
        NAMES.iter().map(|name| (*name, if text(name) { Kind::Text } else { Kind::Double })).collect();
    columns.push(("text", Kind::Text));
    let mut writer = TableWriter::create(path, &columns)?;
    for fields in cells(table) {
        let mut word = "";
        let mut row: Vec<Cell<'_>> = Vec::with_capacity(columns.len());
        for field in &fields {
            row.push(match field {
                Field::Text(text) => Cell::Text(text),
                Field::Number(x) => Cell::Double(x.unwrap_or(f64::NAN)),
                Field::Value(Content::Number(x)) => Cell::Double(*x),
                Field::Value(Content::Whole(i)) => Cell::Double(*i as f64),
                Field::Value(Content::Hole(_)) => Cell::Double(f64::NAN),
                Field::Value(Content::Text(text)) => {
                    word = text;
                    Cell::Double(f64::NAN)
                }
            });
        }
        row.push(Cell::Text(word));
        writer.row(&row)?;
    }
    writer.finish()
}
