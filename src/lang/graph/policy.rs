//! The `with` block of a stage.

use super::domain::{POLICY, READ_BY_OPERATIONS};
use super::env::{Env, Eval};
use super::expander::Expander;
use crate::resolve::StageId;
use crate::syntax::ast::{Field, Ident, Stage};
use crate::types::{Op, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Record, Value};

impl<'a> Expander<'a> {
    /// The `with` block of a stage of a file; remembered when no axis changes it.
    pub(super) fn stage_policy(
        &mut self,
        id: StageId,
        stage: &'a Stage,
        op: Option<&Op>,
        env: &Env<'a>,
    ) -> Eval<Record> {
        if let Some(known) = &self.memo.stages[id.0].policy {
            return known.clone();
        }
        let policy = self.policy(&stage.policy, op, env);
        let varies = stage.policy.iter().any(|f| match &f.value {
            Some(e) => !self.axes_of(e, env).is_empty(),
            None => true,
        });
        if !varies {
            self.memo.stages[id.0].policy = Some(policy.clone());
        }
        policy
    }

    /// The `with` block: what the engine knows, and what the operation reads; a def may hold any operation.
    pub(super) fn policy(&mut self, fields: &'a [Field], op: Option<&Op>, env: &Env<'a>) -> Eval<Record> {
        let mut out = Vec::new();
        let mut stop = None;
        for f in fields {
            match self.policy_field(f, op, env) {
                Ok(field) => out.push(field),
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or_else(|| Ok(Record::new(out)), Err)
    }

    fn policy_field(&mut self, f: &'a Field, op: Option<&Op>, env: &Env<'a>) -> Eval<(Name, Value)> {
        let Some((name, ty)) = POLICY.iter().find(|(n, _)| **n == *f.name.name) else {
            let known: Vec<&str> = POLICY.iter().map(|(n, _)| *n).collect();
            return Err(self.unknown_argument(&f.name, "with", &known));
        };
        if let Some(op) = op
            && READ_BY_OPERATIONS.contains(name)
            && !op.wishes.contains(name)
        {
            return Err(self.error(no_effect(op, &f.name)));
        }
        let ty = Type::parse(ty).unwrap_or(Type::Any);
        let (value, span) = match &f.value {
            Some(v) => (self.eval(v, Some(&ty), env)?, v.span),
            None => (self.name_value(&f.name, Some(&ty), env)?, f.span),
        };
        let value = self.conform(value, &ty, span, &format!("`{name}`"))?;
        let least = i64::from(!matches!(*name, "gpu" | "retries"));
        if let Some(n) = value.as_int().filter(|n| *n < least) {
            return Err(self.error(too_small(name, n, least, span)));
        }
        Ok((f.name.name.clone(), value))
    }
}

fn no_effect(op: &Op, field: &Ident) -> Diagnostic {
    let message = format!("`{}` makes no use of `{}`", op.name, field.name);
    Diagnostic::error(Code::UnknownArgument, message, field.span, "has no effect here").help("remove it")
}

fn too_small(name: &str, n: i64, least: i64, span: Span) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, format!("`{name}` is {n}"), span, "too small")
        .help(format!("write a number from {least} up"))
}
