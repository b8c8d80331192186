//! The graph of the stages.

use super::markup::Html;
use super::page::{Page, Section};
use xpipe_lang::graph::svg;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let svg = svg(page.graph, false)?;
    let body = Html::of(|h| {
        h.tag("div", &[("class", "scroll")], |h| h.drawing(&svg));
        h.leaf("p", &[("class", "hint")], "Arrows implied by others are left out.");
    });
    Some(Section { id: "graph", title: "Graph", body })
}
