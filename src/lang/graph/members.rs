//! Members of values: fields of records and calls, parts of collections, numbers that an evaluation publishes.

use std::sync::Arc;

use super::conform::an;
use super::domain::result_type;
use super::env::{Env, Eval};
use super::expander::Expander;
use crate::syntax::ast::Ident;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic};
use xpipe_base::value::{ActionId, Pending, Record, Value};

impl<'a> Expander<'a> {
    pub(super) fn members(&mut self, mut value: Value, path: &'a [Ident], env: &Env<'a>) -> Eval {
        for name in path {
            value = self.member(&value, name, env)?;
        }
        Ok(value)
    }

    /// A member of a value.
    pub(super) fn member(&mut self, value: &Value, name: &'a Ident, env: &Env<'a>) -> Eval {
        match value {
            Value::Record(r) => self.field(r, name, "this record"),
            Value::Artifact(id) => self.result_member(*id, name),
            Value::Call(c) if &*c.name == "csv" => self.csv_column(c, name, env),
            Value::Call(c) => self.field(&c.args, name, &format!("`{}`", c.name)),
            Value::Pending(p) => {
                if let Pending::Arg { cells, .. } = &**p {
                    let point = cells.first().map(|c| c.point.clone()).unwrap_or_default();
                    self.field(&point, name, "this choice")?;
                }
                Ok(Value::Pending(Arc::new(Pending::Member { of: value.clone(), name: name.name.clone() })))
            }
            other => {
                let found = self.type_of(other);
                Err(self.error(no_members(other, &found, name)))
            }
        }
    }

    fn field(&mut self, record: &Record, name: &Ident, what: &str) -> Eval {
        match record.get(&name.name) {
            Some(value) => Ok(value.clone()),
            None => {
                let fields: Vec<&str> = record.iter().map(|(n, _)| &**n).collect();
                Err(self.no_member(name, what, &fields))
            }
        }
    }

    fn result_member(&mut self, id: ActionId, name: &'a Ident) -> Eval {
        let action = self.actions.get(id);
        match result_type(self.registry, action) {
            Type::Metrics => {
                let publishes = self.registry.get(action.op).and_then(|op| op.publishes);
                let members = publishes.map(|p| p(&action.args)).unwrap_or_default();
                if members.iter().any(|m| **m == *name.name) {
                    return Ok(Value::Pending(Arc::new(Pending::Metric {
                        action: id,
                        member: name.name.clone(),
                    })));
                }
                let members: Vec<&str> = members.iter().map(String::as_str).collect();
                Err(self.no_member(name, "this evaluation", &members))
            }
            Type::TestCollection => self.collection_part(id, name),
            other => Err(self.no_member(name, &an(&other), &[])),
        }
    }
}

fn no_members(value: &Value, found: &Type, name: &Ident) -> Diagnostic {
    let message = format!("{} has no members", an(found));
    Diagnostic::error(Code::UnknownMember, message, name.span, format!("asked of `{value}`"))
        .help("members belong to records, collections and metrics")
}
