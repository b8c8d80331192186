//! What `--set`, the chosen profile and `--only` mean for the study.
//!
//! All overrides are known before anything is evaluated, so that whatever an axis, a let or a label depends on is
//! evaluated once, with the values that hold.

use super::env::Item;
use super::expander::Expander;
use super::names::names_of;
use super::overrides::{Only, Overrides, SetBy, Setting};
use crate::resolve::{AxisId, Declaration, ModuleId, ParamId};
use crate::syntax::ast::{self, ExprKind, Field, Ident, ItemKind};
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

impl<'a> Expander<'a> {
    /// Reads the chosen profile, `--set` and `--only`, evaluating nothing; returns whether claims are advisory.
    pub(super) fn apply_overrides(&mut self) -> bool {
        let study = self.study;
        let overrides = self.outside.given;
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
            self.outside.settings.insert(id, Setting { expr, by: SetBy::CommandLine, at: ident.span });
        }
        for (axis, labels) in &overrides.only {
            if let Some(Declaration::Axis(id)) = study.named(ModuleId(0), axis) {
                self.outside.only.insert(id, Only::CommandLine(labels, study.axis(id).0.span));
            }
        }
        self.reach.on = !self.outside.settings.is_empty() || !self.outside.only.is_empty();
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
                match claims_are_advisory(f) {
                    Ok(word) => advisory |= word,
                    Err(d) => {
                        self.error(d);
                    }
                }
                continue;
            }
            let Some(id) = self.root_param(&f.name) else { continue };
            match &f.value {
                Some(expr) => {
                    let setting = Setting { expr, by: SetBy::Profile, at: f.name.span };
                    self.outside.settings.insert(id, setting);
                }
                None => {
                    self.error(no_value_in_profile(name, f.span));
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
            self.outside.only.insert(axis, Only::Profile(&o.labels, o.axis.span));
        }
    }

    /// Removes what `only` does not keep of an axis that has just been evaluated.
    pub(super) fn narrow(&mut self, id: AxisId, span: Span) {
        let kept: Vec<usize> = match self.outside.only.get(&id) {
            None => return,
            Some(Only::Profile(labels, _)) => match self.labels_in(id, labels, ModuleId(0)) {
                Ok(labels) => labels,
                Err(_) => return,
            },
            Some(Only::CommandLine(labels, _)) => {
                labels.iter().filter_map(|label| self.label_at(id, label, span).ok()).collect()
            }
        };
        if let Some(state) = self.memo.axes[id.0].as_mut() {
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
            if self.outside.given.profile.as_deref() == Some(&*name.name) {
                continue;
            }
            let overrides = Overrides {
                profile: Some(name.name.to_string()),
                folder: self.outside.given.folder.clone(),
                ..Overrides::default()
            };
            let mut found = Diagnostics::new();
            {
                let mut alone = Expander::new(study, self.registry, self.world, &overrides, &mut found);
                alone.apply_overrides();
                let params: Vec<(ParamId, Span)> =
                    alone.outside.settings.iter().map(|(id, s)| (*id, s.at)).collect();
                for (id, at) in params {
                    let _ = alone.param(id, at);
                }
                let axes: Vec<(AxisId, Span)> =
                    alone.outside.only.iter().map(|(id, o)| (*id, o.at())).collect();
                for (id, at) in axes {
                    alone.axis(id, at);
                }
            }
            // What is wrong elsewhere is reported for the study as it is run.
            let inside = |at: Span| {
                at.file == item.span.file && item.span.start <= at.start && at.end <= item.span.end
            };
            for d in found.iter().filter(|d| inside(d.primary.span)) {
                self.error(d.clone());
            }
        }
    }

    /// Reports overrides that nothing reads, when all else is sound.
    pub(super) fn unread_overrides(&mut self) {
        if !self.reach.on || self.reporter.has_errors() {
            return;
        }
        let reached = self.reach.reached();
        let narrowed = !self.outside.only.is_empty();
        let settings: Vec<(Item, SetBy, Span)> =
            self.outside.settings.iter().map(|(id, s)| (Item::Param(*id), s.by, s.at)).collect();
        for (item, by, at) in settings.into_iter().filter(|(item, ..)| !reached.contains(item)) {
            let mut d = unread_setting(&self.item_name(item), narrowed, at);
            // A profile may set what only its other cells read.
            if by == SetBy::Profile && narrowed {
                d.severity = Severity::Warning;
            }
            self.error(d);
        }
        let only: Vec<(Item, Span)> =
            self.outside.only.iter().map(|(id, o)| (Item::Axis(*id), o.at())).collect();
        for (item, at) in only.into_iter().filter(|(item, _)| !reached.contains(item)) {
            let d = unread_only(&self.item_name(item), at);
            self.error(d);
        }
    }

    /// The param of a name in the root file, declared there or taken from a module.
    fn root_param(&mut self, ident: &Ident) -> Option<ParamId> {
        let study = self.study;
        match study.named(ModuleId(0), &ident.name) {
            Some(Declaration::Param(id)) => Some(id),
            Some(Declaration::Broken) => None,
            _ => {
                let is_param = |n: &Declaration| matches!(n, Declaration::Param(_));
                let inside = (1..study.modules.len())
                    .any(|m| names_of(study, ModuleId(m), is_param).contains(&&*ident.name));
                self.error(unknown_param(ident, &names_of(study, ModuleId(0), is_param), inside));
                None
            }
        }
    }
}

/// The word of a profile's field `claims`.
fn claims_are_advisory(field: &Field) -> Result<bool, Diagnostic> {
    let word = match field.value.as_ref().map(|v| &v.kind) {
        Some(ExprKind::Path(p)) if p.len() == 1 => &*p[0].name,
        _ => "",
    };
    match word {
        "advisory" => Ok(true),
        "required" => Ok(false),
        _ => {
            let message = "`claims` must be `advisory` or `required`";
            Err(Diagnostic::error(Code::Mismatch, message, field.span, "neither of them")
                .help("write `claims = advisory`"))
        }
    }
}

fn no_value_in_profile(param: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::MissingArgument, "a profile gives a param a value", span, "no value here")
        .help(format!("write `{param} = …`"))
}

fn unread_setting(param: &str, narrowed: bool, span: Span) -> Diagnostic {
    let nothing = if narrowed { "nothing that `only` leaves" } else { "nothing of this study" };
    let message = format!("setting `{param}` changes nothing");
    Diagnostic::error(Code::UnusedOverride, message, span, format!("{nothing} reads `{param}`"))
        .help("leave it out, or use the param in a stage, table or claim")
}

fn unread_only(axis: &str, span: Span) -> Diagnostic {
    let message = format!("`only` of `{axis}` changes nothing");
    let label = format!("no stage, table or claim varies over `{axis}`");
    Diagnostic::error(Code::UnusedOverride, message, span, label).help("leave it out, or name another axis")
}

/// `inside`: whether a module that the study uses has such a param.
fn unknown_param(ident: &Ident, params: &[&str], inside: bool) -> Diagnostic {
    let help = did_you_mean(&ident.name, params.iter().copied()).unwrap_or_else(|| match params {
        _ if inside => format!("a module has it: take it with `use … {{ {} }}`", ident.name),
        [] => "this study declares no param".to_owned(),
        params => format!("its params are {}", params.join(", ")),
    });
    let message = format!("there is no param `{}`", ident.name);
    Diagnostic::error(Code::UnknownParam, message, ident.span, "only params can be set from outside")
        .help(help)
}
