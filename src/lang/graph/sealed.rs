//! Test collections are sealed: nothing may learn from their queries, judgements and runs, directly or through other
//! results, and nothing may be chosen by results on them.
//!
//! What a result holds of a test collection follows from what it is made of. It is checked when all actions are known,
//! since the same queries may belong to several collections, which are declared anywhere. Documents are not sealed:
//! training and test collections may share them.

use std::rc::Rc;

use super::domain::result_type;
use super::expander::Expander;
use super::seal::Role;
use crate::syntax::ast::Arg;
use crate::types::{Op, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::task::Action;
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

impl Expander<'_> {
    /// Notes where the arguments of a new action are written, when the check will ask for them.
    pub(super) fn note_places(&mut self, op: &Op, id: ActionId, args: &[Arg]) {
        let action = self.actions.get(id);
        let mut waits = false;
        action.args.values().for_each(|v| v.walk(&mut |v| waits |= matches!(v, Value::Pending(_))));
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
        if !self.seal.held.values().flatten().any(|(_, role)| *role == Role::Test) {
            return;
        }
        let exposed = self.exposures();
        for (actions, span) in std::mem::take(&mut self.seal.choices) {
            let name = actions.iter().find_map(|id| match &exposed[id.0 as usize] {
                Exposure::Holds(name) => Some(name.clone()),
                _ => None,
            });
            if let Some(name) = name {
                self.error(chosen_on_test(&name, span));
            }
        }
        for (id, places) in std::mem::take(&mut self.seal.places) {
            self.sealed_from(id, &places, &exposed);
        }
    }

    /// Reports the arguments of an action through which it would learn from a test collection.
    fn sealed_from(&mut self, id: ActionId, places: &[(Name, Span)], exposed: &[Exposure]) {
        let action = self.actions.get(id).clone();
        let learns = learns(&action, &result_type(self.registry, &action));
        for (argument, at) in places {
            let Some(value) = action.args.get(argument) else { continue };
            if let Some(name) = waits_for_test(value, exposed) {
                self.error(chosen_on_test(&name, *at));
                continue;
            }
            let (message, help) = match self.exposure(value, exposed) {
                Exposure::Holds(name) if learns => learns_from_test(action.op, &name),
                Exposure::Among(name) if learns => learns_from_shared_queries(action.op, &name),
                _ => continue,
            };
            self.reporter.issue(Code::SealedTest, *at, message, Some(help), action.address.clone());
        }
    }

    /// Collections without a role are tests when something is evaluated by their judgements, and else for training.
    fn settle_roles(&mut self) {
        let mut by: Vec<ActionId> = Vec::new();
        let evaluates = |op: &str| self.registry.get(op).is_some_and(|op| op.evaluates);
        for action in self.actions.all().iter().filter(|a| evaluates(a.op)) {
            by.extend(action.args.get("qrels").map(artifacts).unwrap_or_default());
        }
        let mut reached = vec![false; self.actions.all().len()];
        while let Some(id) = by.pop() {
            if !std::mem::replace(&mut reached[id.0 as usize], true) {
                self.actions.get(id).args.values().for_each(|v| by.extend(artifacts(v)));
            }
        }
        let held = self.seal.held.iter().filter(|(id, _)| reached[id.0 as usize]);
        let tests: Vec<Rc<str>> =
            held.flat_map(|(_, all)| all.iter().map(|(name, _)| name.clone())).collect();
        for (name, role) in
            self.seal.held.values_mut().flatten().filter(|(_, role)| *role == Role::Unspecified)
        {
            *role = if tests.contains(name) { Role::Test } else { Role::Other };
        }
    }

    /// By action: what it holds of test collections.
    fn exposures(&self) -> Vec<Exposure> {
        let mut exposed: Vec<Exposure> = Vec::with_capacity(self.actions.all().len());
        for (i, action) in self.actions.all().iter().enumerate() {
            let own =
                self.seal.held.get(&ActionId(i as u32)).map_or(Exposure::Nothing, |held| of_roles(held));
            let made = match result_type(self.registry, action) {
                Type::Corpus | Type::Index => Exposure::Nothing,
                // What learns from a test collection is reported there.
                ty if learns(action, &ty) => Exposure::Nothing,
                ty => {
                    let inside = self.exposure_of_fields(action.args.values(), &exposed);
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
            Value::Record(r) => self.exposure_of_fields(r.values(), exposed),
            Value::Call(c) => self.exposure_of_fields(c.args.values(), exposed),
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

/// The test collection whose results a value waits for. Choices are reported where they are made.
fn waits_for_test(value: &Value, exposed: &[Exposure]) -> Option<Rc<str>> {
    let mut found = None;
    value.walk(&mut |v| {
        let Value::Pending(p) = v else { return };
        match &**p {
            Pending::Arg { .. } => {}
            Pending::Metric { action, .. } => {
                if let Some(Exposure::Holds(name)) = exposed.get(action.0 as usize) {
                    found.get_or_insert_with(|| name.clone());
                }
            }
            other => other.operands(&mut |v| found = found.take().or_else(|| waits_for_test(v, exposed))),
        }
    });
    found
}

fn chosen_on_test(name: &str, span: Span) -> Diagnostic {
    let message = format!("this chooses by results on `{name}`, a test collection");
    Diagnostic::error(Code::SealedTest, message, span, "test collections are sealed")
        .help("choose by a collection whose role is `validation`")
}

fn learns_from_test(op: &str, name: &str) -> (String, String) {
    let message = format!("`{op}` would learn from `{name}`, a test collection");
    let help = format!(
        "learn from a collection with `role = train`; `{name}` is for testing: its data set says so, or says nothing \
         and is evaluated on"
    );
    (message, help)
}

fn learns_from_shared_queries(op: &str, name: &str) -> (String, String) {
    let message =
        format!("`{op}` would learn from all these queries, and some are of `{name}`, a test collection");
    let help = "take those that the training split judges: `candidates { run, qrels }`, or \
                `data.answered { queries, qrels }`";
    (message, help.to_owned())
}
