//! Tables and costs as CSV (RFC 4180): one line per cell, all digits, empty fields for missing values.

use super::cells::{Field, NAMES, cells};
use super::costs::Costs;
use super::filled::{Content, Filled};

/// One line per cell, with the fields of [`super::cells`].
pub fn table(table: &Filled) -> String {
    let mut out = Lines::new();
    out.push(NAMES);
    for cell in cells(table) {
        let fields = cell.into_iter().map(|field| match field {
            Field::Text(text) => text,
            Field::Number(x) => x.map(|x| x.to_string()).unwrap_or_default(),
            Field::Value(Content::Number(x)) => x.to_string(),
            Field::Value(Content::Whole(i)) => i.to_string(),
            Field::Value(Content::Text(text)) => text,
            Field::Value(Content::Hole(_)) => String::new(),
        });
        out.push(fields);
    }
    out.into_text()
}

/// One line per action: `action,seconds` and a column for each count.
pub fn costs(costs: &Costs) -> String {
    let mut out = Lines::new();
    let names = costs.counted.iter().map(|n| (*n).to_owned());
    out.push(["action".to_owned(), "seconds".to_owned()].into_iter().chain(names));
    for row in &costs.rows {
        let seconds = row.seconds.map(|s| s.to_string()).unwrap_or_default();
        let counts = row.counts.iter().map(|n| n.map(|n| n.to_string()).unwrap_or_default());
        out.push([row.address.clone(), seconds].into_iter().chain(counts));
    }
    out.into_text()
}

/// A writer of lines that quotes a field only where it must.
pub(crate) struct Lines(csv::Writer<Vec<u8>>);

impl Lines {
    /// No line yet.
    pub(crate) fn new() -> Self {
        Self(csv::WriterBuilder::new().flexible(true).from_writer(Vec::new()))
    }

    /// Adds a line.
    pub(crate) fn push<T: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = T>) {
        let written = self.0.write_record(fields);
        written.unwrap_or_else(|e| unreachable!("memory takes every line: {e}"));
    }

    /// All lines as text.
    pub(crate) fn into_text(self) -> String {
        let bytes = self.0.into_inner().unwrap_or_else(|e| unreachable!("memory takes every line: {e}"));
        String::from_utf8(bytes).unwrap_or_else(|_| unreachable!("fields are text"))
    }
}
