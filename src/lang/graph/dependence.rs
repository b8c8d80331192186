//! Which axes the value of an expression may depend on.

use super::env::Env;
use super::expander::Expander;
use super::names::follow;
use super::static_names::each_path;
use crate::resolve::{AxisId, Declaration};
use crate::syntax::ast::{Expr, Ident};

impl<'a> Expander<'a> {
    /// The axes whose labels an expression's value may depend on, of those bound here.
    pub(super) fn axes_of(&mut self, e: &'a Expr, env: &Env<'a>) -> Vec<AxisId> {
        let mut axes = Vec::new();
        self.collect_axes(e, env, &mut axes);
        axes.sort_unstable();
        axes.dedup();
        axes.retain(|a| env.at(*a).is_some());
        axes
    }

    fn collect_axes(&mut self, e: &'a Expr, env: &Env<'a>, out: &mut Vec<AxisId>) {
        let mut paths: Vec<&'a [Ident]> = Vec::new();
        each_path(e, &mut |p| paths.push(p));
        for path in paths {
            let Ok(reached) = follow(self.study, env.module, path) else { continue };
            let (sweep, module) = match reached.named {
                Declaration::Axis(a) => {
                    out.push(a);
                    continue;
                }
                Declaration::Stage(s) => (self.study.stage(s).sweep.as_ref(), self.study.stages[s.0].module),
                Declaration::Let(l) => (self.study.let_(l).sweep.as_ref(), self.study.lets[l.0].module),
                _ => continue,
            };
            out.extend(self.sweep_axes(sweep, module).iter().flat_map(|a| a.iter().copied()));
        }
        // A table read from a file varies over its key axes.
        out.extend(self.memo.csv.iter().flat_map(|t| t.keys.iter().copied()));
    }
}
