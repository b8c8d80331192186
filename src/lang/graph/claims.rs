//! Claims: a condition over results at every point of their axes.

use super::env::Stop;
use super::expander::Expander;
use super::fields::value_of;
use super::model::{Claim, Graph};
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
        self.each_output(("claim", name), sweep, &axes, &mut |e, point, env, count| {
            let text = match value_of(fields, "text").map(|t| e.eval(t, None, env)) {
                Some(Ok(v)) => text_of(v),
                _ => Value::Str(name.name.clone()),
            };
            let value = e
                .eval(expect, Some(&Type::Bool), env)
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
    }
}
