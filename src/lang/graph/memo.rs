//! What is evaluated once: axes, params, lets, data sets, cells of stages and their arguments.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::IndexMap;

use super::env::Eval;
use crate::resolve::{AxisId, LetId, Study};
use crate::syntax::ast;
use xpipe_base::diag::Span;
use xpipe_base::task::Policy;
use xpipe_base::value::{Name, Value};

/// A value with its fingerprint, by which equal recipes are found.
pub(super) type Printed = (Value, u128);

/// One label of an axis.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub label: Name,
    /// The value that the label is made of, as it was written; `None` for a label that is given.
    pub listed: Option<Value>,
    pub value: Eval,
    pub span: Span,
    /// Whether `only` keeps it.
    pub kept: bool,
}

/// An axis, evaluated.
#[derive(Clone, Debug, Default)]
pub(super) struct AxisState {
    pub entries: Vec<Entry>,
    /// Something in it is wrong and was reported; unknown labels stay silent.
    pub broken: bool,
}

/// The values of one argument, by the labels of the axes that it depends on.
#[derive(Debug, Default)]
pub(super) struct ArgMemo {
    pub axes: Vec<AxisId>,
    pub known: HashMap<u64, Eval<Printed>>,
}

/// Names and defaults of an operation's arguments, in the order of the signature.
#[derive(Debug)]
pub(super) struct Signature {
    pub names: Vec<Name>,
    pub defaults: Vec<Option<Printed>>,
}

/// A stage of a module.
#[derive(Debug, Default)]
pub(super) struct StageState {
    pub cells: HashMap<u64, Eval>,
    pub memos: Vec<ArgMemo>,
    /// The `with` block, when no axis changes it.
    pub policy: Option<Eval<Policy>>,
    /// Whether `memos` holds an entry for each argument.
    pub ready: bool,
}

/// A table read from a CSV file: values by key labels.
#[derive(Clone, Debug)]
pub(super) struct CsvTable {
    pub keys: Vec<AxisId>,
    pub columns: Vec<Name>,
    pub rows: IndexMap<Vec<Name>, Vec<Option<f64>>>,
}

/// Everything that is evaluated once, by the number that `resolve` gave it.
#[derive(Debug, Default)]
pub(super) struct Memo {
    pub axes: Vec<Option<AxisState>>,
    pub params: Vec<Option<Eval>>,
    pub lets: HashMap<(LetId, u64), Eval>,
    pub datasets: Vec<Option<Eval>>,
    pub stages: Vec<StageState>,
    /// Axes of the sweeps seen so far.
    pub sweeps: HashMap<*const ast::ForClause, Option<Rc<[AxisId]>>>,
    /// The axis that each list of labels was first used with.
    pub lists: HashMap<LetId, AxisId>,
    /// Indices of labels that are spelled otherwise than their axis has them.
    pub label_spellings: HashMap<(AxisId, Name), Option<usize>>,
    /// What is the same for every call of an operation.
    pub signatures: HashMap<&'static str, Rc<Signature>>,
    pub csv: Vec<CsvTable>,
    /// The table of each `csv(…)`, by its place.
    pub csv_known: HashMap<Span, usize>,
}

impl Memo {
    /// Room for everything that a study declares.
    pub(super) fn of(study: &Study) -> Self {
        Self {
            axes: vec![None; study.axes.len()],
            params: vec![None; study.params.len()],
            datasets: vec![None; study.datasets.len()],
            stages: study.stages.iter().map(|_| StageState::default()).collect(),
            ..Self::default()
        }
    }

    /// A label of an axis that was evaluated.
    pub(super) fn entry(&self, axis: AxisId, i: usize) -> Option<&Entry> {
        self.axes[axis.0].as_ref()?.entries.get(i)
    }

    /// A number for a point of some axes; equal only for equal points.
    pub(super) fn point_key(&self, axes: &[AxisId], point: &[usize]) -> u64 {
        axes.iter().zip(point).fold(0u64, |key, (a, i)| {
            let n = self.axes[a.0].as_ref().map_or(1, |s| s.entries.len().max(1)) as u64;
            key * n + *i as u64
        })
    }
}
