//! Values of lets and data sets, each evaluated once at every point.

use std::rc::Rc;

use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use crate::resolve::{DatasetId, LetId, ModuleId};
use crate::syntax::ast::{self, ExprKind, Ident, ItemKind};
use xpipe_base::diag::Span;
use xpipe_base::value::Name;

impl<'a> Expander<'a> {
    /// The value of a let at the axes bound here.
    pub(super) fn let_value(&mut self, id: LetId, env: &Env<'a>, span: Span) -> Eval {
        let l = self.study.let_(id);
        let module = self.study.lets[id.0].module;
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), module) else { return Err(Stop::Reported) };
        let point = self.point_of(&axes, env, span, &l.name.name)?;
        let key = self.memo.point_key(&axes, &point);
        if let Some(v) = self.memo.lets.get(&(id, key)) {
            return v.clone();
        }
        let mut inner = Env::at_point(module, &axes, &point);
        inner.row = Rc::from(&*l.name.name);
        let value = self.enter(Item::Let(id), span, |e| {
            e.kept_by_where(l.sweep.as_ref(), &inner)?;
            let ty = l.ty.as_ref().map(|t| e.type_expr(t));
            let value = e.eval(&l.value, ty.as_ref(), &inner)?;
            match ty {
                Some(t) => e.conform(value, &t, l.value.span, &format!("`{}`", l.name.name)),
                None => Ok(value),
            }
        });
        self.memo.lets.insert((id, key), value.clone());
        value
    }

    /// The value of a let inside a def, at the axes bound here.
    pub(super) fn inner_let(&mut self, l: &'a ast::Let, env: &Env<'a>, span: Span) -> Eval {
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), env.module) else { return Err(Stop::Reported) };
        self.point_of(&axes, env, span, &l.name.name)?;
        self.kept_by_where(l.sweep.as_ref(), env)?;
        let inner = env.before(&l.name.name);
        let ty = l.ty.as_ref().map(|t| self.type_expr(t));
        let value = self.within(&l.name.name, |e| e.eval(&l.value, ty.as_ref(), &inner))?;
        match ty {
            Some(t) => self.conform(value, &t, l.value.span, &format!("`{}`", l.name.name)),
            None => Ok(value),
        }
    }

    /// Evaluates a let of the root file for its mistakes, unless it is a list of labels.
    pub(super) fn check_let(&mut self, id: LetId, span: Span) {
        let l = self.study.let_(id);
        let module = self.study.lets[id.0].module;
        if self.label_list(l, module) {
            return;
        }
        let Some(axes) = self.sweep_axes(l.sweep.as_ref(), module) else { return };
        if !self.countable("let", &l.name, &axes) {
            return;
        }
        self.each_point(&axes, &mut |e, point| {
            let env = Env::at_point(module, &axes, point);
            let _ = e.let_value(id, &env, span);
        });
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
            self.memo.axes.iter().flatten().any(|a| a.broken || a.entries.iter().any(|e| e.label == *name))
        };
        names.iter().any(|n| self.study.named(module, &n.name).is_none())
            && names.iter().filter(|n| in_axis(&n.name)).count() * 2 >= names.len()
    }

    /// The value of a dataset.
    pub(super) fn dataset(&mut self, id: DatasetId, span: Span) -> Eval {
        if let Some(v) = &self.memo.datasets[id.0] {
            return v.clone();
        }
        let place = self.study.datasets[id.0];
        let ItemKind::Dataset { name, ty, value } = &self.study.item(place).kind else {
            return Err(Stop::Reported);
        };
        let result = self.enter(Item::Dataset(id), span, |e| {
            let ty = e.type_expr(ty);
            let label = e.dataset_name(id);
            e.dataset_value(&label, name, &ty, value, place.module)
        });
        self.memo.datasets[id.0] = Some(result.clone());
        result
    }

    pub(super) fn dataset_name(&self, id: DatasetId) -> String {
        let place = self.study.datasets[id.0];
        let module = &self.study.module(place.module).name;
        match &self.study.item(place).kind {
            ItemKind::Dataset { name, .. } if module.is_empty() => name.name.to_string(),
            ItemKind::Dataset { name, .. } => format!("{module}.{}", name.name),
            _ => String::new(),
        }
    }
}
