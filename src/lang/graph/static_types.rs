//! Type checks without evaluation: of literals and calls against the type of the argument, also in branches that no cell
//! reaches. Types that depend on a cell are left to the evaluation.

use super::call::Callee;
use super::conform::an;
use super::expander::Expander;
use crate::resolve::ModuleId;
use crate::syntax::ast::{Expr, ExprKind, StrPart};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic};
use xpipe_base::value::Value;
use xpipe_base::value::text::quantity;

impl<'a> Expander<'a> {
    /// Checks an expression against the expected type.
    pub(super) fn static_type(&mut self, e: &'a Expr, want: &Type, what: &str, module: ModuleId) {
        match &e.kind {
            ExprKind::Match { arms, .. } => {
                for arm in arms {
                    self.static_type(&arm.value, want, what, module);
                }
            }
            ExprKind::If { then, other, .. } => {
                self.static_type(then, want, what, module);
                self.static_type(other, want, what, module);
            }
            ExprKind::List(items) => {
                if let Some(inner) = item_of(want) {
                    for item in items {
                        self.static_type(item, inner, what, module);
                    }
                }
            }
            ExprKind::Call { path, .. } => {
                let found = match self.callee(path, module) {
                    Ok(Callee::Op(op)) => op.returns.clone(),
                    Ok(Callee::Special(name)) => super::special::form_type(name),
                    Ok(Callee::Def(_)) | Err(_) => return,
                };
                // The type of an external program's result depends on its arguments.
                if !found.fits(want) && found != Type::Any {
                    self.reporter.wrong_in_text(e.span);
                    let help = super::domain::conversion_help(&Value::Null, &found, want);
                    self.error(
                        Diagnostic::error(
                            Code::Mismatch,
                            format!("{what} must be {}", an(want)),
                            e.span,
                            format!("this is {}", an(&found)),
                        )
                        .maybe_help(help),
                    );
                }
            }
            _ => {
                if let Some(value) = literal(e)
                    && self.conform(value, want, e.span, what).is_err()
                {
                    self.reporter.wrong_in_text(e.span);
                }
            }
        }
    }
}

/// The value of a literal.
pub(super) fn literal(e: &Expr) -> Option<Value> {
    Some(match &e.kind {
        ExprKind::Bool(b) => Value::Bool(*b),
        ExprKind::Int(i) => Value::Int(*i),
        ExprKind::Float(x) => Value::Float(*x),
        ExprKind::Quantity { value, unit } => quantity(*value, unit).ok()?,
        ExprKind::Raw(text) => Value::Str(text.clone()),
        ExprKind::Str(parts) => match parts.as_slice() {
            [StrPart::Text(text)] => Value::Str(text.clone()),
            _ => return None,
        },
        _ => return None,
    })
}

/// The element type, if a list is expected.
pub(super) fn item_of(want: &Type) -> Option<&Type> {
    match want {
        Type::List(inner) => Some(inner),
        Type::Either(any) => any.iter().find_map(item_of),
        _ => None,
    }
}
