//! Tables and costs as CSV (RFC 4180) for machines: one cell a line, all digits, empty fields for what is not there.

use super::costs::Costs;
use super::fill::{Content, Filled};

/// A cell a line: `row,column,value,spread,n,p,p_adjusted,effect,effect_low,effect_high,hedges,difference,low,high,published,grade,mark`.
///
/// `n` and what follows are of the test: units, p-values, Cohen's d_z with its confidence interval, Hedges' g_z, the
/// mean difference to the reference with its confidence interval. `grade` is `ok`, `near` or `off` beside a published
/// number. `mark` is words: `best`, `reference`, `significant`.
pub fn table(table: &Filled) -> String {
    let mut out = String::new();
    let header = [
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
    line(&mut out, header.iter().map(|h| (*h).to_owned()));
    let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    for (row, cells) in table.rows.1.iter().zip(&table.cells) {
        for (column, cell) in table.columns.1.iter().zip(cells) {
            let value = match &cell.content {
                Content::Number(x) => x.to_string(),
                Content::Whole(i) => i.to_string(),
                Content::Text(text) => text.clone(),
                Content::Hole(_) => String::new(),
            };
            let test = cell.test;
            let significant = test.is_some_and(|t| t.significant);
            let marks = [(cell.best, "best"), (cell.reference, "reference"), (significant, "significant")];
            let marks: Vec<&str> = marks.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
            let fields = [
                row.to_string(),
                column.to_string(),
                value,
                number(cell.spread),
                test.map(|t| t.n.to_string()).unwrap_or_default(),
                number(test.map(|t| t.p)),
                number(test.map(|t| t.p_adjusted)),
                number(test.and_then(|t| t.effect)),
                number(test.and_then(|t| t.effect_interval).map(|i| i.0)),
                number(test.and_then(|t| t.effect_interval).map(|i| i.1)),
                number(test.and_then(|t| t.hedges)),
                number(test.map(|t| t.difference)),
                number(test.map(|t| t.low)),
                number(test.map(|t| t.high)),
                number(cell.published.map(|p| p.value)),
                cell.published.map(|p| p.grade.word().to_owned()).unwrap_or_default(),
                marks.join(" "),
            ];
            line(&mut out, fields.into_iter());
        }
    }
    out
}

/// An action a line: `action,seconds` and a column for each count.
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
