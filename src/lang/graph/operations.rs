//! Calls of operations: their arguments completed, and the action entered that all equal recipes share.

use super::actions::{fingerprint, recipe_fingerprint};
use super::call::head_of;
use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::memo::Printed;
use super::model::CallSite;
use crate::resolve::StageId;
use crate::syntax::ast::{Arg, Ident};
use crate::types::{Op, Param};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::task::{Action, Policy};
use xpipe_base::value::{ActionId, Value, dependencies};

impl<'a> Expander<'a> {
    /// The action of an operation at a point, shared with every equal recipe.
    pub(super) fn op_stage(
        &mut self,
        op: &'a Op,
        args: &'a [Arg],
        span: Span,
        path: &'a [Ident],
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<ActionId> {
        let head = head_of(path);
        let mut values = self.arguments(op, args, head, env, memo)?;
        self.derive_arguments(op, &mut values, args, head, env)?;
        let select = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == "select"));
        self.expand_selection(op, &mut values, select.map_or(span, |a| a.value.span), env)?;
        let site = CallSite { span, caller: env.caller, unimplemented: None };
        let (id, new) = self.enter_action(op, values, &site, &env.policy, &|e| e.cell_address(env));
        if new {
            self.domain_checks(op, id, args, head);
            self.note_places(op, id, args);
        } else if self.reporter.has_issues() {
            let cell = self.cell_address(env);
            self.reporter.same_issues(&self.actions.get(id).address, &cell);
        }
        Ok(id)
    }

    /// The action of an operation with these arguments, for what the language writes shorter (imports, validation
    /// runs). Arguments that are not given are derived or have their defaults.
    pub(super) fn make(
        &mut self,
        op_name: &str,
        given: &[(&str, Value)],
        span: Span,
        cell: &str,
    ) -> Eval<ActionId> {
        let registry = self.registry;
        let Some(op) = registry.get(op_name) else {
            return Err(self.error(no_such_operation(op_name, span)));
        };
        let find = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let value = |p: &Param| {
            find(p.name)
                .filter(|v| !matches!(v, Value::Null))
                .or_else(|| self.derive(p.derived_from?, p.name, &find))
                .or_else(|| p.default.clone())
                .unwrap_or(Value::Null)
        };
        let values: Vec<Printed> = op.params.iter().map(|p| printed(value(p))).collect();
        let site = CallSite { span, caller: None, unimplemented: None };
        Ok(self.enter_action(op, values, &site, &Policy::default(), &|_| cell.to_owned()).0)
    }

    /// Enters an action unless an equal recipe is there. Says whether it is new.
    fn enter_action(
        &mut self,
        op: &Op,
        values: Vec<Printed>,
        site: &CallSite,
        policy: &Policy,
        address: &dyn Fn(&Self) -> String,
    ) -> (ActionId, bool) {
        let fingerprint = recipe_fingerprint(op, &values);
        if let Some(id) = self.actions.with_recipe(fingerprint) {
            return (id, false);
        }
        let args = op.record(&self.signature(op).names, values.into_iter().map(|(value, _)| value));
        let action = Action {
            op: op.name,
            version: op.version,
            heavy: op.heavy,
            address: address(self),
            also: Vec::new(),
            policy: policy.clone(),
            deps: dependencies(args.values()),
            args,
        };
        let unimplemented = op.run.is_none().then(|| (format!("`{}`", op.name), site.span));
        (self.actions.add(fingerprint, action, CallSite { unimplemented, ..site.clone() }), true)
    }

    /// Fills in arguments that are not given and follow from their siblings: [`Param::derived_from`].
    fn derive_arguments(
        &mut self,
        op: &'a Op,
        values: &mut [Printed],
        args: &'a [Arg],
        head: Span,
        env: &Env<'a>,
    ) -> Eval<()> {
        for (i, param) in op.params.iter().enumerate() {
            let Some(from) = param.derived_from else { continue };
            if !matches!(values[i].0, Value::Null) {
                continue;
            }
            let found = self.derive(from, param.name, &|sibling| {
                let j = op.params.iter().position(|p| p.name == sibling)?;
                Some(values[j].0.clone())
            });
            let Some(value) = found.or_else(|| param.default.clone()) else {
                // What is wrong with the other arguments may be the cause; then that is reported.
                let partial = op.record(&self.signature(op).names, values.iter().map(|v| v.0.clone()));
                let cell = self.cell_address(env);
                if self.check_arguments(op, &partial, args, head, &cell).wrong {
                    return Err(Stop::Reported);
                }
                return Err(self.error(underived(param.name, from, op.name, head, args)));
            };
            values[i] = printed(value);
        }
        Ok(())
    }

    /// An argument from its siblings: `a | b` is the first that is there, `a.b` the argument `b` of what `a` is.
    fn derive(&self, from: &str, name: &str, sibling: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
        from.split('|').map(str::trim).find_map(|from| {
            let mut steps = from.split('.');
            let first = sibling(steps.next()?)?;
            let source = steps.try_fold(first, |value, step| self.find_fact(&value, step))?;
            self.find_fact(&source, name)
        })
    }
}

fn printed(value: Value) -> Printed {
    let print = fingerprint(&value);
    (value, print)
}

fn no_such_operation(op: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::UnknownOp, format!("this build has no operation `{op}`"), span, "needed here")
}

fn underived(name: &str, from: &str, callee: &str, head: Span, args: &[Arg]) -> Diagnostic {
    let named = |a: &&Arg| a.name.as_ref().is_some_and(|n| &*n.name == from);
    let at = args.iter().find(named).map_or(head, |a| a.value.span);
    let message = format!("`{callee}` needs `{name}`, and `{from}` does not say which");
    Diagnostic::error(Code::MissingArgument, message, at, format!("its {name} is not known"))
        .help(format!("give `{name} = …` here, or where `{from}` is declared"))
}
