//! Picking cells by labels: indexes, lists of labels, and membership.

use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use super::model::Cut;
use super::names::{all_names, follow};
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Arg, Expr, ExprKind, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::binary;
use xpipe_base::value::{BinaryOp, Name, Value};

impl<'a> Expander<'a> {
    /// `g[a = x, b in [x, y]]`.
    pub(super) fn index(
        &mut self,
        of: &'a Expr,
        args: &'a [Arg],
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        let mut inner = env.clone();
        for arg in args {
            match (&arg.name, &arg.value.kind) {
                (Some(axis), _) => {
                    let id = self.axis_named(axis, env.module)?;
                    let label = self.label_of(id, &arg.value, env.module)?;
                    inner = inner.bind(id, label);
                }
                (None, ExprKind::In { left, right }) => {
                    let id = self.need_axis(left, env.module)?;
                    let labels = self.labels_in(id, right, env.module)?;
                    match inner.at(id) {
                        Some(i) if labels.contains(&i) => {}
                        Some(_) => return Err(Stop::Cut(Cut::Where)),
                        None => return Err(self.free_axis(id, left.span, "this")),
                    }
                }
                (None, ExprKind::Error) => return Err(Stop::Reported),
                (None, _) => return Err(self.error(index_without_axis(arg.value.span))),
            }
        }
        match self.eval(of, want, &inner) {
            Err(Stop::Cut(Cut::Where)) if inner.bound != env.bound && !self.cut_by_only(&inner) => {
                Err(self.error(cell_cut_away(of.span)))
            }
            other => other,
        }
    }

    fn cut_by_only(&self, env: &Env<'a>) -> bool {
        env.bound.iter().any(|(axis, i)| self.memo.entry(*axis, *i).is_some_and(|e| !e.kept))
    }

    /// The place of the label an expression names, for a known axis.
    pub(super) fn label_of(&mut self, axis: AxisId, e: &'a Expr, module: ModuleId) -> Eval<usize> {
        match &e.kind {
            ExprKind::Path(path) => match path.as_slice() {
                [ident] => self.label_at(axis, &ident.name, ident.span),
                [first, second] if self.study.named(module, &first.name) == Some(Declaration::Axis(axis)) => {
                    self.label_at(axis, &second.name, second.span)
                }
                _ => Err(self.error(no_label(e.span))),
            },
            ExprKind::Error => Err(Stop::Reported),
            _ => {
                let env = Env::at_point(module, &[], &[]);
                let value = self.eval(e, None, &env)?;
                self.label_of_value(axis, &value, e.span)
            }
        }
    }

    /// The place of the label that a value names: one made of just this value, else one of its text.
    fn label_of_value(&mut self, axis: AxisId, value: &Value, span: Span) -> Eval<usize> {
        self.axis(axis, span);
        match self.value_place(axis, value) {
            Some(i) => {
                self.reads(Item::Axis(axis));
                Ok(i)
            }
            None => self.label_at(axis, &value.to_string(), span),
        }
    }

    /// The places of the labels of a list, or of a let that is a list of labels.
    pub(super) fn labels_in(&mut self, axis: AxisId, e: &'a Expr, module: ModuleId) -> Eval<Vec<usize>> {
        match &e.kind {
            ExprKind::List(items) => {
                let mut out = Vec::new();
                let mut stop = None;
                for item in items {
                    match self.label_of(axis, item, module) {
                        Ok(i) => out.push(i),
                        Err(s) => stop = Some(s),
                    }
                }
                stop.map_or(Ok(out), Err)
            }
            ExprKind::Path(path) => self.labels_named(axis, path, e.span, module),
            ExprKind::Error => Err(Stop::Reported),
            _ => Err(self.error(no_labels(e.span))),
        }
    }

