//! From text to tree: cut into items, repair, parse, build; on failure, recover.

use pest::Parser;
use pest::iterators::Pair;

use super::ast::{Expr, File, Ident};
use super::context::{BuildContext, parts};
use super::edits::Edited;
use super::grammar::{Grammar, Rule};
use super::recover;
use super::scan::scan;
use xpipe_base::diag::{Diagnostics, FileId};

/// Parses a file. Never fails: what could not be read is reported and left out, or is [`super::ast::ExprKind::Error`].
pub fn parse(file: FileId, text: &str, sink: &mut Diagnostics) -> File {
    let mut out = File::default();
    for chunk in scan(text) {
        recover::chunk(file, text, chunk, sink, &mut out);
    }
    out
}

/// Parses one expression, for instance of a command line. `None` when it was wrong, which is reported.
pub fn parse_expr(file: FileId, text: &str, sink: &mut Diagnostics) -> Option<Expr> {
    fragment(file, text, sink, Rule::only_expr, |cx, pair| parts(pair).next().map(|p| cx.expr(p)))
}

/// Parses `name = value` of `--set`. `None` when it was wrong, which is reported.
pub fn parse_setting(file: FileId, text: &str, sink: &mut Diagnostics) -> Option<(Ident, Expr)> {
    fragment(file, text, sink, Rule::only_setting, |cx, pair| {
        let (mut name, mut value) = (None, None);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::ident => name = Some(cx.ident(&part)),
                Rule::expr => value = Some(cx.expr(part)),
                _ => {}
            }
        }
        name.zip(value)
    })
}

fn fragment<T>(
    file: FileId,
    text: &str,
    sink: &mut Diagnostics,
    rule: Rule,
    build: impl FnOnce(&mut BuildContext<'_>, Pair<'_, Rule>) -> Option<T>,
) -> Option<T> {
    if !recover::sound(file, text, sink) {
        return None;
    }
    let source = Edited::plain(text, 0);
    let mut cx = BuildContext { file, source: &source, sink, quiet: &[], broken: false, lost: false };
    match Grammar::parse(rule, text) {
        Ok(mut pairs) => pairs.next().and_then(|pair| build(&mut cx, pair)).filter(|_| !cx.broken),
        Err(error) => {
            cx.explain_error(&error, text, 0, text.trim_end().len());
            None
        }
    }
}
