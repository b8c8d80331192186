//! Axes: their labels and values.

use std::rc::Rc;

use super::conform::show;
use super::expand::{Eval, Expander, Item, Stop};
use crate::resolve::{AxisId, ModuleId, Named};
use crate::syntax::ast::{Expr, ExprKind, Ident, ItemKind, StrPart, Sweep, TypeExpr};
use crate::types::Type;
use xpipe_base::diag::suggest::{did_you_mean, foreign_value};
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{BinaryOp, Name, Value};

/// One label of an axis.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub label: Name,
    /// The value that the label is made of, as it was written; `None` for a label that is given.
    pub listed: Option<Value>,
    pub value: Eval,
    pub span: Span,
    pub kept: bool,
}

/// An axis, evaluated.
#[derive(Clone, Debug, Default)]
pub(super) struct AxisState {
    pub entries: Vec<Entry>,
    /// Something in it is wrong and was reported; unknown labels stay silent.
    pub broken: bool,
}

impl<'a> Expander<'a> {
    /// What a type is written with in `<…>`: the fit of samples and models is checked by cell.
    fn type_argument(&mut self, t: &TypeExpr, found: &Type) {
        let known: &[&str] = match found {
            Type::Samples => &["pairs", "group", "ranked_list"],
            Type::Model => &["cross_encoder"],
            _ => &[],
        };
        for arg in t.args.iter().filter(|a| !known.contains(&&*a.name.name)) {
            let help = match known {
                [] => format!("write `{found}`"),
                some => format!("write `{found}`, or `{found}<{}>`", some.join(" | ")),
            };
            self.error(
                Diagnostic::error(
                    Code::UnknownType,
                    format!("`{found}` has no kind `{}`", arg.name.name),
                    arg.span,
                    "not a kind of this type",
                )
                .help(help),
            );
        }
    }

    /// The type a type expression means.
    pub(super) fn type_expr(&mut self, t: &TypeExpr) -> Type {
        let inner = t.args.first().map(|a| self.type_expr(a));
        if &*t.name.name == "List" {
            return Type::List(Box::new(inner.unwrap_or(Type::Any)));
        }
        if &*t.name.name == "Grid" {
            return inner.unwrap_or(Type::Any);
        }
        match Type::parse(&t.name.name) {
            Some(found) => {
                self.type_argument(t, &found);
                found
            }
            None => {
                let help = did_you_mean(&t.name.name, Type::names());
                self.error(
                    Diagnostic::error(
                        Code::UnknownType,
                        format!("there is no type `{}`", t.name.name),
                        t.name.span,
                        "not a type",
                    )
                    .maybe_help(help),
                );
                Type::Any
            }
        }
    }

    pub(super) fn all_axes(&mut self) {
        for i in 0..self.study.axes.len() {
            let id = AxisId(i);
            let span = self.study.axis(id).0.span;
            self.axis(id, span);
        }
    }

    /// The axis, evaluated on first use.
    pub(super) fn axis(&mut self, id: AxisId, span: Span) -> &AxisState {
        if self.axes[id.0].is_none() {
            let state = self
                .enter(Item::Axis(id), span, |e| Ok(e.build_axis(id)))
                .unwrap_or(AxisState { entries: Vec::new(), broken: true });
            self.axes[id.0] = Some(state);
            self.narrow(id, span);
        }
        self.axes[id.0].get_or_insert_default()
    }

    fn build_axis(&mut self, id: AxisId) -> AxisState {
        let module = self.study.axes[id.0].module;
        let (name, ty, value) = self.study.axis(id);
        let ty = ty.map_or(Type::Any, |t| self.type_expr(t));
        let mut state = AxisState::default();
        self.entries(value, module, &ty, &mut state);
        let mut seen = indexmap::IndexMap::new();
        let mut entries = Vec::new();
        for entry in state.entries {
            // `1e-3` and `0.001` are one label.
            let spelling = entry.listed.as_ref().map_or_else(|| entry.label.clone(), |v| show(v).into());
            if let Some(first) = seen.insert(spelling.clone(), entry.span) {
                state.broken = true;
                self.error(
                    Diagnostic::error(
                        Code::DuplicateLabel,
                        format!("axis `{}` has the label `{}` twice", name.name, spelling),
                        entry.span,
                        "again here",
                    )
                    .related(first, "first here")
                    .help("labels are addresses: give each its own"),
                );
            } else {
                entries.push(entry);
            }
        }
        state.entries = entries;
        if state.entries.is_empty() && !state.broken {
            state.broken = true;
            self.error(
                Diagnostic::error(
                    Code::EmptyAxis,
                    format!("axis `{}` has no label", name.name),
                    value.span,
                    "nothing here",
                )
                .help("write `{ label = value }` or `[value, …]`"),
            );
        }
        state
    }