    /// The labels of a let or param that is a list of them.
    fn labels_named(
        &mut self,
        axis: AxisId,
        path: &'a [Ident],
        span: Span,
        module: ModuleId,
    ) -> Eval<Vec<usize>> {
        let reached = match follow(self.study, module, path) {
            Ok(reached) => reached,
            Err(nowhere) => {
                let ident = &path[nowhere.at];
                if nowhere.module != module {
                    return Err(self.not_in_module(ident, nowhere.module));
                }
                let names = all_names(self.study, module);
                return Err(self.unknown_name(ident, module, names, "list of labels"));
            }
        };
        let (ident, whole) = (&path[reached.at], reached.at + 1 == path.len());
        match reached.named {
            Declaration::Let(id) if whole => {
                self.reads(Item::Let(id));
                let l = self.study.let_(id);
                let first = *self.memo.lists.entry(id).or_insert(axis);
                if first != axis && matches!(l.value.kind, ExprKind::List(_)) {
                    let (first, now) = (self.axis_name(first), self.axis_name(axis));
                    return Err(self.error(list_of_another_axis(ident, &first, &now)));
                }
                self.labels_in(axis, &l.value, self.study.lets[id.0].module)
            }
            Declaration::Param(id) if whole => {
                self.reads(Item::Param(id));
                match self.param(id, ident.span)? {
                    Value::List(items) => items.iter().map(|v| self.label_of_value(axis, v, span)).collect(),
                    _ => Err(self.error(no_labels(span))),
                }
            }
            Declaration::Broken => Err(Stop::Reported),
            _ => Err(self.error(no_labels(span))),
        }
    }

    /// `x in list`: labels when an axis is on the left, values otherwise.
    pub(super) fn membership(&mut self, left: &'a Expr, right: &'a Expr, env: &Env<'a>) -> Eval {
        if let Some(axis) = self.axis_of(left, env.module) {
            self.reads(Item::Axis(axis));
            let Some(at) = env.at(axis) else {
                return Err(self.free_axis(axis, left.span, "this"));
            };
            let labels = self.labels_in(axis, right, env.module)?;
            return Ok(Value::Bool(labels.contains(&at)));
        }
        let value = self.eval(left, None, env)?;
        match self.eval(right, None, env)? {
            Value::List(items) => {
                // As `value == a or value == b …`, so that numbers that are not known yet are waited for.
                let span = left.span.to(right.span);
                let mut found = Value::Bool(false);
                for item in items.iter() {
                    let equal = self.compared(BinaryOp::Eq, (&value, left), (item, right), span, env)?;
                    found = binary(BinaryOp::Or, &found, &equal).map_err(|_| Stop::Reported)?;
                }
                Ok(found)
            }
            other => {
                let found = self.type_of(&other);
                Err(self.mismatch("`in` looks in a list", right.span, &found))
            }
        }
    }
}

fn index_without_axis(span: Span) -> Diagnostic {
    Diagnostic::error(Code::NotAnAxis, "an index names its axis", span, "no axis named")
        .help("write `grid[axis = label]` or `grid[axis in [label, label]]`")
}

fn cell_cut_away(span: Span) -> Diagnostic {
    let message = "the cell picked here is cut away by a `where`";
    Diagnostic::error(Code::CutCell, message, span, "this cell does not exist")
        .help("pick another label, or widen the `where` of the stage")
}

fn no_label(span: Span) -> Diagnostic {
    Diagnostic::error(Code::UnknownLabel, "a label is one name", span, "not a label")
        .help("write the label as the axis declares it")
}

/// A list of labels belongs to the axis that it was first used with.
fn list_of_another_axis(list: &Ident, first: &Name, now: &Name) -> Diagnostic {
    let message = format!("`{}` is a list of labels of `{first}`, and is used with `{now}`", list.name);
    Diagnostic::error(Code::Mismatch, message, list.span, format!("used with `{now}`"))
        .help(format!("declare a second list for `{now}`"))
}

fn no_labels(span: Span) -> Diagnostic {
    Diagnostic::error(Code::Mismatch, "a list of labels is needed here", span, "not a list of labels")
        .help("write `[label, label]`, or name a `let` that is such a list")
}
