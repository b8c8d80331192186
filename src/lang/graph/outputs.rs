//! Tables, claims and reports: expressions over results, laid out.

use std::rc::Rc;

use super::expand::{Env, Eval, Expander, Stop};
use super::items::fields_of;
use super::left::Left;
use super::titles::{only_member, text_of};
use super::{Claim, Graph, Published, Report, Table, TestSpec};
use crate::resolve::{AxisId, ModuleId, Named};
use crate::syntax::ast::{Expr, ExprKind, Field, Ident, Item, ItemKind, Sweep};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Value};

impl<'a> Expander<'a> {
    pub(super) fn output(&mut self, item: &'a Item, graph: &mut Graph) {
        let (name, sweep, fields, is_table) = match &item.kind {
            ItemKind::Table { name, sweep, fields, .. } => (name, sweep, fields, true),
            ItemKind::Claim { name, sweep, fields, .. } => (name, sweep, fields, false),
            _ => return,
        };
        let module = ModuleId(0);
        let kind = if is_table { "table" } else { "claim" };
        if !self.known_fields(kind, fields) {
            return;
        }
        let Some(axes) = self.sweep_axes(sweep.as_ref(), module) else { return };
        let sweep = sweep.as_ref();
        if is_table {
            self.table(name, fields, (&axes, sweep), item.span, graph);
        } else {
            self.claim(name, fields, (&axes, sweep), item.span, graph);
        }
    }

    fn known_fields(&mut self, kind: &str, fields: &'a [Field]) -> bool {
        let known = fields_of(kind);
        let mut fine = true;
        let mut seen: Vec<&Name> = Vec::new();
        for f in fields {
            if !known.contains(&&*f.name.name) {
                fine = false;
                self.unknown_argument(&f.name, kind, &known);
            }
            if seen.contains(&&f.name.name) {
                fine = false;
                self.twice(&f.name.name, f.name.span);
            }
            seen.push(&f.name.name);
        }
        fine
    }

    fn labels_at(&self, axes: &[AxisId], point: &[usize]) -> Vec<Name> {
        axes.iter().zip(point).filter_map(|(a, i)| self.axis_label(*a, *i)).collect()
    }

