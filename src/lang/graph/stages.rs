//! Cells of stages: what the call of a stage gives at a point.

use super::call::Callee;
use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use super::memo::ArgMemo;
use super::model::{Cell, Cut};
use super::no_cells::CellCount;
use crate::resolve::{AxisId, StageId};
use crate::syntax::ast::{self, ExprKind};
use crate::types::Kind;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::Value;

impl<'a> Expander<'a> {
    /// Evaluates every cell of a stage, in axis order.
    pub(super) fn all_cells(&mut self, id: StageId, span: Span) {
        let module = self.study.stages[id.0].module;
        let stage = self.study.stage(id);
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), module) else { return };
        if !self.countable("stage", &stage.name, &axes) {
            return;
        }
        // The row of a stage stands before the rows of what is inside it.
        let name = self.study.stage_name(id);
        let axis_names = self.axis_names(&axes);
        self.actions.declare_row(&name, axis_names, true);
        let mut cells = Vec::new();
        let mut count = CellCount::default();
        self.each_point(&axes, &mut |e, point| {
            let cell = e.stage_cell(id, &Env::at_point(module, &axes, point), span);
            count.add(&cell);
            if let Ok(Value::Artifact(action)) = cell {
                cells.push(Cell { labels: e.labels_at(&axes, point), action });
            }
        });
        self.nothing_left(&count, "stage", &stage.name);
        self.actions.set_cells(&name, cells);
    }

    /// The result of a stage at the axes bound here.
    pub(super) fn stage_cell(&mut self, id: StageId, env: &Env<'a>, span: Span) -> Eval {
        let stage = self.study.stage(id);
        let module = self.study.stages[id.0].module;
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), module) else { return Err(Stop::Reported) };
        let point = self.point_of(&axes, env, span, &stage.name.name)?;
        let key = self.memo.point_key(&axes, &point);
        if let Some(v) = self.memo.stages[id.0].cells.get(&key) {
            return v.clone();
        }
        for (axis, i) in axes.iter().zip(&point) {
            if !self.axis(*axis, span).entries.get(*i).is_some_and(|e| e.kept) {
                return Err(Stop::Cut(Cut::Only));
            }
        }
        let name = self.study.stage_name(id);
        let mut inner = Env::at_point(module, &axes, &point);
        inner.row = name.as_str().into();
        let value = self.enter(Item::Stage(id), span, |e| {
            e.kept_by_where(stage.sweep.as_ref(), &inner)?;
            e.stage_body(id, stage, &inner)
        });
        self.memo.stages[id.0].cells.insert(key, value.clone());
        value
    }

    /// The result of a stage's call at a point.
    fn stage_body(&mut self, id: StageId, stage: &'a ast::Stage, env: &Env<'a>) -> Eval {
        let ExprKind::Call { path, args, .. } = &stage.call.kind else {
            return self.not_a_call(stage);
        };
        match self.callee(path, env.module)? {
            Callee::Op(op) if op.kind == Kind::Stage => {
                if !self.memo.stages[id.0].ready {
                    let memos = args
                        .iter()
                        .map(|a| ArgMemo { axes: self.axes_of(&a.value, env), known: Default::default() })
                        .collect();
                    self.memo.stages[id.0].memos = memos;
                    self.memo.stages[id.0].ready = true;
                }
                let mut env = env.clone();
                env.policy = self.stage_policy(id, stage, Some(op), &env)?;
                self.op_stage(op, args, stage.call.span, path, &env, Some(id)).map(Value::Artifact)
            }
            Callee::Def(d) => {
                let mut env = env.clone();
                env.policy = self.stage_policy(id, stage, None, &env)?;
                self.def_call(d, args, stage.call.span, &env)
            }
            Callee::Op(_) | Callee::Special(_) => self.not_a_call(stage),
        }
    }

    /// A stage inside a def, at the axes bound here.
    pub(super) fn inner_stage(&mut self, stage: &'a ast::Stage, env: &Env<'a>, span: Span) -> Eval {
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), env.module) else {
            return Err(Stop::Reported);
        };
        self.point_of(&axes, env, span, &stage.name.name)?;
        let ExprKind::Call { path, args, .. } = &stage.call.kind else { return self.not_a_call(stage) };
        self.kept_by_where(stage.sweep.as_ref(), env)?;
        let mut inner = env.before(&stage.name.name);
        let row = format!("{}.{}", env.row, stage.name.name);
        match self.callee(path, env.module)? {
            Callee::Op(op) if op.kind == Kind::Stage => {
                let own = self.policy(&stage.policy, Some(op), &inner)?;
                inner.policy = own.within(&env.policy);
                inner.row = row.as_str().into();
                let action = self.op_stage(op, args, stage.call.span, path, &inner, None)?;
                let mut listed: Vec<AxisId> = env.row_axes.to_vec();
                listed.extend(axes.iter().filter(|a| !env.row_axes.contains(a)));
                self.list(&row, &listed, env, action);
                Ok(Value::Artifact(action))
            }
            Callee::Def(d) => {
                let own = self.policy(&stage.policy, None, &inner)?;
                inner.policy = own.within(&env.policy);
                inner.row = row.as_str().into();
                self.def_call(d, args, stage.call.span, &inner)
            }
            Callee::Op(_) | Callee::Special(_) => self.not_a_call(stage),
        }
    }

    /// Reports a stage that calls no operation.
    fn not_a_call(&mut self, stage: &'a ast::Stage) -> Eval {
        if matches!(stage.call.kind, ExprKind::Error) {
            return Err(Stop::Reported);
        }
        Err(self.error(not_an_operation(stage)))
    }
}

fn not_an_operation(stage: &ast::Stage) -> Diagnostic {
    let (label, help) = if matches!(stage.call.kind, ExprKind::If { .. } | ExprKind::Match { .. }) {
        (
            "an operation may not be chosen",
            "choose arguments by `if` or `match`, or write two stages with `where`",
        )
    } else {
        ("not an operation", "a stage calls an operation or a def, for instance `evaluate { … }`")
    };
    let message = format!("stage `{}` must call one operation", stage.name.name);
    Diagnostic::error(Code::NotAnOperation, message, stage.call.span, label).help(help)
}
