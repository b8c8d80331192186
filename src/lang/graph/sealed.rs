//! Test collections are sealed: nothing may learn from their queries, judgements and runs, or be chosen by results on
//! them, along whatever path they come.
//!
//! What a result holds of a test collection follows from what it is made of, so it is told once all actions are known:
//! the same queries may belong to several collections, which are declared anywhere. Documents are no secret: training
//! and test collections may share them.

use std::rc::Rc;

use super::Action;
use super::action::dependencies;
use super::datasets::result_type;
use super::expand::Expander;
use crate::syntax::ast::Arg;
use crate::types::{Op, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::PendingCell;
use xpipe_base::value::{ActionId, Name, Pending, Value};

/// What a result holds of a test collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exposure {
    Nothing,
    /// Queries that it shares with a collection for training or validation.
    Among(Rc<str>),
    /// Its queries, its judgements, or what is made of them.
    Holds(Rc<str>),
}

/// For what a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `role = test`.
    Test,
    /// The dataset does not say: a test when the study evaluates on its judgements.
    Unsaid,
    /// For training or validation.
    Other,
}

/// What the check at the end needs to know of one expansion.
#[derive(Debug, Default)]
pub(super) struct Seal {
    /// Collections, with their roles, by the queries, judgements and runs that they have.
    held: indexmap::IndexMap<ActionId, Vec<(Rc<str>, Role)>>,
    /// Actions that `argmax` and `argmin` choose by, and where.
    choices: Vec<(Vec<ActionId>, Span)>,
    /// Arguments of actions that learn or wait for numbers, where they are written.
    places: indexmap::IndexMap<ActionId, Vec<(Name, Span)>>,
}

impl Expander<'_> {
    /// Notes that a collection, or a part declared alone, has this result in a role.
    pub(super) fn holds(&mut self, value: &Value, name: &str, role: Option<&str>) {
        if let Value::Artifact(id) = value {
            let held = self.seal.held.entry(*id).or_default();
            let role = match role {
                None => Role::Unsaid,
                Some("test") => Role::Test,
                Some(_) => Role::Other,
            };
            let entry = (Rc::from(name), role);
            if !held.contains(&entry) {
                held.push(entry);
            }
        }
    }

    /// Notes what a choice looks at.
    pub(super) fn chooses(&mut self, cells: &[PendingCell], span: Span) {
        let mut actions = Vec::new();
        for cell in cells {
            dependencies(&cell.value, &mut actions);
        }
        actions.sort_unstable();
        actions.dedup();
        self.seal.choices.push((actions, span));
    }

    /// Notes where the arguments of a new action are written, when the check will ask for them.
    pub(super) fn note_places(&mut self, op: &Op, id: ActionId, args: &[Arg]) {
        let action = &self.actions[id.0 as usize];
        let mut waits = false;
        action.args.iter().for_each(|(_, v)| v.walk(&mut |v| waits |= matches!(v, Value::Pending(_))));
        if !waits && !learns(action, &result_type(self.registry, action)) {
            return;
        }
        let mut positional = op.params.iter();
        let places = args.iter().filter_map(|arg| {
            let name = match &arg.name {
                Some(n) => n.name.clone(),
                None => Name::from(positional.next()?.name),
            };
            Some((name, arg.value.span))
        });
        self.seal.places.insert(id, places.collect());
    }

    /// Reports what learns from test collections or is chosen by them.
    pub(super) fn sealed_tests(&mut self) {
        self.settle_roles();
        let tests = self.seal.held.values().flatten().any(|(_, role)| *role == Role::Test);
        if !tests {
            return;
        }
        let exposed = self.exposures();
        for (actions, span) in std::mem::take(&mut self.seal.choices) {
            let name = actions.iter().find_map(|id| match &exposed[id.0 as usize] {
                Exposure::Holds(name) => Some(name.clone()),
                _ => None,
            });
            if let Some(name) = name {
                self.chosen_on_test(&name, span);
            }
        }
        for (id, places) in std::mem::take(&mut self.seal.places) {
            let action = self.actions[id.0 as usize].clone();
            let learns = learns(&action, &result_type(self.registry, &action));
            for (argument, at) in places {
                let Some(value) = action.args.get(&argument) else { continue };
                if let Some(name) = waits_for_test(value, &exposed) {
                    self.chosen_on_test(&name, at);
                    continue;
                }
                if !learns {
                    continue;
                }
                let cell = action.address.clone();
                match self.exposure(value, &exposed) {
                    Exposure::Nothing => {}
                    Exposure::Holds(name) => self.issue(
                        Code::SealedTest,
                        at,
                        format!("`{}` would learn from `{name}`, a test collection", action.op),
                        Some(format!(
                            "learn from a collection with `role = train`; `{name}` is for testing: its dataset says \
                             so, or says nothing and is evaluated on"
                        )),
                        cell,
                    ),
                    Exposure::Among(name) => self.issue(
                        Code::SealedTest,
                        at,
                        format!(
                            "`{}` would learn from all these queries, and some are of `{name}`, a test collection",
                            action.op
                        ),
                        Some(
                            "take those that the training split judges: `candidates { run, qrels }`, or \
                             `data.answered { queries, qrels }`"
                                .to_owned(),
                        ),
                        cell,
                    ),
                }
            }
        }
    }

    /// Collections without a role are tests when something is evaluated by their judgements, and else for training.
    fn settle_roles(&mut self) {
        let mut by: Vec<ActionId> = Vec::new();
        for action in self.actions.iter().filter(|a| a.op == "evaluate") {
            by.extend(action.args.get("qrels").map(artifacts).unwrap_or_default());
        }
        let mut reached = vec![false; self.actions.len()];
        while let Some(id) = by.pop() {
            if !std::mem::replace(&mut reached[id.0 as usize], true) {
                self.actions[id.0 as usize].args.iter().for_each(|(_, v)| by.extend(artifacts(v)));
            }
        }
        let held = self.seal.held.iter().filter(|(id, _)| reached[id.0 as usize]);
        let tests: Vec<Rc<str>> =
            held.flat_map(|(_, all)| all.iter().map(|(name, _)| name.clone())).collect();
        for (name, role) in self.seal.held.values_mut().flatten().filter(|(_, role)| *role == Role::Unsaid) {
            *role = if tests.contains(name) { Role::Test } else { Role::Other };
        }
    }

    fn chosen_on_test(&mut self, name: &str, span: Span) {
        self.error(
            Diagnostic::error(
                Code::SealedTest,
                format!("this chooses by results on `{name}`, a test collection"),
                span,
                "test collections are sealed",
            )
            .help("choose by a collection whose role is `validation`"),
        );
    }

    /// By action: what it holds of test collections.
    fn exposures(&self) -> Vec<Exposure> {
        let mut exposed: Vec<Exposure> = Vec::with_capacity(self.actions.len());
        for (i, action) in self.actions.iter().enumerate() {
            let own =
                self.seal.held.get(&ActionId(i as u32)).map_or(Exposure::Nothing, |held| of_roles(held));
            let made = match result_type(self.registry, action) {
                Type::Corpus | Type::Index => Exposure::Nothing,
                // What learns from a test collection is reported there.
                ty if learns(action, &ty) => Exposure::Nothing,
                ty => {
                    let inside = self.exposure_of_fields(action.args.iter().map(|(_, v)| v), &exposed);
                    match inside {
                        // Judgements are of the split that they were made for, whatever ids they are checked with.
                        Exposure::Among(_) if ty == Type::Qrels => Exposure::Nothing,
                        inside => inside,
                    }
                }
            };
            exposed.push(own.max(made));
        }
        exposed
    }

    fn exposure(&self, value: &Value, exposed: &[Exposure]) -> Exposure {
        match value {
            Value::Artifact(id) => exposed.get(id.0 as usize).cloned().unwrap_or(Exposure::Nothing),
            Value::List(items) => {
                items.iter().map(|v| self.exposure(v, exposed)).max().unwrap_or(Exposure::Nothing)
            }
            Value::Record(r) => self.exposure_of_fields(r.iter().map(|(_, v)| v), exposed),
            Value::Call(c) => self.exposure_of_fields(c.args.iter().map(|(_, v)| v), exposed),
            _ => Exposure::Nothing,
        }
    }

    /// Of values that belong together: judgements of another split leave the queries out that they do not judge.
    fn exposure_of_fields<'v>(
        &self,
        values: impl Iterator<Item = &'v Value>,
        exposed: &[Exposure],
    ) -> Exposure {
        let (mut most, mut judged) = (Exposure::Nothing, false);
        for value in values {
            let exposure = self.exposure(value, exposed);
            judged |= exposure == Exposure::Nothing
                && matches!(value, Value::Artifact(_))
                && self.made_type(value) == Type::Qrels;
            most = most.max(exposure);
        }
        match most {
            Exposure::Among(_) if judged => Exposure::Nothing,
            most => most,
        }
    }
}

