//! The state of one expansion. Every file of this folder adds to it what it knows how to evaluate or check.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::actions::Actions;
use super::env::{Env, Eval, Item, Stop};
use super::memo::Memo;
use super::model::{Choice, address};
use super::overrides::{AppliedOverrides, Overrides};
use super::reach::Reach;
use super::reporter::Reporter;
use super::seal::Seal;
use crate::resolve::{AxisId, Study, World};
use crate::syntax::ast::ItemKind;
use crate::types::Registry;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, Span};
use xpipe_base::value::{ActionId, Name, Value};

/// The state of one expansion.
pub(super) struct Expander<'a> {
    /// The study, as it was read and its names were resolved.
    pub study: &'a Study,
    pub registry: &'a Registry,
    pub world: &'a dyn World,
    /// What the command line and the profile override.
    pub outside: AppliedOverrides<'a>,
    /// What was evaluated.
    pub memo: Memo,
    /// What was asked for.
    pub actions: Actions,
    /// Where diagnostics and notes go.
    pub reporter: Reporter<'a>,
    /// Items being evaluated, with the place that needs them.
    pub stack: Vec<(Item, Span)>,
    /// The argument being evaluated, which anonymous stages are named after.
    pub argument: Option<&'a str>,
    /// Every `argmax` and `argmin`, by the row that it stands in and its fingerprint.
    pub choices: IndexMap<(String, u128), Choice>,
    pub reach: Reach,
    pub seal: Seal,
    /// Role and name of the collection whose judgements an action imports.
    pub roles: HashMap<ActionId, (String, String, Span)>,
    /// Cells counted so far, and cells that reductions look at.
    pub cells: u64,
    pub reduced: u64,
}

impl<'a> Expander<'a> {
    /// The state before anything is evaluated.
    pub(super) fn new(
        study: &'a Study,
        registry: &'a Registry,
        world: &'a dyn World,
        overrides: &'a Overrides,
        sink: &'a mut Diagnostics,
    ) -> Self {
        Self {
            study,
            registry,
            world,
            outside: AppliedOverrides::new(overrides),
            memo: Memo::of(study),
            actions: Actions::default(),
            reporter: Reporter::new(study, sink),
            stack: Vec::new(),
            argument: None,
            choices: IndexMap::new(),
            reach: Reach::default(),
            seal: Seal::default(),
            roles: HashMap::new(),
            cells: 0,
            reduced: 0,
        }
    }

    /// Reports a diagnostic.
    pub(super) fn error(&mut self, d: Diagnostic) -> Stop {
        self.reporter.error(d)
    }

    /// Notes that what is being evaluated reads an item.
    pub(super) fn reads(&mut self, item: Item) {
        self.reach.reads(self.stack.last().map(|(reader, _)| *reader), item);
    }

    /// Runs `f` with an item on the stack; a second entry is a cycle.
    pub(super) fn enter<T>(
        &mut self,
        item: Item,
        span: Span,
        f: impl FnOnce(&mut Self) -> Eval<T>,
    ) -> Eval<T> {
        if let Some(first) = self.stack.iter().position(|(i, _)| *i == item) {
            let d = self.cycle(first, span);
            return Err(self.error(d));
        }
        if let Some(stop) = self.chain_too_long(item, span) {
            return Err(stop);
        }
        self.stack.push((item, span));
        let argument = self.argument.take();
        let result = f(self);
        self.argument = argument;
        self.stack.pop();
        result
    }

    /// The items on the stack from `first` on need each other.
    fn cycle(&self, first: usize, span: Span) -> Diagnostic {
        let names: Vec<String> = self.stack[first..].iter().map(|(i, _)| self.item_name(*i)).collect();
        let start = names.first().cloned().unwrap_or_default();
        let path = format!("{} -> {start}", names.join(" -> "));
        let message = format!("these need each other: {path}");
        let mut d = Diagnostic::error(Code::Cycle, message, span, format!("needs `{start}`"))
            .help("break the cycle: one of them must not use the next");
        for (i, at) in &self.stack[first + 1..] {
            d = d.related(*at, format!("needs `{}`", self.item_name(*i)));
        }
        d
    }

    /// Runs `f` inside an argument, or a let of a def, of this name.
    pub(super) fn within<T>(&mut self, name: &'a str, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.argument.replace(name);
        let result = f(self);
        self.argument = outer;
        result
    }

    pub(super) fn item_name(&self, item: Item) -> String {
        match item {
            Item::Axis(id) => self.study.axis(id).0.name.to_string(),
            Item::Let(id) => self.study.let_(id).name.name.to_string(),
            Item::Param(id) => match &self.study.item(self.study.params[id.0]).kind {
                ItemKind::Param { name, .. } => name.name.to_string(),
                _ => String::new(),
            },
            Item::Dataset(id) => self.dataset_name(id),
            Item::Stage(id) => self.study.stage_name(id),
            Item::Def(id) => self.study.def(id).name.name.to_string(),
        }
    }

    pub(super) fn axis_name(&self, axis: AxisId) -> Name {
        self.study.axis(axis).0.name.clone()
    }

    pub(super) fn axis_names(&self, axes: &[AxisId]) -> Vec<Name> {
        axes.iter().map(|a| self.axis_name(*a)).collect()
    }

    /// A label of an axis that was evaluated.
    pub(super) fn axis_label(&self, axis: AxisId, i: usize) -> Option<Name> {
        self.memo.entry(axis, i).map(|e| e.label.clone())
    }

    /// The labels of a point.
    pub(super) fn labels_at(&self, axes: &[AxisId], point: &[usize]) -> Vec<Name> {
        axes.iter().zip(point).filter_map(|(a, i)| self.axis_label(*a, *i)).collect()
    }

    /// The labels that some axes are bound to.
    pub(super) fn bound_labels(&self, axes: &[AxisId], env: &Env<'_>) -> Vec<Name> {
        axes.iter().filter_map(|a| self.axis_label(*a, env.at(*a)?)).collect()
    }

    /// The address of the cell that is being evaluated.
    pub(super) fn cell_address(&self, env: &Env<'_>) -> String {
        address(&env.row, &self.bound_labels(&env.row_axes, env))
    }

    /// Lists an action as a cell of an unnamed row.
    pub(super) fn list(&mut self, row: &str, axes: &[AxisId], env: &Env<'_>, action: ActionId) {
        let (names, labels) = (self.axis_names(axes), self.bound_labels(axes, env));
        self.actions.list(row, names, labels, action);
    }

    /// Remembers what is chosen, once for all points that choose the same: with the labels that these have in common.
    pub(super) fn choice(&mut self, value: &Value, fingerprint: u128, env: &Env<'_>) {
        let label = |(axis, i): &(AxisId, usize)| Some((self.axis_name(*axis), self.axis_label(*axis, *i)?));
        let here: Vec<(Name, Name)> = env.bound.iter().filter_map(label).collect();
        let key = (env.row.to_string(), fingerprint);
        match self.choices.get_mut(&key) {
            Some(known) => known.at.retain(|label| here.contains(label)),
            None => {
                let choice = Choice { name: key.0.clone(), at: here, value: value.clone() };
                self.choices.insert(key, choice);
            }
        }
    }
}
