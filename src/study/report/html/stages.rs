//! Every stage: its cells and actions, what ran and what was cached, and where cached results came from.

use std::collections::{BTreeMap, BTreeSet};

use super::markup::Html;
use super::page::{ActionState, Page, Section};
use xpipe_base::value::human;

#[derive(Default)]
struct Line {
    cells: u64,
    actions: u64,
    ran: u64,
    cached: u64,
    open: u64,
    failed: u64,
    /// Results that another study made first, by its file.
    shared: BTreeMap<String, u64>,
    devices: BTreeSet<String>,
    seconds: f64,
}

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let mut counted = BTreeSet::new();
    let mut lines: Vec<(&str, String, Line)> = Vec::new();
    for row in &page.graph.rows {
        let mut line = Line::default();
        for cell in &row.cells {
            let state =
                page.context.states.get(cell.action.0 as usize).copied().unwrap_or(ActionState::NotNeeded);
            if state == ActionState::NotNeeded {
                continue;
            }
            line.cells += 1;
            if !counted.insert(cell.action) {
                continue;
            }
            line.actions += 1;
            match state {
                ActionState::Ran => line.ran += 1,
                ActionState::Cached => line.cached += 1,
                ActionState::Failed => line.failed += 1,
                ActionState::Open | ActionState::NotNeeded => line.open += 1,
            }
            let Some(made) = page.results.execution(cell.action) else { continue };
            line.seconds += made.seconds;
            if !made.study.is_empty() && made.study != page.context.name {
                *line.shared.entry(made.study).or_default() += 1;
            }
            line.devices.insert(if made.kernels.is_empty() {
                made.device
            } else {
                format!("{} ({})", made.device, made.kernels)
            });
        }
        if line.cells > 0 {
            lines.push((&row.name, row.axes.join(", "), line));
        }
    }
    if lines.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        h.tag("details", &[], |h| {
            h.leaf("summary", &[], &human::counted(lines.len(), "stages"));
            h.tag("div", &[("class", "scroll")], |h| {
                h.tag("table", &[("class", "list numbers")], |h| table(h, &lines));
            });
        });
    });
    Some(Section { id: "stages", title: "What ran and what was cached", body })
}

fn table(h: &mut Html, lines: &[(&str, String, Line)]) {
    h.tag("thead", &[], |h| {
        h.tag("tr", &[], |h| {
            for head in [
                "stage", "for", "cells", "actions", "ran", "cached", "open", "failed", "time", "made by",
                "on",
            ] {
                h.leaf("th", &[("scope", "col")], head);
            }
        });
    });
    h.tag("tbody", &[], |h| {
        for (name, axes, line) in lines {
            h.tag("tr", &[], |h| {
                h.leaf("th", &[("scope", "row")], name);
                h.leaf("td", &[("class", "text")], axes);
                for n in [line.cells, line.actions, line.ran, line.cached, line.open, line.failed] {
                    h.leaf("td", &[], &if n == 0 { "–".into() } else { human::thousands(n) });
                }
                h.leaf(
                    "td",
                    &[],
                    &if line.seconds > 0.0 { human::duration(line.seconds) } else { "–".into() },
                );
                let shared: Vec<String> =
                    line.shared.iter().map(|(study, n)| format!("{study} ({n})")).collect();
                h.leaf("td", &[("class", "text")], &shared.join(", "));
                h.leaf(
                    "td",
                    &[("class", "text")],
                    &line.devices.iter().cloned().collect::<Vec<_>>().join(", "),
                );
            });
        }
    });
}
