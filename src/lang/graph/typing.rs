//! Types of values at a cell, and whether a value fits where it stands.

use super::conform::{an, conform, type_of};
use super::domain::conversion_help;
use super::domain::result_type;
use super::env::{Eval, Stop};
use super::expander::Expander;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Input, Value};

/// Longest text of a value that a message quotes, in bytes.
const QUOTED: usize = 40;

impl Expander<'_> {
    pub(super) fn type_of(&self, value: &Value) -> Type {
        type_of(value, &|v| self.made_type(v))
    }

    /// The type of a call, artifact or input.
    pub(super) fn made_type(&self, value: &Value) -> Type {
        match value {
            Value::Artifact(id) => result_type(self.registry, self.actions.get(*id)),
            Value::Call(c) => match &*c.name {
                "label" | "csv" => Type::Any,
                name => self.registry.get(name).map_or(Type::Any, |op| op.returns.clone()),
            },
            Value::Input(i) => match &**i {
                Input::Model { .. } => Type::Backbone,
                Input::File(_) | Input::Remote { .. } => Type::Path,
            },
            _ => Type::Any,
        }
    }

    /// The value converted to a type; `what` names it in the diagnostic.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over what they have just evaluated")]
    pub(super) fn conform(&mut self, value: Value, wanted: &Type, span: Span, what: &str) -> Eval {
        let result = conform(value.clone(), wanted, &|v| self.made_type(v));
        result.map_err(|found| {
            if self.reporter.is_wrong_in_text(span) {
                return Stop::Reported;
            }
            self.error(wrong_type(&value, &found, wanted, span, what))
        })
    }

    /// Reports a value of a type that a form does not take.
    pub(super) fn mismatch(&mut self, message: &str, span: Span, found: &Type) -> Stop {
        let d = Diagnostic::error(Code::Mismatch, message, span, format!("this is {}", an(found)));
        self.error(d.help("change this argument"))
    }
}

fn wrong_type(value: &Value, found: &Type, wanted: &Type, span: Span, what: &str) -> Diagnostic {
    let shown = value.to_string();
    let label = if shown.len() <= QUOTED && !matches!(value, Value::Artifact(_) | Value::Pending(_)) {
        format!("`{shown}` is {}", an(found))
    } else {
        format!("this is {}", an(found))
    };
    let code = match (found, wanted) {
        (Type::Percent | Type::Duration | Type::Bytes | Type::Budget, _) => Code::Unit,
        (Type::Int | Type::Float, Type::Bytes | Type::Duration | Type::Percent | Type::Budget) => Code::Unit,
        _ => Code::Mismatch,
    };
    Diagnostic::error(code, format!("{what} must be {}", an(wanted)), span, label)
        .maybe_help(conversion_help(value, found, wanted))
}
