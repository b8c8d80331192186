//! What is asked for: all named stages, or the cells that `--target` names.

use super::{Cell, Graph, Row};
use crate::diag::suggest::did_you_mean;
use crate::value::ActionId;

/// Why a target is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No such stage.
    #[error("there is no stage `{name}`{}", help.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Stage {
        /// The name.
        name: String,
        /// Names like it.
        help: Option<String>,
    },
    /// No such cell.
    #[error("`{stage}` has no cell [{labels}]; its axes are {axes}")]
    Cell {
        /// The stage.
        stage: String,
        /// The labels asked for.
        labels: String,
        /// The axes it has.
        axes: String,
    },
}

/// The actions of all named stages, in order, each once.
pub fn all(graph: &Graph) -> Vec<ActionId> {
    let mut ids: Vec<ActionId> =
        graph.rows.iter().filter(|r| r.named).flat_map(|r| r.cells.iter().map(|c| c.action)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The labels of an address; commas in quotes belong to a label.
fn split(inner: &str) -> Vec<String> {
    let mut labels = vec![String::new()];
    let mut quote = None;
    for c in inner.chars() {
        match (quote, c) {
            (None, ',') => labels.push(String::new()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), _) if q == c => quote = None,
            _ => {
                if let Some(last) = labels.last_mut()
                    && (quote.is_some() || !c.is_whitespace())
                {
                    last.push(c);
                }
            }
        }
    }
    labels
}

/// The cells of a target `stage` or `stage[label, label]` (`_` for any label).
///
/// # Errors
/// When nothing fits.
pub fn target<'g>(graph: &'g Graph, text: &str) -> Result<(&'g Row, Vec<&'g Cell>), Unknown> {
    let text = text.trim();
    let (name, labels) = match text.split_once('[') {
        Some((n, rest)) => {
            let inner = rest.trim_end().strip_suffix(']').unwrap_or(rest);
            (n.trim(), Some(split(inner)))
        }
        None => (text, None),
    };
    let Some(row) = graph.rows.iter().find(|r| r.name == name) else {
        let help = did_you_mean(name, graph.rows.iter().map(|r| r.name.as_str()));
        return Err(Unknown::Stage { name: name.to_owned(), help });
    };
    let cells: Vec<&Cell> = row
        .cells
        .iter()
        .filter(|c| {
            labels.as_ref().is_none_or(|l| {
                l.len() == c.labels.len() && l.iter().zip(&c.labels).all(|(a, b)| a == "_" || **a == **b)
            })
        })
        .collect();
    if cells.is_empty() {
        return Err(Unknown::Cell {
            stage: name.to_owned(),
            labels: labels.unwrap_or_default().join(", "),
            axes: row.axes.join(", "),
        });
    }
    Ok((row, cells))
}
