//! What a path means at a point: words, axes, lets, params, datasets, stages, modules, and members of values.

use std::rc::Rc;
use std::sync::Arc;

use super::Cut;
use super::conform::show;
use super::expand::{Env, Eval, Expander, Item, Local, Stop};
use crate::resolve::{AxisId, DatasetId, LetId, ModuleId, Named, StageId};
use crate::syntax::ast::{Ident, ItemKind, Sweep};
use crate::types::Type;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{ActionId, Pending, Record, Value};

impl<'a> Expander<'a> {
    pub(super) fn name_value(&mut self, ident: &'a Ident, want: Option<&Type>, env: &Env<'a>) -> Eval {
        self.path(std::slice::from_ref(ident), want, env)
    }

    pub(super) fn path(&mut self, path: &'a [Ident], want: Option<&Type>, env: &Env<'a>) -> Eval {
        let Some((first, rest)) = path.split_first() else { return Err(Stop::Reported) };
        if rest.is_empty() && word(want, &first.name) {
            return Ok(Value::Str(first.name.clone()));
        }
        if let Some((_, local)) = env.locals.iter().rev().find(|(n, _)| *n == first.name).cloned() {
            let value = match local {
                Local::Value(v) => v,
                Local::Stage(stage, caller) => {
                    let mut env = env.clone();
                    env.row = caller.0.clone();
                    env.policy = caller.1.clone();
                    self.inner_stage(stage, &env, first.span)?
                }
                Local::Let(l) => self.inner_let(l, env, first.span)?,
            };
            return self.members(value, rest, env);
        }
        self.global(env.module, first, rest, want, env)
    }