    /// Reads entries from a record, a list, a sum of such, or a name that stands for one.
    fn entries(&mut self, e: &'a Expr, module: ModuleId, ty: &Type, out: &mut AxisState) {
        let env = self.env_at(module, &[], &[]);
        match &e.kind {
            ExprKind::Record(fields) => {
                for f in fields {
                    let value = match &f.value {
                        Some(v) => self.eval(v, Some(ty), &env),
                        None => self.name_value(&f.name, Some(ty), &env),
                    };
                    let value =
                        value.and_then(|v| self.conform(v, ty, f.span, &format!("`{}`", f.name.name)));
                    out.broken |= value == Err(Stop::Reported);
                    out.entries.push(Entry {
                        label: f.name.name.clone(),
                        listed: None,
                        value,
                        span: f.name.span,
                        kept: true,
                    });
                }
            }
            ExprKind::Binary { op: BinaryOp::Add, left, right } => {
                self.entries(left, module, ty, out);
                self.entries(right, module, ty, out);
            }
            ExprKind::Path(path) => {
                if let Some((expr, module)) = self.record_behind(path, module) {
                    return self.entries(expr, module, ty, out);
                }
                let written = self.list_behind(e, module);
                match self.eval(e, None, &env) {
                    Ok(value) => self.entries_of_value(&value, written, e.span, ty, out),
                    Err(_) => out.broken = true,
                }
            }
            ExprKind::Error => out.broken = true,
            _ => match self.eval(e, None, &env) {
                Ok(value) => self.entries_of_value(&value, self.list_behind(e, module), e.span, ty, out),
                Err(_) => out.broken = true,
            },
        }
    }

    /// The record literal (or sum) behind a name, so that the order written is kept.
    fn record_behind(&mut self, path: &[Ident], module: ModuleId) -> Option<(&'a Expr, ModuleId)> {
        let mut at = module;
        for (i, ident) in path.iter().enumerate() {
            match self.study.named(at, &ident.name)? {
                Named::Module(m) => at = m,
                Named::Let(id) if i + 1 == path.len() => {
                    let l = self.study.let_(id);
                    let is_record = matches!(
                        l.value.kind,
                        ExprKind::Record(_) | ExprKind::Binary { op: BinaryOp::Add, .. } | ExprKind::Path(_)
                    );
                    return (l.sweep.is_none() && is_record)
                        .then_some((&l.value, self.study.lets[id.0].module));
                }
                _ => return None,
            }
        }
        None
    }

