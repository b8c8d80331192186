//! Values over results, and the reason where there is none.

use std::cell::RefCell;

use super::Results;
use crate::graph::{Cut, Graph};
use crate::value::pending::{Unresolved, resolve};
use crate::value::{ActionId, Value};

/// The most addresses that one reason lists.
const SHOWN: usize = 6;

/// Why a value is not there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    /// A cell it needs is not there.
    Cut(Option<Cut>),
    /// Actions without a result, in order of need.
    Missing(Vec<ActionId>),
    /// A fold over too few values, where the language says that it is empty.
    Empty,
    /// Anything else, a lowercase fragment.
    Other(String),
}

impl Reason {
    /// A lowercase fragment for people.
    pub(super) fn text(&self, graph: &Graph) -> String {
        match self {
            Self::Cut(None) => "a cell it needs was cut away".into(),
            Self::Cut(Some(Cut::Only)) => "a cell it needs was cut away by `only`".into(),
            Self::Cut(Some(Cut::Where)) => "a cell it needs was cut away by a `where`".into(),
            Self::Cut(Some(Cut::Blank)) => "there is no published number for it".into(),
            Self::Missing(actions) => {
                let mut names: Vec<String> =
                    actions.iter().take(SHOWN).map(|a| format!("`{}`", address(graph, *a))).collect();
                if actions.len() > SHOWN {
                    names.push(format!("{} more", actions.len() - SHOWN));
                }
                format!("no result of {}", names.join(", "))
            }
            Self::Empty => "there are too few values to reduce".into(),
            Self::Other(text) => text.clone(),
        }
    }
}

/// The address of an action; its number for one that the graph does not have.
pub(super) fn address(graph: &Graph, id: ActionId) -> String {
    graph.actions.get(id.0 as usize).map_or_else(|| format!("action {}", id.0), |a| a.address.clone())
}

/// Computes a value over results.
///
/// # Errors
/// Why there is none; of missing results all, not only the first.
pub(super) fn value(value: &Value, results: &dyn Results) -> Result<Value, Reason> {
    match resolve(value, &|action, member| results.number(action, member)) {
        Ok(found) => Ok(found),
        Err(Unresolved::Missing(first)) => {
            // Once more with a stand-in for what is missing, to hear of everything that is.
            let missing = RefCell::new(vec![first]);
            let _ = resolve(value, &|action, member| {
                Some(results.number(action, member).unwrap_or_else(|| {
                    let mut missing = missing.borrow_mut();
                    if !missing.contains(&action) {
                        missing.push(action);
                    }
                    0.0
                }))
            });
            Err(Reason::Missing(missing.into_inner()))
        }
        Err(Unresolved::Empty) => Err(Reason::Empty),
        Err(other) => Err(Reason::Other(other.to_string())),
    }
}
