//! Small built-in forms (`near`, `len`, `steps`, `hf`, …), and how forms take their arguments.

use std::sync::Arc;

use super::env::{Env, Eval, Stop};
use super::expander::Expander;
use super::special::form;
use crate::syntax::ast::{Arg, Expr};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Budget, Input, Name, Pending, Reduction, Value};

impl<'a> Expander<'a> {
    /// Evaluates a form of [`super::special::FORMS`].
    pub(super) fn special(&mut self, name: &'static str, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        match name {
            "mean" => self.reduce(Some(Reduction::Mean), name, args, span, env),
            "sd" => self.reduce(Some(Reduction::Sd), name, args, span, env),
            "min" => self.reduce(Some(Reduction::Min), name, args, span, env),
            "max" => self.reduce(Some(Reduction::Max), name, args, span, env),
            "all" => self.reduce(Some(Reduction::All), name, args, span, env),
            "argmax" | "argmin" => self.reduce(None, name, args, span, env),
            "near" => {
                let [left, right, within] = self.take(name, args, span)?;
                let left = self.number_arg(left, env)?;
                let right = self.number_arg(right, env)?;
                let within = self.number_arg(within, env)?;
                Ok(Value::Pending(Arc::new(Pending::Near { left, right, within })))
            }
            "len" => {
                let [of] = self.take(name, args, span)?;
                self.length(of, env)
            }
            "steps" => {
                let [n] = self.take(name, args, span)?;
                self.steps(n, env)
            }
            "epochs" => {
                let [n] = self.take(name, args, span)?;
                self.epochs(n, env)
            }
            "hf" => {
                let given = self.given(name, args, span)?;
                let name = self.text_arg(given[0], env)?;
                let revision = match given[1] {
                    Some(e) => Some(self.text_arg(Some(e), env)?.to_string()),
                    None => None,
                };
                Ok(Value::Input(Arc::new(Input::Model { name: name.to_string(), revision })))
            }
            "checkpoint" => {
                let [path] = self.take(name, args, span)?;
                let path = self.text_arg(Some(path), env)?;
                let path = self.file_path(&path, env);
                // A folder is a model like one from the hub: the leading slash tells them apart.
                Ok(Value::Input(Arc::new(Input::Model { name: path.display().to_string(), revision: None })))
            }
            "csv" => self.csv(args, span, env),
            _ => Err(self.error(dataset_as_value(name, span))),
        }
    }

    /// `len(of)`.
    fn length(&mut self, of: &'a Expr, env: &Env<'a>) -> Eval {
        let length = match self.axis_of(of, env.module) {
            Some(axis) => self.kept_labels(axis).len(),
            None => match self.eval(of, None, env)? {
                Value::List(l) => l.len(),
                Value::Record(r) => r.len(),
                Value::Str(s) => s.chars().count(),
                other => {
                    let found = self.type_of(&other);
                    return Err(self.mismatch("`len` counts a list, a record or an axis", of.span, &found));
                }
            },
        };
        Ok(Value::Int(length as i64))
    }

    /// `steps(n)`.
    fn steps(&mut self, n: &'a Expr, env: &Env<'a>) -> Eval {
        match self.eval(n, None, env)? {
            Value::Int(n) if n >= 0 => Ok(Value::Budget(Budget::Steps(n as u64))),
            other => {
                let found = self.type_of(&other);
                Err(self.mismatch("`steps` takes a whole number that is not negative", n.span, &found))
            }
        }
    }

    /// `epochs(n)`.
    fn epochs(&mut self, n: &'a Expr, env: &Env<'a>) -> Eval {
        let value = self.eval(n, None, env)?;
        match value.as_f64() {
            Some(x) if x > 0.0 => Ok(Value::Budget(Budget::Epochs(x))),
            _ => {
                let found = self.type_of(&value);
                Err(self.mismatch("`epochs` takes a number above 0", n.span, &found))
            }
        }
    }

    /// The arguments of a form that are all required, in the order of its parameters.
    pub(super) fn take<const N: usize>(
        &mut self,
        form: &'static str,
        args: &'a [Arg],
        span: Span,
    ) -> Eval<[&'a Expr; N]> {
        let all: Vec<&Expr> = self.given(form, args, span)?.into_iter().flatten().collect();
        all.try_into().map_err(|_| Stop::Reported)
    }

    /// The arguments of a form by place or name, in the order of its parameters.
    fn given(&mut self, callee: &'static str, args: &'a [Arg], span: Span) -> Eval<Vec<Option<&'a Expr>>> {
        let params = form(callee).map_or(&[][..], |f| f.params);
        let names: Vec<&str> = params.iter().map(|p| p.name).collect();
        let mut given: Vec<Option<&'a Expr>> = vec![None; names.len()];
        let mut next = 0;
        for arg in args {
            let place = match &arg.name {
                Some(n) => names.iter().position(|k| **k == *n.name),
                None => {
                    next += 1;
                    Some(next - 1).filter(|p| *p < names.len())
                }
            };
            match (place, &arg.name) {
                (Some(p), _) if given[p].is_none() => given[p] = Some(&arg.value),
                (Some(p), _) => return Err(self.twice(names[p], arg.value.span)),
                (None, Some(n)) => return Err(self.unknown_argument(n, callee, &names)),
                (None, None) => return Err(self.too_many(arg, callee, names.len())),
            }
        }
        for (param, value) in params.iter().zip(&given) {
            if value.is_none() && param.default.is_none() {
                return Err(self.missing(param.name, callee, span));
            }
        }
        Ok(given)
    }

    pub(super) fn text_arg(&mut self, e: Option<&'a Expr>, env: &Env<'a>) -> Eval<Name> {
        let Some(e) = e else { return Err(Stop::Reported) };
        match self.eval(e, None, env)? {
            Value::Str(s) => Ok(s),
            other => {
                let found = self.type_of(&other);
                Err(self.mismatch("a text is needed here", e.span, &found))
            }
        }
    }

    fn number_arg(&mut self, e: &'a Expr, env: &Env<'a>) -> Eval {
        let v = self.eval(e, None, env)?;
        self.conform(v, &Type::Float, e.span, "this")
    }
}

/// A form that declares a dataset, used as a value.
fn dataset_as_value(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::Mismatch,
        format!("`{name}` declares a dataset and stands only after `dataset … =`"),
        span,
        "used as a value",
    )
    .help(format!("declare it: `dataset mine: TestCollection = {name} …`"))
}
