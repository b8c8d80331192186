//! Checks without evaluation: names, labels of `match`, operations and their arguments, also in branches that no cell
//! reaches.

use super::call::Callee;
use super::expander::Expander;
use crate::resolve::{AxisId, Declaration, ModuleId};
use crate::syntax::ast::{Arg, Def, DefItem, Expr, ExprKind, Field, Ident, ItemKind, Let, Stage, StrPart};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic};

/// Calls `f` with every expression inside one, outermost first.
pub(super) fn each<'a>(e: &'a Expr, f: &mut dyn FnMut(&'a Expr)) {
    f(e);
    match &e.kind {
        ExprKind::Str(parts) => {
            for p in parts {
                if let StrPart::Expr(e) = p {
                    each(e, f);
                }
            }
        }
        ExprKind::List(items) => items.iter().for_each(|i| each(i, f)),
        ExprKind::Record(fields) => fields.iter().filter_map(|x| x.value.as_ref()).for_each(|v| each(v, f)),
        ExprKind::Call { args, .. } => args.iter().for_each(|a| each(&a.value, f)),
        ExprKind::Index { of, args } => {
            each(of, f);
            args.iter().for_each(|a| each(&a.value, f));
        }
        ExprKind::Member { of, .. } | ExprKind::Unary { of, .. } => each(of, f),
        ExprKind::Binary { left, right, .. } | ExprKind::In { left, right } => {
            each(left, f);
            each(right, f);
        }
        ExprKind::Range { from, to } => {
            each(from, f);
            each(to, f);
        }
        ExprKind::If { condition, then, other } => {
            each(condition, f);
            each(then, f);
            each(other, f);
        }
        ExprKind::Match { arms, .. } => arms.iter().for_each(|a| each(&a.value, f)),
        ExprKind::Bool(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Quantity { .. }
        | ExprKind::Raw(_)
        | ExprKind::Path(_)
        | ExprKind::Error => {}
    }
}

/// Calls `f` with every path of values inside an expression, subjects of `match` and short fields included.
pub(super) fn each_path<'a>(e: &'a Expr, f: &mut dyn FnMut(&'a [Ident])) {
    each(e, &mut |e| match &e.kind {
        ExprKind::Path(p) => f(p),
        ExprKind::Match { subject, .. } => f(subject),
        ExprKind::Record(fields) => {
            for field in fields {
                if field.value.is_none() {
                    f(std::slice::from_ref(&field.name));
                }
            }
        }
        _ => {}
    });
}

impl<'a> Expander<'a> {
    /// Checks every expression of the files that were read.
    pub(super) fn static_names(&mut self) {
        let study = self.study;
        for (i, module) in study.modules.iter().enumerate() {
            let id = ModuleId(i);
            for item in &module.ast.items {
                match &item.kind {
                    ItemKind::Param { ty, default, .. } => {
                        self.type_expr(ty);
                        self.static_expr(default.as_ref(), &[], id);
                    }
                    ItemKind::Axis { value, .. } | ItemKind::Dataset { value, .. } => {
                        self.static_expr(Some(value), &[], id);
                    }
                    ItemKind::Let(l) => self.static_let(l, &[], id),
                    ItemKind::Stage(s) => self.static_stage(s, &[], id),
                    ItemKind::Def(d) => self.static_def(d, id),
                    ItemKind::Table { fields, sweep, .. } | ItemKind::Claim { fields, sweep, .. } => {
                        self.static_expr(sweep.as_ref().and_then(|s| s.condition.as_ref()), &[], id);
                        self.static_fields(fields, &[], id);
                    }
                    ItemKind::Study { fields, .. } => self.static_fields(fields, &[], id),
                    ItemKind::Report { .. }
                    | ItemKind::Profile { .. }
                    | ItemKind::Edition { .. }
                    | ItemKind::Requires { .. }
                    | ItemKind::Use(_) => {}
                }
            }
        }
    }

    fn static_def(&mut self, d: &'a Def, module: ModuleId) {
        self.names_of_def(d);
        let mut scope: Vec<&'a str> = d.formals.iter().map(|f| &*f.name.name).collect();
        for f in &d.formals {
            self.type_expr(&f.ty);
            self.static_expr(f.default.as_ref(), &[], module);
        }
        self.type_expr(&d.returns);
        for inner in &d.items {
            match inner {
                DefItem::Stage(s) => {
                    self.static_stage(s, &scope, module);
                    scope.push(&s.name.name);
                }
                DefItem::Let(l) => {
                    self.static_let(l, &scope, module);
                    scope.push(&l.name.name);
                }
            }
        }
        self.static_expr(Some(&d.result), &scope, module);
    }

    /// Names of a def: each once among its arguments, stages and lets. They may be called as something outside.
    fn names_of_def(&mut self, d: &'a Def) {
        let name = &d.name.name;
        if super::special::form(name).is_some() || self.registry.get(name).is_some() {
            self.error(
                Diagnostic::error(
                    Code::DeclaredTwice,
                    format!("`{name}` is an operation of the language"),
                    d.name.span,
                    "calls would never come here",
                )
                .help("give the def another name"),
            );
        }
        let mut seen: Vec<&'a Ident> = Vec::new();
        let inner = d.items.iter().map(|item| match item {
            DefItem::Stage(s) => &s.name,
            DefItem::Let(l) => &l.name,
        });
        for ident in d.formals.iter().map(|f| &f.name).chain(inner) {
            let Some(first) = seen.iter().find(|known| known.name == ident.name).map(|known| known.span)
            else {
                seen.push(ident);
                continue;
            };
            let message = format!("`{}` is declared twice", ident.name);
            self.error(
                Diagnostic::error(Code::DeclaredTwice, message, ident.span, "declared again here")
                    .related(first, "first declared here")
                    .help("rename one of them"),
            );
        }
    }

    fn static_stage(&mut self, s: &'a Stage, scope: &[&'a str], module: ModuleId) {
        self.static_expr(Some(&s.call), scope, module);
        self.static_expr(s.sweep.as_ref().and_then(|s| s.condition.as_ref()), scope, module);
        self.static_fields(&s.policy, scope, module);
    }

    fn static_let(&mut self, l: &'a Let, scope: &[&'a str], module: ModuleId) {
        self.static_expr(l.sweep.as_ref().and_then(|s| s.condition.as_ref()), scope, module);
        // A list of bare names may be one of labels.
        let bare = |e: &Expr| matches!(&e.kind, ExprKind::Path(p) if p.len() == 1);
        if !matches!(&l.value.kind, ExprKind::List(items) if items.iter().all(bare)) {
            self.static_expr(Some(&l.value), scope, module);
        }
    }

    fn static_fields(&mut self, fields: &'a [Field], scope: &[&'a str], module: ModuleId) {
        // `write` holds words.
        for f in fields.iter().filter(|f| &*f.name.name != "write") {
            self.static_expr(f.value.as_ref(), scope, module);
        }
    }

    fn static_expr(&mut self, e: Option<&'a Expr>, scope: &[&'a str], module: ModuleId) {
        let Some(e) = e else { return };
        self.static_paths(e, None, scope, module);
        let mut found: Vec<&'a Expr> = Vec::new();
        each(e, &mut |e| {
            if matches!(
                e.kind,
                ExprKind::Match { .. }
                    | ExprKind::Call { .. }
                    | ExprKind::Quantity { .. }
                    | ExprKind::Binary { .. }
            ) {
                found.push(e);
            }
        });
        for e in found {
            match &e.kind {
                ExprKind::Call { path, args, .. } => self.static_call(path, args, module),
                ExprKind::Match { .. } => self.static_match(e, module),
                ExprKind::Binary { op, left, right } => {
                    self.static_comparison(*op, (left, right), e.span, scope, module);
                }
                ExprKind::Quantity { value, unit } => {
                    if let Err(help) = xpipe_base::value::text::quantity(*value, unit) {
                        self.no_unit(unit, e.span, help);
                    }
                }
                _ => {}
            }
        }
    }

    fn static_call(&mut self, path: &'a [Ident], args: &'a [Arg], module: ModuleId) {
        let Ok(Callee::Op(op)) = self.callee(path, module) else { return };
        let known: Vec<&str> = op.params.iter().map(|p| p.name).collect();
        let mut places = op.params.iter();
        for arg in args {
            let param = match &arg.name {
                Some(n) => op.param(&n.name),
                None => places.next(),
            };
            if let Some(param) = param {
                self.static_type(&arg.value, &param.ty, &format!("`{}`", param.name), module);
            }
            if let Some(n) = &arg.name
                && !known.contains(&&*n.name)
            {
                self.unknown_argument(n, op.name, &known);
            }
            // Words of an argument that takes only words.
            if let (Some(n), ExprKind::Path(p)) = (&arg.name, &arg.value.kind)
                && let Some(Type::Word(words)) = op.param(&n.name).map(|p| p.ty.clone())
                && let [word] = p.as_slice()
                && !words.contains(&&*word.name)
                && self.study.named(module, &word.name).is_none()
            {
                let help = xpipe_base::diag::suggest::did_you_mean(&word.name, words.iter().copied())
                    .unwrap_or_else(|| format!("write {}", words.join(" or ")));
                self.reporter.first_unknown(module, &word.name);
                self.error(
                    Diagnostic::error(
                        Code::Mismatch,
                        format!("`{}` must be {}", n.name, Type::Word(words)),
                        word.span,
                        format!("`{}` is neither", word.name),
                    )
                    .help(help),
                );
            }
        }
    }

    /// The axis a `match` is over, or a diagnostic.
    pub(super) fn match_axis(
        &mut self,
        subject: &'a [Ident],
        span: xpipe_base::diag::Span,
        env: &super::env::Env<'a>,
    ) -> Option<AxisId> {
        self.axis_of_path(subject, span, env.module)
    }

    fn axis_of_path(
        &mut self,
        subject: &'a [Ident],
        span: xpipe_base::diag::Span,
        module: ModuleId,
    ) -> Option<AxisId> {
        let mut at = module;
        for (i, ident) in subject.iter().enumerate() {
            match self.study.named(at, &ident.name) {
                Some(Declaration::Module(m)) => at = m,
                Some(Declaration::Axis(a)) if i + 1 == subject.len() => return Some(a),
                Some(Declaration::Broken) => return None,
                None if at != module => {
                    self.not_in_module(ident, at);
                    return None;
                }
                None => {
                    let _ = self.axis_named(ident, at);
                    return None;
                }
                Some(_) => break,
            }
        }
        self.error(
            Diagnostic::error(Code::NotAnAxis, "`match` looks at the label of an axis", span, "not an axis")
                .help("match an axis, or choose with `if … then … else …`"),
        );
        None
    }

    fn static_match(&mut self, e: &'a Expr, module: ModuleId) {
        let ExprKind::Match { subject, arms, subject_span } = &e.kind else { return };
        let Some(axis) = self.axis_of_path(subject, *subject_span, module) else { return };
        let name = self.study.axis(axis).0.name.clone();
        let mut covered = Vec::new();
        let (mut all, mut unknown) = (false, false);
        for arm in arms {
            if arm.labels.is_empty() {
                all = true;
            }
            for label in &arm.labels {
                if let Ok(i) = self.label_at(axis, &label.name, label.span) {
                    if covered.contains(&i) || all {
                        self.error(
                            Diagnostic::error(
                                Code::MatchTwice,
                                format!("`{}` is matched before", label.name),
                                label.span,
                                "this arm is never taken for it",
                            )
                            .help("remove it here or above"),
                        );
                    }
                    covered.push(i);
                } else {
                    unknown = true;
                }
            }
        }
        // An unknown label may be meant for one without an arm.
        if all || unknown || self.study.is_in_broken_item(e.span) {
            return;
        }
        let state = self.axis(axis, *subject_span);
        if state.broken {
            return;
        }
        let missing: Vec<(xpipe_base::value::Name, xpipe_base::diag::Span)> = state
            .entries
            .iter()
            .enumerate()
            .filter(|(i, _)| !covered.contains(i))
            .map(|(_, e)| (e.label.clone(), e.span))
            .collect();
        if let Some((_, at)) = missing.first() {
            let names: Vec<String> = missing.iter().map(|(l, _)| format!("`{l}`")).collect();
            let d = Diagnostic::error(
                Code::MatchMissing,
                format!("`match {name}` does not cover {}", names.join(", ")),
                *subject_span,
                "not every label has an arm",
            )
            .related(*at, "declared here")
            .help("add an arm for it, or `_ => …` for all others");
            self.error(d);
        }
    }
}
