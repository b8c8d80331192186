//! The graph as a drawing: a box for each row, or for each cell; as text for Graphviz and Mermaid.

use std::fmt::Write as _;

use std::collections::{HashMap, HashSet};

use super::model::Graph;

/// Boxes by their texts, and arrows from one box to another, each once.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    pub boxes: Vec<String>,
    pub arrows: Vec<(usize, usize)>,
}

impl Drawing {
    fn add(&mut self, text: String) -> usize {
        self.boxes.push(text);
        self.boxes.len() - 1
    }
}

/// The drawing by rows, or by cells when `cells` is set.
pub(super) fn drawing(graph: &Graph, cells: bool) -> Drawing {
    let mut drawing = Drawing::default();
    let mut node_of: HashMap<u32, usize> = HashMap::new();
    for row in &graph.rows {
        if cells {
            for cell in &row.cells {
                // An action that several cells share is drawn once, under its own address.
                let address = &graph.action(cell.action).address;
                node_of.entry(cell.action.0).or_insert_with(|| drawing.add(address.clone()));
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
            let node = drawing.add(format!("{}{over}{counts}", row.name));
            for a in actions {
                node_of.entry(a).or_insert(node);
            }
        }
    }
    let mut seen = HashSet::new();
    for (i, action) in graph.actions.iter().enumerate() {
        let Some(to) = node_of.get(&(i as u32)) else { continue };
        for dep in &action.deps {
            if let Some(from) = node_of.get(&dep.0).filter(|from| *from != to)
                && seen.insert((*from, *to))
            {
                drawing.arrows.push((*from, *to));
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
    for (i, text) in d.boxes.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(out, "  n{i} [label=\"{text}\"];");
    }
    for (from, to) in &d.arrows {
        let _ = writeln!(out, "  n{from} -> n{to};");
    }
    out.push_str("}\n");
    out
}

/// Mermaid's language.
pub fn mermaid(graph: &Graph, cells: bool) -> String {
    let d = drawing(graph, cells);
    let mut out = String::from("flowchart LR\n");
    for (i, text) in d.boxes.iter().enumerate() {
        let text = text.replace('"', "#quot;").replace('\n', "<br/>");
        let _ = writeln!(out, "  n{i}[\"{text}\"]");
    }
    for (from, to) in &d.arrows {
        let _ = writeln!(out, "  n{from} --> n{to}");
    }
    out
}
