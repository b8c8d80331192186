//! Forms that bind axes or read tables: `mean … over`, `argmax`, indexes, membership, `csv`, and small built-ins.

use std::sync::Arc;

use super::conform::show;
use super::expand::{Env, Eval, Expander, Stop};
use crate::diag::{Code, Diagnostic, Span};
use crate::resolve::{AxisId, ModuleId, Named};
use crate::syntax::ast::{self, Arg, Expr, ExprKind, Ident};
use crate::types::Type;
use crate::value::pending::PendingCell;
use crate::value::{Budget, Call, Input, Name, Pending, Record, Reduction, Value};

/// A table read from a CSV file: values by key labels.
#[derive(Clone, Debug)]
pub(super) struct CsvTable {
    pub keys: Vec<AxisId>,
    pub columns: Vec<Name>,
    pub rows: indexmap::IndexMap<Vec<Name>, Vec<Option<f64>>>,
}

impl<'a> Expander<'a> {
    /// Evaluates a form of [`super::call::SPECIAL`].
    pub(super) fn special(
        &mut self,
        name: &'static str,
        args: &'a [Arg],
        span: Span,
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        match name {
            "mean" => self.reduce(Some(Reduction::Mean), name, args, span, env),
            "sd" => self.reduce(Some(Reduction::Sd), name, args, span, env),
            "min" => self.reduce(Some(Reduction::Min), name, args, span, env),
            "max" => self.reduce(Some(Reduction::Max), name, args, span, env),
            "all" => self.reduce(Some(Reduction::All), name, args, span, env),
            "argmax" | "argmin" => self.reduce(None, name, args, span, env),
            "near" => {
                let [left, right, within] = self.take(name, args, &["left", "right", "within"], span)?;
                let left = self.number_arg(left, env)?;
                let right = self.number_arg(right, env)?;
                let within = self.number_arg(within, env)?;
                Ok(Value::Pending(Arc::new(Pending::Near { left, right, within })))
            }
            "len" => {
                let [of] = self.take(name, args, &["of"], span)?;
                if let Some(axis) = self.axis_of(of, env.module) {
                    return Ok(Value::Int(self.kept_labels(axis).len() as i64));
                }
                match self.eval(of, None, env)? {
                    Value::List(l) => Ok(Value::Int(l.len() as i64)),
                    Value::Record(r) => Ok(Value::Int(r.len() as i64)),
                    Value::Str(s) => Ok(Value::Int(s.chars().count() as i64)),
                    other => {
                        let found = self.type_of(&other);
                        Err(self.mismatch("`len` counts a list, a record or an axis", of.span, &found))
                    }
                }
            }
            "steps" => {
                let [n] = self.take(name, args, &["n"], span)?;
                match self.eval(n, None, env)? {
                    Value::Int(n) if n >= 0 => Ok(Value::Budget(Budget::Steps(n as u64))),
                    other => {
                        let found = self.type_of(&other);
                        Err(self.mismatch(
                            "`steps` takes a whole number that is not negative",
                            n.span,
                            &found,
                        ))
                    }
                }
            }
            "epochs" => {
                let [n] = self.take(name, args, &["n"], span)?;
                let v = self.eval(n, None, env)?;
                match v.as_f64() {
                    Some(x) if x > 0.0 => Ok(Value::Budget(Budget::Epochs(x))),
                    _ => {
                        let found = self.type_of(&v);
                        Err(self.mismatch("`epochs` takes a number above 0", n.span, &found))
                    }
                }
            }
            "hf" => {
                let known = ["name", "revision"];
                let given = self.take_some(name, args, &known, 1, span)?;
                let name = self.text_arg(given[0], env)?;
                let revision = match given[1] {
                    Some(e) => Some(self.text_arg(Some(e), env)?.to_string()),
                    None => None,
                };
                Ok(Value::Input(Arc::new(Input::Model { name: name.to_string(), revision })))
            }
            "checkpoint" => {
                let [path] = self.take(name, args, &["path"], span)?;
                let path = self.text_arg(Some(path), env)?;
                let path = self.file_path(&path, env);
                // A folder is a model like one from the hub: the leading slash tells them apart.
                Ok(Value::Input(Arc::new(Input::Model { name: path.display().to_string(), revision: None })))
            }
            "csv" => self.csv(args, span, env),
            _ => {
                let _ = want;
                Err(self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        format!("`{name}` declares a dataset and stands only after `dataset … =`"),
                        span,
                        "used as a value",
                    )
                    .help(format!("declare it: `dataset mine: TestCollection = {name} …`")),
                ))
            }
        }
    }

    fn mismatch(&mut self, message: &str, span: Span, found: &Type) -> Stop {
        self.error(
            Diagnostic::error(Code::Mismatch, message, span, format!("this is {}", super::expand::an(found)))
                .help("change this argument"),
        )
    }

    /// Exactly these arguments, by place or name.
    pub(super) fn take<const N: usize>(
        &mut self,
        callee: &'static str,
        args: &'a [Arg],
        names: &[&str; N],
        span: Span,
    ) -> Eval<[&'a Expr; N]> {
        let given = self.take_some(callee, args, names, N, span)?;
        let all: Vec<&Expr> = given.into_iter().flatten().collect();
        all.try_into().map_err(|_| Stop::Reported)
    }

    /// Arguments by place or name, the first `needed` of which must be given.
    pub(super) fn take_some(
        &mut self,
        callee: &'static str,
        args: &'a [Arg],
        names: &[&str],
        needed: usize,
        span: Span,
    ) -> Eval<Vec<Option<&'a Expr>>> {
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
                (None, Some(n)) => return Err(self.unknown_argument(n, callee, names)),
                (None, None) => return Err(self.too_many(arg, callee, names.len())),
            }
        }
        for (name, value) in names.iter().zip(&given).take(needed) {
            if value.is_none() {
                return Err(self.missing(name, callee, span));
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

    /// The axis an expression names by itself.
    pub(super) fn axis_of(&self, e: &Expr, module: ModuleId) -> Option<AxisId> {
        let ExprKind::Path(path) = &e.kind else { return None };
        let mut at = module;
        for (i, ident) in path.iter().enumerate() {
            match self.study.named(at, &ident.name)? {
                Named::Module(m) => at = m,
                Named::Axis(a) if i + 1 == path.len() => return Some(a),
                _ => return None,
            }
        }
        None
    }

    /// The axes and labels of `over = [a, b in [x, y]]`.
    fn over(&mut self, e: &'a Expr, env: &Env<'a>) -> Eval<Vec<(AxisId, Vec<usize>)>> {
        let items: Vec<&'a Expr> = match &e.kind {
            ExprKind::List(items) => items.iter().collect(),
            _ => vec![e],
        };
        let mut out = Vec::new();
        for item in items {
            match &item.kind {
                ExprKind::In { left, right } => {
                    let axis = self.need_axis(left, env.module)?;
                    let labels = self.labels_in(axis, right, env.module)?;
                    let kept = self.kept_labels(axis);
                    out.push((axis, labels.into_iter().filter(|l| kept.contains(l)).collect()));
                }
                _ => {
                    let axis = self.need_axis(item, env.module)?;
                    out.push((axis, self.kept_labels(axis)));
                }
            }
        }
        Ok(out)
    }

    fn need_axis(&mut self, e: &'a Expr, module: ModuleId) -> Eval<AxisId> {
        if let Some(a) = self.axis_of(e, module) {
            return Ok(a);
        }
        if let ExprKind::Path(path) = &e.kind
            && let [ident] = path.as_slice()
        {
            return self.axis_named(ident, module);
        }
        if matches!(e.kind, ExprKind::Error) {
            return Err(Stop::Reported);
        }
        Err(self.error(
            Diagnostic::error(Code::NotAnAxis, "an axis is needed here", e.span, "not the name of an axis")
                .help("write `over = axis`, or `over = [axis, other in [label, label]]`"),
        ))
    }

    fn reduce(
        &mut self,
        how: Option<Reduction>,
        name: &'static str,
        args: &'a [Arg],
        span: Span,
        env: &Env<'a>,
    ) -> Eval {
        let [body, over] = self.take(name, args, &["of", "over"], span)?;
        let over = self.over(over, env)?;
        let mut cells = Vec::new();
        let mut at = vec![0usize; over.len()];
        if over.iter().any(|(_, l)| l.is_empty()) {
            return Err(Stop::Cut);
        }
        let bool_cells = how == Some(Reduction::All);
        'points: loop {
            let mut inner = env.clone();
            let mut labels: Vec<(Name, Name)> = Vec::new();
            let mut point: Vec<(Name, Value)> = Vec::new();
            for ((axis, choice), i) in over.iter().zip(&at) {
                inner = inner.bind(*axis, choice[*i]);
                let axis_name = self.study.axis(*axis).0.name.clone();
                if let Some(l) = self.axis_label(*axis, choice[*i]) {
                    labels.push((axis_name.clone(), l));
                }
                point.push((axis_name, self.entry_value(*axis, choice[*i], span)?));
            }
            match self.eval(body, None, &inner) {
                Ok(value) => {
                    let wanted = if bool_cells { Type::Bool } else { Type::Float };
                    let value = self.conform(value, &wanted, body.span, "what is reduced")?;
                    cells.push(PendingCell { labels, point: Record::new(point), value });
                }
                Err(Stop::Cut) => {}
                Err(Stop::Reported) => return Err(Stop::Reported),
            }
            let mut k = over.len();
            loop {
                if k == 0 {
                    break 'points;
                }
                k -= 1;
                at[k] += 1;
                if at[k] < over[k].1.len() {
                    break;
                }
                at[k] = 0;
            }
        }
        if cells.is_empty() {
            return Err(Stop::Cut);
        }
        let pending = match how {
            Some(how) => Pending::Reduce { how, cells },
            None => {
                self.sealed(&cells, span)?;
                Pending::Arg { largest: name == "argmax", cells }
            }
        };
        Ok(Value::Pending(Arc::new(pending)))
    }

    /// `g[a = x, b in [x, y]]`.
    pub(super) fn index(
        &mut self,
        of: &'a Expr,
        args: &'a [Arg],
        want: Option<&Type>,
        env: &Env<'a>,
    ) -> Eval {
        let mut inner = env.clone();
        for arg in args {
            match (&arg.name, &arg.value.kind) {
                (Some(axis), _) => {
                    let id = self.axis_named(axis, env.module)?;
                    let label = self.label_of(id, &arg.value, env.module)?;
                    inner = inner.bind(id, label);
                }
                (None, ExprKind::In { left, right }) => {
                    let id = self.need_axis(left, env.module)?;
                    let labels = self.labels_in(id, right, env.module)?;
                    match inner.at(id) {
                        Some(i) if labels.contains(&i) => {}
                        Some(_) => return Err(Stop::Cut),
                        None => return Err(self.free_axis(id, left.span, "this")),
                    }
                }
                (None, ExprKind::Error) => return Err(Stop::Reported),
                (None, _) => {
                    return Err(self.error(
                        Diagnostic::error(
                            Code::NotAnAxis,
                            "an index names its axis",
                            arg.value.span,
                            "no axis named",
                        )
                        .help("write `grid[axis = label]` or `grid[axis in [label, label]]`"),
                    ));
                }
            }
        }
        match self.eval(of, want, &inner) {
            Err(Stop::Cut) if inner.bound != env.bound && !self.cut_by_only(&inner) => Err(self.error(
                Diagnostic::error(
                    Code::CutCell,
                    "the cell picked here is cut away by a `where`",
                    of.span,
                    "this cell does not exist",
                )
                .help("pick another label, or widen the `where` of the stage"),
            )),
            other => other,
        }
    }

    fn cut_by_only(&self, env: &Env<'a>) -> bool {
        env.bound
            .iter()
            .any(|(a, i)| self.axes[a.0].as_ref().and_then(|s| s.entries.get(*i)).is_some_and(|e| !e.kept))
    }

    /// The place of the label an expression names, for a known axis.
    pub(super) fn label_of(&mut self, axis: AxisId, e: &'a Expr, module: ModuleId) -> Eval<usize> {
        match &e.kind {
            ExprKind::Path(path) => match path.as_slice() {
                [ident] => self.label_at(axis, &ident.name, ident.span),
                [first, second] if self.study.named(module, &first.name) == Some(Named::Axis(axis)) => {
                    self.label_at(axis, &second.name, second.span)
                }
                _ => Err(self.error(
                    Diagnostic::error(Code::UnknownLabel, "a label is one name", e.span, "not a label")
                        .help("write the label as the axis declares it"),
                )),
            },
            ExprKind::Error => Err(Stop::Reported),
            _ => {
                let env = self.env_at(module, &[], &[]);
                let value = self.eval(e, None, &env)?;
                self.label_at(axis, &show(&value), e.span)
            }
        }
    }

    /// The places of the labels of a list, or of a let that is a list of labels.
    pub(super) fn labels_in(&mut self, axis: AxisId, e: &'a Expr, module: ModuleId) -> Eval<Vec<usize>> {
        match &e.kind {
            ExprKind::List(items) => {
                let mut out = Vec::new();
                let mut stop = None;
                for item in items {
                    match self.label_of(axis, item, module) {
                        Ok(i) => out.push(i),
                        Err(s) => stop = Some(s),
                    }
                }
                stop.map_or(Ok(out), Err)
            }
            ExprKind::Path(path) => {
                let mut at = module;
                for (i, ident) in path.iter().enumerate() {
                    match self.study.named(at, &ident.name) {
                        Some(Named::Module(m)) => at = m,
                        Some(Named::Let(id)) if i + 1 == path.len() => {
                            let l = self.study.let_(id);
                            let inner = self.study.lets[id.0].module;
                            return self.labels_in(axis, &l.value, inner);
                        }
                        Some(Named::Param(id)) if i + 1 == path.len() => {
                            let Value::List(items) = self.param(id, ident.span)? else { break };
                            return items.iter().map(|v| self.label_at(axis, &show(v), e.span)).collect();
                        }
                        Some(Named::Broken) => return Err(Stop::Reported),
                        None => {
                            let study = self.study;
                            let names: Vec<&str> = study.module(at).names.keys().map(|n| &**n).collect();
                            return Err(self.unknown_name(ident, at, names, "list of labels"));
                        }
                        Some(_) => break,
                    }
                }
                Err(self.not_labels(e.span))
            }
            ExprKind::Error => Err(Stop::Reported),
            _ => Err(self.not_labels(e.span)),
        }
    }

    fn not_labels(&mut self, span: Span) -> Stop {
        self.error(
            Diagnostic::error(
                Code::Mismatch,
                "a list of labels is needed here",
                span,
                "not a list of labels",
            )
            .help("write `[label, label]`, or name a `let` that is such a list"),
        )
    }

    /// `x in list`: labels when an axis is on the left, values otherwise.
    pub(super) fn membership(&mut self, left: &'a Expr, right: &'a Expr, env: &Env<'a>) -> Eval {
        if let Some(axis) = self.axis_of(left, env.module) {
            let Some(at) = env.at(axis) else {
                return Err(self.free_axis(axis, left.span, "this"));
            };
            let labels = self.labels_in(axis, right, env.module)?;
            return Ok(Value::Bool(labels.contains(&at)));
        }
        let value = self.eval(left, None, env)?;
        match self.eval(right, None, env)? {
            Value::List(items) => Ok(Value::Bool(items.contains(&value))),
            other => {
                let found = self.type_of(&other);
                Err(self.mismatch("`in` looks in a list", right.span, &found))
            }
        }
    }

    /// Whether a let is a list of bare names that are labels, not values.
    pub(super) fn label_list(&self, l: &ast::Let, module: ModuleId) -> bool {
        let ExprKind::List(items) = &l.value.kind else { return false };
        let names: Vec<&Ident> = items
            .iter()
            .filter_map(|i| match &i.kind {
                ExprKind::Path(p) if p.len() == 1 => p.first(),
                _ => None,
            })
            .collect();
        if items.is_empty() || names.len() != items.len() {
            return false;
        }
        let in_axis =
            |name: &Name| self.axes.iter().flatten().any(|a| a.entries.iter().any(|e| e.label == *name));
        names.iter().any(|n| self.study.named(module, &n.name).is_none())
            && names.iter().filter(|n| in_axis(&n.name)).count() * 2 >= names.len()
    }

    pub(super) fn file_path(&self, text: &str, env: &Env<'a>) -> std::path::PathBuf {
        let base = if &*env.row == "--set" {
            self.overrides.folder.clone()
        } else {
            self.study.module(env.module).folder.clone().unwrap_or_default()
        };
        crate::resolve::modules::normal(&base.join(text))
    }

    fn csv(&mut self, args: &'a [Arg], span: Span, env: &Env<'a>) -> Eval {
        if let Some(i) = self.csv_known.get(&span) {
            return Ok(csv_value(*i));
        }
        let [path, key] = self.take("csv", args, &["path", "key"], span)?;
        let text = self.text_arg(Some(path), env)?;
        let mut keys = Vec::new();
        for (axis, _) in self.over(key, env)? {
            keys.push(axis);
        }
        let file = self.file_path(&text, env);
        let content = match self.world.read(&file) {
            Ok(c) => c,
            Err(e) => {
                let mut d = Diagnostic::error(
                    Code::MissingFile,
                    format!("cannot read {}: {e}", file.display()),
                    path.span,
                    "this table",
                );
                d.help = Some("paths are relative to the file that writes them".into());
                return Err(self.error(d));
            }
        };
        let table = self.parse_csv(&content, &keys, path.span)?;
        self.csv.push(table);
        let i = self.csv.len() - 1;
        self.csv_known.insert(span, i);
        Ok(csv_value(i))
    }

    fn parse_csv(&mut self, content: &str, keys: &[AxisId], span: Span) -> Eval<CsvTable> {
        let mut lines = content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        let wrong = |e: &mut Self, line: usize, what: String, help: &str| {
            e.error(
                Diagnostic::error(Code::Table, format!("line {}: {what}", line + 1), span, "in this table")
                    .help(help.to_owned()),
            )
        };
        let Some((_, header)) = lines.next() else {
            return Err(wrong(self, 0, "the table is empty".into(), "the first line names the columns"));
        };
        let header: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut key_columns = Vec::new();
        for axis in keys {
            let name = self.study.axis(*axis).0.name.clone();
            match header.iter().position(|h| **h == *name) {
                Some(i) => key_columns.push(i),
                None => {
                    let what = format!("there is no column `{name}`");
                    return Err(wrong(self, 0, what, "each key axis is a column of labels"));
                }
            }
        }
        let value_columns: Vec<usize> = (0..header.len()).filter(|i| !key_columns.contains(i)).collect();
        let mut rows = indexmap::IndexMap::new();
        for (n, line) in lines {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            if fields.len() != header.len() {
                let what = format!("{} fields where the header has {}", fields.len(), header.len());
                return Err(wrong(self, n, what, "every line has as many fields as the first"));
            }
            let key: Vec<Name> = key_columns.iter().map(|i| Name::from(fields[*i])).collect();
            let mut values = Vec::new();
            for i in &value_columns {
                values.push(match fields[*i] {
                    "" => None,
                    text => match text.parse::<f64>() {
                        Ok(x) if x.is_finite() => Some(x),
                        _ => {
                            let what = format!("`{text}` is not a number");
                            return Err(wrong(
                                self,
                                n,
                                what,
                                "leave the field empty where there is no value",
                            ));
                        }
                    },
                });
            }
            if rows.insert(key, values).is_some() {
                return Err(wrong(self, n, "this key was there before".into(), "each key has one line"));
            }
        }
        let columns = value_columns.iter().map(|i| Name::from(header[*i])).collect();
        Ok(CsvTable { keys: keys.to_vec(), columns, rows })
    }

    /// `published.DL19` at the labels bound here.
    pub(super) fn csv_column(&mut self, call: &Call, name: &'a Ident, env: &Env<'a>) -> Eval {
        let index = call.args.get("table").and_then(Value::as_int).unwrap_or(0) as usize;
        let Some(table) = self.csv.get(index).cloned() else { return Err(Stop::Reported) };
        let Some(column) = table.columns.iter().position(|c| *c == name.name) else {
            let known: Vec<&str> = table.columns.iter().map(|c| &**c).collect();
            return Err(self.no_member(name, "this table", &known));
        };
        let point = self.point_of(&table.keys, env, name.span, &name.name)?;
        let key: Vec<Name> =
            table.keys.iter().zip(&point).filter_map(|(a, i)| self.axis_label(*a, *i)).collect();
        match table.rows.get(&key).and_then(|r| r[column]) {
            Some(x) => Ok(Value::Float(x)),
            // No published number for this cell: what compares with it is not evaluated.
            None => Err(Stop::Cut),
        }
    }
}

fn csv_value(index: usize) -> Value {
    Value::call("csv", Record::of([("table", Value::Int(index as i64))]))
}
