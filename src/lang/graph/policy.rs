//! The `with` block of a stage.

use super::env::{Env, Eval};
use super::expander::Expander;
use crate::resolve::StageId;
use crate::syntax::ast::{Field, Ident, Stage};
use crate::types::{Op, Type};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::task::{Policy, PolicyField, ReadBy};

impl<'a> Expander<'a> {
    /// The `with` block of a stage of a file; remembered when no axis changes it.
    pub(super) fn stage_policy(
        &mut self,
        id: StageId,
        stage: &'a Stage,
        op: Option<&Op>,
        env: &Env<'a>,
    ) -> Eval<Policy> {
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

    /// The `with` block: fields of the engine, and those that the operation reads; a def may hold any operation.
    pub(super) fn policy(&mut self, fields: &'a [Field], op: Option<&Op>, env: &Env<'a>) -> Eval<Policy> {
        let mut policy = Policy::default();
        let mut stop = None;
        for f in fields {
            if let Err(s) = self.policy_field(&mut policy, f, op, env) {
                stop = Some(s);
            }
        }
        stop.map_or(Ok(policy), Err)
    }

    fn policy_field(
        &mut self,
        policy: &mut Policy,
        f: &'a Field,
        op: Option<&Op>,
        env: &Env<'a>,
    ) -> Eval<()> {
        let Some(field) = Policy::FIELDS.iter().find(|known| *known.name == *f.name.name) else {
            let known: Vec<&str> = Policy::FIELDS.iter().map(|known| known.name).collect();
            return Err(self.unknown_argument(&f.name, "with", &known));
        };
        if let Some(op) = op
            && field.read_by == ReadBy::Operations
            && !op.policy_keys.contains(&field.name)
        {
            return Err(self.error(unread_field(op, &f.name)));
        }
        let ty = Type::parse(field.ty).unwrap_or(Type::Any);
        let (value, span) = match &f.value {
            Some(v) => (self.eval(v, Some(&ty), env)?, v.span),
            None => (self.name_value(&f.name, Some(&ty), env)?, f.span),
        };
        let value = self.conform(value, &ty, span, &format!("`{}`", field.name))?;
        if let Some(n) = value.as_int().filter(|n| *n < field.minimum) {
            return Err(self.error(below_minimum(field, n, span)));
        }
        if policy.set(field.name, &value) { Ok(()) } else { Err(self.error(not_known_yet(field, span))) }
    }
}

/// A field that the operation does not read.
fn unread_field(op: &Op, field: &Ident) -> Diagnostic {
    let message = format!("`{}` does not read `{}`", op.name, field.name);
    Diagnostic::error(Code::UnknownArgument, message, field.span, "has no effect here").help("remove it")
}

/// A field below its minimum.
fn below_minimum(field: &PolicyField, n: i64, span: Span) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, format!("`{}` is {n}", field.name), span, "too small")
        .help(format!("write a number from {} up", field.minimum))
}

/// A field whose value depends on a result.
fn not_known_yet(field: &PolicyField, span: Span) -> Diagnostic {
    let message = format!("`{}` depends on a result, and must be known before anything runs", field.name);
    Diagnostic::error(Code::Mismatch, message, span, "known only after a stage has run")
        .help("write the value, or take it from a param or an axis")
}
