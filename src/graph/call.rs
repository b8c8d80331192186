//! Calls: operations become actions, constructors become values, defs are evaluated in place.

use std::rc::Rc;

use super::expand::{ArgMemo, Env, Eval, Expander, Item, Local, Stop, an};
use super::{Action, address};
use crate::diag::suggest::did_you_mean;
use crate::diag::{Code, Diagnostic, Span};
use crate::resolve::{AxisId, DefId, ModuleId, Named, StageId};
use crate::syntax::ast::{self, Arg, DefItem, Expr, ExprKind, Ident};
use crate::types::{Kind, Op, Type};
use crate::value::{ActionId, Name, Record, Value};

/// What a call path means.
pub(super) enum Callee<'a> {
    Op(&'a Op),
    Special(&'static str),
    Def(DefId),
}

/// Forms that are not ordinary calls because they bind axes or look at files.
pub(super) const SPECIAL: &[&str] = &[
    "mean",
    "sd",
    "min",
    "max",
    "all",
    "argmax",
    "argmin",
    "near",
    "len",
    "steps",
    "epochs",
    "hf",
    "checkpoint",
    "csv",
    "local",
    "download",
    "beir",
    "collection",
];

impl<'a> Expander<'a> {
    /// What a call path means: operations and constructors first, then defs.
    pub(super) fn callee(&mut self, path: &'a [Ident], module: ModuleId) -> Eval<Callee<'a>> {
        let full: Vec<&str> = path.iter().map(|i| &*i.name).collect();
        let full = full.join(".");
        if let Some(s) = SPECIAL.iter().find(|s| **s == full) {
            return Ok(Callee::Special(s));
        }
        let registry = self.registry;
        if let Some(op) = registry.get(&full) {
            return Ok(Callee::Op(op));
        }
        let mut at = module;
        for (i, ident) in path.iter().enumerate() {
            match self.study.named(at, &ident.name) {
                Some(Named::Module(m)) => at = m,
                Some(Named::Def(d)) if i + 1 == path.len() => return Ok(Callee::Def(d)),
                Some(Named::Broken) => return Err(Stop::Reported),
                _ => break,
            }
        }
        let span = path.iter().skip(1).fold(path[0].span, |s, i| s.to(i.span));
        if self.unknown.insert((module, full.as_str().into()), ()).is_some() {
            return Err(Stop::Reported);
        }
        let study = self.study;
        let mut names: Vec<&str> = registry.iter().map(|o| o.name).chain(SPECIAL.iter().copied()).collect();
        names.extend(
            study
                .module(module)
                .names
                .iter()
                .filter(|(_, (n, _))| matches!(n, Named::Def(_)))
                .map(|(n, _)| &**n),
        );
        let help = did_you_mean(&full, names);
        Err(self.error(
            Diagnostic::error(
                Code::UnknownOp,
                format!("there is no operation `{full}`"),
                span,
                "neither an operation, a constructor nor a def",
            )
            .maybe_help(help),
        ))
    }

    /// The result of a stage's call at a point.
    pub(super) fn stage_body(&mut self, id: StageId, stage: &'a ast::Stage, env: &Env<'a>) -> Eval {
        let ExprKind::Call { path, args, .. } = &stage.call.kind else {
            return self.not_a_call(stage);
        };
        match self.callee(path, env.module)? {
            Callee::Op(op) if op.kind == Kind::Stage => {
                if !self.stages[id.0].ready {
                    let memos = args
                        .iter()
                        .map(|a| ArgMemo { axes: self.axes_of(&a.value, env), known: Default::default() })
                        .collect();
                    self.stages[id.0].memos = memos;
                    self.stages[id.0].ready = true;
                }
                let mut env = env.clone();
                env.policy = self.policy(&stage.policy, &env)?;
                let (action, _) = self.op_stage(op, args, stage.call.span, path, &env, Some(id))?;
                Ok(Value::Artifact(action))
            }
            Callee::Def(d) => {
                let mut env = env.clone();
                env.policy = self.policy(&stage.policy, &env)?;
                self.def_call(d, args, stage.call.span, &env)
            }
            Callee::Op(_) | Callee::Special(_) => self.not_a_call(stage),
        }
    }

    fn not_a_call(&mut self, stage: &'a ast::Stage) -> Eval {
        if matches!(stage.call.kind, ExprKind::Error) {
            return Err(Stop::Reported);
        }
        let chosen = matches!(stage.call.kind, ExprKind::If { .. } | ExprKind::Match { .. });
        let (label, help) = if chosen {
            (
                "an operation may not be chosen",
                "choose arguments by `if` or `match`, or write two stages with `where`",
            )
        } else {
            ("not an operation", "a stage calls an operation or a def, for instance `evaluate { … }`")
        };
        Err(self.error(
            Diagnostic::error(
                Code::NotAnOperation,
                format!("stage `{}` must call one operation", stage.name.name),
                stage.call.span,
                label,
            )
            .help(help),
        ))
    }

    /// A stage inside a def, at the axes bound here.
    pub(super) fn inner_stage(&mut self, stage: &'a ast::Stage, env: &Env<'a>, span: Span) -> Eval {
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), env.module) else {
            return Err(Stop::Reported);
        };
        self.point_of(&axes, env, span, &stage.name.name)?;
        let ExprKind::Call { path, args, .. } = &stage.call.kind else { return self.not_a_call(stage) };
        if let Some(c) = stage.sweep.as_ref().and_then(|s| s.condition.as_ref())
            && self.eval(c, None, env)? != Value::Bool(true)
        {
            return Err(Stop::Cut);
        }
        // What stands later in the def is not in scope: a stage sees the names before it.
        let mut inner = env.clone();
        let before = env.locals.iter().position(|(n, _)| *n == stage.name.name).unwrap_or(env.locals.len());
        inner.locals = Rc::new(env.locals[..before].to_vec());
        let row = format!("{}.{}", env.row, stage.name.name);
        match self.callee(path, env.module)? {
            Callee::Op(op) if op.kind == Kind::Stage => {
                let own = self.policy(&stage.policy, &inner)?;
                let merged = Record::new(env.policy.iter().cloned().chain(own.iter().cloned()));
                inner.policy = merged;
                inner.row = row.as_str().into();
                let (action, _) = self.op_stage(op, args, stage.call.span, path, &inner, None)?;
                let mut listed: Vec<AxisId> = env.row_axes.to_vec();
                listed.extend(axes.iter().filter(|a| !env.row_axes.contains(a)));
                self.list(&row, &listed, env, action, false);
                Ok(Value::Artifact(action))
            }
            Callee::Def(d) => {
                inner.row = row.as_str().into();
                self.def_call(d, args, stage.call.span, &inner)
            }
            Callee::Op(_) | Callee::Special(_) => self.not_a_call(stage),
        }
    }

    pub(super) fn inner_let(&mut self, l: &'a ast::Let, env: &Env<'a>, span: Span) -> Eval {
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), env.module) else { return Err(Stop::Reported) };
        self.point_of(&axes, env, span, &l.name.name)?;
        let mut inner = env.clone();
        let before = env.locals.iter().position(|(n, _)| *n == l.name.name).unwrap_or(env.locals.len());
        inner.locals = Rc::new(env.locals[..before].to_vec());
        self.eval(&l.value, None, &inner)
    }

    /// Calls a def: its arguments are evaluated here, its body in its own file.
    fn def_call(&mut self, id: DefId, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        let def = self.study.def(id);
        let module = self.study.defs[id.0].module;
        let mut locals: Vec<(Name, Local<'a>)> = Vec::new();
        let mut stop = None;
        let mut positional = args.iter().filter(|a| a.name.is_none());
        for formal in &def.formals {
            let ty = self.type_expr(&formal.ty);
            let given = args
                .iter()
                .find(|a| a.name.as_ref().is_some_and(|n| n.name == formal.name.name))
                .or_else(|| positional.next());
            let value = match (given, &formal.default) {
                (Some(arg), _) => self
                    .eval(&arg.value, Some(&ty), env)
                    .and_then(|v| self.conform(v, &ty, arg.value.span, &format!("`{}`", formal.name.name))),
                (None, Some(default)) => {
                    let mut inner = self.env_at(module, &[], &[]);
                    inner.row = env.row.clone();
                    self.eval(default, Some(&ty), &inner)
                        .and_then(|v| self.conform(v, &ty, default.span, &format!("`{}`", formal.name.name)))
                }
                (None, None) => Err(self.missing(&formal.name.name, &def.name.name, span)),
            };
            match value {
                Ok(v) => locals.push((formal.name.name.clone(), Local::Value(v))),
                Err(s) => stop = Some(s),
            }
        }
        let known: Vec<&str> = def.formals.iter().map(|f| &*f.name.name).collect();
        for arg in args {
            if let Some(n) = &arg.name
                && !known.contains(&&*n.name)
            {
                stop = Some(self.unknown_argument(n, &def.name.name, &known));
            }
        }
        if let Some(extra) = positional.next() {
            stop = Some(self.too_many(extra, &def.name.name, known.len()));
        }
        if let Some(s) = stop {
            return Err(s);
        }
        let caller = Rc::new((env.row.clone(), env.policy.clone()));
        for item in &def.items {
            locals.push(match item {
                DefItem::Stage(s) => (s.name.name.clone(), Local::Stage(s, caller.clone())),
                DefItem::Let(l) => (l.name.name.clone(), Local::Let(l)),
            });
        }
        let mut inner = env.clone();
        inner.module = module;
        inner.locals = Rc::new(locals);
        self.enter(Item::Def(id), span, |e| {
            let ty = e.type_expr(&def.returns);
            let value = e.eval(&def.result, Some(&ty), &inner)?;
            e.conform(value, &ty, def.result.span, &format!("what `{}` yields", def.name.name))
        })
    }

    /// A call in an expression.
    pub(super) fn call(
        &mut self,
        path: &'a [Ident],
        args: &'a [Arg],
        span: Span,
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        match self.callee(path, env.module)? {
            Callee::Special(name) => self.special(name, args, span, want, env),
            Callee::Def(d) => self.def_call(d, args, span, env),
            Callee::Op(op) if op.kind == Kind::Constructor => {
                let values = self.arguments(op, args, span, path, env, None)?;
                let fields = op.params.iter().zip(values).map(|(p, (v, _))| (Name::from(p.name), v));
                Ok(Value::call(op.name, Record::new(fields)))
            }
            Callee::Op(op) => {
                // An anonymous stage: listed under the stage whose argument it is.
                let row = self.anonymous_row(env, op, span);
                let mut inner = env.clone();
                inner.row = row.as_str().into();
                let (action, _) = self.op_stage(op, args, span, path, &inner, None)?;
                let axes = env.row_axes.clone();
                self.list(&row, &axes, env, action, false);
                Ok(Value::Artifact(action))
            }
        }
    }

    fn anonymous_row(&mut self, env: &Env<'a>, op: &Op, span: Span) -> String {
        let last = op.name.rsplit('.').next().unwrap_or(op.name);
        let outer = if env.row.is_empty() { "study" } else { &*env.row };
        format!("{outer}.{last}#{}", self.place_number(outer, span))
    }

    /// Whether an anonymous stage is the first, second … written in its row.
    fn place_number(&mut self, outer: &str, span: Span) -> usize {
        let key: Name = format!("{outer}#").into();
        let module = ModuleId(usize::MAX - span.file.0 as usize);
        let mut n = 1;
        loop {
            let entry: Name = format!("{key}{n}@").into();
            let at: Name = format!("{key}{n}@{}", span.start).into();
            if self.unknown.contains_key(&(module, at.clone())) {
                return n;
            }
            if !self.unknown.contains_key(&(module, entry.clone())) {
                self.unknown.insert((module, entry), ());
                self.unknown.insert((module, at), ());
                return n;
            }
            n += 1;
        }
    }

    /// The arguments of a call in the order of the signature, with fingerprints; derived ones are still `Null`.
    fn arguments(
        &mut self,
        op: &'a Op,
        args: &'a [Arg],
        span: Span,
        path: &'a [Ident],
        env: &Env<'a>,
        memo: Option<StageId>,
    ) -> Eval<Vec<(Value, u128)>> {
        let head = path.iter().skip(1).fold(path[0].span, |s, i| s.to(i.span));
        let mut given: Vec<Option<usize>> = vec![None; op.params.len()];
        let mut stop = None;
        let mut next = 0;
        for (i, arg) in args.iter().enumerate() {
            let place = match &arg.name {
                Some(n) => match op.params.iter().position(|p| *p.name == *n.name) {
                    Some(p) => p,
                    None => {
                        let known: Vec<&str> = op.params.iter().map(|p| p.name).collect();
                        stop = Some(self.unknown_argument(n, op.name, &known));
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
        let mut values = Vec::with_capacity(op.params.len());
        for (param, given) in op.params.iter().zip(&given) {
            let value = match given {
                Some(i) => self.argument(param, &args[*i], *i, env, memo),
                None if param.derived_from.is_some() => Ok((Value::Null, 0)),
                None => match &param.default {
                    Some(v) => Ok((v.clone(), Self::fingerprint(v))),
                    None if op.random && param.name == "seed" => Err(self.error(
                        Diagnostic::error(
                            Code::Unseeded,
                            format!("`{}` draws at random and has no seed", op.name),
                            head,
                            "no `seed` given",
                        )
                        .help(
                            "add `seed` (an axis or a number), so that the same study gives the same bytes",
                        ),
                    )),
                    None => Err(self.missing(param.name, op.name, head)),
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
        let _ = span;
        stop.map_or(Ok(values), Err)
    }

    fn argument(
        &mut self,
        param: &'a crate::types::Param,
        arg: &'a Arg,
        index: usize,
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
            .eval(&arg.value, Some(&param.ty), env)
            .and_then(|v| self.conform(v, &param.ty, arg.value.span, &format!("`{}`", param.name)))
            .map(|v| self.as_input(v, &param.ty, env))
            .map(|v| {
                let print = Self::fingerprint(&v);
                (v, print)
            });
        if let Some((id, key)) = key {
            self.stages[id.0].memos[index].known.insert(key, value.clone());
        }
        value
    }

    /// Paths of an operation's arguments are inputs, whose content counts.
    fn as_input(&self, value: Value, ty: &Type, env: &Env<'a>) -> Value {
        match (ty, value) {
            (Type::Path, Value::Str(text)) if !text.starts_with("self:") => {
                Value::Input(std::sync::Arc::new(crate::value::Input::File(self.file_path(&text, env))))
            }
            (Type::List(inner), Value::List(items)) if **inner == Type::Path => {
                Value::list(items.iter().map(|v| self.as_input(v.clone(), inner, env)).collect())
            }
            (_, value) => value,
        }
    }

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
        let values = self.arguments(op, args, span, path, env, memo)?;
        self.make_action(op, values, span, path, args, env)
    }

    fn make_action(
        &mut self,
        op: &'a Op,
        mut values: Vec<(Value, u128)>,
        span: Span,
        path: &'a [Ident],
        args: &'a [Arg],
        env: &Env<'a>,
    ) -> Eval<(ActionId, bool)> {
        let head = path.iter().skip(1).fold(path[0].span, |s, i| s.to(i.span));
        for i in 0..values.len() {
            let param = &op.params[i];
            let Some(from) = param.derived_from else { continue };
            if !matches!(values[i].0, Value::Null) {
                continue;
            }
            let found = from.split('|').map(str::trim).find_map(|from| {
                let j = op.params.iter().position(|p| p.name == from)?;
                self.find_fact(&values[j].0, param.name)
            });
            let value = match found.or_else(|| param.default.clone()) {
                Some(v) => v,
                None => return Err(self.underived(param.name, from, op.name, head, args)),
            };
            let print = Self::fingerprint(&value);
            values[i] = (value, print);
        }
        let select = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == "select"));
        self.expand_selection(op, &mut values, select.map_or(span, |a| a.value.span), env)?;
        let mut bytes = Vec::with_capacity(op.name.len() + 8 + 16 * values.len());
        bytes.extend_from_slice(op.name.as_bytes());
        bytes.extend_from_slice(&op.version.to_le_bytes());
        for (_, print) in &values {
            bytes.extend_from_slice(&print.to_le_bytes());
        }
        let key =
            u128::from_le_bytes(crate::value::Digest::of(&bytes).0[..16].try_into().unwrap_or_default());
        let labels: Vec<Name> =
            env.row_axes.iter().filter_map(|a| env.at(*a).and_then(|i| self.axis_label(*a, i))).collect();
        let cell = address(&env.row, &labels);
        let (id, new) = self.intern(key, |_| {
            let args = Record::new(
                op.params.iter().map(|p| Name::from(p.name)).zip(values.into_iter().map(|v| v.0)),
            );
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
                implemented: op.run.is_some(),
                address: cell.clone(),
                span,
                args,
                policy: env.policy.clone(),
                deps,
            }
        });
        if new {
            self.domain_checks(op, id, args, head);
        } else if !self.issues.is_empty() {
            // An equal recipe was found wrong before: this cell is listed with it.
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
        let mut fields: Vec<(Name, Value)> = Vec::new();
        for p in &op.params {
            let value = given
                .iter()
                .find(|(n, _)| *n == p.name)
                .map(|(_, v)| v.clone())
                .filter(|v| !matches!(v, Value::Null))
                .or_else(|| {
                    p.derived_from?.split('|').map(str::trim).find_map(|from| {
                        let source = &given.iter().find(|(n, _)| *n == from)?.1;
                        self.find_fact(source, p.name)
                    })
                })
                .or_else(|| p.default.clone())
                .unwrap_or(Value::Null);
            fields.push((Name::from(p.name), value));
        }
        let args = Record::new(fields);
        let key = Self::fingerprint(&Value::call(op_name, args.clone()));
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
            implemented: op.run.is_some(),
            address: cell,
            span,
            args,
            policy: Record::default(),
            deps,
        });
        Ok(id)
    }

    /// The `with` block: only what the engine knows.
    fn policy(&mut self, fields: &'a [ast::Field], env: &Env<'a>) -> Eval<Record> {
        let known: Vec<&str> = super::domain::POLICY.iter().map(|(n, _)| *n).collect();
        let mut out = Vec::new();
        let mut stop = None;
        for f in fields {
            let Some((name, ty)) = super::domain::POLICY.iter().find(|(n, _)| **n == *f.name.name) else {
                stop = Some(self.unknown_argument(&f.name, "with", &known));
                continue;
            };
            let ty = Type::parse(ty).unwrap_or(Type::Any);
            let value = match &f.value {
                Some(v) => self.eval(v, Some(&ty), env),
                None => self.name_value(&f.name, Some(&ty), env),
            };
            match value.and_then(|v| self.conform(v, &ty, f.span, &format!("`{name}`"))) {
                Ok(v) => out.push((f.name.name.clone(), v)),
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or_else(|| Ok(Record::new(out)), Err)
    }

    pub(super) fn missing(&mut self, name: &str, callee: &str, span: Span) -> Stop {
        // What could not be read was reported, and may be just what is missing.
        let in_broken = self.study.modules.iter().any(|m| {
            m.file == span.file
                && m.ast
                    .items
                    .iter()
                    .any(|i| i.broken && i.span.start <= span.start && span.end <= i.span.end)
        });
        if in_broken {
            return Stop::Reported;
        }
        let ty = self
            .registry
            .get(callee)
            .and_then(|o| o.param(name))
            .map(|p| format!("{}: {}", an(&p.ty), p.doc));
        self.error(
            Diagnostic::error(
                Code::MissingArgument,
                format!("`{callee}` needs `{name}`"),
                span,
                format!("no `{name}` given"),
            )
            .help(match ty {
                Some(doc) => format!("add `{name} = …`, {doc}"),
                None => format!("add `{name} = …`"),
            }),
        )
    }

    fn underived(&mut self, name: &str, from: &str, callee: &str, span: Span, args: &[Arg]) -> Stop {
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
                out.extend(self.sweep_axes(sweep.0, sweep.1).unwrap_or_default());
                break;
            }
        }
        // A table read from a file varies over its key axes.
        out.extend(self.csv.iter().flat_map(|t| t.keys.iter().copied()));
    }
}

/// The actions a value needs.
pub(super) fn dependencies(value: &Value, out: &mut Vec<ActionId>) {
    value.walk(&mut |v| match v {
        Value::Artifact(id) => out.push(*id),
        Value::Pending(p) => p.actions(&mut |id| out.push(id)),
        _ => {}
    });
}
