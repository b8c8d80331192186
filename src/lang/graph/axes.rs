//! Axes: their labels and values.

use indexmap::IndexMap;

use super::conform::an;
use super::env::{Env, Item, Stop};
use super::expander::Expander;
use super::memo::{AxisState, Entry};
use super::names::meaning;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Expr, ExprKind, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{BinaryOp, Name, Value};

impl<'a> Expander<'a> {
    pub(super) fn all_axes(&mut self) {
        for i in 0..self.study.axes.len() {
            let id = AxisId(i);
            let span = self.study.axis(id).0.span;
            self.axis(id, span);
        }
    }

    /// The axis, evaluated on first use.
    pub(super) fn axis(&mut self, id: AxisId, span: Span) -> &AxisState {
        if self.memo.axes[id.0].is_none() {
            let state = self
                .enter(Item::Axis(id), span, |e| Ok(e.build_axis(id)))
                .unwrap_or(AxisState { entries: Vec::new(), broken: true });
            self.memo.axes[id.0] = Some(state);
            self.narrow(id, span);
        }
        self.memo.axes[id.0].get_or_insert_default()
    }

    fn build_axis(&mut self, id: AxisId) -> AxisState {
        let module = self.study.axes[id.0].module;
        let (name, ty, value) = self.study.axis(id);
        let ty = ty.map_or(Type::Any, |t| self.type_expr(t));
        let mut state = AxisState::default();
        self.entries(value, module, &ty, &mut state);
        let mut seen: IndexMap<Name, Span> = IndexMap::new();
        for entry in std::mem::take(&mut state.entries) {
            // `1e-3` and `0.001` are one label.
            let spelling =
                entry.listed.as_ref().map_or_else(|| entry.label.clone(), |v| v.to_string().into());
            match seen.get(&spelling) {
                Some(first) => {
                    state.broken = true;
                    self.error(duplicate_label(name, &spelling, entry.span, *first));
                }
                None => {
                    seen.insert(spelling, entry.span);
                    state.entries.push(entry);
                }
            }
        }
        if state.entries.is_empty() && !state.broken {
            state.broken = true;
            self.error(empty_axis(name, value.span));
        }
        state
    }

    /// Reads entries from a record, a list, a sum of such, or a name that stands for one.
    fn entries(&mut self, e: &'a Expr, module: ModuleId, ty: &Type, out: &mut AxisState) {
        let env = Env::at_point(module, &[], &[]);
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
        let Some(Declaration::Let(id)) = meaning(self.study, module, path) else { return None };
        let l = self.study.let_(id);
        let is_record = matches!(
            l.value.kind,
            ExprKind::Record(_) | ExprKind::Binary { op: BinaryOp::Add, .. } | ExprKind::Path(_)
        );
        (l.sweep.is_none() && is_record).then_some((&l.value, self.study.lets[id.0].module))
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
                        _ => item.to_string().into(),
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
                self.error(no_labels(&found, span));
            }
        }
    }
}

fn duplicate_label(axis: &Ident, label: &str, span: Span, first: Span) -> Diagnostic {
    let message = format!("axis `{}` has the label `{label}` twice", axis.name);
    Diagnostic::error(Code::DuplicateLabel, message, span, "again here")
        .related(first, "first here")
        .help("labels are addresses: give each its own")
}

fn empty_axis(axis: &Ident, span: Span) -> Diagnostic {
    let message = format!("axis `{}` has no label", axis.name);
    Diagnostic::error(Code::EmptyAxis, message, span, "nothing here")
        .help("write `{ label = value }` or `[value, …]`")
}

fn no_labels(found: &Type, span: Span) -> Diagnostic {
    let label = format!("this is {}", an(found));
    Diagnostic::error(Code::Mismatch, "an axis must be a record or a list", span, label)
        .help("write `{ label = value }` or `[value, …]`")
}
