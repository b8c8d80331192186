//! The graph as SVG: boxes in layers from top to bottom. Stands alone, and in a page whose colours it takes.

use std::fmt::Write as _;

use super::draw::drawing;
use super::layers::{Edge, layout};
use super::model::Graph;

/// The most boxes that are drawn.
const MOST: usize = 600;
/// The height of a box of one line, of each further line, and of what is between layers.
const BOX: f64 = 24.0;
const LINE: f64 = 14.0;
const BETWEEN: f64 = 34.0;
const EDGE: f64 = 12.0;

const STYLE: &str = "svg.dag{font:12px system-ui,sans-serif;--l:var(--text,#1b1f24);--b:var(--panel,#f4f6f8);\
--e:var(--muted,#67707b)}svg.dag rect{fill:var(--b);stroke:var(--e);stroke-width:1}\
svg.dag text{fill:var(--l);text-anchor:middle}svg.dag .n{fill:var(--e);font-size:11px}\
svg.dag .e{fill:none;stroke:var(--e);stroke-width:1.2}svg.dag .r{stroke-dasharray:4 3}svg.dag .h{fill:var(--e)}";

/// The drawing by rows, or by cells when `cells` is set; `None` when there are too many boxes, or none, for one.
pub fn svg(graph: &Graph, cells: bool) -> Option<String> {
    let d = drawing(graph, cells);
    if d.boxes.is_empty() || d.boxes.len() > MOST {
        return None;
    }
    let texts: Vec<Vec<&str>> = d.boxes.iter().map(|text| text.lines().collect()).collect();
    let widths: Vec<f64> = texts.iter().map(|lines| width(lines)).collect();
    let plan = layout(&widths, &d.arrows);

    let height_of = |i: usize| BOX + LINE * (texts[i].len().max(1) - 1) as f64;
    let mut heights = vec![0f64; plan.layers];
    plan.boxes
        .iter()
        .enumerate()
        .for_each(|(i, (layer, _))| heights[*layer] = heights[*layer].max(height_of(i)));
    let mut tops = Vec::with_capacity(plan.layers);
    let mut y = EDGE;
    for height in &heights {
        tops.push(y);
        y += height + BETWEEN;
    }
    let (w, h) = (plan.width + 2.0 * EDGE, y - BETWEEN + EDGE);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"dag\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" \
         height=\"{h:.0}\" role=\"img\" aria-label=\"Graph of the stages\"><style>{STYLE}</style><defs><marker \
         id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path class=\"h\" d=\"M0 0L8 4L0 8z\"/></marker></defs>"
    );
    for edge in &plan.edges {
        let (class, end) = if edge.back { ("e r", "start") } else { ("e", "end") };
        let path = arrow(edge, &tops, &heights);
        let _ = write!(out, "<path class=\"{class}\" d=\"{path}\" marker-{end}=\"url(#head)\"/>");
    }
    for (i, (layer, x)) in plan.boxes.iter().enumerate() {
        // Boxes of a layer are equally high, so that arrows end at them.
        let (x, y, w, t) = (x + EDGE - widths[i] / 2.0, tops[*layer], widths[i], heights[*layer]);
        let _ = write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{t:.1}\" rx=\"5\"/>");
        let middle = y + t / 2.0 - (texts[i].len() as f64 - 1.0) * LINE / 2.0 + 4.0;
        for (k, text) in texts[i].iter().enumerate() {
            let class = if k == 0 { "" } else { " class=\"n\"" };
            let (x, y) = (x + w / 2.0, middle + k as f64 * LINE);
            let _ = write!(out, "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text));
        }
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// The path of an arrow: curves between layers, and straight lines through those that it passes.
fn arrow(edge: &Edge, tops: &[f64], heights: &[f64]) -> String {
    let mut path = String::new();
    let last = edge.path.len() - 1;
    for (k, (layer, x)) in edge.path.iter().enumerate() {
        let (top, bottom, x) = (tops[*layer], tops[*layer] + heights[*layer], x + EDGE);
        if k == 0 {
            let _ = write!(path, "M{x:.1} {bottom:.1}");
            continue;
        }
        let before = edge.path[k - 1];
        let (from, x0) = (tops[before.0] + heights[before.0], before.1 + EDGE);
        let middle = (from + top) / 2.0;
        let _ = write!(path, "C{x0:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {top:.1}");
        if k < last {
            let _ = write!(path, "V{bottom:.1}");
        }
    }
    path
}

fn width(lines: &[&str]) -> f64 {
    let longest = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    (longest as f64 * 6.7 + 18.0).max(40.0)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{FFFD}'),
            _ => out.push(c),
        }
    }
    out
}
