//! Checks of names without evaluation, also in branches that no cell reaches: every path must begin with a name
//! that is in scope, or be a word of the argument that it stands in. Places of labels are left to the evaluation.

use super::call::Callee;
use super::expander::Expander;
use super::path::words_of;
use super::special::FormKind;
use super::static_types::item_of;
use crate::resolve::{Declaration, ModuleId};
use crate::syntax::ast::{Arg, Expr, ExprKind, Ident, StrPart};
use crate::types::{Op, Type};

impl<'a> Expander<'a> {
    /// Checks the names in an expression; `scope` holds those of the enclosing def.
    pub(super) fn static_paths(
        &mut self,
        e: &'a Expr,
        want: Option<&Type>,
        scope: &[&'a str],
        module: ModuleId,
    ) {
        match &e.kind {
            ExprKind::Path(path) => self.static_path(path, want, scope, module),
            ExprKind::Str(parts) => {
                let inner =
                    parts.iter().filter_map(|p| if let StrPart::Expr(e) = p { Some(e) } else { None });
                inner.for_each(|e| self.static_paths(e, None, scope, module));
            }
            ExprKind::List(items) => {
                let inner = want.and_then(item_of);
                items.iter().for_each(|i| self.static_paths(i, inner, scope, module));
            }
            ExprKind::Record(fields) => {
                for f in fields {
                    match &f.value {
                        Some(v) => self.static_paths(v, None, scope, module),
                        None => self.static_path(std::slice::from_ref(&f.name), None, scope, module),
                    }
                }
            }
            ExprKind::Call { path, args, .. } => self.static_call_names(path, args, scope, module),
            ExprKind::Member { of, .. } | ExprKind::Unary { of, .. } | ExprKind::Index { of, .. } => {
                self.static_paths(of, None, scope, module);
            }
            ExprKind::Binary { left, right, .. } | ExprKind::Range { from: left, to: right } => {
                self.static_paths(left, None, scope, module);
                self.static_paths(right, None, scope, module);
            }
            ExprKind::In { left, right } => {
                self.static_paths(left, None, scope, module);
                if self.axis_of(left, module).is_none() && !matches!(right.kind, ExprKind::List(_)) {
                    self.static_paths(right, None, scope, module);
                }
            }
            ExprKind::If { condition, then, other } => {
                self.static_paths(condition, None, scope, module);
                self.static_paths(then, want, scope, module);
                self.static_paths(other, want, scope, module);
            }
            ExprKind::Match { arms, .. } => {
                arms.iter().for_each(|a| self.static_paths(&a.value, want, scope, module));
            }
            ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Quantity { .. }
            | ExprKind::Raw(_)
            | ExprKind::Error => {}
        }
    }

    fn static_call_names(&mut self, path: &'a [Ident], args: &'a [Arg], scope: &[&'a str], module: ModuleId) {
        match self.callee(path, module) {
            Ok(Callee::Op(op)) => self.static_arguments(op, args, scope, module),
            Ok(Callee::Special(name)) if is_of_values(name) => {
                let params = super::special::form(name).map_or(&[][..], |f| f.params);
                for (i, arg) in args.iter().enumerate() {
                    let name = arg.name.as_ref().map(|n| &*n.name);
                    if name.or(params.get(i).map(|p| p.name)) != Some("over") {
                        self.static_paths(&arg.value, None, scope, module);
                    }
                }
            }
            // A def's words are those of its formals' types, which none has; its arguments are values.
            Ok(Callee::Def(_)) => {
                args.iter().for_each(|a| self.static_paths(&a.value, None, scope, module));
            }
            Ok(Callee::Special(_)) | Err(_) => {}
        }
    }

    fn static_arguments(&mut self, op: &'a Op, args: &'a [Arg], scope: &[&'a str], module: ModuleId) {
        let mut places = op.params.iter();
        for arg in args {
            let param = match &arg.name {
                Some(n) => op.param(&n.name),
                None => places.next(),
            };
            if let Some(param) = param {
                self.static_paths(&arg.value, Some(&param.ty), scope, module);
            }
        }
    }

    fn static_path(&mut self, path: &'a [Ident], want: Option<&Type>, scope: &[&'a str], module: ModuleId) {
        let Some(first) = path.first() else { return };
        let word = path.len() == 1 && words_of(want).contains(&&*first.name);
        if word || scope.contains(&&*first.name) {
            return;
        }
        let mut at = module;
        for ident in path {
            match self.study.named(at, &ident.name) {
                Some(Declaration::Module(inner)) => at = inner,
                Some(_) => return,
                None if at != module => {
                    self.not_in_module(ident, at);
                    return;
                }
                None if self.not_called(first, &path[1..], at).is_some() => return,
                None => {
                    let study = self.study;
                    let mut names: Vec<&str> = study.module(at).names.keys().map(|n| &**n).collect();
                    names.extend(scope);
                    let words = words_of(want);
                    names.extend(words.iter().copied());
                    self.unknown_name(ident, at, names, "name");
                    return;
                }
            }
        }
    }
}

/// Whether a form takes values of the study, so that names in its arguments can be checked.
fn is_of_values(form: &str) -> bool {
    super::special::form(form).is_some_and(|f| f.kind == FormKind::Value)
}
