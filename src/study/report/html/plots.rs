//! Plots of a table: its values as bars or dots with their spread, and tested differences with their intervals.

use super::chart::{Scale, colour, label, line, px, rect, room, short, svg};
use super::markup::Html;
use crate::report::filled::CellTest;
use crate::report::filled::{Filled, FilledCell};
use crate::report::layout;
use xpipe_lang::graph::Table;

/// The width of a drawing.
const WIDTH: f64 = 640.0;
/// The height of a line.
const LINE: f64 = 20.0;
/// The most lines that stand open on the page.
const OPEN: usize = 24;
/// The most characters of a label.
const LABEL: usize = 32;

/// Draws the values of a table, and its tested differences.
pub(super) fn plots(h: &mut Html, declared: &Table, table: &Filled) {
    let drawn = table.cells.iter().flatten().filter(|c| c.number().is_some()).count();
    if drawn < 2 {
        return;
    }
    folded(h, "Values", table.rows.1.len() <= OPEN, |h| values(h, table));
    let tested: Vec<(String, CellTest)> = table
        .printed
        .0
        .iter()
        .zip(&table.cells)
        .flat_map(|(row, cells)| {
            table.printed.1.iter().zip(cells).filter_map(move |(column, cell)| {
                let name =
                    if table.columns.0.is_empty() { row.to_string() } else { format!("{row}, {column}") };
                Some((name, cell.test?))
            })
        })
        .collect();
    if !tested.is_empty() {
        let reference = reference(table);
        let heading = format!("Differences to {reference}");
        let alpha = declared.test.as_ref().map_or(0.05, |t| t.alpha);
        folded(h, &heading, tested.len() <= OPEN, |h| differences(h, table, &tested, &reference, alpha));
    }
}

fn folded(h: &mut Html, heading: &str, open: bool, inner: impl FnOnce(&mut Html)) {
    let attributes: &[_] = if open { &[("open", "")] } else { &[] };
    h.tag("details", attributes, |h| {
        h.leaf("summary", &[], heading);
        inner(h);
    });
}

/// The label that others are compared with: of the row or the column whose cells are all references.
fn reference(table: &Filled) -> String {
    let (rows, columns) = (&table.printed.0, &table.printed.1);
    let row = table.cells.iter().position(|cells| cells.iter().all(|c| c.reference));
    let column = (0..columns.len()).find(|c| table.cells.iter().all(|row| row[*c].reference));
    let label = row.map(|r| &rows[r]).or(column.map(|c| &columns[c]));
    label.map_or_else(|| "the reference".into(), ToString::to_string)
}

/// The frame of a drawing with one line per label: grid, ticks below, labels on the left.
struct Frame {
    left: f64,
    scale: Scale,
    height: f64,
}

impl Frame {
    fn new<'l>(labels: impl Iterator<Item = &'l str> + Clone, values: impl Iterator<Item = f64>) -> Self {
        let widest = labels.clone().map(|l| room(&short(l, LABEL))).fold(40.0, f64::max);
        let left = widest + 12.0;
        let scale = Scale::over(values, left, WIDTH - 64.0).rounded(6);
        Self { left, scale, height: labels.count() as f64 * LINE + 30.0 }
    }

    fn draw(&self, h: &mut Html) {
        let bottom = self.height - 24.0;
        for (x, text) in self.scale.ticks(6) {
            line(h, "grid", (self.scale.at(x), 2.0), (self.scale.at(x), bottom));
            label(h, "tick", "middle", (self.scale.at(x), bottom + 15.0), &text);
        }
    }

    fn label(&self, h: &mut Html, i: usize, text: &str) {
        label(h, "label", "end", (self.left - 8.0, middle(i) + 4.0), &short(text, LABEL));
    }
}

fn middle(i: usize) -> f64 {
    i as f64 * LINE + LINE / 2.0 + 2.0
}

/// One line per row: a bar from 0 when there is one column, else one dot per column.
fn values(h: &mut Html, table: &Filled) {
    let single = table.columns.1.len() == 1;
    let cells = || table.cells.iter().flatten();
    let ends = cells().filter_map(|c| {
        let (x, s) = (c.number()?, c.spread.unwrap_or(0.0));
        Some([x - s, x + s])
    });
    // Bars begin at 0; dots say nothing about 0.
    let zero = if single { Some(0.0) } else { None };
    let frame = Frame::new(table.printed.0.iter().map(|l| &**l), ends.flatten().chain(zero));
    let digits = table.digits;
    svg(h, WIDTH, frame.height, &format!("{}: values", layout::title(table)), |h| {
        frame.draw(h);
        for (i, (row, cells)) in table.printed.0.iter().zip(&table.cells).enumerate() {
            frame.label(h, i, row);
            let y = middle(i);
            for (c, (column, cell)) in table.printed.1.iter().zip(cells).enumerate() {
                let Some(x) = cell.number() else { continue };
                let at = frame.scale.at(x);
                let tip = tip(row, if single { "" } else { column }, cell, digits);
                if single {
                    let start = frame.scale.at(0.0);
                    let class = if cell.reference { "bar reference" } else { "bar" };
                    rect(h, class, (start.min(at), y - 6.0), ((at - start).abs(), 12.0), &tip);
                    let end = frame.scale.at(x + cell.spread.unwrap_or(0.0)).max(at);
                    label(h, "value", "start", (end + 6.0, y + 4.0), &layout::content(cell, digits, ""));
                    if let Some(spread) = cell.spread {
                        whisker(h, "whisker", (frame.scale.at(x - spread), frame.scale.at(x + spread)), y);
                    }
                } else {
                    let class = format!("dot {}", colour(c));
                    let at = [px(at), px(y)];
                    h.tag("circle", &[("class", &class), ("cx", &at[0]), ("cy", &at[1]), ("r", "5")], |h| {
                        h.leaf("title", &[], &tip);
                    });
                }
            }
        }
    });
    if !single {
        legend(h, table.printed.1.iter().map(|c| &**c));
    }
}

