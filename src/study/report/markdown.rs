//! Tables and costs as Markdown (GitHub's tables).

use super::costs::Costs;
use super::filled::Filled;
use super::layout::{self, Style};
use xpipe_base::value::human;

const STYLE: Style = Style {
    escape,
    shown: |text| text,
    best: |text| format!("**{text}**"),
    best_sign: "**bold**",
    differs: "†",
    spread: "±",
    hole: "–",
};

/// A table with its title above and its notes below.
pub fn table(table: &Filled) -> String {
    let mut out = format!("**{}**\n\n", escape(&layout::title(table)));
    line(&mut out, STYLE.header(table).into_iter());
    rule(&mut out, table.columns.1.len());
    STYLE.rows(table).for_each(|row| line(&mut out, row.into_iter()));
    if !table.notes.is_empty() {
        out.push('\n');
    }
    for note in &table.notes {
        out.push_str(&format!("- {}\n", STYLE.note(note)));
    }
    out
}

/// The costs of a stage: one line per action, and the total.
pub fn costs(costs: &Costs) -> String {
    let mut out = format!("**Costs of {}**\n\n", escape(&costs.stage));
    let names = costs.counted.iter().map(|n| (*n).to_owned());
    line(&mut out, [escape(&costs.stage), "seconds".into()].into_iter().chain(names));
    rule(&mut out, costs.counted.len() + 1);
    for row in &costs.rows {
        let seconds = row.seconds.map_or_else(|| "–".into(), |s| layout::number(s, 2));
        let counts = row.counts.iter().map(|n| n.map_or_else(|| "–".into(), human::thousands));
        line(&mut out, [escape(&row.address), seconds].into_iter().chain(counts));
    }
    let totals = (0..costs.counted.len()).map(|c| human::thousands(costs.total(c)));
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

/// The line under a header: one column to the left, `numbers` to the right.
fn rule(out: &mut String, numbers: usize) {
    line(out, std::iter::once("---".to_owned()).chain((0..numbers).map(|_| "---:".to_owned())));
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
