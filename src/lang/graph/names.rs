//! What names and paths mean in a module, and what is said of those that mean nothing.

use super::env::{Eval, Stop};
use super::expander::Expander;
use crate::resolve::{AxisId, Declaration, ModuleId, Study};
use crate::syntax::ast::{Expr, ExprKind, Ident, ItemKind, StrPart};
use xpipe_base::diag::suggest::{did_you_mean, foreign_value};
use xpipe_base::diag::{Code, Diagnostic};

/// Where a path leads through modules.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResolvedPath {
    /// The first thing on the path that is no module, or its last module.
    pub named: Declaration,
    /// The index of its name in the path.
    pub at: usize,
}

/// A path that leads nowhere: the module that has no such name, and the index of the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownPath {
    pub module: ModuleId,
    pub at: usize,
}

/// Follows a path from a module to the first name that is no module.
pub(super) fn follow(study: &Study, module: ModuleId, path: &[Ident]) -> Result<ResolvedPath, UnknownPath> {
    let mut here = module;
    for (at, ident) in path.iter().enumerate() {
        match study.named(here, &ident.name) {
            Some(Declaration::Module(inner)) if at + 1 < path.len() => here = inner,
            Some(named) => return Ok(ResolvedPath { named, at }),
            None => return Err(UnknownPath { module: here, at }),
        }
    }
    Err(UnknownPath { module: here, at: 0 })
}

/// What a whole path means.
pub(super) fn meaning(study: &Study, module: ModuleId, path: &[Ident]) -> Option<Declaration> {
    let reached = follow(study, module, path).ok()?;
    (reached.at + 1 == path.len()).then_some(reached.named)
}

/// The names of a module that mean something of one kind.
pub(super) fn names_of(study: &Study, module: ModuleId, kind: fn(&Declaration) -> bool) -> Vec<&str> {
    let names = &study.module(module).names;
    names.iter().filter(|(_, (named, _))| kind(named)).map(|(name, _)| &**name).collect()
}

/// Every name of a module.
pub(super) fn all_names(study: &Study, module: ModuleId) -> Vec<&str> {
    names_of(study, module, |_| true)
}

impl<'a> Expander<'a> {
    /// The axis that an expression names.
    pub(super) fn axis_of(&self, e: &Expr, module: ModuleId) -> Option<AxisId> {
        let ExprKind::Path(path) = &e.kind else { return None };
        match meaning(self.study, module, path) {
            Some(Declaration::Axis(axis)) => Some(axis),
            _ => None,
        }
    }

    /// The axis of a name, or a diagnostic.
    pub(super) fn axis_named(&mut self, ident: &Ident, module: ModuleId) -> Eval<AxisId> {
        match self.study.named(module, &ident.name) {
            Some(Declaration::Axis(id)) => Ok(id),
            Some(Declaration::Broken) => Err(Stop::Reported),
            Some(_) => Err(self.error(not_an_axis(ident))),
            None => {
                let axes = names_of(self.study, module, |n| matches!(n, Declaration::Axis(_)));
                Err(self.unknown_name(ident, module, axes, "axis"))
            }
        }
    }

    /// Reports a name that a module does not have.
    pub(super) fn not_in_module(&mut self, ident: &Ident, module: ModuleId) -> Stop {
        let study = self.study;
        if study.module(module).incomplete {
            return Stop::Reported;
        }
        let what = format!("the module `{}`", study.module(module).name);
        self.no_member(ident, &what, &all_names(study, module))
    }

    /// Reports an unknown name, each name once a file.
    pub(super) fn unknown_name(
        &mut self,
        ident: &Ident,
        module: ModuleId,
        names: Vec<&str>,
        kind: &str,
    ) -> Stop {
        // A declaration that could not be read was reported, and may be just this name.
        let incomplete = self.study.module(module).incomplete;
        if incomplete || !self.reporter.first_unknown(module, &ident.name) {
            return Stop::Reported;
        }
        let axis = if kind == "name" { self.axis_with_label(&ident.name) } else { None };
        let help = match axis {
            Some(axis) => {
                let axis = self.axis_name(axis);
                Some(format!("it is a label of `{axis}`: write `{axis}.{}`", ident.name))
            }
            None => {
                foreign_value(&ident.name).map(str::to_owned).or_else(|| did_you_mean(&ident.name, names))
            }
        };
        let message = format!("there is no {kind} `{}` here", ident.name);
        let d = Diagnostic::error(Code::UnknownName, message, ident.span, "not declared in this file");
        self.error(d.maybe_help(help))
    }

    /// The axis that has a label, as far as it was evaluated or its text tells.
    fn axis_with_label(&self, label: &str) -> Option<AxisId> {
        (0..self.study.axes.len()).map(AxisId).find(|axis| {
            let state = self.memo.axes[axis.0].as_ref();
            state.is_some_and(|s| s.entries.iter().any(|e| *e.label == *label))
                || self.writes_label(*axis, label)
        })
    }

    /// Whether the text of an axis has the label, as a field of its record or a string of its list.
    fn writes_label(&self, axis: AxisId, label: &str) -> bool {
        let ItemKind::Axis { value, .. } = &self.study.item(self.study.axes[axis.0]).kind else {
            return false;
        };
        match &value.kind {
            ExprKind::Record(fields) => fields.iter().any(|f| &*f.name.name == label),
            ExprKind::List(items) => items.iter().any(|i| match &i.kind {
                ExprKind::Path(p) => p.last().is_some_and(|last| &*last.name == label),
                ExprKind::Raw(text) => &**text == label,
                ExprKind::Str(parts) => matches!(&parts[..], [StrPart::Text(t)] if &**t == label),
                _ => false,
            }),
            _ => false,
        }
    }

    /// Reports a member that a value does not have.
    pub(super) fn no_member(&mut self, name: &Ident, what: &str, known: &[&str]) -> Stop {
        let help = did_you_mean(&name.name, known.iter().copied())
            .or_else(|| (!known.is_empty()).then(|| format!("it has {}", known.join(", "))));
        let message = format!("{what} has no `{}`", name.name);
        let d = Diagnostic::error(Code::UnknownMember, message, name.span, "no such member");
        self.error(d.maybe_help(help))
    }

    /// Reports a name that is given twice.
    pub(super) fn twice(&mut self, name: &str, span: xpipe_base::diag::Span) -> Stop {
        let message = format!("`{name}` is given twice");
        let d = Diagnostic::error(Code::DeclaredTwice, message, span, "given again here");
        self.error(d.help("keep one of them"))
    }
}

fn not_an_axis(ident: &Ident) -> Diagnostic {
    let message = format!("`{}` is not an axis", ident.name);
    Diagnostic::error(Code::NotAnAxis, message, ident.span, "only axes can be bound, picked and reduced")
        .help(format!("declare `axis {} = …`, or remove it here", ident.name))
}
