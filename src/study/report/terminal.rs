//! Tables, claims and costs as aligned text.

use super::claims::{ClaimOutcome, ClaimResult};
use super::costs::Costs;
use super::filled::{Filled, FilledCell, Sign};
use super::layout;
use xpipe_base::value::human;
use xpipe_lang::graph;

/// The most actions that are listed; all of them are in the files.
const SHOWN: usize = 24;
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const OFF: &str = "\x1b[0m";

/// A table: title, aligned columns, notes. `colour` makes best cells bold instead of marking them with `*`.
pub fn table(table: &Filled, colour: bool) -> String {
    let bold = |text: &str| if colour { format!("{BOLD}{text}{OFF}") } else { text.to_owned() };
    let mut lines = vec![bold(&layout::title(table))];
    let columns = table.columns.1.len();
    // Signs and published numbers hang to the right of the numbers, so that digits stand under digits.
    let cells: Vec<Vec<(String, String)>> = table
        .cells
        .iter()
        .map(|row| row.iter().map(|c| (value(c, table.digits), hanging(c, table.digits, colour))).collect())
        .collect();
    let hang = |c: usize| cells.iter().filter_map(|row| row.get(c)).map(|(_, h)| h.chars().count()).max();
    let hangs: Vec<usize> = (0..columns).map(|c| hang(c).unwrap_or(0)).collect();
    let hung = |text: &str, hanging: &str, c: usize| format!("{text}{hanging:<0$}", hangs[c]);
    let mut grid = vec![vec![(table.rows.0.to_string(), false)]];
    grid[0].extend(table.printed.1.iter().enumerate().map(|(c, label)| (hung(label, "", c), false)));
    for ((row, cells), filled) in table.printed.0.iter().zip(&cells).zip(&table.cells) {
        let mut line = vec![(row.to_string(), false)];
        let texts = cells.iter().enumerate().map(|(c, (text, hanging))| hung(text, hanging, c));
        line.extend(texts.zip(filled).map(|(text, cell)| (text, colour && cell.best)));
        grid.push(line);
    }
    lines.extend(aligned(&grid, colour));
    for note in &table.notes {
        let sign = match note.sign {
            Sign::Best if colour => format!("{BOLD}bold{OFF} "),
            Sign::Best => "* ".into(),
            Sign::Differs => "† ".into(),
            Sign::Spread => "± ".into(),
            Sign::Published => "() ".into(),
            Sign::Hole => "– ".into(),
            Sign::Remark => String::new(),
        };
        lines.push(format!("  {sign}{}", note.text));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn value(cell: &FilledCell, digits: usize) -> String {
    let mut text = layout::content(cell, digits, "–");
    if let Some(spread) = cell.spread {
        text.push_str(" ± ");
        text.push_str(&layout::number(spread, digits));
    }
    text
}

/// What follows a value: signs, and the published number.
fn hanging(cell: &FilledCell, digits: usize, colour: bool) -> String {
    let mut text = String::new();
    if cell.best && !colour {
        text.push('*');
    }
    if cell.test.is_some_and(|t| t.significant) {
        text.push('†');
    }
    if let Some(published) = layout::beside(cell, digits) {
        text.push(' ');
        text.push_str(&published);
    }
    text
}

/// Lines with the first column to the left and the others to the right.
fn aligned(grid: &[Vec<(String, bool)>], colour: bool) -> Vec<String> {
    let columns = grid.iter().map(Vec::len).max().unwrap_or(0);
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|c| grid.iter().filter_map(|l| l.get(c)).map(|(t, _)| width(t)).max().unwrap_or(0))
        .collect();
    let mut lines = Vec::new();
    for (i, row) in grid.iter().enumerate() {
        let mut line = String::new();
        for (c, (text, bold)) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - width(text));
            let shown = match (*bold, i == 0 && colour) {
                (true, _) => format!("{BOLD}{text}{OFF}"),
                (false, true) => format!("{DIM}{text}{OFF}"),
                (false, false) => text.clone(),
            };
            if c == 0 {
                line.push_str(&format!("  {shown}{pad}"));
            } else {
                line.push_str(&format!("  {pad}{shown}"));
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Claims with their numbers, one per line; empty without claims.
pub fn claims(claims: &[ClaimResult], colour: bool) -> String {
    let mut lines = Vec::new();
    for claim in claims {
        let (word, shade, detail) = match &claim.outcome {
            ClaimOutcome::Passed { values } => ("passed", GREEN, values),
            ClaimOutcome::Failed { values } => ("FAILED", RED, values),
            ClaimOutcome::NotEvaluated { reason, .. } => ("not evaluated", YELLOW, reason),
        };
        let word = if colour { format!("{shade}{word}{OFF}") } else { word.to_owned() };
        let address = graph::address(&claim.name, &claim.labels);
        lines.push(format!("claim {address}: {word}: {detail}"));
        // A claim without a sentence has its name for one.
        if !claim.text.is_empty() && claim.text != claim.name {
            lines.push(format!("  {}", claim.text));
        }
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.join("\n")
}

/// The costs of a stage: one line per action, and the total.
pub fn costs(costs: &Costs, colour: bool) -> String {
    let plain = |text: String| (text, false);
    let mut grid = vec![vec![plain(costs.stage.clone()), plain("time".into())]];
    grid[0].extend(costs.counted.iter().map(|n| plain((*n).to_owned())));
    let shown = if costs.rows.len() > SHOWN { 0 } else { costs.rows.len() };
    for row in &costs.rows[..shown] {
        let mut line = vec![plain(row.address.clone())];
        line.push(plain(row.seconds.map_or_else(|| "–".into(), human::duration)));
        line.extend(row.counts.iter().map(|n| plain(n.map_or_else(|| "–".into(), human::thousands))));
        grid.push(line);
    }
    let mut total =
        vec![plain(format!("total of {}", costs.rows.len())), plain(human::duration(costs.seconds()))];
    total.extend((0..costs.counted.len()).map(|c| plain(human::thousands(costs.total(c)))));
    grid.push(total);
    let title = format!("costs of {}", costs.stage);
    let mut lines = vec![if colour { format!("{BOLD}{title}{OFF}") } else { title }];
    lines.extend(aligned(&grid, colour));
    if shown < costs.rows.len() {
        lines.push("  each action is in the files of this report".into());
    }
    if costs.missing() > 0 {
        lines.push(format!("  – {} without a result", costs.missing()));
    }
    lines.push(String::new());
    lines.join("\n")
}