    fn claim(
        &mut self,
        name: &'a Ident,
        fields: &'a [Field],
        (axes, sweep): (&[AxisId], Option<&'a Sweep>),
        span: Span,
        graph: &mut Graph,
    ) {
        let Some(expect) = value_of(fields, "expect") else {
            self.missing("expect", "claim", name.span);
            return;
        };
        if !self.countable("claim", name, axes) {
            return;
        }
        let mut left = Left::default();
        self.each_point(axes, &mut |e, point| {
            let mut env = e.env_at(ModuleId(0), axes, point);
            env.row = Rc::from(&*name.name);
            let kept = e.kept_by_where(sweep, &env);
            if kept.is_err() {
                return left.count(&kept);
            }
            let labels = e.labels_at(axes, point);
            let text = match value_of(fields, "text").map(|t| e.eval(t, None, &env)) {
                Some(Ok(v)) => text_of(v),
                _ => Value::Str(name.name.clone()),
            };
            let value = e
                .eval(expect, Some(&Type::Bool), &env)
                .and_then(|v| e.conform(v, &Type::Bool, expect.span, "`expect`"));
            left.count(&value);
            let expect = match value {
                Ok(v) => Ok(v),
                Err(Stop::Cut(why)) => Err(why),
                Err(Stop::Reported) => return,
            };
            graph.claims.push(Claim { name: name.name.to_string(), span, labels, text, expect });
        });
        self.nothing_left(&left, "claim", name);
    }

    fn table(
        &mut self,
        name: &'a Ident,
        fields: &'a [Field],
        (axes, sweep): (&[AxisId], Option<&'a Sweep>),
        span: Span,
        graph: &mut Graph,
    ) {
        let module = ModuleId(0);
        let Some(value) = value_of(fields, "value") else {
            self.missing("value", "table", name.span);
            return;
        };
        let side = |e: &mut Self, which: &str| -> Option<AxisId> {
            let Some(expr) = value_of(fields, which) else {
                // `rows` alone is enough for a table of one column.
                if which == "rows" {
                    e.missing(which, "table", name.span);
                }
                return None;
            };
            match &expr.kind {
                ExprKind::Path(p) if p.len() == 1 => e.axis_named(&p[0], module).ok(),
                ExprKind::Error => None,
                _ => {
                    e.error(
                        Diagnostic::error(
                            Code::NotAnAxis,
                            format!("`{which}` must be an axis"),
                            expr.span,
                            "not the name of an axis",
                        )
                        .help(format!("write `{which} = axis`")),
                    );
                    None
                }
            }
        };
        let Some(rows) = side(self, "rows") else { return };
        let columns = side(self, "columns");
        if value_of(fields, "columns").is_some() && columns.is_none() {
            return;
        }
        let axes_of_sides: Vec<AxisId> = [Some(rows), columns].into_iter().flatten().collect();
        let Ok(layout) = self.layout(fields, &axes_of_sides) else { return };
        let sides: Vec<Name> = axes_of_sides.iter().map(|a| self.study.axis(*a).0.name.clone()).collect();
        if let (Some(test), Some(at)) = (&layout.test, value_of(fields, "test"))
            && !sides.contains(&test.against.0)
        {
            self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!(
                        "`against` is a label of `{}`, which is neither rows nor columns",
                        test.against.0
                    ),
                    at.span,
                    "nothing of this table to compare with",
                )
                .help(format!("compare with a label of {}", sides.join(" or "))),
            );
            return;
        }
        let all: Vec<AxisId> = axes.iter().copied().chain([rows]).chain(columns).collect();
        if !self.countable("table", name, &all) {
            return;
        }
        let spread = value_of(fields, "spread");
        let Ok(published) = self.published(fields) else { return };
        let both: Vec<AxisId> = [Some(rows), columns].into_iter().flatten().collect();
        let Ok(names) = self.printed_names(fields, &both) else { return };
        let mut left = Left::default();
        self.each_point(axes, &mut |e, point| {
            let mut env = e.env_at(module, axes, point);
            env.row = Rc::from(&*name.name);
            let kept = e.kept_by_where(sweep, &env);
            if kept.is_err() {
                return left.count(&kept);
            }
            let title = match value_of(fields, "title").map(|t| e.eval(t, None, &env)) {
                Some(Ok(v)) => text_of(v),
                _ => Value::Str(name.name.clone()),
            };
            let row_labels = e.kept_labels(rows);
            let column_labels = columns.map_or_else(|| vec![0], |c| e.kept_labels(c));
            let mut grid = |e: &mut Self, expr: &'a Expr| -> Eval<Vec<Vec<Option<Value>>>> {
                let mut out = Vec::new();
                for r in &row_labels {
                    let mut line = Vec::new();
                    for c in &column_labels {
                        let mut at: Env<'a> = env.bind(rows, *r);
                        if let Some(axis) = columns {
                            at = at.bind(axis, *c);
                        }
                        let v = e
                            .eval(expr, None, &at)
                            .and_then(|v| e.conform(v, &Type::Float, expr.span, "a value of a table"));
                        if std::ptr::eq(expr, value) {
                            left.count(&v);
                        }
                        line.push(match v {
                            Ok(v) => Some(v),
                            Err(Stop::Cut(_)) => None,
                            Err(Stop::Reported) => return Err(Stop::Reported),
                        });
                    }
                    out.push(line);
                }
                Ok(out)
            };
            let Ok(values) = grid(e, value) else { return };
            let spread = match spread {
                Some(s) => match grid(e, s) {
                    Ok(g) => Some(g),
                    Err(_) => return,
                },
                None => None,
            };
            let published = match published {
                Some((expr, within)) => match grid(e, expr) {
                    Ok(values) => Some(Published { values, within }),
                    Err(_) => return,
                },
                None => None,
            };
            let measure = only_member(values.iter().flatten().flatten()).unwrap_or_default();
            let axis_side = |e: &Self, axis: AxisId, labels: &[usize]| {
                let names = labels.iter().filter_map(|i| e.axis_label(axis, *i)).collect();
                (e.study.axis(axis).0.name.clone(), names)
            };
            let printed = |e: &Self, axis: Option<AxisId>, labels: &[usize]| match axis {
                Some(axis) => labels.iter().filter_map(|i| e.printed_name(axis, *i, &names)).collect(),
                None => vec![Name::from("value")],
            };
            graph.tables.push(Table {
                name: name.name.to_string(),
                printed: (printed(e, Some(rows), &row_labels), printed(e, columns, &column_labels)),
                span,
                labels: e.labels_at(axes, point),
                title,
                rows: axis_side(e, rows, &row_labels),
                columns: match columns {
                    Some(c) => axis_side(e, c, &column_labels),
                    None => (Name::from(""), vec![Name::from("value")]),
                },
                values,
                spread,
                published,
                measure,
                best_per: layout.best_per.clone(),
                smallest: layout.smallest,
                test: layout.test.clone(),
                digits: layout.digits,
                write: layout.write.clone(),
            });
        });
        self.nothing_left(&left, "table", name);
    }

    /// The published numbers of a table and how far away a number may be: both or neither.
    fn published(&mut self, fields: &'a [Field]) -> Eval<Option<(&'a Expr, f64)>> {
        let (published, within) = match (value_of(fields, "published"), value_of(fields, "within")) {
            (None, None) => return Ok(None),
            (Some(published), Some(within)) => (published, within),
            (Some(given), None) => {
                return Err(self.half("published numbers need `within`", given, "within = 0.01"));
            }
            (None, Some(given)) => {
                return Err(self.half("`within` is a distance to published numbers", given, "published = …"));
            }
        };
        let env = self.env_at(ModuleId(0), &[], &[]);
        let value = self.eval(within, Some(&Type::Float), &env)?;
        let value = self.conform(value, &Type::Float, within.span, "`within`")?;
        match value.as_f64().filter(|x| *x > 0.0) {
            Some(x) => Ok(Some((published, x))),
            None => Err(self.error(
                Diagnostic::error(Code::OutOfRange, "`within` is not above 0", within.span, "no tolerance")
                    .help("write how far a number may be from the published one, for instance `0.01`"),
            )),
        }
    }

    /// One of two fields that only mean something together.
    fn half(&mut self, message: &str, given: &Expr, other: &str) -> Stop {
        let diagnostic = Diagnostic::error(Code::MissingArgument, message, given.span, "given alone");
        self.error(diagnostic.help(format!("add `{other}`")))
    }

    /// The label that a test compares with: `axis.label`, or a number or text that is a value of the rows or columns.
    fn reference(&mut self, given: &Value, sides: &[AxisId], span: Span) -> Eval<(Name, Name)> {
        if let Some(call) = given.as_call().filter(|c| &*c.name == "label") {
            let get = |n: &str| call.args.get(n).and_then(Value::as_str).map(Name::from);
            if let (Some(axis), Some(label)) = (get("axis"), get("label")) {
                return Ok((axis, label));
            }
        }
        let is_it = |value: &Value, label: &str| match (given.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => value == given || given.as_str() == Some(label),
        };
        let mut found = Vec::new();
        let mut choices = Vec::new();
        for axis in sides {
            let name = self.study.axis(*axis).0.name.clone();
            let state = self.axis(*axis, span);
            if state.broken {
                return Err(Stop::Reported);
            }
            for entry in &state.entries {
                let Ok(value) = &entry.value else { return Err(Stop::Reported) };
                if is_it(value, &entry.label) {
                    found.push((name.clone(), entry.label.clone()));
                }
                choices.push(match value {
                    Value::Int(_)
                    | Value::Float(_)
                    | Value::Bytes(_)
                    | Value::Seconds(_)
                    | Value::Percent(_) => entry.label.to_string(),
                    Value::Str(text) if **text == *entry.label => format!("\"{text}\""),
                    _ => format!("{name}.{}", entry.label),
                });
            }
        }
        match found.as_slice() {
            [one] => return Ok(one.clone()),
            [] => {}
            [..] => {
                return Err(self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        "`against` is a label of the rows and of the columns",
                        span,
                        "may mean either",
                    )
                    .help("give the labels of one axis names: `axis k = { ten = 10, twenty = 20 }`, then `k.ten`"),
                ));
            }
        }
        let more = if choices.len() > 8 { ", …" } else { "" };
        choices.truncate(8);
        Err(self.error(
            Diagnostic::error(
                Code::Mismatch,
                "`against` must be a label of the rows or columns",
                span,
                "no label to compare with",
            )
            .help(format!("write one of `{}`{more}", choices.join("`, `"))),
        ))
    }

    fn layout(&mut self, fields: &'a [Field], sides: &[AxisId]) -> Eval<Layout> {
        let env = self.env_at(ModuleId(0), &[], &[]);
        let typed = |e: &mut Self, name: &str, ty: &str| -> Eval<Option<Value>> {
            let Some(expr) = value_of(fields, name) else { return Ok(None) };
            let ty = Type::parse(ty).unwrap_or(Type::Any);
            let v = e.eval(expr, Some(&ty), &env)?;
            e.conform(v, &ty, expr.span, &format!("`{name}`")).map(Some)
        };
        let mark = typed(self, "mark", "Mark")?;
        let test = typed(self, "test", "Test")?;
        let digits = typed(self, "digits", "Int")?;
        let write = match value_of(fields, "write") {
            None => Vec::new(),
            Some(expr) => {
                let ty = Type::List(Box::new(
                    Type::parse("'html' | 'latex' | 'csv' | 'markdown' | 'parquet'").unwrap_or(Type::Any),
                ));
                let v = self.eval(expr, Some(&ty), &env)?;
                let v = self.conform(v, &ty, expr.span, "`write`")?;
                v.as_list().unwrap_or_default().iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            }
        };
        let word = |v: &Value, n: &str| {
            v.as_call().and_then(|c| c.args.get(n)).and_then(Value::as_str).map(str::to_owned)
        };
        let test = match test.as_ref().and_then(Value::as_call) {
            None => None,
            Some(call) => {
                let span = value_of(fields, "test").map_or(fields[0].span, |e| e.span);
                let given = call.args.get("against").unwrap_or(&Value::Null);
                let (axis, label) =
                    self.reference(given, sides, argument(fields, "test", "against", span))?;
                let alpha = match call.args.get("alpha") {
                    Some(Value::Percent(p)) => p / 100.0,
                    Some(v) => v.as_f64().unwrap_or(0.05),
                    None => 0.05,
                };
                let whole = |n: &str| call.args.get(n).and_then(Value::as_int);
                let correct = call.args.get("correct").and_then(Value::as_str).unwrap_or("holm");
                Some(TestSpec {
                    kind: call.name.to_string(),
                    against: (axis, label),
                    correct: correct.to_owned(),
                    alpha,
                    draws: whole("draws").map_or(10_000, |n| n.max(1) as u64),
                    seed: whole("seed").unwrap_or(0) as u64,
                })
            }
        };
        Ok(Layout {
            best_per: mark.as_ref().map(|m| word(m, "per").unwrap_or_else(|| "row".to_owned())),
            smallest: mark
                .as_ref()
                .and_then(|m| m.as_call()?.args.get("smallest").cloned())
                .is_some_and(|v| v == Value::Bool(true)),
            test,
            digits: digits.and_then(|d| d.as_int()).map_or(3, |d| d.clamp(0, 12) as usize),
            write,
        })
    }

    pub(super) fn report(&mut self, name: &'a Ident, fields: &'a [Field], span: Span, graph: &mut Graph) {
        if !self.known_fields("report", fields) {
            return;
        }
        let mut sections = Vec::new();
        if let Some(list) = value_of(fields, "sections") {
            let items: Vec<&'a Expr> = match &list.kind {
                ExprKind::List(items) => items.iter().collect(),
                _ => vec![list],
            };
            for item in items {
                match &item.kind {
                    ExprKind::Path(p) if p.len() == 1 => match self.study.named(ModuleId(0), &p[0].name) {
                        Some(Named::Output(..)) => sections.push(p[0].name.to_string()),
                        Some(Named::Broken) => {}
                        _ => {
                            let study = self.study;
                            let names: Vec<&str> = study.modules[0]
                                .names
                                .iter()
                                .filter(|(_, (n, _))| matches!(n, Named::Output(..)))
                                .map(|(n, _)| &**n)
                                .collect();
                            self.unknown_name(&p[0], ModuleId(0), names, "table or claim");
                        }
                    },
                    ExprKind::Call { path, args, .. } if path.len() == 1 => {
                        let stages: Vec<String> = args
                            .iter()
                            .filter_map(|a| match &a.value.kind {
                                ExprKind::Path(p) => Some(p[0].clone()),
                                _ => None,
                            })
                            .map(|ident| {
                                if !matches!(
                                    self.study.named(ModuleId(0), &ident.name),
                                    Some(Named::Stage(_) | Named::Broken)
                                ) {
                                    let study = self.study;
                                    let names: Vec<&str> =
                                        study.modules[0].names.keys().map(|n| &**n).collect();
                                    self.unknown_name(&ident, ModuleId(0), names, "stage");
                                }
                                ident.name.to_string()
                            })
                            .collect();
                        sections.push(format!("{}({})", path[0].name, stages.join(", ")));
                    }
                    ExprKind::Error => {}
                    _ => {
                        self.error(
                            Diagnostic::error(
                                Code::Mismatch,
                                "a section is a table, a claim or `costs(stage)`",
                                item.span,
                                "not a section",
                            )
                            .help("name a table or claim of this file"),
                        );
                    }
                }
            }
        }
        let env = self.env_at(ModuleId(0), &[], &[]);
        let html = match value_of(fields, "html") {
            Some(e) => self.text_arg(Some(e), &env).ok().map(|t| t.to_string()),
            None => None,
        };
        if let (Some(path), Some(e)) = (&html, value_of(fields, "html"))
            && !stays_inside(path)
        {
            self.error(
                Diagnostic::error(
                    Code::Mismatch,
                    format!("`{path}` is no place for a page inside the folder of results"),
                    e.span,
                    "the page would be written elsewhere",
                )
                .help("write a relative path without `..` that ends in `.html`"),
            );
        }
        let title = value_of(fields, "title").and_then(|e| match self.eval(e, None, &env).ok()? {
            text @ (Value::Str(_) | Value::Pending(_)) => Some(text),
            other => {
                let found = self.type_of(&other);
                self.mismatch("a text is needed here", e.span, &found);
                None
            }
        });
        graph.reports.push(Report { name: name.name.to_string(), span, title, sections, html });
    }
}

#[derive(Clone, Debug)]
struct Layout {
    best_per: Option<String>,
    smallest: bool,
    test: Option<TestSpec>,
    digits: usize,
    write: Vec<String>,
}

/// Whether a path names a page below the folder that it is taken from.
fn stays_inside(path: &str) -> bool {
    let normal = |part| matches!(part, std::path::Component::Normal(_));
    path.ends_with(".html") && std::path::Path::new(path).components().all(normal)
}

pub(super) fn value_of<'a>(fields: &'a [Field], name: &str) -> Option<&'a Expr> {
    fields.iter().find(|f| &*f.name.name == name).and_then(|f| f.value.as_ref())
}

/// Where an argument of the call in a field stands; the whole field when it is not written.
fn argument(fields: &[Field], field: &str, name: &str, otherwise: Span) -> Span {
    let Some(ExprKind::Call { args, .. }) = value_of(fields, field).map(|e| &e.kind) else {
        return otherwise;
    };
    args.iter()
        .find(|a| a.name.as_ref().is_some_and(|n| &*n.name == name))
        .map_or(otherwise, |a| a.value.span)
}
