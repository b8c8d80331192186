//! What stands in brackets: pieces with separators between them, some of which could not be read.

use pest::iterators::Pair;

use super::ast::{Expr, ExprKind, Field, Ident};
use super::context::{BuildContext, parts};
use super::grammar::Rule;
use xpipe_base::diag::{Code, Diagnostic};

/// A kind of piece.
pub(super) trait Piece {
    /// The name of one, with its article.
    const ONE: &'static str;
    /// Takes what can be known of a piece that could not be read.
    fn salvage(_cx: &BuildContext<'_>, _bad: &Pair<'_, Rule>, _before: &mut Vec<Self>, _separated: bool)
    where
        Self: Sized,
    {
    }
}

impl Piece for super::ast::Arg {
    const ONE: &'static str = "an argument";
}
impl Piece for Expr {
    const ONE: &'static str = "a value";
}
impl Piece for super::ast::Arm {
    const ONE: &'static str = "an arm";
}
impl Piece for super::ast::Formal {
    const ONE: &'static str = "an argument";
}
impl Piece for Ident {
    const ONE: &'static str = "a name";
}

impl Piece for Field {
    const ONE: &'static str = "a field";

    /// The field keeps its name, so that nobody reports it as missing.
    fn salvage(cx: &BuildContext<'_>, bad: &Pair<'_, Rule>, before: &mut Vec<Self>, separated: bool) {
        let span = cx.span_of(bad);
        if !separated {
            if let Some(last) = before.last_mut().filter(|f| f.value.is_none()) {
                last.value = Some(Expr { kind: ExprKind::Error, span });
            }
            return;
        }
        let text = bad.as_str();
        let len = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if len > 0 && !text.starts_with(|c: char| c.is_ascii_digit()) {
            let start = bad.as_span().start();
            let name = Ident { name: text[..len].into(), span: cx.span(start, start + len) };
            let value = Some(Expr { kind: ExprKind::Error, span });
            before.push(Field { docs: Vec::new(), name, value, span });
        }
    }
}

impl BuildContext<'_> {
    /// The pieces of a bracketed group, reporting those that could not be read and separators that are missing.
    pub(super) fn pieces<T: Piece>(
        &mut self,
        group: Pair<'_, Rule>,
        rule: Rule,
        mut build: impl FnMut(&mut Self, Pair<'_, Rule>) -> Option<T>,
    ) -> Vec<T> {
        let text = group.get_input();
        let mut out = Vec::new();
        let mut before: Option<usize> = None;
        let mut reported: Option<usize> = None;
        let mut doc = None;
        for part in parts(group) {
            let start = part.as_span().start();
            let separated =
                before.is_none_or(|end| separates(&text[end..start]) || part.as_str().starts_with("##"));
            let same_line = reported.is_some_and(|at| !text[at..start].contains('\n'));
            match part.as_rule() {
                Rule::kw_match | Rule::path => continue,
                Rule::doc => {
                    doc = Some(self.span_of(&part));
                    continue;
                }
                Rule::bad_field | Rule::bad_arg | Rule::bad_elem | Rule::bad_arm | Rule::bad_formal => {
                    doc = None;
                    if separated || !same_line {
                        self.bad_piece::<T>(&part, rule, separated, &out);
                    }
                    reported = Some(start);
                    self.broken = true;
                    T::salvage(self, &part, &mut out, separated);
                    before =
                        (!part.as_str().starts_with(',')).then(|| start + part.as_str().trim_end().len());
                }
                _ => {
                    doc = None;
                    before = Some(token_end(&part));
                    if !separated && !same_line {
                        self.unseparated(start, text);
                        reported = Some(start);
                    }
                    out.extend(build(self, part));
                }
            }
        }
        if let Some(span) = doc {
            self.dangling(span);
        }
        out
    }

    fn bad_piece<T: Piece>(&mut self, bad: &Pair<'_, Rule>, rule: Rule, separated: bool, before: &[T]) {
        let start = bad.as_span().start();
        if bad.as_str().starts_with(',') {
            let what = T::ONE;
            let message = format!("expected {what} before `,`");
            self.report(
                Diagnostic::error(
                    Code::Syntax,
                    message,
                    self.span(start, start + 1),
                    "nothing before this `,`",
                )
                .help(format!("remove the `,`, or write {what} before it")),
            );
        } else if separated || before.is_empty() {
            self.explain(bad, rule);
        } else {
            self.unseparated(start, bad.get_input());
        }
    }

    /// Two pieces with nothing between them.
    fn unseparated(&mut self, start: usize, text: &str) {
        if self.slip(text, start) {
            return;
        }
        let found = super::token::at(text, start);
        let span = self.span(start, start + found.len());
        let message = format!("expected `,` or a new line before `{}`", super::token::short(found));
        let name = |t: &str| t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let equals = super::token::before(text, start).is_some_and(|(_, t)| name(t));
        let help = if equals {
            "write `,` between the two, or `=` when this is the value"
        } else {
            "write `,` between the two, or an operator"
        };
        self.report(Diagnostic::error(Code::Syntax, message, span, "follows on the same line").help(help));
    }

    /// A `##` line above nothing.
    pub(super) fn dangling(&mut self, span: xpipe_base::diag::Span) {
        self.report(
            Diagnostic::warning(Code::SyntaxDoc, "this `##` documents nothing", span, "nothing follows")
                .help("write `#` for a plain comment"),
        );
    }
}

/// Whether the text between two pieces separates them: a comma or a new line. (A comment ends at a new line.)
fn separates(gap: &str) -> bool {
    gap.bytes().any(|b| matches!(b, b',' | b'\n'))
}

/// The end of the last token of a pair, whose span may go on through blanks and comments.
pub(super) fn token_end(pair: &Pair<'_, Rule>) -> usize {
    let end = pair.as_span().end();
    match pair.as_rule() {
        Rule::expr
        | Rule::condition
        | Rule::call
        | Rule::plain_call
        | Rule::arg
        | Rule::field
        | Rule::elem
        | Rule::if_expr
        | Rule::foreign_elif
        | Rule::arm
        | Rule::pattern
        | Rule::formal
        | Rule::name
        | Rule::sweep
        | Rule::head
        | Rule::item
        | Rule::stage
        | Rule::let_decl
        | Rule::axis
        | Rule::param
        | Rule::dataset
        | Rule::table
        | Rule::claim
        | Rule::use_decl
        | Rule::edition
        | Rule::requires
        | Rule::study
        | Rule::def
        | Rule::report
        | Rule::profile
        | Rule::restrict
        | Rule::policy
        | Rule::alias
        | Rule::ty
        | Rule::yields
        | Rule::label => pair
            .clone()
            .into_inner()
            .filter(|p| p.as_rule() != Rule::remark)
            .last()
            .map_or(end, |p| token_end(&p)),
        _ => end,
    }
}
