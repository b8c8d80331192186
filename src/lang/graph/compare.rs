//! Comparisons: only values of one kind are compared. Checked at the cell, and from the text where that is enough.

use super::call::Callee;
use super::conform::an;
use super::env::{Env, Eval};
use super::expander::Expander;
use super::names::meaning;
use super::special::form_type;
use super::static_types::literal;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Expr, ExprKind, Ident, ItemKind};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::compare::unlike;
use xpipe_base::value::pending::{binary, symbol};
use xpipe_base::value::text::quantity;
use xpipe_base::value::{BinaryOp, Name, UnaryOp, Value};

/// Whether an operator compares.
pub(super) fn compares(op: BinaryOp) -> bool {
    use BinaryOp as B;
    matches!(op, B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge)
}

/// Whether values of two types can never be equal.
fn apart(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Any, _) | (_, Type::Any) => false,
        (Type::Percent, Type::Budget) | (Type::Budget, Type::Percent) => true,
        (Type::List(a), Type::List(b)) => apart(a, b),
        _ => !a.fits(b) && !b.fits(a),
    }
}

/// The axis of a label that stands for itself, `k` of `k.a`.
fn label_axis(value: &Value) -> Option<&str> {
    let call = value.as_call().filter(|c| &*c.name == "label")?;
    call.args.get("axis")?.as_str()
}

impl<'a> Expander<'a> {
    /// Compares two values with what they are written as.
    pub(super) fn compared(
        &mut self,
        op: BinaryOp,
        (left, left_expr): (&Value, &'a Expr),
        (right, right_expr): (&Value, &'a Expr),
        span: Span,
        env: &Env<'a>,
    ) -> Eval {
        if let Some((a, b)) = self.different(left, right) {
            let help = self
                .label_meant(left_expr, right, env.module)
                .or_else(|| self.label_meant(right_expr, left, env.module))
                .unwrap_or_else(|| comparing_help(left, right));
            return Err(self.error(never_equal(op, &a, &b, span, help)));
        }
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            self.text_of_no_value(left_expr, right_expr, right, env.module)?;
            self.text_of_no_value(right_expr, left_expr, left, env.module)?;
        } else {
            // Only numbers and amounts have an order; of a value that is not known yet, the type is.
            for (v, e) in [(left, left_expr), (right, right_expr)] {
                let t = self.type_of(v);
                let ordered = t.fits(&Type::Float)
                    || matches!(t, Type::Bytes | Type::Duration | Type::Percent | Type::Any);
                if !ordered {
                    return Err(self.error(not_ordered(op, &t, e.span)));
                }
            }
        }
        binary(op, left, right).map_err(|why| self.misfit(why, span, &[left, right]))
    }

    /// What two values are, when they can never be equal.
    fn different(&self, left: &Value, right: &Value) -> Option<(String, String)> {
        let types = |a: &Value, b: &Value| {
            let (a, b) = (self.type_of(a), self.type_of(b));
            (an(&a), an(&b))
        };
        match (label_axis(left), label_axis(right)) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(a), Some(b)) => return Some((format!("a label of `{a}`"), format!("a label of `{b}`"))),
            (Some(a), None) => return Some((format!("a label of `{a}`"), an(&self.type_of(right)))),
            (None, Some(b)) => return Some((an(&self.type_of(left)), format!("a label of `{b}`"))),
            (None, None) => {}
        }
        if let Some((a, b)) = unlike(left, right) {
            return Some(types(a, b));
        }
        apart(&self.type_of(left), &self.type_of(right)).then(|| types(left, right))
    }

    /// What to write when an axis is compared with the text of one of its labels.
    fn label_meant(&mut self, axis: &'a Expr, text: &Value, module: ModuleId) -> Option<String> {
        let text = text.as_str()?;
        let id = self.axis_of(axis, module)?;
        let name = self.axis_name(id);
        let known = self.axis(id, axis.span).entries.iter().any(|e| &*e.label == text);
        known.then(|| format!("labels are names: write `{name} == {name}.{text}` or `{name} in [{text}]`"))
    }

    /// A text in quotes that is a label of the axis beside it, and no value of it.
    fn text_of_no_value(
        &mut self,
        axis: &'a Expr,
        written: &'a Expr,
        text: &Value,
        module: ModuleId,
    ) -> Eval<()> {
        if !matches!(written.kind, ExprKind::Str(_) | ExprKind::Raw(_)) {
            return Ok(());
        }
        let Some(help) = self.label_meant(axis, text, module) else { return Ok(()) };
        let Some(id) = self.axis_of(axis, module) else { return Ok(()) };
        let is_value = self.axis(id, axis.span).entries.iter().any(|e| e.value.as_ref() == Ok(text));
        if is_value {
            return Ok(());
        }
        let name = self.axis_name(id);
        Err(self.error(no_value_of_axis(text, &name, written.span, help)))
    }

    /// Reports a comparison that the text alone shows to be of different kinds.
    pub(super) fn static_comparison(
        &mut self,
        op: BinaryOp,
        (left, right): (&'a Expr, &'a Expr),
        span: Span,
        scope: &[&'a str],
        module: ModuleId,
    ) {
        if !compares(op) {
            return;
        }
        let (Some(a), Some(b)) = (self.text_type(left, scope, module), self.text_type(right, scope, module))
        else {
            return;
        };
        if apart(&a, &b) {
            let value = |e: &Expr| literal(e).unwrap_or_default();
            let (l, r) = (value(left), value(right));
            let help = self
                .label_meant(left, &r, module)
                .or_else(|| self.label_meant(right, &l, module))
                .unwrap_or_else(|| comparing_help(&l, &r));
            self.error(never_equal(op, &an(&a), &an(&b), span, help));
        }
    }

    /// The type of an expression, as far as its text tells.
    fn text_type(&mut self, e: &'a Expr, scope: &[&'a str], module: ModuleId) -> Option<Type> {
        match &e.kind {
            ExprKind::Bool(_) => Some(Type::Bool),
            ExprKind::Int(_) => Some(Type::Int),
            ExprKind::Float(_) => Some(Type::Float),
            ExprKind::Str(_) | ExprKind::Raw(_) => Some(Type::String),
            ExprKind::Quantity { value, unit } => Some(self.type_of(&quantity(*value, unit).ok()?)),
            ExprKind::Unary { op: UnaryOp::Not, .. } => Some(Type::Bool),
            ExprKind::Unary { of, .. } => self.text_type(of, scope, module),
            ExprKind::Binary { op, .. } if compares(*op) => Some(Type::Bool),
            ExprKind::In { .. } => Some(Type::Bool),
            ExprKind::List(items) => {
                let inner = items.first().and_then(|i| self.text_type(i, scope, module));
                Some(Type::List(Box::new(inner.unwrap_or(Type::Any))))
            }
            ExprKind::Call { path, .. } => match self.callee(path, module).ok()? {
                Callee::Op(op) if op.gives.is_none() => Some(op.returns.clone()),
                Callee::Special(name) => Some(form_type(name)),
                Callee::Op(_) | Callee::Def(_) => None,
            },
            ExprKind::Path(path) if !scope.contains(&&*path[0].name) => self.path_type(path, module),
            _ => None,
        }
    }

    fn path_type(&mut self, path: &'a [Ident], module: ModuleId) -> Option<Type> {
        let study = self.study;
        match meaning(study, module, path)? {
            Declaration::Param(id) => match &study.item(study.params[id.0]).kind {
                ItemKind::Param { ty, .. } => Some(self.type_expr(ty)),
                _ => None,
            },
            Declaration::Dataset(id) => match &study.item(study.datasets[id.0]).kind {
                ItemKind::Dataset { ty, .. } => Some(self.type_expr(ty)),
                _ => None,
            },
            Declaration::Let(id) => study.let_(id).ty.as_ref().map(|t| self.type_expr(t)),
            Declaration::Axis(id) => self.axis_type(id, path.last()?.span),
            _ => None,
        }
    }

    /// The type that all values of an axis have.
    fn axis_type(&mut self, id: AxisId, span: Span) -> Option<Type> {
        let values: Vec<Value> =
            self.axis(id, span).entries.iter().map(|e| e.value.clone()).collect::<Eval<_>>().ok()?;
        let mut types = values.iter().map(|v| self.type_of(v));
        let first = types.next()?;
        types.all(|t| t == first).then_some(first)
    }
}

