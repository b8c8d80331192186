//! What the check for sealed test collections needs to know of an expansion.

use std::rc::Rc;

use indexmap::IndexMap;

use xpipe_base::diag::Span;
use xpipe_base::value::pending::PendingCell;
use xpipe_base::value::{ActionId, Name, Value, dependencies};

/// The role of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `role = test`.
    Test,
    /// The data set does not say: a test when the study evaluates on its judgements.
    Unspecified,
    /// For training or validation.
    Other,
}

/// What is noted while a study is expanded.
#[derive(Debug, Default)]
pub(super) struct Seal {
    /// The collections that queries, judgements and runs belong to, with their roles.
    pub held: IndexMap<ActionId, Vec<(Rc<str>, Role)>>,
    /// The actions that each `argmax` and `argmin` chooses by, and where it is written.
    pub choices: Vec<(Vec<ActionId>, Span)>,
    /// Where the arguments of actions that learn, or that wait for numbers, are written.
    pub places: IndexMap<ActionId, Vec<(Name, Span)>>,
}

impl Seal {
    /// Notes that a collection, or a part declared alone, has this result in a role.
    pub(super) fn holds(&mut self, value: &Value, name: &str, role: Option<&str>) {
        let Value::Artifact(id) = value else { return };
        let role = match role {
            None => Role::Unspecified,
            Some("test") => Role::Test,
            Some(_) => Role::Other,
        };
        let held = self.held.entry(*id).or_default();
        let entry = (Rc::from(name), role);
        if !held.contains(&entry) {
            held.push(entry);
        }
    }

    /// Notes the results that a choice looks at.
    pub(super) fn chooses(&mut self, cells: &[PendingCell], span: Span) {
        self.choices.push((dependencies(cells.iter().map(|cell| &cell.value)), span));
    }
}
