//! Labels of axes: as they are written, and found by what they mean.
//!
//! An axis made of values has the values' texts for labels, numbers as the study spells them: `1e-3`, `16GiB`. Whoever
//! names one may spell it otherwise (`0.001`, `16384MiB`).

use super::env::{Eval, Item, Stop};
use super::expander::Expander;
use super::names::meaning;
use super::static_types::literal;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Expr, ExprKind, Ident, ItemKind};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::compare::{equal, unlike};
use xpipe_base::value::{Name, UnaryOp, Value, text};

/// Number of labels that a message lists.
const FEW_LABELS: usize = 8;

fn number(e: &Expr) -> Option<Value> {
    match &e.kind {
        ExprKind::Unary { op: UnaryOp::Neg, of } => {
            xpipe_base::value::pending::unary(UnaryOp::Neg, &number(of)?).ok()
        }
        ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Quantity { .. } => literal(e),
        _ => None,
    }
}

/// Whether two texts name the same label: the same text, or the same number.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || matches!((text::read(a), text::read(b)), (Some(a), Some(b)) if same_value(&a, &b))
}

pub(super) fn same_value(a: &Value, b: &Value) -> bool {
    unlike(a, b).is_none() && equal(a, b)
}

impl<'a> Expander<'a> {
    /// The items of the list that an axis is made of, when it is written out: they tell how labels are spelled.
    pub(super) fn list_behind(&self, e: &'a Expr, module: ModuleId) -> Option<&'a [Expr]> {
        let path = match &e.kind {
            ExprKind::List(items) => return Some(items),
            ExprKind::Path(path) => path,
            _ => return None,
        };
        match meaning(self.study, module, path)? {
            Declaration::Let(id) => {
                let l = self.study.let_(id);
                let module = self.study.lets[id.0].module;
                if l.sweep.is_none() { self.list_behind(&l.value, module) } else { None }
            }
            Declaration::Param(id) => {
                let place = self.study.params[id.0];
                let ItemKind::Param { default, .. } = &self.study.item(place).kind else { return None };
                match self.outside.settings.get(&id) {
                    Some(setting) => self.list_behind(setting.expr, ModuleId(0)),
                    None => self.list_behind(default.as_ref()?, place.module),
                }
            }
            _ => None,
        }
    }

    pub(super) fn kept_labels(&mut self, id: AxisId) -> Vec<usize> {
        self.reads(Item::Axis(id));
        let span = self.study.axis(id).0.span;
        self.axis(id, span).entries.iter().enumerate().filter(|(_, e)| e.kept).map(|(i, _)| i).collect()
    }

    /// The place of a label, or a diagnostic.
    pub(super) fn label_at(&mut self, id: AxisId, label: &str, span: Span) -> Eval<usize> {
        self.reads(Item::Axis(id));
        if let Some(i) = self.label_place(id, label, span) {
            return Ok(i);
        }
        let state = self.axis(id, span);
        if state.broken {
            return Err(Stop::Reported);
        }
        let labels: Vec<Name> = state.entries.iter().map(|e| e.label.clone()).collect();
        let declared = self.study.axis(id).0;
        Err(self.error(unknown_label(declared, label, &labels, span)))
    }

    /// A number or amount as it is spelled in a file of the study.
    pub(super) fn spelled(&self, e: &Expr) -> Option<&'a str> {
        number(e)?;
        let study = self.study;
        let module = study.modules.iter().find(|m| m.file == e.span.file)?;
        let text = module.text.get(e.span.start as usize..e.span.end as usize)?;
        // What would not be one label again is printed anew.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '%');
        text.chars().all(plain).then_some(text)
    }

    /// The place of a label by its text, or by the number that the text is.
    pub(super) fn label_place(&mut self, id: AxisId, label: &str, span: Span) -> Option<usize> {
        let entries = &self.axis(id, span).entries;
        if let Some(i) = entries.iter().position(|e| &*e.label == label) {
            return Some(i);
        }
        if !entries.iter().any(|e| e.listed.is_some()) {
            return None;
        }
        let key = (id, Name::from(label));
        if let Some(known) = self.memo.label_spellings.get(&key) {
            return *known;
        }
        let place = text::read(label).and_then(|value| self.value_place(id, &value));
        self.memo.label_spellings.insert(key, place);
        place
    }

    /// The place of the label that was made of a value.
    pub(super) fn value_place(&self, id: AxisId, value: &Value) -> Option<usize> {
        let entries = &self.memo.axes[id.0].as_ref()?.entries;
        entries.iter().position(|e| e.listed.as_ref().is_some_and(|v| same_value(v, value)))
    }
}

fn unknown_label(axis: &Ident, label: &str, labels: &[Name], span: Span) -> Diagnostic {
    let message = format!("axis `{}` has no `{label}`", axis.name);
    let help = did_you_mean(label, labels.iter().map(|l| &**l))
        .or_else(|| (labels.len() <= FEW_LABELS).then(|| format!("its labels are {}", labels.join(", "))));
    Diagnostic::error(Code::UnknownLabel, message, span, "not a label of this axis")
        .related(axis.span, "the axis is declared here")
        .maybe_help(help)
}
