//! The tables: numbers with spread and marks, shaded as a heat map; a click on a cell shows its queries; plots.

use super::markup::Html;
use super::page::{Page, Section};
use super::plots;
use crate::report::filled::{Content, Filled, FilledCell, Note, Sign};
use crate::report::layout;
use xpipe_lang::graph::BestPer;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    if page.tables.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        for (i, (declared, table)) in page.tables.iter().enumerate() {
            h.tag("article", &[("id", &format!("t{i}"))], |h| {
                h.leaf("h3", &[], &layout::title(table));
                let shade = if table.columns.1.len() > 1 && table.rows.1.len() > 1 {
                    Some(declared.best_per.map_or("table", BestPer::word))
                } else {
                    None
                };
                if let Some(first) = shade {
                    shades(h, i, first);
                }
                h.tag("div", &[("class", "beside")], |h| {
                    // Focus makes what is too wide scroll with the keyboard.
                    let wide =
                        [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", "Table")];
                    h.tag("div", &wide, |h| grid(h, page, i, table, shade.is_some()));
                    h.tag("div", &[("class", "plots")], |h| plots::plots(h, declared, table));
                });
                let opens = table
                    .cells
                    .iter()
                    .enumerate()
                    .any(|(r, row)| (0..row.len()).any(|c| page.compared.key(i, r, c).is_some()));
                notes(h, table, opens);
            });
        }
    });
    Some(Section { id: "tables", title: "Results", body })
}

/// The choice of what the shade of a cell compares it with; `first` is preselected.
fn shades(h: &mut Html, number: usize, first: &str) {
    h.tag("fieldset", &[("class", "shade")], |h| {
        h.leaf("legend", &[], "Shade");
        for (value, text) in
            [("row", "within rows"), ("column", "within columns"), ("table", "whole table"), ("none", "none")]
        {
            let name = format!("shade{number}");
            let mut attributes = vec![("type", "radio"), ("name", &*name), ("value", value)];
            if value == first {
                attributes.push(("checked", ""));
            }
            h.tag("label", &[], |h| {
                h.void("input", &attributes);
                h.text(text);
            });
        }
    });
}

fn grid(h: &mut Html, page: &Page<'_>, number: usize, table: &Filled, shaded: bool) {
    let shade = if shaded { Some(Shade::of(table)) } else { None };
    h.tag("table", &[("class", "results")], |h| {
        h.tag("thead", &[], |h| {
            h.tag("tr", &[], |h| {
                h.leaf("th", &[("scope", "col")], &table.rows.0);
                for column in &table.printed.1 {
                    let single = table.columns.0.is_empty() && !table.measure.is_empty();
                    h.leaf("th", &[("scope", "col")], if single { &table.measure } else { column });
                }
            });
        });
        h.tag("tbody", &[], |h| {
            for (r, (row, cells)) in table.printed.0.iter().zip(&table.cells).enumerate() {
                h.tag("tr", &[], |h| {
                    h.leaf("th", &[("scope", "row")], row);
                    for (c, cell) in cells.iter().enumerate() {
                        let class = if cell.reference { "reference" } else { "" };
                        let style = shade.as_ref().map(|s| s.style(cell, r, c)).unwrap_or_default();
                        let mut attributes = Vec::new();
                        attributes.extend((!class.is_empty()).then_some(("class", class)));
                        attributes.extend((!style.is_empty()).then_some(("style", &*style)));
                        h.tag("td", &attributes, |h| match page.compared.key(number, r, c) {
                            Some(key) => {
                                let opens =
                                    [("type", "button"), ("data-cell", &*key), ("aria-haspopup", "dialog")];
                                h.tag("button", &opens, |h| value(h, cell, table.digits));
                            }
                            None => h.tag("span", &[("class", "plain")], |h| value(h, cell, table.digits)),
                        });
                    }
                });
            }
        });
    });
}

fn value(h: &mut Html, cell: &FilledCell, digits: usize) {
    let text = layout::content(cell, digits, "–");
    match &cell.content {
        Content::Hole(why) => h.leaf("span", &[("class", "hole"), ("title", why)], &text),
        _ if cell.best => h.leaf("b", &[], &text),
        _ => h.text(&text),
    }
    if let Some(spread) = cell.spread {
        h.leaf("small", &[], &format!(" ± {}", layout::number(spread, digits)));
    }
    if cell.reference || cell.test.is_some() {
        // The space is there without a sign too, so that digits are aligned.
        let (class, sign, word) = match cell.test.filter(|t| t.significant) {
            Some(t) if t.difference > 0.0 => ("sign up", "▲", "significantly higher than the reference"),
            Some(_) => ("sign down", "▼", "significantly lower than the reference"),
            None => ("sign", "", ""),
        };
        h.leaf("span", &[("class", class), ("title", word)], sign);
    }
    if let Some(published) = layout::beside(cell, digits) {
        let grade = cell.published.map_or("", |p| p.grade.word());
        h.leaf("small", &[("class", grade)], &format!(" {published}"));
    }
}

fn notes(h: &mut Html, table: &Filled, opens: bool) {
    let tested = table.cells.iter().flatten().any(|c| c.reference);
    if table.notes.is_empty() && !tested && !opens {
        return;
    }
    h.tag("ul", &[("class", "notes")], |h| {
        for Note { sign, text } in &table.notes {
            h.tag("li", &[], |h| {
                match sign {
                    Sign::Best => h.leaf("b", &[], "bold "),
                    Sign::Differs => {
                        h.leaf("span", &[("class", "up")], "▲");
                        h.leaf("span", &[("class", "down")], "▼ ");
                    }
                    Sign::Spread => h.text("± "),
                    Sign::Published => h.text("() "),
                    Sign::Hole => h.text("– "),
                    Sign::Remark => {}
                }
                h.prose(text);
            });
        }
        if tested {
            h.tag("li", &[], |h| {
                h.leaf("span", &[("class", "reference")], "underlined");
                h.text(" what the others are compared with");
            });
        }
        if opens {
            h.leaf("li", &[("class", "screen")], "Select a number to see the queries behind it.");
        }
    });
}

/// The position of a number between the lowest and the highest of its row, column and table.
struct Shade {
    rows: Vec<(f64, f64)>,
    columns: Vec<(f64, f64)>,
    table: (f64, f64),
}

const NOTHING: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

impl Shade {
    fn of(table: &Filled) -> Self {
        let mut shade = Self {
            rows: vec![NOTHING; table.rows.1.len()],
            columns: vec![NOTHING; table.columns.1.len()],
            table: NOTHING,
        };
        for (r, row) in table.cells.iter().enumerate() {
            for (c, x) in row.iter().enumerate().filter_map(|(c, cell)| Some((c, cell.number()?))) {
                for range in [&mut shade.rows[r], &mut shade.columns[c], &mut shade.table] {
                    *range = (range.0.min(x), range.1.max(x));
                }
            }
        }
        shade
    }

    fn style(&self, cell: &FilledCell, r: usize, c: usize) -> String {
        let Some(x) = cell.number() else { return String::new() };
        let part = |(low, high): (f64, f64)| {
            if high > low { ((x - low) / (high - low) * 100.0).round() } else { 50.0 }
        };
        format!("--r:{}%;--c:{}%;--t:{}%", part(self.rows[r]), part(self.columns[c]), part(self.table))
    }
}
