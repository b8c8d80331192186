//! Evaluates expressions at a point.

use std::sync::Arc;
use xpipe_base::value::human;

use super::bounds::{LONGEST_RANGE, LONGEST_TEXT, too_large};
use super::conform::an;
use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use super::names::meaning;
use crate::resolve::{AxisId, Declaration};
use crate::syntax::ast::{Arm, Expr, ExprKind, Field, Ident, StrPart};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::unary;
use xpipe_base::value::text::quantity;
use xpipe_base::value::{Name, Pending, Record, UnaryOp, Value};

impl<'a> Expander<'a> {
    /// The value of an expression. `want` only helps to read words and nested calls; fit is checked by the caller.
    pub(super) fn eval(&mut self, e: &'a Expr, want: Option<&Type>, env: &Env<'a>) -> Eval {
        let value = self.eval_unbounded(e, want, env)?;
        match e.kind {
            // Only these put values together, which makes them larger.
            ExprKind::List(_)
            | ExprKind::Record(_)
            | ExprKind::Str(_)
            | ExprKind::Call { .. }
            | ExprKind::Unary { .. }
            | ExprKind::Binary { .. }
            | ExprKind::If { .. } => self.bounded(value, e.span),
            _ => Ok(value),
        }
    }

    fn eval_unbounded(&mut self, e: &'a Expr, want: Option<&Type>, env: &Env<'a>) -> Eval {
        match &e.kind {
            ExprKind::Error => Err(Stop::Reported),
            ExprKind::Bool(b) => Ok(Value::Bool(*b)),
            ExprKind::Int(i) => Ok(Value::Int(*i)),
            ExprKind::Float(x) => Ok(Value::Float(*x)),
            ExprKind::Quantity { value, unit } => {
                quantity(*value, unit).map_err(|help| self.no_unit(unit, e.span, help))
            }
            ExprKind::Raw(text) => Ok(Value::Str(text.clone())),
            ExprKind::Str(parts) => self.string(parts, e.span, env),
            ExprKind::List(items) => self.list_literal(items, want, env),
            ExprKind::Record(fields) => self.record(fields, env).map(Value::Record),
            ExprKind::Path(path) => self.path(path, want, env),
            ExprKind::Member { of, name } => {
                let of = self.eval(of, None, env)?;
                self.member(&of, name, env)
            }
            ExprKind::Index { of, args } => self.index(of, args, want, env),
            ExprKind::Call { path, args, .. } => self.call(path, args, e.span, env),
            ExprKind::Unary { op, of } => self.unary(*op, of, e.span, env),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, e.span, env),
            ExprKind::In { left, right } => self.membership(left, right, env),
            ExprKind::Range { from, to } => self.range(from, to, e.span, env),
            ExprKind::If { condition, then, other } => self.choose(condition, then, other, want, env),
            ExprKind::Match { subject, arms, subject_span } => {
                self.match_(subject, *subject_span, arms, want, env)
            }
        }
    }

    fn list_literal(&mut self, items: &'a [Expr], want: Option<&Type>, env: &Env<'a>) -> Eval {
        let inner = list_item(want);
        let mut values = Vec::with_capacity(items.len());
        let mut stop = None;
        for item in items {
            match self.eval(item, inner, env) {
                Ok(v) => values.push(v),
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or_else(|| Ok(Value::list(values)), Err)
    }

    fn unary(&mut self, op: UnaryOp, of: &'a Expr, span: Span, env: &Env<'a>) -> Eval {
        match self.eval(of, None, env)? {
            v @ Value::Pending(_) => Ok(Value::Pending(Arc::new(Pending::Unary { op, of: v }))),
            v => unary(op, &v).map_err(|why| self.misfit(why, span, &[&v])),
        }
    }

    fn range(&mut self, from: &'a Expr, to: &'a Expr, span: Span, env: &Env<'a>) -> Eval {
        match (self.eval(from, None, env)?, self.eval(to, None, env)?) {
            (Value::Int(a), Value::Int(b)) if a <= b => {
                if b.saturating_sub(a) < LONGEST_RANGE {
                    return Ok(Value::list((a..=b).map(Value::Int).collect()));
                }
                Err(self.error(long_range(b.abs_diff(a).saturating_add(1), span)))
            }
            (from, to) => Err(self.error(no_range(&from, &to, span))),
        }
    }

    /// `if … then … else …`; of a condition that is not known yet, both values are kept.
    fn choose(
        &mut self,
        condition: &'a Expr,
        then: &'a Expr,
        other: &'a Expr,
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        match self.eval(condition, None, env)? {
            Value::Bool(true) => self.eval(then, want, env),
            Value::Bool(false) => self.eval(other, want, env),
            c @ Value::Pending(_) => {
                let then = self.eval(then, want, env)?;
                let other = self.eval(other, want, env)?;
                Ok(Value::Pending(Arc::new(Pending::If { condition: c, then, other })))
            }
            v => {
                let found = self.type_of(&v);
                Err(self.error(no_condition(&found, condition.span)))
            }
        }
    }

    fn match_(
        &mut self,
        subject: &'a [Ident],
        span: Span,
        arms: &'a [Arm],
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        let Some(axis) = self.match_axis(subject, span, env) else { return Err(Stop::Reported) };
        self.reads(Item::Axis(axis));
        let Some(at) = env.at(axis) else { return Err(self.free_axis(axis, span, "this `match`")) };
        let label = self.axis_label(axis, at).ok_or(Stop::Reported)?;
        let arm = arms.iter().find(|arm| {
            let mut labels = arm.labels.iter();
            arm.labels.is_empty()
                || labels.any(|l| l.name == label || self.label_place(axis, &l.name, l.span) == Some(at))
        });
        // A label without an arm was reported where names are checked.
        arm.map_or(Err(Stop::Reported), |arm| self.eval(&arm.value, want, env))
    }

    /// Reports a quantity with an unknown unit.
    pub(super) fn no_unit(&mut self, unit: &str, span: Span, help: String) -> Stop {
        self.error(unknown_unit(unit, span, help))
    }

    pub(super) fn record(&mut self, fields: &'a [Field], env: &Env<'a>) -> Eval<Record> {
        let mut out: Vec<(Name, Value)> = Vec::with_capacity(fields.len());
        let mut stop = None;
        for f in fields {
            if out.iter().any(|(n, _)| *n == f.name.name) {
                stop = Some(self.twice(&f.name.name, f.name.span));
                continue;
            }
            let value = match &f.value {
                Some(v) => self.eval(v, None, env),
                None => self.name_value(&f.name, None, env),
            };
            match value {
                Ok(v) => out.push((f.name.name.clone(), v)),
                Err(s) => stop = Some(s),
            }
        }
        stop.map_or_else(|| Ok(Record::new(out)), Err)
    }

    /// A string with expressions in it; one that is not known yet makes the whole text one that is not.
    fn string(&mut self, parts: &'a [StrPart], span: Span, env: &Env<'a>) -> Eval {
        let mut text = String::new();
        let mut before: Vec<Value> = Vec::new();
        for part in parts {
            if text.len() > LONGEST_TEXT {
                let why = format!("is a text of more than {} bytes", human::thousands(LONGEST_TEXT as u64));
                return Err(self.error(too_large(&why, span)));
            }
            let e = match part {
                StrPart::Text(t) => {
                    text.push_str(t);
                    continue;
                }
                StrPart::Expr(e) => e,
            };
            if let Some((axis, label)) = self.label_in_text(e, env) {
                self.reads(Item::Axis(axis));
                text.push_str(&label);
                continue;
            }
            match self.eval(e, None, env)? {
                pending @ Value::Pending(_) => {
                    before.push(Value::str(&std::mem::take(&mut text)));
                    before.push(pending);
                }
                known => text.push_str(&known.to_string()),
            }
        }
        if before.is_empty() {
            return Ok(Value::str(&text));
        }
        before.push(Value::str(&text));
        Ok(Value::Pending(Arc::new(Pending::Text { parts: before })))
    }

    /// An axis in a string is its label. The text may go into a key: however the study spells a number, it is the same.
    fn label_in_text(&self, e: &Expr, env: &Env<'a>) -> Option<(AxisId, Name)> {
        let ExprKind::Path(path) = &e.kind else { return None };
        let Some(Declaration::Axis(axis)) = meaning(self.study, env.module, path).filter(|_| path.len() == 1)
        else {
            return None;
        };
        let entry = self.memo.entry(axis, env.at(axis)?)?;
        let label = entry.listed.as_ref().map_or_else(|| entry.label.clone(), |v| v.to_string().into());
        Some((axis, label))
    }
}

/// What a list holds where a type is wanted.
fn list_item(want: Option<&Type>) -> Option<&Type> {
    match want {
        Some(Type::List(inner)) => Some(inner),
        Some(Type::Either(any)) => any.iter().find_map(|t| list_item(Some(t))),
        _ => None,
    }
}

fn unknown_unit(unit: &str, span: Span, help: String) -> Diagnostic {
    let message = format!("`{unit}` is not a unit");
    Diagnostic::error(Code::Unit, message, span, "a number with an unknown unit").help(help)
}

fn long_range(numbers: u64, span: Span) -> Diagnostic {
    let message = format!("a range has at most {} numbers", human::thousands(LONGEST_RANGE as u64));
    Diagnostic::error(Code::TooLarge, message, span, format!("this has {}", human::thousands(numbers)))
        .help("write fewer, or a list of those that are needed")
}

fn no_range(from: &Value, to: &Value, span: Span) -> Diagnostic {
    let label = format!("from {from} to {to}");
    Diagnostic::error(Code::Mismatch, "`..` goes from a smaller to a larger whole number", span, label)
        .help("write `1 .. 5` for [1, 2, 3, 4, 5]")
}

fn no_condition(found: &Type, span: Span) -> Diagnostic {
    let label = format!("this is {}", an(found));
    Diagnostic::error(Code::Mismatch, "a condition must be true or false", span, label)
        .help("compare it: `if x == y then … else …`")
}
