//! Calls in expressions: operations become actions, constructors become values, defs are evaluated in place.

use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::names::{ResolvedPath, follow, names_of};
use super::special::{FORMS, form};
use crate::resolve::{Declaration, DefId, ModuleId};
use crate::syntax::ast::{Arg, Ident};
use crate::types::{Kind, Op};
use xpipe_base::diag::suggest::{did_you_mean, foreign_call};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::Value;

/// What a call path means.
pub(super) enum Callee<'a> {
    Op(&'a Op),
    Special(&'static str),
    Def(DefId),
}

/// The place of a call's path.
pub(super) fn head_of(path: &[Ident]) -> Span {
    path.iter().skip(1).fold(path[0].span, |s, i| s.to(i.span))
}

impl<'a> Expander<'a> {
    /// What a call path means: forms, operations and constructors first, then defs.
    pub(super) fn callee(&mut self, path: &'a [Ident], module: ModuleId) -> Eval<Callee<'a>> {
        let full: Vec<&str> = path.iter().map(|i| &*i.name).collect();
        let full = full.join(".");
        if let Some(form) = form(&full) {
            return Ok(Callee::Special(form.name));
        }
        let registry = self.registry;
        if let Some(op) = registry.get(&full) {
            return Ok(Callee::Op(op));
        }
        match follow(self.study, module, path) {
            Ok(ResolvedPath { named: Declaration::Def(d), at }) if at + 1 == path.len() => {
                return Ok(Callee::Def(d));
            }
            Ok(ResolvedPath { named: Declaration::Broken, .. }) => return Err(Stop::Reported),
            Err(nowhere) if nowhere.module != module => {
                return Err(self.not_in_module(&path[nowhere.at], nowhere.module));
            }
            _ => {}
        }
        if path.len() == 1 && self.study.module(module).incomplete {
            return Err(Stop::Reported);
        }
        if !self.reporter.first_unknown(module, &full) {
            return Err(Stop::Reported);
        }
        let mut names: Vec<&str> =
            registry.iter().map(|o| o.name).chain(FORMS.iter().map(|f| f.name)).collect();
        names.extend(names_of(self.study, module, |n| matches!(n, Declaration::Def(_))));
        Err(self.error(unknown_operation(&full, names, head_of(path))))
    }

    /// A call in an expression.
    pub(super) fn call(&mut self, path: &'a [Ident], args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        match self.callee(path, env.module)? {
            Callee::Special(name) => self.special(name, args, span, env),
            Callee::Def(d) => self.def_call(d, args, span, env),
            Callee::Op(op) if op.kind == Kind::Constructor => {
                let head = head_of(path);
                let values = self.arguments(op, args, head, env, None)?;
                let names = self.signature(op);
                let fields = op.record(&names.names, values.into_iter().map(|v| v.0));
                let cell = self.cell_address(env);
                self.check_arguments(op, &fields, args, head, &cell);
                Ok(Value::call(op.name, fields))
            }
            Callee::Op(op) => {
                // An anonymous stage: listed under the stage whose argument it is.
                let row = self.anonymous_row(env, op, span);
                let mut inner = env.clone();
                inner.row = row.as_str().into();
                let action = self.op_stage(op, args, span, path, &inner, None)?;
                let axes = env.row_axes.clone();
                self.list(&row, &axes, env, action);
                Ok(Value::Artifact(action))
            }
        }
    }

    /// `model.data#1`: the first stage written in the argument `data` of `model`. One that stands in no argument is
    /// named after its operation.
    fn anonymous_row(&mut self, env: &Env<'a>, op: &Op, span: Span) -> String {
        let outer = if env.row.is_empty() { "study" } else { &*env.row };
        let inside = self.argument.unwrap_or_else(|| op.name.rsplit('.').next().unwrap_or(op.name));
        self.actions.anonymous_row(&format!("{outer}.{inside}"), span)
    }
}

fn unknown_operation(name: &str, known: Vec<&str>, span: Span) -> Diagnostic {
    let message = format!("there is no operation `{name}`");
    Diagnostic::error(Code::UnknownOp, message, span, "neither an operation, a constructor nor a def")
        .maybe_help(foreign_call(name).map(str::to_owned).or_else(|| did_you_mean(name, known)))
}
