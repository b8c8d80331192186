//! Params, and what changes a study from outside: `--set`, the chosen profile, `only`.
//!
//! All of it is known before anything is evaluated, so that whatever an axis, a let or a label depends on is evaluated
//! once and with the values that hold.

use super::expand::{Eval, Expander, Item, Overrides, Stop, expander};
use crate::resolve::{AxisId, ModuleId, Named, ParamId};
use crate::syntax::ast::{self, Expr, ExprKind, Field, Ident, ItemKind};
use crate::types::Type;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, Span};
use xpipe_base::value::Value;

/// Who gives a param its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Profile,
    CommandLine,
}

/// A value that a param is given from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub expr: &'a Expr,
    pub origin: Origin,
    /// The name as it is written there.
    pub at: Span,
}

/// The labels of an axis that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only<'a> {
    /// By a profile: a list of labels, and where its axis is written.
    Profile(&'a Expr, Span),
    /// By `--only`, with the place of the axis' declaration.
    CommandLine(&'a [String], Span),
}

impl Only<'_> {
    /// The place to tell about.
    pub(super) fn at(&self) -> Span {
        match self {
            Self::Profile(_, at) | Self::CommandLine(_, at) => *at,
        }
    }
}

impl<'a> Expander<'a> {
    /// The value of a param: `--set`, then the profile, then its default.
    pub(super) fn param(&mut self, id: ParamId, span: Span) -> Eval {
        if let Some(value) = &self.params[id.0] {
            return value.clone();
        }
        let place = self.study.params[id.0];
        let ItemKind::Param { name, ty, default } = &self.study.item(place).kind else {
            return Err(Stop::Reported);
        };
        let value = self.enter(Item::Param(id), span, |e| {
            let ty = e.type_expr(ty);
            let mut env = e.env_at(place.module, &[], &[]);
            let expr = match (e.settings.get(&id), default) {
                (Some(setting), _) => {
                    // What is set is written in the root file or on the command line, wherever the param is declared.
                    env.module = ModuleId(0);
                    if setting.origin == Origin::CommandLine {
                        env.row = "--set".into();
                    }
                    setting.expr
                }
                (None, Some(default)) => default,
                (None, None) => {
                    return Err(e.error(
                        Diagnostic::error(
                            Code::ParamMissing,
                            format!("param `{}` has no value", name.name),
                            name.span,
                            "declared without a default",
                        )
                        .help(format!("run with `--set '{}=…'`", name.name)),
                    ));
                }
            };
            let value = e.eval(expr, Some(&ty), &env)?;
            let value = e.conform(value, &ty, expr.span, &format!("param `{}`", name.name))?;
            // A path is relative to what wrote it: the file, or for `--set` the working directory.
            match (&ty, &value) {
                (Type::Path, Value::Str(text)) => {
                    Ok(Value::str(&e.file_path(text, &env).display().to_string()))
                }
                _ => Ok(value),
            }
        });
        self.params[id.0] = Some(value.clone());
        value
    }

    /// Reads the chosen profile, `--set` and `--only`, evaluating nothing; returns whether claims are advisory.
    pub(super) fn apply_overrides(&mut self) -> bool {
        let study = self.study;
        let overrides = self.overrides;
        let Some(root) = study.modules.first() else { return false };
        let mut advisory = false;
        for item in &root.ast.items {
            if let ItemKind::Profile { name, fields, only } = &item.kind
                && overrides.profile.as_deref() == Some(&*name.name)
            {
                advisory |= self.profile_fields(fields);
                self.profile_only(only);
            }
        }
        let mut given: Vec<ParamId> = Vec::new();
        for (ident, expr) in &overrides.set {
            let Some(id) = self.root_param(ident) else { continue };
            if given.contains(&id) {
                self.twice(&ident.name, ident.span);
                continue;
            }
            given.push(id);
            self.settings.insert(id, Setting { expr, origin: Origin::CommandLine, at: ident.span });
        }
        for (axis, labels) in &overrides.only {
            if let Some(Named::Axis(id)) = study.named(ModuleId(0), axis) {
                self.only.insert(id, Only::CommandLine(labels, study.axis(id).0.span));
            }
        }
        self.reach.on = !self.settings.is_empty() || !self.only.is_empty();
        advisory
    }