/// Whether an action's result is learnt: a model, or samples that models learn from.
fn learns(action: &Action, ty: &Type) -> bool {
    matches!(ty, Type::Model | Type::Samples) && !action.op.starts_with("import.")
}

/// The results that a value names.
fn artifacts(value: &Value) -> Vec<ActionId> {
    let mut found = Vec::new();
    value.walk(&mut |v| {
        if let Value::Artifact(id) = v {
            found.push(*id);
        }
    });
    found
}

fn of_roles(held: &[(Rc<str>, Role)]) -> Exposure {
    let test = |(_, role): &&(Rc<str>, Role)| *role == Role::Test;
    let Some((name, _)) = held.iter().find(test) else { return Exposure::Nothing };
    if held.iter().all(|h| test(&h)) { Exposure::Holds(name.clone()) } else { Exposure::Among(name.clone()) }
}

/// The test collection whose results a value waits for, outside of choices, which are reported where they are made.
fn waits_for_test(value: &Value, exposed: &[Exposure]) -> Option<Rc<str>> {
    let mut found = None;
    value.walk(&mut |v| {
        if let Value::Pending(p) = v {
            found = found.take().or_else(|| pending_on_test(p, exposed));
        }
    });
    found
}

fn pending_on_test(pending: &Pending, exposed: &[Exposure]) -> Option<Rc<str>> {
    let value = |v: &Value| waits_for_test(v, exposed);
    match pending {
        Pending::Metric { action, .. } => match exposed.get(action.0 as usize) {
            Some(Exposure::Holds(name)) => Some(name.clone()),
            _ => None,
        },
        Pending::Arg { .. } => None,
        Pending::Reduce { cells, .. } => cells.iter().find_map(|c| value(&c.value)),
        Pending::Text { parts } => parts.iter().find_map(value),
        Pending::Member { of, .. } | Pending::Unary { of, .. } => value(of),
        Pending::Binary { left, right, .. } => value(left).or_else(|| value(right)),
        Pending::If { condition, then, other } => {
            value(condition).or_else(|| value(then)).or_else(|| value(other))
        }
        Pending::Near { left, right, within } => {
            value(left).or_else(|| value(right)).or_else(|| value(within))
        }
    }
}
