//! The graph as pictures in text: Graphviz and Mermaid, one node a row or one a cell.

use std::fmt::Write as _;

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::Graph;

/// A node of the drawing: its text.
type Drawing = DiGraph<String, ()>;

/// The drawing by rows, or by cells when `cells` is set.
fn drawing(graph: &Graph, cells: bool) -> Drawing {
    let mut drawing = Drawing::new();
    let mut node_of: IndexMap<u32, Vec<NodeIndex>> = IndexMap::new();
    for row in &graph.rows {
        if cells {
            for cell in &row.cells {
                let node = drawing.add_node(row.address(cell));
                node_of.entry(cell.action.0).or_default().push(node);
            }
        } else {
            let mut actions: Vec<u32> = row.cells.iter().map(|c| c.action.0).collect();
            actions.sort_unstable();
            actions.dedup();
            let over =
                if row.axes.is_empty() { String::new() } else { format!(" for {}", row.axes.join(", ")) };
            let counts = format!("{} cells, {} actions", row.cells.len(), actions.len());
            let node = drawing.add_node(format!("{}{over}\n{counts}", row.name));
            for a in actions {
                node_of.entry(a).or_default().push(node);
            }
        }
    }
    for (i, action) in graph.actions.iter().enumerate() {
        let Some(to) = node_of.get(&(i as u32)).and_then(|n| n.first()) else { continue };
        for dep in &action.deps {
            if let Some(from) = node_of.get(&dep.0).and_then(|n| n.first())
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
