//! Fields of the blocks of tables, claims and reports.

use super::expander::Expander;
use super::items::fields_of;
use crate::syntax::ast::{Expr, ExprKind, Field};
use xpipe_base::diag::Span;
use xpipe_base::value::Name;

/// The value of a field.
pub(super) fn value_of<'a>(fields: &'a [Field], name: &str) -> Option<&'a Expr> {
    fields.iter().find(|f| &*f.name.name == name).and_then(|f| f.value.as_ref())
}

/// Where an argument of the call in a field stands; `otherwise` when it is not written.
pub(super) fn argument_place(fields: &[Field], field: &str, name: &str, otherwise: Span) -> Span {
    let Some(ExprKind::Call { args, .. }) = value_of(fields, field).map(|e| &e.kind) else {
        return otherwise;
    };
    let named = args.iter().find(|a| a.name.as_ref().is_some_and(|n| &*n.name == name));
    named.map_or(otherwise, |a| a.value.span)
}

impl<'a> Expander<'a> {
    /// Whether a block has only fields of its item, each once; others are reported.
    pub(super) fn known_fields(&mut self, kind: &str, fields: &'a [Field]) -> bool {
        let known = fields_of(kind);
        let mut sound = true;
        let mut seen: Vec<&Name> = Vec::new();
        for f in fields {
            if !known.contains(&&*f.name.name) {
                sound = false;
                self.unknown_argument(&f.name, kind, &known);
            }
            if seen.contains(&&f.name.name) {
                sound = false;
                self.twice(&f.name.name, f.name.span);
            }
            seen.push(&f.name.name);
        }
        sound
    }
}
