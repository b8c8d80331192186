//! Evaluates expressions at a point.

use std::sync::Arc;

use super::bounds::{LONGEST_RANGE, LONGEST_TEXT, count};
use super::conform::{quantity, show};
use super::expand::{Env, Eval, Expander, Item, Stop};
use crate::syntax::ast::{Expr, ExprKind, Field, StrPart};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::{binary, symbol, unary};
use xpipe_base::value::{BinaryOp, Name, Pending, Record, Unresolved, Value};

impl<'a> Expander<'a> {
    /// The value of an expression. `want` only helps to read words and nested calls; fit is checked by the caller.
    pub(super) fn eval(&mut self, e: &'a Expr, want: Option<&Type>, env: &Env<'a>) -> Eval {
        let value = self.unbounded(e, want, env)?;
        match e.kind {
            // Only what puts values together makes them larger.
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

    fn unbounded(&mut self, e: &'a Expr, want: Option<&Type>, env: &Env<'a>) -> Eval {
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
            ExprKind::List(items) => {
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
            ExprKind::Record(fields) => self.record(fields, env).map(Value::Record),
            ExprKind::Path(path) => self.path(path, want, env),
            ExprKind::Member { of, name } => {
                let of = self.eval(of, None, env)?;
                self.member(&of, name, env)
            }
            ExprKind::Index { of, args } => self.index(of, args, want, env),
            ExprKind::Call { path, args, .. } => self.call(path, args, e.span, env),
            ExprKind::Unary { op, of } => match self.eval(of, None, env)? {
                v @ Value::Pending(_) => Ok(Value::Pending(Arc::new(Pending::Unary { op: *op, of: v }))),
                v => unary(*op, &v).map_err(|why| self.misfit(why, e.span, &[&v])),
            },
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, e.span, env),
            ExprKind::In { left, right } => self.membership(left, right, env),
            ExprKind::Range { from, to } => {
                let (from, to) = (self.eval(from, None, env)?, self.eval(to, None, env)?);
                match (&from, &to) {
                    (Value::Int(a), Value::Int(b)) if a <= b && b.saturating_sub(*a) < LONGEST_RANGE => {
                        Ok(Value::list((*a..=*b).map(Value::Int).collect()))
                    }
                    (Value::Int(a), Value::Int(b)) if a <= b => {
                        let numbers = b.abs_diff(*a).saturating_add(1);
                        Err(self.error(
                            Diagnostic::error(
                                Code::TooLarge,
                                format!("a range has at most {} numbers", count(LONGEST_RANGE as u64)),
                                e.span,
                                format!("this has {}", count(numbers)),
                            )
                            .help("write fewer, or a list of those that are needed"),
                        ))
                    }
                    _ => Err(self.error(
                        Diagnostic::error(
                            Code::Mismatch,
                            "`..` goes from a smaller to a larger whole number",
                            e.span,
                            format!("from {} to {}", show(&from), show(&to)),
                        )
                        .help("write `1 .. 5` for [1, 2, 3, 4, 5]"),
                    )),
                }
            }
            ExprKind::If { condition, then, other } => match self.eval(condition, None, env)? {
                Value::Bool(true) => self.eval(then, want, env),
                Value::Bool(false) => self.eval(other, want, env),
                c @ Value::Pending(_) => {
                    let then = self.eval(then, want, env)?;
                    let other = self.eval(other, want, env)?;
                    Ok(Value::Pending(Arc::new(Pending::If { condition: c, then, other })))
                }
                v => {
                    let found = self.type_of(&v);
                    Err(self.error(
                        Diagnostic::error(
                            Code::Mismatch,
                            "a condition must be true or false",
                            condition.span,
                            format!("this is {}", super::expand::an(&found)),
                        )
                        .help("compare it: `if x == y then … else …`"),
                    ))
                }
            },
            ExprKind::Match { subject, arms, subject_span } => {
                let Some(axis) = self.match_axis(subject, *subject_span, env) else {
                    return Err(Stop::Reported);
                };
                self.reads(Item::Axis(axis));
                let Some(at) = env.at(axis) else {
                    return Err(self.free_axis(axis, *subject_span, "this `match`"));
                };
                let label = self.axis_label(axis, at).ok_or(Stop::Reported)?;
                let arm = arms.iter().find(|arm| {
                    let mut labels = arm.labels.iter();
                    arm.labels.is_empty()
                        || labels
                            .any(|l| l.name == label || self.label_place(axis, &l.name, l.span) == Some(at))
                });
                // A label without an arm was reported where names are checked.
                arm.map_or(Err(Stop::Reported), |arm| self.eval(&arm.value, want, env))
            }
        }
    }

    pub(super) fn no_unit(&mut self, unit: &str, span: Span, help: String) -> Stop {
        self.error(
            Diagnostic::error(
                Code::Unit,
                format!("`{unit}` is not a unit"),
                span,
                "a number with an unknown unit",
            )
            .help(help),
        )
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

    /// A label inside a string, which may go into a key: however the study spells a number, it is one text.
    fn label_text(&self, axis: crate::resolve::AxisId, at: usize) -> Option<Name> {
        let entry = self.axes[axis.0].as_ref()?.entries.get(at)?;
        Some(entry.listed.as_ref().map_or_else(|| entry.label.clone(), |v| show(v).into()))
    }

    pub(super) fn twice(&mut self, name: &str, span: Span) -> Stop {
        self.error(
            Diagnostic::error(
                Code::DeclaredTwice,
                format!("`{name}` is given twice"),
                span,
                "given again here",
            )
            .help("keep one of them"),
        )
    }

    fn string(&mut self, parts: &'a [StrPart], span: Span, env: &Env<'a>) -> Eval {
        let mut text = String::new();
        // What is known only after a stage has run makes the text one that is, too.
        let mut before: Vec<Value> = Vec::new();
        for part in parts {
            if text.len() > LONGEST_TEXT {
                return Err(self.too_large("is a text of more than 1,048,576 bytes", span));
            }
            match part {
                StrPart::Text(t) => text.push_str(t),
                StrPart::Expr(e) => {
                    // An axis in a string is its label.
                    if let ExprKind::Path(p) = &e.kind
                        && let [ident] = p.as_slice()
                        && let Some(crate::resolve::Named::Axis(axis)) =
                            self.study.named(env.module, &ident.name)
                        && let Some(label) = env.at(axis).and_then(|i| self.label_text(axis, i))
                    {
                        self.reads(Item::Axis(axis));
                        text.push_str(&label);
                        continue;
                    }
                    match self.eval(e, None, env)? {
                        pending @ Value::Pending(_) => {
                            before.push(Value::str(&std::mem::take(&mut text)));
                            before.push(pending);
                        }
                        known => text.push_str(&show(&known)),
                    }
                }
            }
        }
        if before.is_empty() {
            return Ok(Value::str(&text));
        }
        before.push(Value::str(&text));
        Ok(Value::Pending(Arc::new(Pending::Text { parts: before })))
    }

    fn binary(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr, span: Span, env: &Env<'a>) -> Eval {
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne)
            && let Some(equal) = self.same_label(left, right, env)?
        {
            return Ok(Value::Bool(equal == (op == BinaryOp::Eq)));
        }
        let l = self.eval(left, None, env);
        if let (BinaryOp::And, Ok(Value::Bool(false))) | (BinaryOp::Or, Ok(Value::Bool(true))) = (op, &l) {
            return l;
        }
        let r = self.eval(right, None, env);
        let (l, r) = (l?, r?);
        if super::compare::compares(op) {
            return self.compared(op, (&l, left), (&r, right), span, env);
        }
        if !matches!(l, Value::Pending(_)) && !matches!(r, Value::Pending(_)) {
            return binary(op, &l, &r).map_err(|why| self.misfit(why, span, &[&l, &r]));
        }
        // Types of pending operands are known: numbers under arithmetic.
        for (v, e) in [(&l, left), (&r, right)] {
            let t = self.type_of(v);
            let fits = match op {
                BinaryOp::Or | BinaryOp::And => t.fits(&Type::Bool),
                _ => t.fits(&Type::Float) || t == Type::Int,
            };
            if !fits {
                return Err(self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        format!("`{}` does not take a {t}", symbol(op)),
                        e.span,
                        format!("this is a {t}"),
                    )
                    .help("compare numbers with numbers"),
                ));
            }
        }
        binary(op, &l, &r).map_err(|why| self.misfit(why, span, &[&l, &r]))
    }

    /// `backbone == backbone.bert_base`: compares labels when one side names a label of an axis.
    fn same_label(&mut self, left: &'a Expr, right: &'a Expr, env: &Env<'a>) -> Eval<Option<bool>> {
        let axis_of = |s: &Self, e: &Expr| match &e.kind {
            ExprKind::Path(p) if p.len() == 1 => match s.study.named(env.module, &p[0].name) {
                Some(crate::resolve::Named::Axis(a)) => Some(a),
                _ => None,
            },
            _ => None,
        };
        for (a, b) in [(left, right), (right, left)] {
            if let (Some(axis), ExprKind::Path(p)) = (axis_of(self, a), &b.kind)
                && p.len() == 2
                && let Some(crate::resolve::Named::Axis(other)) = self.study.named(env.module, &p[0].name)
                && other == axis
            {
                let wanted = self.label_at(axis, &p[1].name, p[1].span)?;
                let Some(at) = env.at(axis) else {
                    return Err(self.free_axis(axis, a.span, "this comparison"));
                };
                return Ok(Some(at == wanted));
            }
        }
        Ok(None)
    }

    pub(super) fn misfit(&mut self, why: Unresolved, span: Span, operands: &[&Value]) -> Stop {
        let types: Vec<String> = operands.iter().map(|v| self.type_of(v).to_string()).collect();
        let (message, help) = match why {
            Unresolved::NotANumber => (
                "the result is not a number that can be stored".to_owned(),
                "look for a division by zero or an overflow",
            ),
            Unresolved::Mismatch(op) if op.starts_with('+') && op.len() > 1 => {
                ("both records have this field".to_owned(), "`+` joins records whose fields differ")
            }
            Unresolved::Mismatch(op) => (
                format!("`{op}` does not fit {}", types.join(" and ")),
                "both sides must be numbers, or of one kind for `==` and `+`",
            ),
            Unresolved::Missing(_) | Unresolved::Empty => (why.to_string(), "run what it needs first"),
        };
        self.error(Diagnostic::error(Code::Mismatch, message, span, types.join(" and ")).help(help))
    }
}

fn list_item(want: Option<&Type>) -> Option<&Type> {
    match want {
        Some(Type::List(inner)) => Some(inner),
        Some(Type::Either(any)) => any.iter().find_map(|t| list_item(Some(t))),
        _ => None,
    }
}
