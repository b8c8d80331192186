//! Claims: a condition over results at every point of their axes.

use std::rc::Rc;

use super::env::{Env, Stop};
use super::expander::Expander;
use super::fields::value_of;
use super::model::{Claim, Graph};
use super::no_cells::CellCount;
use super::titles::text_of;
use crate::resolve::ModuleId;
use crate::syntax::ast::{Field, ForClause, Ident};
use crate::types::Type;
use xpipe_base::diag::Span;
use xpipe_base::value::Value;

impl<'a> Expander<'a> {
    pub(super) fn claim(
        &mut self,
        name: &'a Ident,
        sweep: Option<&'a ForClause>,
        fields: &'a [Field],
        span: Span,
        graph: &mut Graph,
    ) {
        if !self.known_fields("claim", fields) {
            return;
        }
        let Some(axes) = self.sweep_axes(sweep, ModuleId(0)) else { return };
        let Some(expect) = value_of(fields, "expect") else {
            self.missing("expect", "claim", name.span);
            return;
        };
        if !self.countable("claim", name, &axes) {
            return;
        }
        let mut count = CellCount::default();
        self.each_point(&axes, &mut |e, point| {
            let mut env = Env::at_point(ModuleId(0), &axes, point);
            env.row = Rc::from(&*name.name);
            let kept = e.kept_by_where(sweep, &env);
            if kept.is_err() {
                return count.add(&kept);
            }
            let text = match value_of(fields, "text").map(|t| e.eval(t, None, &env)) {
                Some(Ok(v)) => text_of(v),
                _ => Value::Str(name.name.clone()),
            };
            let value = e
                .eval(expect, Some(&Type::Bool), &env)
                .and_then(|v| e.conform(v, &Type::Bool, expect.span, "`expect`"));
            count.add(&value);
            let expect = match value {
                Ok(v) => Ok(v),
                Err(Stop::Cut(why)) => Err(why),
                Err(Stop::Reported) => return,
            };
            let labels = e.labels_at(&axes, point);
            graph.claims.push(Claim { name: name.name.to_string(), span, labels, text, expect });
        });
        self.nothing_left(&count, "claim", name);
    }
}
