//! Forms that bind axes: `mean … over`, `argmax`, indexes and membership, and lists of labels.

use std::sync::Arc;

use super::conform::show;
use super::expand::{Env, Eval, Expander, Item, Stop};
use super::{Choice, Cut};
use crate::resolve::{AxisId, ModuleId, Named};
use crate::syntax::ast::{self, Arg, Expr, ExprKind, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::pending::{PendingCell, binary};
use xpipe_base::value::{BinaryOp, Name, Pending, Record, Reduction, Value};

impl<'a> Expander<'a> {
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
    pub(super) fn over(&mut self, e: &'a Expr, env: &Env<'a>) -> Eval<Vec<(AxisId, Vec<usize>)>> {
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

    pub(super) fn reduce(
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
            return Err(Stop::Cut(Cut::Only));
        }
        let looked_at = over.iter().fold(1u64, |n, (_, labels)| n.saturating_mul(labels.len() as u64));
        self.reducible(looked_at, span)?;
        let mut cut = None;
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
                Err(Stop::Cut(why)) => cut = cut.or(Some(why)),
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
            return Err(Stop::Cut(cut.unwrap_or(Cut::Where)));
        }
        let pending = match how {
            Some(how) => Pending::Reduce { how, cells },
            None => {
                self.chooses(&cells, span);
                Pending::Arg { largest: name == "argmax", cells }
            }
        };
        let value = Value::Pending(Arc::new(pending));
        if how.is_none() {
            self.choice(&value, env);
        }
        Ok(value)
    }

    /// Remembers what is chosen, once for all points that choose the same: with the labels that these have in common.
    fn choice(&mut self, value: &Value, env: &Env<'a>) {
        let here: Vec<(Name, Name)> = env
            .bound
            .iter()
            .filter_map(|(axis, i)| {
                Some((self.study.axis(*axis).0.name.clone(), self.axis_label(*axis, *i)?))
            })
            .collect();
        let key = (env.row.to_string(), Self::fingerprint(value));
        match self.choices.get_mut(&key) {
            Some(known) => known.at.retain(|label| here.contains(label)),
            None => {
                let choice = Choice { name: key.0.clone(), at: here, value: value.clone() };
                self.choices.insert(key, choice);
            }
        }
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
                        Some(_) => return Err(Stop::Cut(Cut::Where)),
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
            Err(Stop::Cut(Cut::Where)) if inner.bound != env.bound && !self.cut_by_only(&inner) => Err(self
                .error(
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
                self.label_of_value(axis, &value, e.span)
            }
        }
    }

    /// The place of the label that a value names: one made of just this value, else one of its text.
    fn label_of_value(&mut self, axis: AxisId, value: &Value, span: Span) -> Eval<usize> {
        self.axis(axis, span);
        match self.value_place(axis, value) {
            Some(i) => {
                self.reads(Item::Axis(axis));
                Ok(i)
            }
            None => self.label_at(axis, &show(value), span),
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
                            self.reads(Item::Let(id));
                            let l = self.study.let_(id);
                            let inner = self.study.lets[id.0].module;
                            let first = *self.lists.entry(id).or_insert(axis);
                            if first != axis && matches!(l.value.kind, ExprKind::List(_)) {
                                return Err(self.list_of_another(ident, first, axis));
                            }
                            return self.labels_in(axis, &l.value, inner);
                        }
                        Some(Named::Param(id)) if i + 1 == path.len() => {
                            self.reads(Item::Param(id));
                            let Value::List(items) = self.param(id, ident.span)? else { break };
                            return items.iter().map(|v| self.label_of_value(axis, v, e.span)).collect();
                        }
                        Some(Named::Broken) => return Err(Stop::Reported),
                        None if at != module => return Err(self.not_in_module(ident, at)),
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

    /// A list of labels belongs to the axis that it was first used with.
    fn list_of_another(&mut self, list: &Ident, first: AxisId, now: AxisId) -> Stop {
        let (first, now) = (&self.study.axis(first).0.name, &self.study.axis(now).0.name);
        self.error(
            Diagnostic::error(
                Code::Mismatch,
                format!("`{}` is a list of labels of `{first}`, and is used with `{now}`", list.name),
                list.span,
                format!("used with `{now}`"),
            )
            .help(format!("declare a second list for `{now}`")),
        )
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
            self.reads(Item::Axis(axis));
            let Some(at) = env.at(axis) else {
                return Err(self.free_axis(axis, left.span, "this"));
            };
            let labels = self.labels_in(axis, right, env.module)?;
            return Ok(Value::Bool(labels.contains(&at)));
        }
        let value = self.eval(left, None, env)?;
        match self.eval(right, None, env)? {
            Value::List(items) => {
                // As `value == a or value == b …`, so that numbers that are not known yet are waited for.
                let span = left.span.to(right.span);
                let mut found = Value::Bool(false);
                for item in items.iter() {
                    let equal = self.compared(BinaryOp::Eq, (&value, left), (item, right), span, env)?;
                    found = binary(BinaryOp::Or, &found, &equal).map_err(|_| Stop::Reported)?;
                }
                Ok(found)
            }
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
        // An axis that could not be read may have any label.
        let in_axis = |name: &Name| {
            self.axes.iter().flatten().any(|a| a.broken || a.entries.iter().any(|e| e.label == *name))
        };
        names.iter().any(|n| self.study.named(module, &n.name).is_none())
            && names.iter().filter(|n| in_axis(&n.name)).count() * 2 >= names.len()
    }
}
