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

/// Whether a cell is the one that is asked for: `label, label` in the order of the axes (`_` for any), or
/// `axis = label` as the language writes it, where axes that are not named may have any label.
fn fits(asked: &[String], row: &Row, cell: &Cell) -> bool {
    let named = |text: &str| {
        let (axis, label) = text.split_once('=')?;
        Some((row.axes.iter().position(|a| **a == *axis)?, label.to_owned()))
    };
    let by_name: Vec<Option<(usize, String)>> = asked.iter().map(|text| named(text)).collect();
    if !by_name.is_empty() && by_name.iter().all(Option::is_some) {
        return by_name
            .iter()
            .flatten()
            .all(|(i, label)| cell.labels.get(*i).is_some_and(|l| **l == **label));
    }
    asked.len() == cell.labels.len() && asked.iter().zip(&cell.labels).all(|(a, b)| a == "_" || **a == **b)
}

/// The cells of a target `stage`, `stage[label, label]` (`_` for any label) or `stage[axis = label]`.
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
    let cells: Vec<&Cell> =
        row.cells.iter().filter(|c| labels.as_ref().is_none_or(|l| fits(l, row, c))).collect();
    if cells.is_empty() {
        return Err(Unknown::Cell {
            stage: name.to_owned(),
            labels: labels.unwrap_or_default().join(", "),
            axes: row.axes.join(", "),
        });
    }
    Ok((row, cells))
}
