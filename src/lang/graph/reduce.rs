//! Reductions over axes: `mean(…, over = axis)`, `argmax(…, over = [axis, …])`.

use std::sync::Arc;

use super::actions::fingerprint;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::model::Cut;
use super::points::each_index;
use crate::resolve::{AxisId, ModuleId};
use crate::syntax::ast::{Arg, Expr, ExprKind};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::PendingCell;
use xpipe_base::value::{Name, Pending, Record, Reduction, Value};

impl<'a> Expander<'a> {
    /// The axes and labels of `over = [a, b in [x, y]]`.
    pub(super) fn over(&mut self, e: &'a Expr, env: &Env<'a>) -> Eval<Vec<(AxisId, Vec<usize>)>> {
        let items: Vec<&'a Expr> = match &e.kind {
            ExprKind::List(items) => items.iter().collect(),
            _ => vec![e],
        };
        let mut out = Vec::new();
        for item in items {
            match &item.kind {
                ExprKind::In { left, right } => {
                    let axis = self.need_axis(left, env.module)?;
                    let labels = self.labels_in(axis, right, env.module)?;
                    let kept = self.kept_labels(axis);
                    out.push((axis, labels.into_iter().filter(|l| kept.contains(l)).collect()));
                }
                _ => {
                    let axis = self.need_axis(item, env.module)?;
                    out.push((axis, self.kept_labels(axis)));
                }
            }
        }
        Ok(out)
    }

    /// The axis that an expression names, or a diagnostic.
    pub(super) fn need_axis(&mut self, e: &'a Expr, module: ModuleId) -> Eval<AxisId> {
        if let Some(a) = self.axis_of(e, module) {
            return Ok(a);
        }
        if let ExprKind::Path(path) = &e.kind
            && let [ident] = path.as_slice()
        {
            return self.axis_named(ident, module);
        }
        if matches!(e.kind, ExprKind::Error) {
            return Err(Stop::Reported);
        }
        Err(self.error(axis_needed(e.span)))
    }

    /// A reduction; without `how` the choice of the best point, `argmax` or `argmin` by `name`.
    pub(super) fn reduce(
        &mut self,
        how: Option<Reduction>,
        name: &'static str,
        args: &'a [Arg],
        span: Span,
        env: &Env<'a>,
    ) -> Eval {
        let [body, over] = self.take(name, args, span)?;
        let over = self.over(over, env)?;
        let sizes: Vec<usize> = over.iter().map(|(_, labels)| labels.len()).collect();
        if sizes.contains(&0) {
            return Err(Stop::Cut(Cut::Only));
        }
        self.reducible(sizes.iter().fold(1u64, |n, size| n.saturating_mul(*size as u64)), span)?;
        let wanted = if how == Some(Reduction::All) { Type::Bool } else { Type::Float };
        let (mut cells, mut cut, mut stop) = (Vec::new(), None, None);
        each_index(&sizes, &mut |at| {
            if stop.is_some() {
                return;
            }
            let point = over.iter().zip(at).map(|((axis, labels), i)| (*axis, labels[*i]));
            let here = match self.reduced_point(point, span, env) {
                Ok(here) => here,
                Err(s) => return stop = Some(s),
            };
            match self.reduced_cell(body, &wanted, here) {
                Ok(cell) => cells.push(cell),
                Err(Stop::Cut(why)) => cut = cut.or(Some(why)),
                Err(Stop::Reported) => stop = Some(Stop::Reported),
            }
        });
        if let Some(stop) = stop {
            return Err(stop);
        }
        if cells.is_empty() {
            return Err(Stop::Cut(cut.unwrap_or(Cut::Where)));
        }
        if let Some(how) = how {
            return Ok(Value::Pending(Arc::new(Pending::Reduce { how, cells })));
        }
        self.seal.chooses(&cells, span);
        let value = Value::Pending(Arc::new(Pending::Arg { largest: name == "argmax", cells }));
        self.choice(&value, fingerprint(&value), env);
        Ok(value)
    }

    /// A point of the axes that are reduced: labels and values, and where the expression is evaluated.
    fn reduced_point(
        &mut self,
        at: impl Iterator<Item = (AxisId, usize)>,
        span: Span,
        env: &Env<'a>,
    ) -> Eval<ReducedPoint<'a>> {
        let mut here = ReducedPoint { env: env.clone(), labels: Vec::new(), values: Vec::new() };
        for (axis, i) in at {
            here.env = here.env.bind(axis, i);
            let name = self.axis_name(axis);
            here.labels.extend(self.axis_label(axis, i).map(|label| (name.clone(), label)));
            here.values.push((name, self.entry_value(axis, i, span)?));
        }
        Ok(here)
    }

    /// The expression that is reduced, at one point.
    fn reduced_cell(&mut self, body: &'a Expr, wanted: &Type, here: ReducedPoint<'a>) -> Eval<PendingCell> {
        let value = self.eval(body, None, &here.env)?;
        let value = self.conform(value, wanted, body.span, "what is reduced")?;
        Ok(PendingCell { labels: here.labels, point: Record::new(here.values), value })
    }
}

struct ReducedPoint<'a> {
    env: Env<'a>,
    labels: Vec<(Name, Name)>,
    values: Vec<(Name, Value)>,
}

fn axis_needed(span: Span) -> Diagnostic {
    Diagnostic::error(Code::NotAnAxis, "an axis is needed here", span, "not the name of an axis")
        .help("write `over = axis`, or `over = [axis, other in [label, label]]`")
}
