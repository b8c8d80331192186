//! What a type in the text of a study means.

use super::expander::Expander;
use crate::syntax::ast::{Ident, TypeExpr};
use crate::types::Type;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_base::diag::{Code, Diagnostic};

impl Expander<'_> {
    /// The type that a type expression means; one that is unknown is reported and fits everything.
    pub(super) fn type_expr(&mut self, t: &TypeExpr) -> Type {
        let inner = t.args.first().map(|a| self.type_expr(a));
        match &*t.name.name {
            "List" => return Type::List(Box::new(inner.unwrap_or(Type::Any))),
            "Grid" => return inner.unwrap_or(Type::Any),
            _ => {}
        }
        let Some(found) = Type::parse(&t.name.name) else {
            self.error(no_such_type(&t.name));
            return Type::Any;
        };
        let kinds = kinds_of(&found);
        for arg in t.args.iter().filter(|a| !kinds.contains(&&*a.name.name)) {
            self.error(no_such_kind(&found, arg, kinds));
        }
        found
    }
}

/// What may stand in `<…>` after a type; whether samples and models fit is checked by cell.
fn kinds_of(ty: &Type) -> &'static [&'static str] {
    match ty {
        Type::Samples => &["pairs", "group", "ranked_list"],
        Type::Model => &["cross_encoder"],
        _ => &[],
    }
}

fn no_such_type(name: &Ident) -> Diagnostic {
    let message = format!("there is no type `{}`", name.name);
    Diagnostic::error(Code::UnknownType, message, name.span, "not a type")
        .maybe_help(did_you_mean(&name.name, Type::names()))
}

fn no_such_kind(ty: &Type, arg: &TypeExpr, kinds: &[&str]) -> Diagnostic {
    let message = format!("`{ty}` has no kind `{}`", arg.name.name);
    let help = match kinds {
        [] => format!("write `{ty}`"),
        some => format!("write `{ty}`, or `{ty}<{}>`", some.join(" | ")),
    };
    Diagnostic::error(Code::UnknownType, message, arg.span, "not a kind of this type").help(help)
}
