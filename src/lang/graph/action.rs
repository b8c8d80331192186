//! Actions: an operation with its arguments, entered once however many cells ask for it.

use super::expand::{Env, Eval, Expander, Stop};
use super::{Action, address};
use crate::resolve::{AxisId, StageId};
use crate::syntax::ast::{Arg, Ident};
use crate::types::{Op, Param};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{ActionId, Name, Record, Value};

impl<'a> Expander<'a> {
    /// An operation at a point: an action, shared with every equal recipe. Says whether it is new.
    pub(super) fn op_stage(
        &mut self,
        op: &'a Op,
        args: &'a [Arg],
        span: Span,
        path: &'a [Ident],
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<(ActionId, bool)> {
        let head = head_of(path);
        let values = self.arguments(op, args, head, env, memo)?;
        self.make_action(op, values, span, head, args, env)
    }

    /// An argument that is not given, from its siblings: [`Param::derived_from`].
    fn derive(&self, from: &str, name: &str, sibling: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
        from.split('|').map(str::trim).find_map(|from| {
            let mut steps = from.split('.');
            let first = sibling(steps.next()?)?;
            let source = steps.try_fold(first, |value, step| self.find_fact(&value, step))?;
            self.find_fact(&source, name)
        })
    }

    /// The address of the cell that is being evaluated.
    pub(super) fn cell_address(&self, env: &Env<'a>) -> String {
        let at = |a: &AxisId| env.at(*a).and_then(|i| self.axis_label(*a, i));
        address(&env.row, &env.row_axes.iter().filter_map(at).collect::<Vec<Name>>())
    }

    fn make_action(
        &mut self,
        op: &'a Op,
        mut values: Vec<(Value, u128)>,
        span: Span,
        head: Span,
        args: &'a [Arg],
        env: &Env<'a>,
    ) -> Eval<(ActionId, bool)> {
        for i in 0..values.len() {
            let param = &op.params[i];
            let Some(from) = param.derived_from else { continue };
            if !matches!(values[i].0, Value::Null) {
                continue;
            }
            let found = self.derive(from, param.name, &|sibling| {
                let j = op.params.iter().position(|p| p.name == sibling)?;
                Some(values[j].0.clone())
            });
            let value = match found.or_else(|| param.default.clone()) {
                Some(v) => v,
                None => {
                    // What is wrong with the arguments may be why; then that is what is said.
                    let partial = op.record(&self.signature(op).names, values.iter().map(|v| v.0.clone()));
                    let cell = self.cell_address(env);
                    if self.check_arguments(op, &partial, args, head, &cell).wrong {
                        return Err(Stop::Reported);
                    }
                    return Err(self.underived(param.name, from, op.name, head, args));
                }
            };
            let print = Self::fingerprint(&value);
            values[i] = (value, print);
        }
        let select = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == "select"));
        self.expand_selection(op, &mut values, select.map_or(span, |a| a.value.span), env)?;
        let key = recipe_key(op, values.iter().map(|(_, print)| *print));
        let signature = self.signature(op);
        let (id, new) = self.intern(key, |e| {
            let args = op.record(&signature.names, values.into_iter().map(|v| v.0));
            let mut deps = Vec::new();
            for (_, v) in args.iter() {
                dependencies(v, &mut deps);
            }
            deps.sort_unstable();
            deps.dedup();
            Action {
                op: op.name,
                version: op.version,
                heavy: op.heavy,
                lacks: lacks(op, span),
                address: e.cell_address(env),
                span,
                called: env.called,
                args,
                policy: env.policy.clone(),
                deps,
            }
        });
        if new {
            self.domain_checks(op, id, args, head);
            self.note_places(op, id, args);
        } else if !self.issues.is_empty() {
            // An equal recipe was found wrong before: this cell is listed with it.
            let cell = self.cell_address(env);
            let first = self.actions[id.0 as usize].address.clone();
            for (_, cells) in &mut self.issues {
                if cells.contains(&first) && !cells.contains(&cell) {
                    cells.push(cell.clone());
                }
            }
        }
        Ok((id, new))
    }

    /// Makes an action from values, for what the language writes shorter (imports, validation runs).
    pub(super) fn make(
        &mut self,
        op_name: &str,
        given: &[(&str, Value)],
        span: Span,
        cell: &str,
    ) -> Eval<ActionId> {
        let registry = self.registry;
        let Some(op) = registry.get(op_name) else {
            return Err(self.error(Diagnostic::error(
                Code::UnknownOp,
                format!("this build has no operation `{op_name}`"),
                span,
                "needed here",
            )));
        };
        let value = |p: &Param| {
            given
                .iter()
                .find(|(n, _)| *n == p.name)
                .map(|(_, v)| v.clone())
                .filter(|v| !matches!(v, Value::Null))
                .or_else(|| {
                    self.derive(p.derived_from?, p.name, &|sibling| {
                        given.iter().find(|(n, _)| *n == sibling).map(|(_, v)| v.clone())
                    })
                })
                .or_else(|| p.default.clone())
                .unwrap_or(Value::Null)
        };
        let values: Vec<Value> = op.params.iter().map(value).collect();
        let key = recipe_key(op, values.iter().map(Self::fingerprint));
        let args = op.record(&self.signature(op).names, values);
        let mut deps = Vec::new();
        for (_, v) in args.iter() {
            dependencies(v, &mut deps);
        }
        deps.sort_unstable();
        deps.dedup();
        let cell = cell.to_owned();
        let (id, _) = self.intern(key, |_| Action {
            op: op.name,
            version: op.version,
            heavy: op.heavy,
            lacks: lacks(op, span),
            address: cell,
            span,
            called: None,
            args,
            policy: Record::default(),
            deps,
        });
        Ok(id)
    }
}

/// What equal recipes share, whoever writes them: the operation with its version, and fingerprints of its arguments in
/// the order of the signature.
fn recipe_key(op: &Op, prints: impl Iterator<Item = u128>) -> u128 {
    let mut bytes = Vec::with_capacity(op.name.len() + 8 + 16 * op.params.len());
    bytes.extend_from_slice(op.name.as_bytes());
    bytes.extend_from_slice(&op.version.to_le_bytes());
    prints.for_each(|print| bytes.extend_from_slice(&print.to_le_bytes()));
    u128::from_le_bytes(xpipe_base::value::Digest::of(&bytes).0[..16].try_into().unwrap_or_default())
}

/// The actions a value needs.
pub fn dependencies(value: &Value, out: &mut Vec<ActionId>) {
    value.walk(&mut |v| match v {
        Value::Artifact(id) => out.push(*id),
        Value::Pending(p) => p.actions(&mut |id| out.push(id)),
        _ => {}
    });
}

/// The place of a call's path.
pub(super) fn head_of(path: &[Ident]) -> Span {
    path.iter().skip(1).fold(path[0].span, |s, i| s.to(i.span))
}

/// What this build has not, when it is the operation itself.
fn lacks(op: &Op, span: Span) -> Option<(String, Span)> {
    op.run.is_none().then(|| (format!("`{}`", op.name), span))
}
