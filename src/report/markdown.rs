//! Tables and costs as Markdown (GitHub's tables).

use super::costs::Costs;
use super::fill::{Filled, FilledCell, Sign};
use super::layout;

/// A table with its title above and its notes below.
pub fn table(table: &Filled) -> String {
    let mut out = format!("**{}**\n\n", escape(&layout::title(table)));
    let header = std::iter::once(escape(&table.rows.0)).chain(table.columns.1.iter().map(|c| escape(c)));
    line(&mut out, header);
    line(
        &mut out,
        std::iter::once("---".to_owned()).chain(table.columns.1.iter().map(|_| "---:".to_owned())),
    );
    for (row, cells) in table.rows.1.iter().zip(&table.cells) {
        line(&mut out, std::iter::once(escape(row)).chain(cells.iter().map(|c| cell(c, table.digits))));
    }
    if !table.notes.is_empty() {
        out.push('\n');
    }
    for note in &table.notes {
        let sign = match note.sign {
            Sign::Best => "**bold** ",
            Sign::Differs => "† ",
            Sign::Spread => "± ",
            Sign::Hole => "– ",
            Sign::Remark => "",
        };
        out.push_str(&format!("- {sign}{}\n", escape(&note.text)));
    }
    out
}

/// The costs of a stage, an action a line and the total.
pub fn costs(costs: &Costs) -> String {
    let mut out = format!("**Costs of {}**\n\n", escape(&costs.stage));
    let names = costs.counted.iter().map(|n| (*n).to_owned());
    line(&mut out, [escape(&costs.stage), "seconds".into()].into_iter().chain(names));
    line(
        &mut out,
        std::iter::once("---".to_owned()).chain((0..=costs.counted.len()).map(|_| "---:".to_owned())),
    );
    for row in &costs.rows {
        let seconds = row.seconds.map_or_else(|| "–".into(), |s| layout::number(s, 2));
        let counts = row.counts.iter().map(|n| n.map_or_else(|| "–".into(), layout::count));
        line(&mut out, [escape(&row.address), seconds].into_iter().chain(counts));
    }
    let totals = (0..costs.counted.len()).map(|c| layout::count(costs.total(c)));
    let first = [format!("total of {}", costs.rows.len()), layout::number(costs.seconds(), 2)];
    line(&mut out, first.into_iter().chain(totals));
    if costs.missing() > 0 {
        out.push_str(&format!("\n- – {} without a result\n", costs.missing()));
    }
    out
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    out.push('|');
    for cell in cells {
        out.push(' ');
        out.push_str(&cell);
        out.push_str(" |");
    }
    out.push('\n');
}

fn cell(cell: &FilledCell, digits: usize) -> String {
    let mut text = escape(&layout::content(cell, digits, "–"));
    if cell.best {
        text = format!("**{text}**");
    }
    if let Some(spread) = cell.spread {
        text.push_str(&format!(" ± {}", layout::number(spread, digits)));
    }
    if cell.test.is_some_and(|t| t.significant) {
        text.push('†');
    }
    text
}

/// Text that Markdown would read as markup. Code spans of our own notes stay.
fn escape(text: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    for c in text.chars() {
        match c {
            '`' => {
                code = !code;
                out.push(c);
            }
            '|' => out.push_str("\\|"),
            '*' | '_' | '<' | '[' if !code => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}
