//! Points of axes: which axes a `for` binds, every point of some axes, and the point where an expression stands.

use std::rc::Rc;

use super::conform::an;
use super::env::{Env, Eval, Item, Stop};
use super::expander::Expander;
use super::model::Cut;
use super::no_cells::CellCount;
use crate::resolve::{AxisId, ModuleId};
use crate::syntax::ast::{ForClause, Ident};
use crate::types::Type;
use xpipe_base::diag::{Code, Diagnostic, Span};
use xpipe_base::value::{Name, Value};

/// Callback for a point of a table or claim.
type EachOutput<'f, 'a> = &'f mut dyn FnMut(&mut Expander<'a>, &[usize], &Env<'a>, &mut CellCount);

impl<'a> Expander<'a> {
    /// The axes of a `for`, or `None` when one is unknown (reported).
    pub(super) fn sweep_axes(
        &mut self,
        sweep: Option<&'a ForClause>,
        module: ModuleId,
    ) -> Option<Rc<[AxisId]>> {
        let Some(sweep) = sweep else { return Some(Rc::from([])) };
        // A sweep is known by its address in the tree, which does not move.
        let place = std::ptr::from_ref(sweep);
        if let Some(known) = self.memo.sweeps.get(&place) {
            return known.clone();
        }
        let axes = self.new_sweep(sweep, module);
        self.memo.sweeps.insert(place, axes.clone());
        axes
    }

    fn new_sweep(&mut self, sweep: &'a ForClause, module: ModuleId) -> Option<Rc<[AxisId]>> {
        let mut axes = Vec::new();
        let mut sound = true;
        for ident in &sweep.axes {
            match self.axis_named(ident, module) {
                Ok(id) if axes.contains(&id) => {
                    sound = false;
                    self.error(bound_twice(ident));
                }
                Ok(id) => axes.push(id),
                Err(_) => sound = false,
            }
        }
        sound.then(|| axes.into())
    }

    /// Calls `f` at every point of some axes (labels kept by `only`), the last axis fastest.
    pub(super) fn each_point(&mut self, axes: &[AxisId], f: &mut dyn FnMut(&mut Self, &[usize])) {
        let labels: Vec<Vec<usize>> = axes.iter().map(|a| self.kept_labels(*a)).collect();
        let sizes: Vec<usize> = labels.iter().map(Vec::len).collect();
        let mut point = vec![0usize; axes.len()];
        each_index(&sizes, &mut |at| {
            point.iter_mut().zip(labels.iter().zip(at)).for_each(|(p, (l, i))| *p = l[*i]);
            f(self, &point);
        });
    }

    /// Calls `f` at every point of a table or claim that its `where` keeps; warns when none is left.
    pub(super) fn each_output(
        &mut self,
        (kind, name): (&str, &Ident),
        sweep: Option<&'a ForClause>,
        axes: &[AxisId],
        f: EachOutput<'_, 'a>,
    ) {
        let mut count = CellCount::default();
        self.each_point(axes, &mut |e, point| {
            let mut env = Env::at_point(ModuleId(0), axes, point);
            env.row = Rc::from(&*name.name);
            match e.kept_by_where(sweep, &env) {
                Ok(()) => f(e, point, &env, &mut count),
                cut => count.add(&cut),
            }
        });
        self.nothing_left(&count, kind, name);
    }

    /// The labels bound for some axes, or a diagnostic that names the first one free.
    pub(super) fn point_of(
        &mut self,
        axes: &[AxisId],
        env: &Env<'a>,
        span: Span,
        what: &str,
    ) -> Eval<Vec<usize>> {
        let mut point = Vec::with_capacity(axes.len());
        for axis in axes {
            self.reads(Item::Axis(*axis));
            match env.at(*axis) {
                Some(i) => point.push(i),
                None => return Err(self.free_axis(*axis, span, &format!("`{what}`"))),
            }
        }
        Ok(point)
    }

    /// Reports an expression that varies over an axis which is not bound where it stands.
    pub(super) fn free_axis(&mut self, axis: AxisId, span: Span, what: &str) -> Stop {
        // The `for` of an item may be what could not be read.
        if self.study.is_in_broken_item(span) {
            return Stop::Reported;
        }
        let label = self.axis_label(axis, 0).unwrap_or_else(|| "label".into());
        let d = free_axis(what, &self.axis_name(axis), &label, span);
        self.error(d)
    }

    /// Whether the `where` of a `for` keeps the cell that is bound; [`Stop::Cut`] when it does not.
    pub(super) fn kept_by_where(&mut self, sweep: Option<&'a ForClause>, env: &Env<'a>) -> Eval<()> {
        let Some(condition) = sweep.and_then(|s| s.condition.as_ref()) else { return Ok(()) };
        match self.eval(condition, None, env)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(Stop::Cut(Cut::Where)),
            Value::Pending(_) => Err(self.error(pending_where(condition.span))),
            other => {
                let found = self.type_of(&other);
                Err(self.error(where_is_no_condition(&found, condition.span)))
            }
        }
    }
}

/// Calls `f` with every combination of indices below some sizes, the last one fastest.
pub(super) fn each_index(sizes: &[usize], f: &mut dyn FnMut(&[usize])) {
    if sizes.contains(&0) {
        return;
    }
    let mut at = vec![0usize; sizes.len()];
    loop {
        f(&at);
        let Some(k) = (0..sizes.len()).rev().find(|k| at[*k] + 1 < sizes[*k]) else { return };
        at[k] += 1;
        at[k + 1..].fill(0);
    }
}

fn bound_twice(axis: &Ident) -> Diagnostic {
    let message = format!("`{}` is bound twice", axis.name);
    Diagnostic::error(Code::DeclaredTwice, message, axis.span, "again here").help("name each axis once")
}

fn free_axis(what: &str, axis: &Name, label: &Name, span: Span) -> Diagnostic {
    let message = format!("{what} varies over `{axis}`, which is not bound here");
    Diagnostic::error(Code::FreeAxis, message, span, format!("varies over `{axis}`")).help(format!(
        "add `{axis}` to `for`, pick one with `[{axis} = {label}]`, or reduce with `mean(…, over = {axis})`"
    ))
}

fn pending_where(span: Span) -> Diagnostic {
    let message = "`where` cannot use what is known only after a stage has run";
    Diagnostic::error(Code::PendingShape, message, span, "known too late")
        .help("such values may stand in stage arguments")
}

fn where_is_no_condition(found: &Type, span: Span) -> Diagnostic {
    let label = format!("this is {}", an(found));
    Diagnostic::error(Code::Mismatch, "`where` needs something true or false", span, label)
        .help("compare: `where backbone in small`")
}

#[cfg(test)]
mod tests {
    use super::each_index;

    #[test]
    fn every_combination_comes_once_and_the_last_index_is_the_fastest() {
        let all = |sizes: &[usize]| {
            let mut found = Vec::new();
            each_index(sizes, &mut |at| found.push(at.to_vec()));
            found
        };
        assert_eq!(all(&[2, 2]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
        assert_eq!(all(&[]), [Vec::<usize>::new()]);
        assert!(all(&[2, 0]).is_empty());
    }
}
