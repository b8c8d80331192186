//! What a path means at a point: words, axes, lets, params, datasets, stages, modules.

use super::env::{Env, Eval, Item, Local, Stop};
use super::expander::Expander;
use super::names::all_names;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::Ident;
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Record, Value};

impl<'a> Expander<'a> {
    pub(super) fn name_value(&mut self, ident: &'a Ident, want: Option<&Type>, env: &Env<'a>) -> Eval {
        self.path(std::slice::from_ref(ident), want, env)
    }

    pub(super) fn path(&mut self, path: &'a [Ident], want: Option<&Type>, env: &Env<'a>) -> Eval {
        let Some((first, rest)) = path.split_first() else { return Err(Stop::Reported) };
        if rest.is_empty() && words_of(want).contains(&&*first.name) {
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
            return Err(self.unknown_first(module, first, rest, want, env));
        };
        let (item, value) = match named {
            Declaration::Broken => return Err(Stop::Reported),
            Declaration::Axis(axis) => return self.axis_path(axis, first, rest, env),
            Declaration::Module(inner) => {
                return match rest.split_first() {
                    Some((next, rest)) => self.global(inner, next, rest, want, env),
                    None => Err(self.error(no_value(first, &Unvalued::Module))),
                };
            }
            Declaration::Def(_) => return Err(self.error(no_value(first, &Unvalued::Def))),
            Declaration::Output(..) => return Err(self.error(no_value(first, &Unvalued::Output))),
            Declaration::Let(id) => (Item::Let(id), self.let_value(id, env, here)),
            Declaration::Param(id) => (Item::Param(id), self.param(id, here)),
            Declaration::Dataset(id) => (Item::Dataset(id), self.dataset(id, here)),
            Declaration::Stage(id) => (Item::Stage(id), self.stage_cell(id, env, here)),
        };
        self.reads(item);
        self.members(value?, rest, env)
    }

    /// Reports a path whose first name means nothing here.
    fn unknown_first(
        &mut self,
        module: ModuleId,
        first: &'a Ident,
        rest: &'a [Ident],
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Stop {
        if module != env.module {
            return self.not_in_module(first, module);
        }
        if let Some(stop) = self.not_called(first, rest, module) {
            return stop;
        }
        let mut names = all_names(self.study, module);
        let locals = env.locals.clone();
        names.extend(locals.iter().map(|(n, _)| &**n));
        names.extend(words_of(want));
        self.unknown_name(first, module, names, "name")
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
        self.reporter.first_unknown(module, &first.name);
        let span = rest.iter().fold(first.span, |s, i| s.to(i.span));
        Some(self.error(not_called(&full, span)))
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
            return Err(self.error(member_of_label(first, next, extra)));
        }
        let args =
            Record::of([("axis", Value::Str(first.name.clone())), ("label", Value::Str(next.name.clone()))]);
        Ok(Value::call("label", args))
    }

    pub(super) fn entry_value(&mut self, axis: AxisId, i: usize, span: Span) -> Eval {
        self.reads(Item::Axis(axis));
        self.axis(axis, span).entries.get(i).map_or(Err(Stop::Reported), |e| e.value.clone())
    }
}

/// The words that a type takes.
pub(super) fn words_of(want: Option<&Type>) -> Vec<&'static str> {
    match want {
        Some(Type::Word(words)) => words.clone(),
        Some(Type::Either(any)) => any.iter().flat_map(|t| words_of(Some(t))).collect(),
        Some(Type::List(inner)) => words_of(Some(inner)),
        _ => Vec::new(),
    }
}

/// What has a name and no value.
enum Unvalued {
    Module,
    Def,
    Output,
}

fn no_value(ident: &Ident, what: &Unvalued) -> Diagnostic {
    let name = &ident.name;
    let (kind, label, help) = match what {
        Unvalued::Module => ("a module", "a module", format!("name what you want of it: `{name}.…`")),
        Unvalued::Def => ("a def", "a def", format!("call it: `{name}(…)`")),
        Unvalued::Output => {
            ("an output", "a table, claim, report or profile", "use the stage it is made of".to_owned())
        }
    };
    let message = format!("`{name}` is {kind}, not a value");
    Diagnostic::error(Code::Mismatch, message, ident.span, label).help(help)
}

fn not_called(full: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::Mismatch, format!("`{full}` is called"), span, "no arguments given")
        .help(format!("write `{full}(…)`"))
}

fn member_of_label(axis: &Ident, label: &Ident, member: &Ident) -> Diagnostic {
    let (axis, label) = (&axis.name, &label.name);
    let message = format!("`{axis}.{label}` is a label, and a label has no members");
    Diagnostic::error(Code::FreeAxis, message, member.span, "asked of a label")
        .help(format!("bind `{axis}` with `for`, or pick a cell: `…[{axis} = {label}]`"))
}
