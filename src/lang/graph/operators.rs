//! Binary operators, on values and on what is known only after a stage has run.

use super::compare::compares;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::names::meaning;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Expr, ExprKind};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::{binary, symbol};
use xpipe_base::value::{BinaryOp, Unresolved, Value};

impl<'a> Expander<'a> {
    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        left: &'a Expr,
        right: &'a Expr,
        span: Span,
        env: &Env<'a>,
    ) -> Eval {
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne)
            && let Some(equal) = self.same_label(left, right, env)?
        {
            return Ok(Value::Bool(equal == (op == BinaryOp::Eq)));
        }
        let l = self.eval(left, None, env);
        if let (BinaryOp::And, Ok(Value::Bool(false))) | (BinaryOp::Or, Ok(Value::Bool(true))) = (op, &l) {
            return l;
        }
        let r = self.eval(right, None, env);
        let (l, r) = (l?, r?);
        if compares(op) {
            return self.compared(op, (&l, left), (&r, right), span, env);
        }
        if matches!(l, Value::Pending(_)) || matches!(r, Value::Pending(_)) {
            // The types of operands that are not known yet are: numbers under arithmetic.
            for (v, e) in [(&l, left), (&r, right)] {
                let found = self.type_of(v);
                if !takes(op, &found) {
                    return Err(self.error(wrong_operand(op, &found, e.span)));
                }
            }
        }
        binary(op, &l, &r).map_err(|why| self.misfit(why, span, &[&l, &r]))
    }

    /// `backbone == backbone.bert_base`: compares labels when one side names a label of an axis.
    fn same_label(&mut self, left: &'a Expr, right: &'a Expr, env: &Env<'a>) -> Eval<Option<bool>> {
        for (a, b) in [(left, right), (right, left)] {
            let (Some(axis), ExprKind::Path(p)) = (self.plain_axis(a, env.module), &b.kind) else { continue };
            let [first, label] = p.as_slice() else { continue };
            if self.study.named(env.module, &first.name) != Some(Declaration::Axis(axis)) {
                continue;
            }
            let wanted = self.label_at(axis, &label.name, label.span)?;
            return match env.at(axis) {
                Some(at) => Ok(Some(at == wanted)),
                None => Err(self.free_axis(axis, a.span, "this comparison")),
            };
        }
        Ok(None)
    }

    /// The axis that an expression of one name is.
    fn plain_axis(&self, e: &Expr, module: ModuleId) -> Option<AxisId> {
        let ExprKind::Path(path) = &e.kind else { return None };
        match meaning(self.study, module, path) {
            Some(Declaration::Axis(axis)) if path.len() == 1 => Some(axis),
            _ => None,
        }
    }

    /// Reports operands that do not fit an operator.
    pub(super) fn misfit(&mut self, why: Unresolved, span: Span, operands: &[&Value]) -> Stop {
        let types: Vec<String> = operands.iter().map(|v| self.type_of(v).to_string()).collect();
        self.error(misfit(why, &types.join(" and "), span))
    }
}

/// Whether an operator other than a comparison takes a value of a type.
fn takes(op: BinaryOp, ty: &Type) -> bool {
    match op {
        BinaryOp::Or | BinaryOp::And => ty.fits(&Type::Bool),
        _ => ty.fits(&Type::Float) || *ty == Type::Int,
    }
}

fn wrong_operand(op: BinaryOp, found: &Type, span: Span) -> Diagnostic {
    let message = format!("`{}` does not take a {found}", symbol(op));
    Diagnostic::error(Code::Mismatch, message, span, format!("this is a {found}"))
        .help("compare numbers with numbers")
}

fn misfit(why: Unresolved, types: &str, span: Span) -> Diagnostic {
    let (message, help) = match why {
        Unresolved::NotANumber => (
            "the result is not a number that can be stored".to_owned(),
            "look for a division by zero or an overflow",
        ),
        Unresolved::Mismatch(op) if op.starts_with('+') && op.len() > 1 => {
            ("both records have this field".to_owned(), "`+` joins records whose fields differ")
        }
        Unresolved::Mismatch(op) => (
            format!("`{op}` does not fit {types}"),
            "both sides must be numbers, or of one kind for `==` and `+`",
        ),
        Unresolved::Missing(_) | Unresolved::Empty => (why.to_string(), "run what it needs first"),
    };
    Diagnostic::error(Code::Mismatch, message, span, types).help(help)
}
