//! Values computed from results, or the reason why there is none.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Results;
use xpipe_base::value::pending::{Unresolved, resolve};
use xpipe_base::value::{ActionId, Pending, Value};
use xpipe_lang::graph::{Cut, Graph};

/// The most addresses that one reason lists.
const SHOWN: usize = 6;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    /// A cell that it needs was left out.
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
    pub(super) fn text(&self, graph: &Graph, results: &dyn Results) -> String {
        match self {
            Self::Missing(actions) if !failed(actions, graph, results).is_empty() => {
                let causes = failed(actions, graph, results);
                let mut told: Vec<String> = causes
                    .iter()
                    .take(2)
                    .map(|(id, why)| format!("`{}` failed ({})", address(graph, *id), short(why)))
                    .collect();
                if causes.len() > told.len() {
                    told.push(format!("{} more failed", causes.len() - told.len()));
                }
                told.join("; ")
            }
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

impl Reason {
    /// A reason for several cells that miss results of the same stages.
    pub(super) fn of_several(&self, graph: &Graph, results: &dyn Results) -> String {
        match self {
            Self::Missing(actions) if failed(actions, graph, results).is_empty() => {
                let mut stages: Vec<String> = Vec::new();
                for id in actions {
                    let address = address(graph, *id);
                    let stage = format!("`{}`", address.split('[').next().unwrap_or_default());
                    if !stages.contains(&stage) {
                        stages.push(stage);
                    }
                }
                format!("no results of {} for them", stages.join(", "))
            }
            other => other.text(graph, results),
        }
    }
}

/// The actions that failed and that others wait for, first those that came first.
fn failed(actions: &[ActionId], graph: &Graph, results: &dyn Results) -> Vec<(ActionId, String)> {
    let mut seen = BTreeSet::new();
    let mut left = actions.to_vec();
    while let Some(id) = left.pop() {
        if seen.insert(id) {
            left.extend(graph.actions.get(id.0 as usize).map(|a| a.deps.as_slice()).unwrap_or_default());
        }
    }
    seen.into_iter().filter_map(|id| Some((id, results.failure(id)?))).collect()
}

/// The first line of a message, without its end when it is long.
fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(LONGEST).collect();
    cut.push('…');
    cut
}

/// The most characters of a failure's message under a table; all of it is among the failures.
const LONGEST: usize = 160;

/// The address of an action; its number for one that the graph does not have.
pub(super) fn address(graph: &Graph, id: ActionId) -> String {
    graph.actions.get(id.0 as usize).map_or_else(|| format!("action {}", id.0), |a| a.address.clone())
}

/// A text with its values filled in; `?` for those that are not there.
pub(super) fn text(of: &Value, results: &dyn Results) -> String {
    let known = |part: &Value| value(part, results).map_or_else(|_| "?".to_owned(), |v| v.to_string());
    match of {
        Value::Pending(p) => match &**p {
            Pending::Text { parts } => parts.iter().map(known).collect(),
            _ => known(of),
        },
        other => known(other),
    }
}

/// Computes a value from results.
///
/// # Errors
/// Why there is none; of missing results all, not only the first.
pub(super) fn value(value: &Value, results: &dyn Results) -> Result<Value, Reason> {
    match resolve(value, &|action, member| results.number(action, member)) {
        Ok(found) => Ok(found),
        Err(Unresolved::Missing(first)) => {
            // Once more with 0 for what is missing, to collect everything that is missing.
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
