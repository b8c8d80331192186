//! Where an expression is evaluated, and how an evaluation ends.

use std::rc::Rc;

use super::model::Cut;
use crate::resolve::{AxisId, DatasetId, DefId, LetId, ModuleId, ParamId, StageId};
use crate::syntax::ast;
use xpipe_base::diag::Span;
use xpipe_base::task::Policy;
use xpipe_base::value::{Name, Value};

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something is wrong and was reported.
    Reported,
    /// There is no such cell.
    Cut(Cut),
}

/// What an evaluation gives.
pub(super) type Eval<T = Value> = Result<T, Stop>;

/// A name of a `def`: an argument, or a stage or let inside it.
#[derive(Clone, Debug)]
pub(super) enum Local<'a> {
    Value(Value),
    /// A stage, with the row and the policy of the stage that calls the def.
    Stage(&'a ast::Stage, Rc<(Rc<str>, Policy)>),
    Let(&'a ast::Let),
}

/// Where an expression is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Env<'a> {
    pub module: ModuleId,
    /// Axes bound, with the index of the label.
    pub bound: Vec<(AxisId, usize)>,
    pub locals: Rc<Vec<(Name, Local<'a>)>>,
    /// The row that anonymous stages and stages of defs are listed under.
    pub row: Rc<str>,
    /// The axes of that row that count for its cells.
    pub row_axes: Rc<[AxisId]>,
    /// The policy of the enclosing stage.
    pub policy: Policy,
    /// The call of the study itself that led here, inside a def.
    pub caller: Option<Span>,
}

impl<'a> Env<'a> {
    /// A module at a point of some axes, outside of any stage.
    pub(super) fn at_point(module: ModuleId, axes: &[AxisId], point: &[usize]) -> Self {
        Self {
            module,
            bound: axes.iter().copied().zip(point.iter().copied()).collect(),
            locals: Rc::new(Vec::new()),
            row: Rc::from(""),
            row_axes: Rc::from(axes),
            policy: Policy::default(),
            caller: None,
        }
    }

    /// The index of the label that an axis is bound to.
    pub(super) fn at(&self, axis: AxisId) -> Option<usize> {
        self.bound.iter().rev().find(|(a, _)| *a == axis).map(|(_, i)| *i)
    }

    /// The same with an axis bound to a label.
    pub(super) fn bind(&self, axis: AxisId, label: usize) -> Self {
        let mut env = self.clone();
        env.bound.retain(|(a, _)| *a != axis);
        env.bound.push((axis, label));
        env
    }

    /// What an item of a def sees: the names before its own.
    pub(super) fn before(&self, name: &str) -> Self {
        let visible = self.locals.iter().position(|(n, _)| **n == *name).unwrap_or(self.locals.len());
        Self { locals: Rc::new(self.locals[..visible].to_vec()), ..self.clone() }
    }
}

/// An item being evaluated, for cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Axis(AxisId),
    Let(LetId),
    Param(ParamId),
    Dataset(DatasetId),
    Stage(StageId),
    Def(DefId),
}