/// The legend of colours.
pub(super) fn legend<'l>(h: &mut Html, names: impl Iterator<Item = &'l str>) {
    h.tag("ul", &[("class", "legend")], |h| {
        for (i, name) in names.enumerate() {
            h.leaf("li", &[("class", &colour(i))], name);
        }
    });
}

fn tip(row: &str, column: &str, cell: &FilledCell, digits: usize) -> String {
    let between = if column.is_empty() { "" } else { ", " };
    let spread = cell.spread.map(|s| format!(" ± {}", layout::number(s, digits))).unwrap_or_default();
    format!("{row}{between}{column}: {}{spread}", layout::content(cell, digits, "–"))
}

fn whisker(h: &mut Html, class: &str, (low, high): (f64, f64), y: f64) {
    line(h, class, (low, y), (high, y));
    line(h, class, (low, y - 4.0), (low, y + 4.0));
    line(h, class, (high, y - 4.0), (high, y + 4.0));
}

/// One line per tested cell: the mean difference and its interval, filled when it is significant.
fn differences(h: &mut Html, table: &Filled, tested: &[(String, CellTest)], reference: &str, alpha: f64) {
    let ends = tested.iter().flat_map(|(_, t)| [t.low, t.high, 0.0]);
    let frame = Frame::new(tested.iter().map(|(name, _)| name.as_str()), ends);
    let digits = table.digits;
    svg(h, WIDTH, frame.height, &format!("{}: differences to {reference}", layout::title(table)), |h| {
        frame.draw(h);
        let zero = frame.scale.at(0.0);
        line(h, "zero", (zero, 2.0), (zero, frame.height - 24.0));
        for (i, (name, t)) in tested.iter().enumerate() {
            frame.label(h, i, name);
            let side = match (t.significant, t.difference > 0.0) {
                (false, _) => "even",
                (true, true) => "up",
                (true, false) => "down",
            };
            let y = middle(i);
            whisker(h, &format!("whisker {side}"), (frame.scale.at(t.low), frame.scale.at(t.high)), y);
            let at = [px(frame.scale.at(t.difference)), px(y)];
            h.tag(
                "circle",
                &[("class", &format!("mean {side}")), ("cx", &at[0]), ("cy", &at[1]), ("r", "4.5")],
                |h| {
                    h.leaf("title", &[], &tooltip(name, t, digits));
                },
            );
            let signed = signed(t.difference, digits);
            label(h, "value", "start", (frame.scale.at(t.high) + 6.0, y + 4.0), &signed);
        }
    });
    h.tag("p", &[("class", "hint")], |h| {
        let level = layout::number((1.0 - alpha) * 100.0, 1);
        let level = level.strip_suffix(".0").unwrap_or(&level);
        h.text(&format!(
            "Mean difference over queries with its {level} % confidence interval, which is not corrected. "
        ));
        h.text("Filled: significant after correction.");
    });
}

/// A number with its sign.
fn signed(x: f64, digits: usize) -> String {
    let text = layout::number(x, digits);
    if text.starts_with('-') { text.replacen('-', "−", 1) } else { format!("+{text}") }
}

fn tooltip(name: &str, t: &CellTest, digits: usize) -> String {
    format!("{name}: {}", tested(t, digits))
}

/// A comparison in words: difference, interval, p-value, effect, number of queries.
pub(super) fn tested(t: &CellTest, digits: usize) -> String {
    let effect = t.effect.map(|d| format!(", d = {}", layout::number(d, 2))).unwrap_or_default();
    format!(
        "{} [{}, {}], {}{effect}, n = {}",
        signed(t.difference, digits),
        signed(t.low, digits),
        signed(t.high, digits),
        chance(t.p_adjusted),
        t.n
    )
}

/// A p-value as papers print it: `p = .0123`, `p < .0001`.
fn chance(p: f64) -> String {
    if p < 0.0001 {
        return "p < .0001".into();
    }
    let text = format!("{p:.4}");
    format!("p = {}", text.strip_prefix('0').unwrap_or(&text))
}
