//! What is kept of an item that does not parse.

use super::ast::{Def, Expr, ExprKind, Field, ForClause, Ident, ItemKind, Let, Stage, TypeExpr};
use xpipe_base::diag::Span;

/// An item of which only the word, the name, the sweep and some fields are known.
pub(super) fn item(
    word: &str,
    name: Ident,
    sweep: Option<ForClause>,
    fields: Vec<Field>,
    span: Span,
) -> Option<ItemKind> {
    let error = Expr { kind: ExprKind::Error, span };
    let any = || TypeExpr { name: Ident { name: "Any".into(), span }, args: Vec::new(), span };
    Some(match word {
        "study" => ItemKind::Study { name, fields },
        "param" => ItemKind::Param { name, ty: any(), default: Some(error) },
        "axis" => ItemKind::Axis { name, ty: None, value: error },
        "dataset" => ItemKind::Dataset { name, ty: any(), value: error },
        "stage" => ItemKind::Stage(Stage { name, sweep, call: error, policy: Vec::new() }),
        "def" => {
            ItemKind::Def(Def { name, formals: Vec::new(), returns: any(), items: Vec::new(), result: error })
        }
        "table" => ItemKind::Table { name, sweep, fields, body: span },
        "claim" => ItemKind::Claim { name, sweep, fields, body: span },
        "report" => ItemKind::Report { name, fields, body: span },
        "profile" => ItemKind::Profile { name, fields, only: Vec::new() },
        "use" | "requires" | "edition" => return None,
        _ => ItemKind::Let(Let { name, sweep, ty: None, value: error }),
    })
}

/// The name an item declares.
pub(super) fn name(kind: &ItemKind) -> Option<&Ident> {
    Some(match kind {
        ItemKind::Edition { .. } | ItemKind::Requires { .. } | ItemKind::Use(_) => return None,
        ItemKind::Let(Let { name, .. })
        | ItemKind::Stage(Stage { name, .. })
        | ItemKind::Def(Def { name, .. }) => name,
        ItemKind::Study { name, .. }
        | ItemKind::Param { name, .. }
        | ItemKind::Axis { name, .. }
        | ItemKind::Dataset { name, .. }
        | ItemKind::Table { name, .. }
        | ItemKind::Claim { name, .. }
        | ItemKind::Report { name, .. }
        | ItemKind::Profile { name, .. } => name,
    })
}
