//! Tables and costs as CSV (RFC 4180): one line per cell, all digits, empty fields for missing values.

use super::cells::{Field, NAMES, cells};
use super::costs::Costs;
use super::filled::{Content, Filled};

/// One line per cell, with the fields of [`super::cells`].
pub fn table(table: &Filled) -> String {
    let mut out = String::new();
    line(&mut out, NAMES.iter().map(|name| (*name).to_owned()));
    for cell in cells(table) {
        let fields = cell.into_iter().map(|field| match field {
            Field::Text(text) => text,
            Field::Number(x) => x.map(|x| x.to_string()).unwrap_or_default(),
            Field::Value(Content::Number(x)) => x.to_string(),
            Field::Value(Content::Whole(i)) => i.to_string(),
            Field::Value(Content::Text(text)) => text,
            Field::Value(Content::Hole(_)) => String::new(),
        });
        line(&mut out, fields);
    }
    out
}

/// One line per action: `action,seconds` and a column for each count.
pub fn costs(costs: &Costs) -> String {
    let mut out = String::new();
    let names = costs.counted.iter().map(|n| (*n).to_owned());
    line(&mut out, ["action".to_owned(), "seconds".to_owned()].into_iter().chain(names));
    for row in &costs.rows {
        let seconds = row.seconds.map(|s| s.to_string()).unwrap_or_default();
        let counts = row.counts.iter().map(|n| n.map(|n| n.to_string()).unwrap_or_default());
        line(&mut out, [row.address.clone(), seconds].into_iter().chain(counts));
    }
    out
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&field);
        }
    }
    out.push('\n');
}