fn never_equal(op: BinaryOp, left: &str, right: &str, span: Span, help: String) -> Diagnostic {
    let message = format!("`{}` compares {left} with {right}", symbol(op));
    Diagnostic::error(Code::Mismatch, message, span, "values of different kinds are never equal").help(help)
}

fn not_ordered(op: BinaryOp, found: &Type, span: Span) -> Diagnostic {
    let message = format!("`{}` does not take {}", symbol(op), an(found));
    Diagnostic::error(Code::Mismatch, message, span, format!("this is {}", an(found)))
        .help("compare numbers, or amounts of one unit")
}

fn no_value_of_axis(text: &Value, axis: &Name, span: Span, help: String) -> Diagnostic {
    let message = format!("`{text}` is a label of `{axis}`, and none of its values");
    Diagnostic::error(Code::Mismatch, message, span, "no value of the axis is this text").help(help)
}

/// What to write instead of a comparison of two values of different kinds.
fn comparing_help(left: &Value, right: &Value) -> String {
    let is_number = |v: &Value| v.as_f64().is_some();
    for (text, other) in [(left, right), (right, left)] {
        if let (Some(text), true) = (text.as_str(), is_number(other)) {
            return if text.trim().parse::<f64>().is_ok() {
                format!("write the number without quotes: `{text}`")
            } else {
                "compare numbers with numbers, and texts with texts".to_owned()
            };
        }
        if let (Some(axis), Some(label)) =
            (label_axis(text), text.as_call().and_then(|c| c.args.get("label")).and_then(Value::as_str))
        {
            return format!("`{axis}.{label}` is a label: write `{axis} == {axis}.{label}`");
        }
        let unit = match text {
            Value::Bytes(_) => "GiB",
            Value::Seconds(_) => "h",
            Value::Percent(_) => "%",
            _ => continue,
        };
        if is_number(other) {
            return format!("give the number its unit: `{other}{unit}`");
        }
    }
    let collection = |v: &Value| v.as_record().is_some_and(|r| r.get("qrels").is_some());
    if collection(left) || collection(right) {
        return "a collection is compared by its name: `eval.name == \"dl19\"`, or by label: `eval in [dl19]`"
            .to_owned();
    }
    "compare values of one kind".to_owned()
}
