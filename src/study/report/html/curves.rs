//! Training curves: loss and validation of every training, grouped by stage and objective.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;
use serde::Deserialize;

use super::chart::{Scale, colour, label, line, px, svg};
use super::markup::Html;
use super::page::{Page, Section};
use super::plots::legend;
use crate::report::fill;
use xpipe_lang::graph::address;

/// The most points of a line.
const POINTS: usize = 80;
const WIDTH: f64 = 350.0;
const HEIGHT: f64 = 210.0;

/// What `training.json` says of a training.
#[derive(Deserialize)]
struct Training {
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    selected_step: Option<u64>,
    #[serde(default)]
    curve: Vec<Loss>,
    #[serde(default)]
    validation: Vec<Validation>,
}

#[derive(Deserialize)]
struct Loss {
    step: u64,
    loss: f64,
}

#[derive(Deserialize)]
struct Validation {
    step: u64,
    mean: f64,
}

/// A line of a drawing: points, and the step that was selected.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    chosen: Option<f64>,
}

/// The curves of one drawing.
#[derive(Default)]
struct Group {
    metric: String,
    losses: Vec<Curve>,
    validations: Vec<Curve>,
}

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let groups = groups(page);
    if groups.is_empty() {
        return None;
    }
    let body = Html::of(|h| {
        h.tag("div", &[("class", "charts")], |h| {
            for (name, group) in &groups {
                chart(h, name, "training loss", &group.losses);
                chart(h, name, &format!("validation, {}", group.metric), &group.validations);
            }
        });
    });
    Some(Section { id: "curves", title: "Training", body })
}

fn groups(page: &Page<'_>) -> IndexMap<String, Group> {
    let mut groups: IndexMap<String, Group> = IndexMap::new();
    let mut seen = BTreeSet::new();
    for row in &page.graph.rows {
        for cell in &row.cells {
            if !page.graph.action(cell.action).op.starts_with("train.") || !seen.insert(cell.action) {
                continue;
            }
            let Some(folder) = page.results.folder(cell.action) else { continue };
            let read = std::fs::read(folder.join("training.json")).ok();
            let Some(training) = read.and_then(|t| serde_json::from_slice::<Training>(&t).ok()) else {
                continue;
            };
            // Losses of different objectives have different scales.
            let objective = page.graph.action(cell.action).args.get("objective").map(fill::text);
            let group = match objective {
                Some(objective) => format!("{}, {objective}", row.name),
                None => row.name.clone(),
            };
            let group = groups.entry(group).or_default();
            let name = address(&row.name, &cell.labels);
            let points = training.curve.iter().map(|p| (p.step as f64, p.loss)).collect::<Vec<_>>();
            group.losses.push(Curve { name: name.clone(), points: thinned(&points), chosen: None });
            let points = training.validation.iter().map(|p| (p.step as f64, p.mean)).collect::<Vec<_>>();
            if !points.is_empty() {
                let chosen = training.selected_step.map(|s| s as f64);
                group.validations.push(Curve { name, points: thinned(&points), chosen });
                group.metric = training.metric.unwrap_or_default();
            }
        }
    }
    groups
}

/// Means of neighbouring points: at most [`POINTS`].
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let window = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(window)
        .filter_map(|w| {
            let last = w.last()?.0;
            Some((last, w.iter().map(|p| p.1).sum::<f64>() / w.len() as f64))
        })
        .collect()
}

fn chart(h: &mut Html, name: &str, what: &str, curves: &[Curve]) {
    if curves.iter().all(|c| c.points.is_empty()) {
        return;
    }
    h.tag("figure", &[], |h| {
        h.tag("figcaption", &[], |h| {
            h.leaf("strong", &[], name);
            h.leaf("span", &[], &format!(" {what}"));
        });
        let points = || curves.iter().flat_map(|c| &c.points);
        let x = Scale::over(points().map(|p| p.0).chain([0.0]), 44.0, WIDTH - 14.0);
        let y = Scale::over(points().map(|p| p.1), HEIGHT - 30.0, 10.0).rounded(4);
        svg(h, WIDTH, HEIGHT, &format!("{name}: {what} by step"), |h| {
            for (at, text) in y.ticks(4) {
                line(h, "grid", (44.0, y.at(at)), (WIDTH - 14.0, y.at(at)));
                label(h, "tick", "end", (38.0, y.at(at) + 4.0), &text);
            }
            for (at, text) in x.ticks(4) {
                label(h, "tick", "middle", (x.at(at), HEIGHT - 12.0), &text);
            }
            label(h, "tick", "end", (WIDTH - 2.0, HEIGHT - 1.0), "steps");
            for (i, curve) in curves.iter().enumerate() {
                let mut path = String::new();
                for (k, (step, value)) in curve.points.iter().enumerate() {
                    let _ = write!(
                        path,
                        "{}{} {}",
                        if k == 0 { "M" } else { "L" },
                        px(x.at(*step)),
                        px(y.at(*value))
                    );
                }
                h.tag("path", &[("class", &format!("curve {}", colour(i))), ("d", &path)], |h| {
                    h.leaf("title", &[], &curve.name);
                });
                let chosen = curve.chosen.and_then(|s| curve.points.iter().find(|p| p.0 >= s));
                if let Some((step, value)) = chosen {
                    let at = [px(x.at(*step)), px(y.at(*value))];
                    let class = format!("dot {}", colour(i));
                    h.tag("circle", &[("class", &class), ("cx", &at[0]), ("cy", &at[1]), ("r", "4")], |h| {
                        h.leaf("title", &[], &format!("{}: kept at step {step}", curve.name));
                    });
                }
            }
        });
        if curves.len() <= super::chart::COLOURS {
            legend(h, curves.iter().map(|c| c.name.as_str()));
        }
    });
}
