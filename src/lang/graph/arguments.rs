//! Arguments of a call: by name or place, defaults, memory of what they were, and what is wrong with them.

use std::rc::Rc;

use super::expand::{Env, Eval, Expander, Signature, Stop, an};
use crate::resolve::{AxisId, ModuleId, Named, StageId};
use crate::syntax::ast::{self, Arg, Expr, ExprKind, Ident, ItemKind};
use crate::types::{Op, Param, Type};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Record, Value};

impl<'a> Expander<'a> {
    /// The arguments of a call in the order of the signature, with fingerprints; derived ones are still `Null`.
    pub(super) fn arguments(
        &mut self,
        op: &'a Op,
        args: &'a [Arg],
        head: Span,
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<Vec<(Value, u128)>> {
        let mut given: Vec<Option<usize>> = vec![None; op.params.len()];
        let mut stop = None;
        let mut next = 0;
        // What unknown arguments seem to mean: those are not missed as well.
        let mut meant: Vec<String> = Vec::new();
        for (i, arg) in args.iter().enumerate() {
            let place = match &arg.name {
                Some(n) => match op.params.iter().position(|p| *p.name == *n.name) {
                    Some(p) => p,
                    None => {
                        let known: Vec<&str> = op.params.iter().map(|p| p.name).collect();
                        stop = Some(self.unknown_argument(n, op.name, &known));
                        meant.extend(did_you_mean(&n.name, known.iter().copied()));
                        continue;
                    }
                },
                None => {
                    let free = next;
                    next += 1;
                    if free >= op.params.len() {
                        stop = Some(self.too_many(arg, op.name, op.params.len()));
                        continue;
                    }
                    free
                }
            };
            if given[place].is_some() {
                stop = Some(self.twice(op.params[place].name, arg.value.span));
                continue;
            }
            given[place] = Some(i);
        }
        let by_name = op.params.iter().zip(&given).any(|(p, given)| p.name == "version" && given.is_some());
        let mut values = Vec::with_capacity(op.params.len());
        let signature = self.signature(op);
        for ((param, given), default) in op.params.iter().zip(&given).zip(&signature.defaults) {
            let value = match given {
                Some(i) => self.argument(param, &args[*i], *i, by_name, env, memo),
                None if param.derived_from.is_some() => Ok((Value::Null, 0)),
                None => match default {
                    Some(known) => Ok(known.clone()),
                    None if op.random && param.name == "seed" => Err(self.unseeded(op.name, head, args)),
                    None if meant.iter().any(|m| m.contains(&format!("`{}`", param.name))) => {
                        Err(Stop::Reported)
                    }
                    None => Err(self.missing_at(param.name, op.name, head, args)),
                },
            };
            match value {
                Ok(v) => values.push(v),
                Err(s) => {
                    values.push((Value::Null, 0));
                    stop = Some(if stop == Some(Stop::Reported) { Stop::Reported } else { s });
                }
            }
        }
        stop.map_or(Ok(values), Err)
    }

    pub(super) fn signature(&mut self, op: &Op) -> Rc<Signature> {
        let known = self.signatures.entry(op.name).or_insert_with(|| {
            let default = |p: &Param| p.default.as_ref().map(|v| (v.clone(), Self::fingerprint(v)));
            Rc::new(Signature {
                names: op.params.iter().map(|p| Name::from(p.name)).collect(),
                defaults: op.params.iter().map(default).collect(),
            })
        });
        known.clone()
    }

    /// The `with` block of a stage of a file; remembered when no axis changes it.
    pub(super) fn stage_policy(
        &mut self,
        id: StageId,
        stage: &'a ast::Stage,
        op: Option<&Op>,
        env: &Env<'a>,
    ) -> Eval<Record> {
        if let Some(known) = &self.stages[id.0].policy {
            return known.clone();
        }
        let policy = self.policy(&stage.policy, op, env);
        let varies = stage.policy.iter().any(|f| match &f.value {
            Some(e) => !self.axes_of(e, env).is_empty(),
            None => true,
        });
        if !varies {
            self.stages[id.0].policy = Some(policy.clone());
        }
        policy
    }

    fn argument(
        &mut self,
        param: &'a Param,
        arg: &'a Arg,
        index: usize,
        by_name: bool,
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<(Value, u128)> {
        let key = memo.map(|id| {
            let axes = &self.stages[id.0].memos[index].axes;
            let point: Vec<usize> = axes.iter().map(|a| env.at(*a).unwrap_or(0)).collect();
            (id, self.point_key(axes, &point))
        });
        if let Some((id, key)) = key
            && let Some(known) = self.stages[id.0].memos[index].known.get(&key)
        {
            return known.clone();
        }
        let value = self
            .within(param.name, |e| e.eval(&arg.value, Some(&param.ty), env))
            .and_then(|v| self.conform(v, &param.ty, arg.value.span, &format!("`{}`", param.name)))
            .map(|v| self.as_input(v, &param.ty, by_name, env))
            .map(|v| if param.name == "reads" { self.with_files(v, &arg.value, env) } else { v })
            .map(|v| {
                let print = Self::fingerprint(&v);
                (v, print)
            });
        if let Some((id, key)) = key {
            self.stages[id.0].memos[index].known.insert(key, value.clone());
        }
        value
    }

    /// What a program reads by the name of a param or an axis of paths is an input, whose content counts. Text stays
    /// text.
    fn with_files(&self, value: Value, expr: &Expr, env: &Env<'a>) -> Value {
        match (&expr.kind, value) {
            (ExprKind::Record(fields), Value::Record(record)) => {
                let each = record.iter().map(|(name, v)| {
                    let field = fields.iter().find(|f| f.name.name == *name);
                    let v = match field.map(|f| (f, &f.value)) {
                        Some((_, Some(expr))) => self.with_files(v.clone(), expr, env),
                        Some((f, None)) => self.named_file(v.clone(), std::slice::from_ref(&f.name), env),
                        None => v.clone(),
                    };
                    (name.clone(), v)
                });
                Value::Record(Record::new(each.collect::<Vec<_>>()))
            }
            (ExprKind::Path(path), value) => self.named_file(value, path, env),
            (_, value) => value,
        }
    }

    fn named_file(&self, value: Value, path: &[ast::Ident], env: &Env<'a>) -> Value {
        let local = path.first().is_some_and(|first| env.locals.iter().any(|(n, _)| *n == first.name));
        match value {
            Value::Str(text) if !local && self.is_path(path, env.module) => {
                Value::Input(std::sync::Arc::new(xpipe_base::value::Input::File(self.file_path(&text, env))))
            }
            value => value,
        }
    }

    /// Whether names lead to a param or an axis that is declared to be of paths.
    fn is_path(&self, path: &[ast::Ident], module: ModuleId) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let ty = match self.study.named(module, &first.name) {
            Some(Named::Module(inner)) => return self.is_path(rest, inner),
            Some(Named::Param(id)) => match &self.study.item(self.study.params[id.0]).kind {
                ItemKind::Param { ty, .. } => Some(ty),
                _ => None,
            },
            Some(Named::Axis(id)) => match &self.study.item(self.study.axes[id.0]).kind {
                ItemKind::Axis { ty, .. } => ty.as_ref(),
                _ => None,
            },
            _ => None,
        };
        rest.is_empty() && ty.is_some_and(|ty| &*ty.name.name == "Path")
    }

    /// Paths of an operation's arguments are inputs, whose content counts. `by_name`: a program without a folder is one
    /// that PATH leads to.
    fn as_input(&self, value: Value, ty: &Type, by_name: bool, env: &Env<'a>) -> Value {
        match (ty, value) {
            (Type::Program, Value::Str(name)) if by_name && !name.contains('/') => Value::Str(name),
            (Type::Path | Type::Program, Value::Str(text)) if !text.starts_with("self:") => {
                Value::Input(std::sync::Arc::new(xpipe_base::value::Input::File(self.file_path(&text, env))))
            }
            (Type::List(inner), Value::List(items)) if **inner == Type::Path => {
                Value::list(items.iter().map(|v| self.as_input(v.clone(), inner, false, env)).collect())
            }
            (Type::Either(any), value) => {
                let fits = |t: &&Type| match (t, &value) {
                    (Type::Path, Value::Str(_)) => true,
                    (Type::List(inner), Value::List(_)) => **inner == Type::Path,
                    _ => false,
                };
                match any.iter().find(fits) {
                    Some(ty) => self.as_input(value, ty, by_name, env),
                    None => value,
                }
            }
            (_, value) => value,
        }
    }

    /// The `with` block: what the engine knows, and what the operation reads; a def may hold any operation.
    pub(super) fn policy(
        &mut self,
        fields: &'a [ast::Field],
        op: Option<&Op>,
        env: &Env<'a>,
    ) -> Eval<Record> {
        let known: Vec<&str> = super::domain::POLICY.iter().map(|(n, _)| *n).collect();
        let mut out = Vec::new();
        let mut stop = None;
        for f in fields {
            let Some((name, ty)) = super::domain::POLICY.iter().find(|(n, _)| **n == *f.name.name) else {
                stop = Some(self.unknown_argument(&f.name, "with", &known));
                continue;
            };
            if let Some(op) = op
                && super::domain::READ_BY_OPERATIONS.contains(name)
                && !op.wishes.contains(name)
            {
                stop = Some(
                    self.error(
                        Diagnostic::error(
                            Code::UnknownArgument,
                            format!("`{}` makes no use of `{name}`", op.name),
                            f.name.span,
                            "has no effect here",
                        )
                        .help("remove it"),
                    ),
                );
                continue;
            }
            let ty = Type::parse(ty).unwrap_or(Type::Any);
            let value = match &f.value {
                Some(v) => self.eval(v, Some(&ty), env),
                None => self.name_value(&f.name, Some(&ty), env),
            };
            let span = f.value.as_ref().map_or(f.span, |v| v.span);
            match value.and_then(|v| self.conform(v, &ty, span, &format!("`{name}`"))) {
                Ok(v) => {
                    let least = i64::from(!matches!(*name, "gpu" | "retries"));
                    if let Some(n) = v.as_int().filter(|n| *n < least) {
                        let d = Diagnostic::error(
                            Code::OutOfRange,
                            format!("`{name}` is {n}"),
                            span,
                            "too small",
                        );
                        stop = Some(self.error(d.help(format!("write a number from {least} up"))));
                    }
                    out.push((f.name.name.clone(), v));
                }
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or_else(|| Ok(Record::new(out)), Err)
    }

    pub(super) fn missing(&mut self, name: &str, callee: &str, span: Span) -> Stop {
        self.missing_at(name, callee, span, &[])
    }

    /// The same for a call with arguments: the place is after the one that stands before it in the signature.
    pub(super) fn missing_at(&mut self, name: &str, callee: &str, head: Span, args: &[Arg]) -> Stop {
        if self.study.is_in_broken_item(head) {
            return Stop::Reported;
        }
        let span = self.place_after(name, callee, args).unwrap_or(head);
        let ty = self
            .registry
            .get(callee)
            .and_then(|o| o.param(name))
            .map(|p| format!("{}: {}", an(&p.ty), p.doc));
        let mut d = Diagnostic::error(
            Code::MissingArgument,
            format!("`{callee}` needs `{name}`"),
            span,
            format!("no `{name}` given"),
        )
        .help(match ty {
            Some(doc) => format!("add `{name} = …`, {doc}"),
            None => format!("add `{name} = …`"),
        });
        if span != head {
            d = d.related(head, "in this call");
        }
        self.error(d)
    }

    fn unseeded(&mut self, callee: &str, head: Span, args: &[Arg]) -> Stop {
        if self.study.is_in_broken_item(head) {
            return Stop::Reported;
        }
        let place = self.place_after("seed", callee, args);
        let mut d = Diagnostic::error(
            Code::Unseeded,
            format!("`{callee}` draws at random and has no seed"),
            place.unwrap_or(head),
            "no `seed` given",
        )
        .help("add `seed` (an axis or a number), so that the same study gives the same bytes");
        if place.is_some() {
            d = d.related(head, "in this call");
        }
        self.error(d)
    }

    /// The argument that a missing one would follow, when there is one in its order.
    fn place_after(&self, name: &str, callee: &str, args: &[Arg]) -> Option<Span> {
        let params = &self.registry.get(callee)?.params;
        let at = params.iter().position(|p| p.name == name)?;
        params[..at].iter().rev().find_map(|p| {
            let arg = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == p.name))?;
            Some(arg.name.as_ref()?.span)
        })
    }

    pub(super) fn underived(
        &mut self,
        name: &str,
        from: &str,
        callee: &str,
        span: Span,
        args: &[Arg],
    ) -> Stop {
        let at = args
            .iter()
            .find(|a| a.name.as_ref().is_some_and(|n| &*n.name == from))
            .map_or(span, |a| a.value.span);
        self.error(
            Diagnostic::error(
                Code::MissingArgument,
                format!("`{callee}` needs `{name}`, and `{from}` does not say which"),
                at,
                format!("its {name} is not known"),
            )
            .help(format!("give `{name} = …` here, or where `{from}` is declared")),
        )
    }

    pub(super) fn unknown_argument(&mut self, name: &Ident, callee: &str, known: &[&str]) -> Stop {
        let help = did_you_mean(&name.name, known.iter().copied()).or_else(|| {
            Some(if known.is_empty() {
                format!("`{callee}` takes no arguments")
            } else {
                format!("it takes {}", known.join(", "))
            })
        });
        self.error(
            Diagnostic::error(
                Code::UnknownArgument,
                format!("`{callee}` has no argument `{}`", name.name),
                name.span,
                "not an argument",
            )
            .maybe_help(help),
        )
    }

    pub(super) fn too_many(&mut self, arg: &Arg, callee: &str, n: usize) -> Stop {
        self.error(
            Diagnostic::error(
                Code::UnknownArgument,
                format!("`{callee}` takes {n} argument{}", if n == 1 { "" } else { "s" }),
                arg.value.span,
                "one too many",
            )
            .help("remove it, or name what it is for"),
        )
    }

    /// The axes whose labels an expression's value may depend on, of those bound here.
    pub(super) fn axes_of(&mut self, e: &'a Expr, env: &Env<'a>) -> Vec<AxisId> {
        let mut axes = Vec::new();
        self.collect_axes(e, env, &mut axes);
        axes.sort_unstable();
        axes.dedup();
        axes.retain(|a| env.at(*a).is_some());
        axes
    }

    fn collect_axes(&mut self, e: &'a Expr, env: &Env<'a>, out: &mut Vec<AxisId>) {
        let mut paths: Vec<&'a [Ident]> = Vec::new();
        super::static_names::each_path(e, &mut |p| paths.push(p));
        for path in paths {
            let mut module = env.module;
            for ident in path {
                let sweep = match self.study.named(module, &ident.name) {
                    Some(Named::Module(m)) => {
                        module = m;
                        continue;
                    }
                    Some(Named::Axis(a)) => {
                        out.push(a);
                        break;
                    }
                    Some(Named::Stage(s)) => {
                        (self.study.stage(s).sweep.as_ref(), self.study.stages[s.0].module)
                    }
                    Some(Named::Let(l)) => (self.study.let_(l).sweep.as_ref(), self.study.lets[l.0].module),
                    _ => break,
                };
                out.extend(self.sweep_axes(sweep.0, sweep.1).iter().flat_map(|a| a.iter().copied()));
                break;
            }
        }
        // A table read from a file varies over its key axes.
        out.extend(self.csv.iter().flat_map(|t| t.keys.iter().copied()));
    }
}