    fn global(
        &mut self,
        module: ModuleId,
        first: &'a Ident,
        rest: &'a [Ident],
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        let here = first.span;
        let Some(named) = self.study.named(module, &first.name) else {
            let mut names: Vec<&str> = self.study.module(module).names.keys().map(|n| &**n).collect();
            if module != env.module {
                return Err(self.not_in_module(first, module));
            }
            if let Some(stop) = self.not_called(first, rest, module) {
                return Err(stop);
            }
            let locals = env.locals.clone();
            names.extend(locals.iter().map(|(n, _)| &**n));
            let words = words_of(want);
            names.extend(words.iter().copied());
            return Err(self.unknown_name(first, module, names, "name"));
        };
        match named {
            Named::Broken => Err(Stop::Reported),
            Named::Axis(axis) => self.axis_path(axis, first, rest, env),
            Named::Let(id) => {
                self.reads(Item::Let(id));
                let value = self.let_value(id, env, here)?;
                self.members(value, rest, env)
            }
            Named::Param(id) => {
                self.reads(Item::Param(id));
                let value = self.param(id, here)?;
                self.members(value, rest, env)
            }
            Named::Dataset(id) => {
                self.reads(Item::Dataset(id));
                let value = self.dataset(id, here)?;
                self.members(value, rest, env)
            }
            Named::Stage(id) => {
                self.reads(Item::Stage(id));
                let value = self.stage_cell(id, env, here)?;
                self.members(value, rest, env)
            }
            Named::Module(inner) => match rest.split_first() {
                Some((next, rest)) => self.global(inner, next, rest, want, env),
                None => Err(self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        format!("`{}` is a module, not a value", first.name),
                        here,
                        "a module",
                    )
                    .help(format!("name what you want of it: `{}.…`", first.name)),
                )),
            },
            Named::Def(_) => Err(self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!("`{}` is a def, not a value", first.name),
                    here,
                    "a def",
                )
                .help(format!("call it: `{}(…)`", first.name)),
            )),
            Named::Output(..) => Err(self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!("`{}` is an output, not a value", first.name),
                    here,
                    "a table, claim, report or profile",
                )
                .help("use the stage it is made of"),
            )),
        }
    }

    /// Reports an operation or constructor that is named and not called.
    pub(super) fn not_called(
        &mut self,
        first: &'a Ident,
        rest: &'a [Ident],
        module: ModuleId,
    ) -> Option<Stop> {
        let full = rest.iter().fold(first.name.to_string(), |all, i| format!("{all}.{}", i.name));
        self.registry.get(&full)?;
        self.unknown.insert((module, first.name.clone()), ());
        let span = rest.iter().fold(first.span, |s, i| s.to(i.span));
        Some(
            self.error(
                Diagnostic::error(Code::Mismatch, format!("`{full}` is called"), span, "no arguments given")
                    .help(format!("write `{full}(…)`")),
            ),
        )
    }

    fn axis_path(&mut self, axis: AxisId, first: &'a Ident, rest: &'a [Ident], env: &Env<'a>) -> Eval {
        let bound = env.at(axis);
        let Some((next, after)) = rest.split_first() else {
            return match bound {
                Some(i) => self.entry_value(axis, i, first.span),
                None => Err(self.free_axis(axis, first.span, "this")),
            };
        };
        let is_label = self.axis(axis, first.span).entries.iter().any(|e| e.label == next.name);
        if let Some(i) = bound {
            let value = self.entry_value(axis, i, first.span)?;
            let has = value.as_record().is_some_and(|r| r.get(&next.name).is_some())
                || matches!(value, Value::Artifact(_));
            if has || !is_label {
                return self.members(value, rest, env);
            }
        }
        self.label_at(axis, &next.name, next.span)?;
        if let Some(extra) = after.first() {
            return Err(self.error(
                Diagnostic::error(
                    Code::FreeAxis,
                    format!("`{}.{}` is a label, and a label has no members", first.name, next.name),
                    extra.span,
                    "asked of a label",
                )
                .help(format!(
                    "bind `{}` with `for`, or pick a cell: `…[{} = {}]`",
                    first.name, first.name, next.name
                )),
            ));
        }
        let args =
            Record::of([("axis", Value::Str(first.name.clone())), ("label", Value::Str(next.name.clone()))]);
        Ok(Value::call("label", args))
    }

    pub(super) fn entry_value(&mut self, axis: AxisId, i: usize, span: Span) -> Eval {
        self.reads(Item::Axis(axis));
        self.axis(axis, span).entries.get(i).map_or(Err(Stop::Reported), |e| e.value.clone())
    }

    pub(super) fn free_axis(&mut self, axis: AxisId, span: Span, what: &str) -> Stop {
        // The `for` of an item may be what could not be read.
        if self.study.is_in_broken_item(span) {
            return Stop::Reported;
        }
        let name = self.study.axis(axis).0.name.clone();
        let example = self.axis_label(axis, 0).unwrap_or_else(|| "label".into());
        self.error(
            Diagnostic::error(
                Code::FreeAxis,
                format!("{what} varies over `{name}`, which is not bound here"),
                span,
                format!("varies over `{name}`"),
            )
            .help(format!(
                "add `{name}` to `for`, pick one with `[{name} = {example}]`, or reduce with `mean(…, over = {name})`"
            )),
        )
    }

    fn members(&mut self, mut value: Value, rest: &'a [Ident], env: &Env<'a>) -> Eval {
        for name in rest {
            value = self.member(&value, name, env)?;
        }
        Ok(value)
    }

    /// A member of a value.
    pub(super) fn member(&mut self, value: &Value, name: &'a Ident, env: &Env<'a>) -> Eval {
        match value {
            Value::Record(r) => match r.get(&name.name) {
                Some(v) => Ok(v.clone()),
                None => {
                    let fields: Vec<&str> = r.iter().map(|(n, _)| &**n).collect();
                    Err(self.no_member(name, "this record", &fields))
                }
            },
            Value::Artifact(id) => self.result_member(*id, name),
            Value::Call(c) if &*c.name == "csv" => self.csv_column(c, name, env),
            Value::Pending(p) => {
                if let Pending::Arg { cells, .. } = &**p {
                    let fields: Vec<String> = cells
                        .first()
                        .map(|c| c.point.iter().map(|(n, _)| n.to_string()).collect())
                        .unwrap_or_default();
                    if !fields.iter().any(|f| **f == *name.name) {
                        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                        return Err(self.no_member(name, "this choice", &fields));
                    }
                }
                Ok(Value::Pending(Arc::new(Pending::Member { of: value.clone(), name: name.name.clone() })))
            }
            Value::Call(c) => match c.args.get(&name.name) {
                Some(v) => Ok(v.clone()),
                None => {
                    let fields: Vec<&str> = c.args.iter().map(|(n, _)| &**n).collect();
                    let what = format!("`{}`", c.name);
                    Err(self.no_member(name, &what, &fields))
                }
            },
            other => {
                let found = self.type_of(other);
                Err(self.error(
                    Diagnostic::error(
                        Code::UnknownMember,
                        format!("{} has no members", super::expand::an(&found)),
                        name.span,
                        format!("asked of `{}`", show(other)),
                    )
                    .help("members belong to records, collections and metrics"),
                ))
            }
        }
    }

    fn result_member(&mut self, id: ActionId, name: &'a Ident) -> Eval {
        let action = &self.actions[id.0 as usize];
        match super::datasets::result_type(self.registry, action) {
            Type::Metrics => {
                let publishes = self.registry.get(action.op).and_then(|op| op.publishes);
                let members = publishes.map(|p| p(&action.args)).unwrap_or_default();
                if members.iter().any(|m| **m == *name.name) {
                    Ok(Value::Pending(Arc::new(Pending::Metric { action: id, member: name.name.clone() })))
                } else {
                    let members: Vec<&str> = members.iter().map(String::as_str).collect();
                    Err(self.no_member(name, "this evaluation", &members))
                }
            }
            Type::TestCollection => self.collection_part(id, name),
            other => {
                let what = super::expand::an(&other);
                Err(self.no_member(name, &what, &[]))
            }
        }
    }

    pub(super) fn no_member(&mut self, name: &Ident, what: &str, known: &[&str]) -> Stop {
        let help = did_you_mean(&name.name, known.iter().copied())
            .or_else(|| (!known.is_empty()).then(|| format!("it has {}", known.join(", "))));
        self.error(
            Diagnostic::error(
                Code::UnknownMember,
                format!("{what} has no `{}`", name.name),
                name.span,
                "no such member",
            )
            .maybe_help(help),
        )
    }

    /// The value of a let at the axes bound here.
    pub(super) fn let_value(&mut self, id: LetId, env: &Env<'a>, span: Span) -> Eval {
        let l = self.study.let_(id);
        let module = self.study.lets[id.0].module;
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), module) else { return Err(Stop::Reported) };
        let point = self.point_of(&axes, env, span, &l.name.name)?;
        let key = self.point_key(&axes, &point);
        if let Some(v) = self.lets.get(&(id, key)) {
            return v.clone();
        }
        let mut inner = self.env_at(module, &axes, &point);
        inner.row = Rc::from(&*l.name.name);
        let value = self.enter(Item::Let(id), span, |e| {
            e.kept_by_where(l.sweep.as_ref(), &inner)?;
            let ty = l.ty.as_ref().map(|t| e.type_expr(t));
            let value = e.eval(&l.value, ty.as_ref(), &inner)?;
            match ty {
                Some(t) => e.conform(value, &t, l.value.span, &format!("`{}`", l.name.name)),
                None => Ok(value),
            }
        });
        self.lets.insert((id, key), value.clone());
        value
    }

    /// Evaluates a let of the root file for its mistakes, unless it is a list of labels.
    pub(super) fn check_let(&mut self, id: LetId, span: Span) {
        let l = self.study.let_(id);
        let module = self.study.lets[id.0].module;
        if self.label_list(l, module) {
            return;
        }
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), module) else { return };
        if !self.countable("let", &l.name, &axes) {
            return;
        }
        self.each_point(&axes, &mut |e, point| {
            let env = e.env_at(module, &axes, point);
            let _ = e.let_value(id, &env, span);
        });
    }

    /// The labels bound for some axes, or a diagnostic that names the first one free.
    pub(super) fn point_of(
        &mut self,
        axes: &[AxisId],
        env: &Env<'a>,
        span: Span,
        what: &str,
    ) -> Eval<Vec<usize>> {
        let mut point = Vec::with_capacity(axes.len());
        for axis in axes {
            self.reads(Item::Axis(*axis));
            match env.at(*axis) {
                Some(i) => point.push(i),
                None => return Err(self.free_axis(*axis, span, &format!("`{what}`"))),
            }
        }
        Ok(point)
    }

    pub(super) fn point_key(&self, axes: &[AxisId], point: &[usize]) -> u64 {
        axes.iter().zip(point).fold(0u64, |key, (a, i)| {
            let n = self.axes[a.0].as_ref().map_or(1, |s| s.entries.len().max(1)) as u64;
            key * n + *i as u64
        })
    }

    /// The value of a dataset.
    pub(super) fn dataset(&mut self, id: DatasetId, span: Span) -> Eval {
        if let Some(v) = &self.datasets[id.0] {
            return v.clone();
        }
        let place = self.study.datasets[id.0];
        let ItemKind::Dataset { name, ty, value } = &self.study.item(place).kind else {
            return Err(Stop::Reported);
        };
        let result = self.enter(Item::Dataset(id), span, |e| {
            let ty = e.type_expr(ty);
            let label = e.dataset_name(id);
            e.dataset_value(&label, name, &ty, value, place.module)
        });
        self.datasets[id.0] = Some(result.clone());
        result
    }

    pub(super) fn dataset_name(&self, id: DatasetId) -> String {
        let place = self.study.datasets[id.0];
        let module = &self.study.module(place.module).name;
        match &self.study.item(place).kind {
            ItemKind::Dataset { name, .. } if module.is_empty() => name.name.to_string(),
            ItemKind::Dataset { name, .. } => format!("{module}.{}", name.name),
            _ => String::new(),
        }
    }

    /// Whether the `where` of a `for` keeps the cell that is bound; [`Stop::Cut`] when it does not.
    pub(super) fn kept_by_where(&mut self, sweep: Option<&'a Sweep>, env: &Env<'a>) -> Eval<()> {
        let Some(condition) = sweep.and_then(|s| s.condition.as_ref()) else { return Ok(()) };
        match self.eval(condition, None, env)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(Stop::Cut(Cut::Where)),
            Value::Pending(_) => Err(self.error(
                Diagnostic::error(
                    Code::PendingShape,
                    "`where` cannot use what is known only after a stage has run",
                    condition.span,
                    "known too late",
                )
                .help("such values may stand in stage arguments"),
            )),
            other => {
                let found = self.type_of(&other);
                Err(self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        "`where` needs something true or false",
                        condition.span,
                        format!("this is {}", super::expand::an(&found)),
                    )
                    .help("compare: `where backbone in small`"),
                ))
            }
        }
    }

    /// The result of a stage at the axes bound here.
    pub(super) fn stage_cell(&mut self, id: StageId, env: &Env<'a>, span: Span) -> Eval {
        let stage = self.study.stage(id);
        let module = self.study.stages[id.0].module;
        let Some(axes) = self.sweep_axes(stage.sweep.as_ref(), module) else { return Err(Stop::Reported) };
        let point = self.point_of(&axes, env, span, &stage.name.name)?;
        let key = self.point_key(&axes, &point);
        if let Some(v) = self.stages[id.0].cells.get(&key) {
            return v.clone();
        }
        for (axis, i) in axes.iter().zip(&point) {
            if !self.axis(*axis, span).entries.get(*i).is_some_and(|e| e.kept) {
                return Err(Stop::Cut(Cut::Only));
            }
        }
        let name = self.study.stage_name(id);
        let mut inner = self.env_at(module, &axes, &point);
        inner.row = name.as_str().into();
        let value = self.enter(Item::Stage(id), span, |e| {
            e.kept_by_where(stage.sweep.as_ref(), &inner)?;
            e.stage_body(id, stage, &inner)
        });
        self.stages[id.0].cells.insert(key, value.clone());
        value
    }
}

/// Whether a word of the wanted type is written like this.
fn word(want: Option<&Type>, name: &str) -> bool {
    words_of(want).contains(&name)
}

pub(super) fn words_of(want: Option<&Type>) -> Vec<&'static str> {
    match want {
        Some(Type::Word(words)) => words.clone(),
        Some(Type::Either(any)) => any.iter().flat_map(|t| words_of(Some(t))).collect(),
        Some(Type::List(inner)) => words_of(Some(inner)),
        _ => Vec::new(),
    }
}