    /// Entries of a list or record; `written` are the items of the list as the study writes them.
    fn entries_of_value(
        &mut self,
        value: &Value,
        written: Option<&'a [Expr]>,
        span: Span,
        ty: &Type,
        out: &mut AxisState,
    ) {
        match value {
            Value::List(items) => {
                let written = written.filter(|w| w.len() == items.len());
                for (i, item) in items.iter().enumerate() {
                    let value = self.conform(item.clone(), ty, span, "each value");
                    out.broken |= value.is_err();
                    let label = match written.and_then(|w| self.spelled(&w[i])) {
                        // A whole number has one spelling.
                        Some(text) if !matches!(item, Value::Int(_)) => text.into(),
                        _ => show(item).into(),
                    };
                    let listed = Some(item.clone());
                    out.entries.push(Entry { label, listed, value, span, kept: true });
                }
            }
            Value::Record(r) => {
                for (name, item) in r.iter() {
                    let value = self.conform(item.clone(), ty, span, &format!("`{name}`"));
                    out.broken |= value.is_err();
                    out.entries.push(Entry { label: name.clone(), listed: None, value, span, kept: true });
                }
            }
            other => {
                out.broken = true;
                let found = self.type_of(other);
                self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        "an axis must be a record or a list",
                        span,
                        format!("this is {}", super::expand::an(&found)),
                    )
                    .help("write `{ label = value }` or `[value, …]`"),
                );
            }
        }
    }

    pub(super) fn axis_label(&self, id: AxisId, i: usize) -> Option<Name> {
        self.axes[id.0].as_ref().and_then(|a| a.entries.get(i)).map(|e| e.label.clone())
    }

    pub(super) fn kept_labels(&mut self, id: AxisId) -> Vec<usize> {
        self.reads(Item::Axis(id));
        let span = self.study.axis(id).0.span;
        self.axis(id, span).entries.iter().enumerate().filter(|(_, e)| e.kept).map(|(i, _)| i).collect()
    }

    /// The place of a label, or a diagnostic.
    pub(super) fn label_at(&mut self, id: AxisId, label: &str, span: Span) -> Eval<usize> {
        self.reads(Item::Axis(id));
        let name = self.study.axis(id).0.name.clone();
        if let Some(i) = self.label_place(id, label, span) {
            return Ok(i);
        }
        let state = self.axis(id, span);
        if state.broken {
            return Err(Stop::Reported);
        }
        let labels: Vec<Name> = state.entries.iter().map(|e| e.label.clone()).collect();
        let help = did_you_mean(label, labels.iter().map(|l| &**l))
            .or_else(|| (labels.len() <= 8).then(|| format!("its labels are {}", labels.join(", "))));
        let declared = self.study.axis(id).0.span;
        Err(self.error(
            Diagnostic::error(
                Code::UnknownLabel,
                format!("axis `{name}` has no `{label}`"),
                span,
                "not a label of this axis",
            )
            .related(declared, "the axis is declared here")
            .maybe_help(help),
        ))
    }

    /// The axes of a `for`, or `None` when one is unknown (reported).
    pub(super) fn sweep_axes(&mut self, sweep: Option<&'a Sweep>, module: ModuleId) -> Option<Rc<[AxisId]>> {
        let Some(sweep) = sweep else { return Some(Rc::from([])) };
        // A sweep is known by where it lies in the tree, which does not move.
        let place = std::ptr::from_ref(sweep);
        if let Some(known) = self.sweeps.get(&place) {
            return known.clone();
        }
        let axes = self.new_sweep(sweep, module);
        self.sweeps.insert(place, axes.clone());
        axes
    }

    fn new_sweep(&mut self, sweep: &'a Sweep, module: ModuleId) -> Option<Rc<[AxisId]>> {
        let mut axes = Vec::new();
        let mut fine = true;
        for ident in &sweep.axes {
            match self.axis_named(ident, module) {
                Ok(id) if axes.contains(&id) => {
                    fine = false;
                    self.error(
                        Diagnostic::error(
                            Code::DeclaredTwice,
                            format!("`{}` is bound twice", ident.name),
                            ident.span,
                            "again here",
                        )
                        .help("name each axis once"),
                    );
                }
                Ok(id) => axes.push(id),
                Err(_) => fine = false,
            }
        }
        fine.then(|| axes.into())
    }

    /// The axis of a name, or a diagnostic.
    pub(super) fn axis_named(&mut self, ident: &Ident, module: ModuleId) -> Eval<AxisId> {
        match self.study.named(module, &ident.name) {
            Some(Named::Axis(id)) => Ok(id),
            Some(Named::Broken) => Err(Stop::Reported),
            Some(_) => Err(self.error(
                Diagnostic::error(
                    Code::NotAnAxis,
                    format!("`{}` is not an axis", ident.name),
                    ident.span,
                    "only axes can be bound, picked and reduced",
                )
                .help(format!("declare `axis {} = …`, or remove it here", ident.name)),
            )),
            None => {
                let study = self.study;
                let names: Vec<&str> = study
                    .module(module)
                    .names
                    .iter()
                    .filter(|(_, (n, _))| matches!(n, Named::Axis(_)))
                    .map(|(n, _)| &**n)
                    .collect();
                Err(self.unknown_name(ident, module, names, "axis"))
            }
        }
    }

    /// Reports a name that a module does not have.
    pub(super) fn not_in_module(&mut self, ident: &Ident, module: ModuleId) -> Stop {
        let study = self.study;
        let module = study.module(module);
        if module.incomplete {
            return Stop::Reported;
        }
        let names: Vec<&str> = module.names.keys().map(|n| &**n).collect();
        self.no_member(ident, &format!("the module `{}`", module.name), &names)
    }

    /// Reports an unknown name, each name once a file.
    pub(super) fn unknown_name(
        &mut self,
        ident: &Ident,
        module: ModuleId,
        names: Vec<&str>,
        kind: &str,
    ) -> Stop {
        // What could not be read was reported, and may declare just this name.
        let incomplete = self.study.module(module).incomplete;
        if incomplete || self.unknown.insert((module, ident.name.clone()), ()).is_some() {
            return Stop::Reported;
        }
        let axis = (0..self.study.axes.len()).map(AxisId).find(|a| {
            let state = self.axes[a.0].as_ref();
            state.is_some_and(|s| s.entries.iter().any(|e| e.label == ident.name))
                || self.writes_label(*a, &ident.name)
        });
        let help = match axis.filter(|_| kind == "name") {
            Some(axis) => {
                let axis = &self.study.axis(axis).0.name;
                Some(format!("it is a label of `{axis}`: write `{axis}.{}`", ident.name))
            }
            None => {
                foreign_value(&ident.name).map(str::to_owned).or_else(|| did_you_mean(&ident.name, names))
            }
        };
        self.error(
            Diagnostic::error(
                Code::UnknownName,
                format!("there is no {kind} `{}` here", ident.name),
                ident.span,
                "not declared in this file",
            )
            .maybe_help(help),
        )
    }

    /// Whether the text of an axis has the label, as a field of its record or a string of its list.
    fn writes_label(&self, axis: AxisId, label: &str) -> bool {
        match &self.study.item(self.study.axes[axis.0]).kind {
            ItemKind::Axis { value, .. } => match &value.kind {
                ExprKind::Record(fields) => fields.iter().any(|f| &*f.name.name == label),
                ExprKind::List(items) => items.iter().any(|i| match &i.kind {
                    ExprKind::Path(p) => p.last().is_some_and(|last| &*last.name == label),
                    ExprKind::Raw(text) => &**text == label,
                    ExprKind::Str(parts) => matches!(&parts[..], [StrPart::Text(t)] if &**t == label),
                    _ => false,
                }),
                _ => false,
            },
            _ => false,
        }
    }
}
