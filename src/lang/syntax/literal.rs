//! Numbers, quantities and strings.

use std::sync::Arc;

use pest::iterators::Pair;

use super::ast::{Expr, ExprKind, StrPart};
use super::context::{BuildContext, parts};
use super::grammar::Rule;
use xpipe_base::diag::{Code, Diagnostic, Span};

impl BuildContext<'_> {
    /// A number, with its unit when it has one.
    pub(super) fn quantity(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        let (mut digits, mut unit) = ("", None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::unit => unit = Some(part.as_str()),
                _ => digits = part.as_str(),
            }
        }
        let plain: String = digits.chars().filter(|c| *c != '_').collect();
        let kind = if unit.is_none() && plain.bytes().all(|b| b.is_ascii_digit()) {
            plain.parse().ok().map(ExprKind::Int)
        } else {
            plain.parse::<f64>().ok().filter(|v| v.is_finite()).map(|value| match unit {
                Some(unit) => ExprKind::Quantity { value, unit: unit.into() },
                None => ExprKind::Float(value),
            })
        };
        let kind = kind.unwrap_or_else(|| {
            self.report(
                Diagnostic::error(Code::SyntaxNumber, "number is too large", span, "does not fit 64 bits")
                    .help(format!(
                        "the largest whole number is {}, the largest float about 1.8e308",
                        i64::MAX
                    )),
            );
            ExprKind::Error
        });
        Expr { kind, span }
    }

    /// A string with its interpolations.
    pub(super) fn string(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        let mut out = Vec::new();
        let mut text = String::new();
        for part in pair.into_inner() {
            let here = self.span_of(&part);
            match part.as_rule() {
                Rule::str_escape => text.push(match part.as_str() {
                    "\\n" => '\n',
                    "\\t" => '\t',
                    "{{" => '{',
                    "}}" => '}',
                    other => other.chars().nth(1).unwrap_or('\\'),
                }),
                Rule::str_interp => {
                    let before = &part.get_input()[..part.as_span().start()];
                    if before.ends_with('$') && !before.ends_with("\\$") {
                        text.pop();
                        self.report(dollar_before_brace(here));
                    }
                    if !text.is_empty() {
                        out.push(StrPart::Text(Arc::from(std::mem::take(&mut text))));
                    }
                    out.push(StrPart::Expr(self.interpolated(part)));
                }
                Rule::bad_escape => {
                    self.report(unknown_escape(part.as_str(), here));
                    text.push_str(part.as_str());
                }
                Rule::stray_brace => {
                    self.report(unmatched_brace(here));
                    text.push('}');
                }
                _ => text.push_str(part.as_str()),
            }
        }
        if !text.is_empty() {
            out.push(StrPart::Text(text.into()));
        }
        Expr { kind: ExprKind::Str(out), span }
    }

    /// The expression of `{…}` in a string.
    fn interpolated(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span_of(&pair);
        match parts(pair).next() {
            Some(inner) if inner.as_rule() == Rule::expr => self.expr(inner),
            Some(bad) => {
                self.explain(&bad, Rule::only_expr);
                Expr { kind: ExprKind::Error, span }
            }
            None => Expr { kind: ExprKind::Error, span },
        }
    }

    /// A string without interpolations, where only such a one can stand.
    pub(super) fn plain_string(&mut self, pair: Pair<'_, Rule>) -> Arc<str> {
        if pair.as_rule() == Rule::raw_string {
            return raw(&pair);
        }
        let whole = self.string(pair);
        let ExprKind::Str(pieces) = whole.kind else { return Arc::from("") };
        let mut text = String::new();
        for piece in &pieces {
            match piece {
                StrPart::Text(t) => text.push_str(t),
                StrPart::Expr(e) => self.report(
                    Diagnostic::error(
                        Code::SyntaxString,
                        "this string must be plain text",
                        e.span,
                        "a value here",
                    )
                    .help("write the text itself, without `{…}`"),
                ),
            }
        }
        text.into()
    }
}

/// The text of a raw string.
pub(super) fn raw(pair: &Pair<'_, Rule>) -> Arc<str> {
    pair.as_str().trim_matches('\'').into()
}

fn dollar_before_brace(at: Span) -> Diagnostic {
    Diagnostic::error(Code::SyntaxForeign, "`${…}` is written `{…}`", at, "a `$` stands before it")
        .help("remove the `$`, or write `\\$` for a dollar sign")
}

fn unknown_escape(escape: &str, at: Span) -> Diagnostic {
    Diagnostic::error(Code::SyntaxString, format!("unknown escape `{escape}`"), at, "no such escape")
        .help("write `\\\\` for a backslash, or use a raw string: '…'")
}

fn unmatched_brace(at: Span) -> Diagnostic {
    Diagnostic::error(Code::SyntaxString, "`}` closes nothing in this string", at, "a single `}`")
        .help("write `}}` for a brace")
}
