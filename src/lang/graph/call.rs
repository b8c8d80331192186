//! Calls: operations become actions, constructors become values, defs are evaluated in place.

use std::rc::Rc;

use super::action::head_of;
use super::expand::{ArgMemo, Env, Eval, Expander, Item, Local, Stop};
use super::special::FORMS;
use crate::resolve::{AxisId, DefId, ModuleId, Named, StageId};
use crate::syntax::ast::{self, Arg, DefItem, ExprKind, Ident};
use crate::types::{Kind, Op};
use xpipe_base::diag::suggest::{did_you_mean, foreign_call};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Record, Value};

/// What a call path means.
pub(super) enum Callee<'a> {
    Op(&'a Op),
    Special(&'static str),
    Def(DefId),
}

impl<'a> Expander<'a> {
    /// What a call path means: operations and constructors first, then defs.
    pub(super) fn callee(&mut self, path: &'a [Ident], module: ModuleId) -> Eval<Callee<'a>> {
        let full: Vec<&str> = path.iter().map(|i| &*i.name).collect();
        let full = full.join(".");
        if let Some(form) = super::special::form(&full) {
            return Ok(Callee::Special(form.name));
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
                None if at != module => return Err(self.not_in_module(ident, at)),
                _ => break,
            }
        }
        let span = head_of(path);
        if path.len() == 1 && self.study.module(module).incomplete {
            return Err(Stop::Reported);
        }
        if self.unknown.insert((module, full.as_str().into()), ()).is_some() {
            return Err(Stop::Reported);
        }
        let study = self.study;
        let mut names: Vec<&str> =
            registry.iter().map(|o| o.name).chain(FORMS.iter().map(|f| f.name)).collect();
        names.extend(
            study
                .module(module)
                .names
                .iter()
                .filter(|(_, (n, _))| matches!(n, Named::Def(_)))
                .map(|(n, _)| &**n),
        );
        let help = foreign_call(&full).map(str::to_owned).or_else(|| did_you_mean(&full, names));
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
                env.policy = self.stage_policy(id, stage, Some(op), &env)?;
                let (action, _) = self.op_stage(op, args, stage.call.span, path, &env, Some(id))?;
                Ok(Value::Artifact(action))
            }
            Callee::Def(d) => {
                let mut env = env.clone();
                env.policy = self.stage_policy(id, stage, None, &env)?;
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
        self.kept_by_where(stage.sweep.as_ref(), env)?;
        // What stands later in the def is not in scope: a stage sees the names before it.
        let mut inner = env.clone();
        let before = env.locals.iter().position(|(n, _)| *n == stage.name.name).unwrap_or(env.locals.len());
        inner.locals = Rc::new(env.locals[..before].to_vec());
        let row = format!("{}.{}", env.row, stage.name.name);
        match self.callee(path, env.module)? {
            Callee::Op(op) if op.kind == Kind::Stage => {
                let own = self.policy(&stage.policy, Some(op), &inner)?;
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
                let own = self.policy(&stage.policy, None, &inner)?;
                inner.policy = Record::new(env.policy.iter().cloned().chain(own.iter().cloned()));
                inner.row = row.as_str().into();
                self.def_call(d, args, stage.call.span, &inner)
            }
            Callee::Op(_) | Callee::Special(_) => self.not_a_call(stage),
        }
    }

    pub(super) fn inner_let(&mut self, l: &'a ast::Let, env: &Env<'a>, span: Span) -> Eval {
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), env.module) else { return Err(Stop::Reported) };
        self.point_of(&axes, env, span, &l.name.name)?;
        self.kept_by_where(l.sweep.as_ref(), env)?;
        let mut inner = env.clone();
        let before = env.locals.iter().position(|(n, _)| *n == l.name.name).unwrap_or(env.locals.len());
        inner.locals = Rc::new(env.locals[..before].to_vec());
        let ty = l.ty.as_ref().map(|t| self.type_expr(t));
        let value = self.within(&l.name.name, |e| e.eval(&l.value, ty.as_ref(), &inner))?;
        match ty {
            Some(t) => self.conform(value, &t, l.value.span, &format!("`{}`", l.name.name)),
            None => Ok(value),
        }
    }

    /// Calls a def: its arguments are evaluated here, its body in its own file.
    fn def_call(&mut self, id: DefId, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        self.reads(Item::Def(id));
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
                    .within(&formal.name.name, |e| e.eval(&arg.value, Some(&ty), env))
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
        if env.module == ModuleId(0) {
            inner.called = inner.called.or(Some(span));
        }
        self.enter(Item::Def(id), span, |e| {
            let ty = e.type_expr(&def.returns);
            let value = e.eval(&def.result, Some(&ty), &inner)?;
            e.conform(value, &ty, def.result.span, &format!("what `{}` yields", def.name.name))
        })
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
                let (action, _) = self.op_stage(op, args, span, path, &inner, None)?;
                let axes = env.row_axes.clone();
                self.list(&row, &axes, env, action, false);
                Ok(Value::Artifact(action))
            }
        }
    }

    /// `model.data#1`: the first stage written in the argument `data` of `model`. One that stands in no argument is
    /// named after its operation.
    fn anonymous_row(&mut self, env: &Env<'a>, op: &Op, span: Span) -> String {
        let outer = if env.row.is_empty() { "study" } else { &*env.row };
        let inside = self.argument.unwrap_or_else(|| op.name.rsplit('.').next().unwrap_or(op.name));
        let name = format!("{outer}.{inside}");
        let places = self.anonymous.entry(name.clone()).or_default();
        let n = places.iter().position(|p| *p == span).unwrap_or_else(|| {
            places.push(span);
            places.len() - 1
        });
        format!("{name}#{}", n + 1)
    }
}
