//! The stages as a drawing: what is made from what.

use super::markup::Html;
use super::{Page, Section};
use xpipe_lang::graph::svg;

pub(super) fn section(page: &Page<'_>) -> Option<Section> {
    let svg = svg(page.graph, false)?;
    let body = Html::of(|h| {
        h.tag("div", &[("class", "scroll")], |h| h.drawing(&svg));
        h.leaf("p", &[("class", "hint")], "An arrow that follows from others is left out.");
    });
    Some(Section { id: "graph", title: "Graph", body })
}
