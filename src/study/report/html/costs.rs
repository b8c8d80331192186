//! The costs of stages: time, memory, storage, and the documents and tokens that they processed. An action that several
//! cells share counts once.

use std::collections::BTreeSet;

use super::markup::Html;
use super::page::{Page, Section};
use crate::report::Costs;
use crate::report::costs::counts_of;
use xpipe_base::value::human;

/// The most actions of a stage that are listed.
const SHOWN: usize = 200;
/// Stages below this share of the time have no line of their own.
const SMALL: f64 = 0.002;

struct Line {
    stage: String,
    actions: u64,
    seconds: f64,
    memory: Option<u64>,
    size: u64,
    /// The sum of each count that operations of the study declare.
    counts: Vec<u64>,
}

impl Line {
    fn new(stage: String, counts: usize) -> Self {
        Self { stage, actions: 0, seconds: 0.0, memory: None, size: 0, counts: vec![0; counts] }
    }

    fn and(mut self, other: &Self) -> Self {
        self.actions += other.actions;
        self.seconds += other.seconds;
        self.memory = self.memory.max(other.memory);
        self.size += other.size;
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self
    }
}

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let columns = counts_of(
        page.graph
            .rows
            .iter()
            .flat_map(|row| row.cells.iter().map(|cell| page.graph.artifact(cell.action).counts)),
    );
    let mut lines = lines(page, &columns);
    if lines.is_empty() {
        return None;
    }
    // The longest first; stages that take almost no time share one line.
    lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let all: f64 = lines.iter().map(|l| l.seconds).sum();
    let shown = lines.iter().take_while(|l| l.seconds > all * SMALL).count();
    if lines.len() > shown + 1 {
        let rest = lines.split_off(shown);
        let other = Line::new(format!("{} other stages", rest.len()), columns.len());
        lines.push(rest.iter().fold(other, Line::and));
    }
    let kept: Vec<usize> = (0..columns.len()).filter(|i| lines.iter().any(|l| l.counts[*i] > 0)).collect();
    let most = lines.iter().map(|l| l.seconds).fold(0.0, f64::max);
    let body = Html::of(|h| {
        let heads = ["stage", "actions", "time", "", "peak memory", "stored"];
        let heads = heads.into_iter().chain(kept.iter().map(|i| columns[*i]));
        list(h, heads, |h| {
            for l in &lines {
                h.tag("tr", &[], |h| {
                    h.leaf("th", &[("scope", "row")], &l.stage);
                    h.leaf("td", &[], &human::thousands(l.actions));
                    h.leaf("td", &[], &human::duration(l.seconds));
                    let part = if most > 0.0 { l.seconds / most * 100.0 } else { 0.0 };
                    h.tag("td", &[("class", "meter")], |h| {
                        h.leaf("i", &[("style", &format!("width:{part:.1}%"))], "");
                    });
                    h.leaf("td", &[], &l.memory.map_or_else(|| "–".into(), human::size));
                    h.leaf("td", &[], &human::size(l.size));
                    for i in &kept {
                        h.leaf(
                            "td",
                            &[],
                            &if l.counts[*i] > 0 { human::thousands(l.counts[*i]) } else { "–".into() },
                        );
                    }
                });
            }
        });
        h.leaf(
            "p",
            &[("class", "hint")],
            "The time of an action is that of the run that carried it out, this one or an earlier one.",
        );
        page.costs.iter().for_each(|c| each(h, c));
    });
    Some(Section { id: "costs", title: "Costs", body })
}

/// A table of texts and numbers.
fn list<'t>(h: &mut Html, heads: impl Iterator<Item = &'t str>, rows: impl FnOnce(&mut Html)) {
    h.tag("div", &[("class", "scroll")], |h| {
        h.tag("table", &[("class", "list numbers")], |h| {
            h.tag("thead", &[], |h| {
                h.tag("tr", &[], |h| heads.for_each(|t| h.leaf("th", &[("scope", "col")], t)));
            });
            h.tag("tbody", &[], rows);
        });
    });
}

fn lines(page: &Page<'_>, columns: &[&str]) -> Vec<Line> {
    let mut counted = BTreeSet::new();
    let mut lines = Vec::new();
    for row in &page.graph.rows {
        let mut line = Line::new(row.name.clone(), columns.len());
        for cell in row.cells.iter().filter(|c| counted.insert(c.action)) {
            let Some(made) = page.results.execution(cell.action) else { continue };
            line.actions += 1;
            line.seconds += made.seconds;
            line.memory = line.memory.max(made.peak_memory);
            line.size += made.size;
            let facts = page.results.facts(cell.action).unwrap_or_default();
            for name in page.graph.artifact(cell.action).counts {
                let column = columns.iter().position(|c| c == name);
                let sum = column.and_then(|column| line.counts.get_mut(column));
                let count = facts.get(*name).and_then(serde_json::Value::as_u64);
                if let (Some(sum), Some(count)) = (sum, count) {
                    *sum += count;
                }
            }
        }
        if line.actions > 0 {
            lines.push(line);
        }
    }
    lines
}

/// The actions of a stage whose costs a report asks for.
fn each(h: &mut Html, costs: &Costs) {
    h.tag("details", &[], |h| {
        h.leaf("summary", &[], &format!("Each of {}", costs.stage));
        list(h, ["", "time"].into_iter().chain(costs.counted.iter().copied()), |h| {
            for row in costs.rows.iter().take(SHOWN) {
                h.tag("tr", &[], |h| {
                    h.leaf("th", &[("scope", "row")], &row.address);
                    h.leaf("td", &[], &row.seconds.map_or_else(|| "–".into(), human::duration));
                    for n in &row.counts {
                        h.leaf("td", &[], &n.map_or_else(|| "–".into(), human::thousands));
                    }
                });
            }
        });
        if costs.rows.len() > SHOWN {
            let more = format!("and {} more, in the files of this report", costs.rows.len() - SHOWN);
            h.leaf("p", &[("class", "hint")], &more);
        }
    });
}
