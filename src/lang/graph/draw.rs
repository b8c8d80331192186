//! The graph as pictures: Graphviz and Mermaid in text, and SVG; one node a row or one a cell.

use std::fmt::Write as _;

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

pub use super::svg::svg;

use super::Graph;

/// A node of the drawing: its text.
pub(super) type Drawing = DiGraph<String, ()>;

/// The drawing by rows, or by cells when `cells` is set.
pub(super) fn drawing(graph: &Graph, cells: bool) -> Drawing {
    let mut drawing = Drawing::new();
    let mut node_of: IndexMap<u32, NodeIndex> = IndexMap::new();
    for row in &graph.rows {
        if cells {
            for cell in &row.cells {
                // An action that several cells share is drawn once, under its own address.
                let address = &graph.action(cell.action).address;
                node_of.entry(cell.action.0).or_insert_with(|| drawing.add_node(address.clone()));
            }
        } else {
            let mut actions: Vec<u32> = row.cells.iter().map(|c| c.action.0).collect();
            actions.sort_unstable();
            actions.dedup();
            let over =
                if row.axes.is_empty() { String::new() } else { format!(" for {}", row.axes.join(", ")) };
            // A name of what is drawn already: the last stage of a `def`.
            if actions.iter().all(|a| node_of.contains_key(a)) {
                continue;
            }
            let counts = match (row.cells.len(), actions.len()) {
                (1, _) => String::new(),
                (cells, actions) if cells == actions => format!("\n{cells} cells"),
                (cells, 1) => format!("\n{cells} cells, 1 action"),
                (cells, actions) => format!("\n{cells} cells, {actions} actions"),
            };
            let node = drawing.add_node(format!("{}{over}{counts}", row.name));
            for a in actions {
                node_of.entry(a).or_insert(node);
            }
        }
    }
    for (i, action) in graph.actions.iter().enumerate() {
        let Some(to) = node_of.get(&(i as u32)) else { continue };
        for dep in &action.deps {
            if let Some(from) = node_of.get(&dep.0)
                && from != to
                && drawing.find_edge(*from, *to).is_none()
            {
                drawing.add_edge(*from, *to, ());
            }
        }
    }
    drawing
}

/// Graphviz' language.
pub fn dot(graph: &Graph, cells: bool) -> String {
    let d = drawing(graph, cells);
    let mut out =
        String::from("digraph study {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for i in d.node_indices() {
        let text = d[i].replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(out, "  n{} [label=\"{text}\"];", i.index());
    }
    for e in d.edge_references() {
        let _ = writeln!(out, "  n{} -> n{};", e.source().index(), e.target().index());
    }
    out.push_str("}\n");
    out
}

/// Mermaid's language.
pub fn mermaid(graph: &Graph, cells: bool) -> String {
    let d = drawing(graph, cells);
    let mut out = String::from("flowchart LR\n");
    for i in d.node_indices() {
        let text = d[i].replace('"', "#quot;").replace('\n', "<br/>");
        let _ = writeln!(out, "  n{}[\"{text}\"]", i.index());
    }
    for e in d.edge_references() {
        let _ = writeln!(out, "  n{} --> n{}", e.source().index(), e.target().index());
    }
    out
}