    /// The params that a profile sets; says whether it makes claims advisory.
    fn profile_fields(&mut self, fields: &'a [Field]) -> bool {
        let mut advisory = false;
        let mut seen: Vec<&str> = Vec::new();
        for f in fields {
            let name = &*f.name.name;
            if seen.contains(&name) {
                self.twice(name, f.name.span);
                continue;
            }
            seen.push(name);
            if name == "claims" {
                let word = match f.value.as_ref().map(|v| &v.kind) {
                    Some(ExprKind::Path(p)) if p.len() == 1 => &*p[0].name,
                    _ => "",
                };
                match word {
                    "advisory" => advisory = true,
                    "required" => {}
                    _ => {
                        self.error(
                            Diagnostic::error(
                                Code::Mismatch,
                                "`claims` must be `advisory` or `required`",
                                f.span,
                                "neither of them",
                            )
                            .help("write `claims = advisory`"),
                        );
                    }
                }
                continue;
            }
            let Some(id) = self.root_param(&f.name) else { continue };
            match &f.value {
                Some(expr) => {
                    self.settings.insert(id, Setting { expr, origin: Origin::Profile, at: f.name.span });
                }
                None => {
                    self.error(
                        Diagnostic::error(
                            Code::MissingArgument,
                            "a profile gives a param a value",
                            f.span,
                            "no value here",
                        )
                        .help(format!("write `{name} = …`")),
                    );
                }
            }
        }
        advisory
    }

    fn profile_only(&mut self, only: &'a [ast::Only]) {
        let mut seen = Vec::new();
        for o in only {
            let Ok(axis) = self.axis_named(&o.axis, ModuleId(0)) else { continue };
            if seen.contains(&axis) {
                self.twice(&o.axis.name, o.axis.span);
                continue;
            }
            seen.push(axis);
            self.only.insert(axis, Only::Profile(&o.labels, o.axis.span));
        }
    }

    /// Removes what `only` does not keep of an axis that has just been evaluated.
    pub(super) fn narrow(&mut self, id: AxisId, span: Span) {
        let kept: Vec<usize> = match self.only.get(&id) {
            None => return,
            Some(Only::Profile(labels, _)) => match self.labels_in(id, labels, ModuleId(0)) {
                Ok(labels) => labels,
                Err(_) => return,
            },
            Some(Only::CommandLine(labels, _)) => {
                labels.iter().filter_map(|label| self.label_at(id, label, span).ok()).collect()
            }
        };
        if let Some(state) = self.axes[id.0].as_mut() {
            for (i, entry) in state.entries.iter_mut().enumerate() {
                entry.kept = kept.contains(&i);
            }
        }
    }

    /// Checks the profiles that are not chosen, each with its own params and no others.
    pub(super) fn other_profiles(&mut self) {
        let study = self.study;
        let Some(root) = study.modules.first() else { return };
        for item in &root.ast.items {
            let ItemKind::Profile { name, .. } = &item.kind else { continue };
            if self.overrides.profile.as_deref() == Some(&*name.name) {
                continue;
            }
            let overrides = Overrides {
                profile: Some(name.name.to_string()),
                folder: self.overrides.folder.clone(),
                ..Overrides::default()
            };
            let mut found = Diagnostics::new();
            {
                let mut alone = expander(study, self.registry, self.world, &overrides, &mut found);
                alone.apply_overrides();
                let params: Vec<(ParamId, Span)> = alone.settings.iter().map(|(id, s)| (*id, s.at)).collect();
                for (id, at) in params {
                    let _ = alone.param(id, at);
                }
                let axes: Vec<(AxisId, Span)> = alone.only.iter().map(|(id, o)| (*id, o.at())).collect();
                for (id, at) in axes {
                    alone.axis(id, at);
                }
            }
            // What is wrong elsewhere is told of the study as it is run.
            let inside = |at: Span| {
                at.file == item.span.file && item.span.start <= at.start && at.end <= item.span.end
            };
            for d in found.iter().filter(|d| inside(d.primary.span)) {
                self.error(d.clone());
            }
        }
    }

    /// The param of a name in the root file, declared there or taken from a module.
    fn root_param(&mut self, ident: &Ident) -> Option<ParamId> {
        let study = self.study;
        match study.named(ModuleId(0), &ident.name) {
            Some(Named::Param(id)) => Some(id),
            Some(Named::Broken) => None,
            _ => {
                let params: Vec<&str> = study.modules[0]
                    .names
                    .iter()
                    .filter(|(_, (n, _))| matches!(n, Named::Param(_)))
                    .map(|(n, _)| &**n)
                    .collect();
                let inside = study
                    .modules
                    .iter()
                    .skip(1)
                    .any(|m| m.names.get(&ident.name).is_some_and(|(n, _)| matches!(n, Named::Param(_))));
                let help = did_you_mean(&ident.name, params.iter().copied()).unwrap_or_else(|| {
                    if inside {
                        format!("a module has it: take it with `use … {{ {} }}`", ident.name)
                    } else if params.is_empty() {
                        "this study declares no param".to_owned()
                    } else {
                        format!("its params are {}", params.join(", "))
                    }
                });
                self.error(
                    Diagnostic::error(
                        Code::UnknownParam,
                        format!("there is no param `{}`", ident.name),
                        ident.span,
                        "only params can be set from outside",
                    )
                    .help(help),
                );
                None
            }
        }
    }
}
