//! The diagnostics of brackets that do not balance.

use super::brackets::{Imbalance, closing};
use super::token;
use xpipe_base::diag::{Code, Diagnostic, FileId, Span};

impl Imbalance {
    /// The diagnostic, and bytes of the lines on which nothing else is to be reported.
    pub(super) fn explained(&self, text: &str, file: FileId) -> (Diagnostic, Vec<usize>) {
        let source = Source { text, file };
        match *self {
            Imbalance::Unclosed { at, close, block } => source.unclosed(at, close, block),
            Imbalance::Extra(at) => source.extra(at),
            Imbalance::Wrong { at, partner, right } => source.wrong(at, partner, right),
            Imbalance::Missing { at, after } => source.missing(at, after),
        }
    }
}

/// The text in which brackets do not balance.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    file: FileId,
}

impl<'a> Source<'a> {
    fn span(self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn bracket(self, at: usize) -> &'a str {
        &self.text[at..=at]
    }

    fn unclosed(self, at: usize, close: usize, block: bool) -> (Diagnostic, Vec<usize>) {
        let bracket = self.bracket(at);
        let partner = closing(self.text.as_bytes()[at]);
        let open = self.span(at, at + 1);
        let (start, last) = token::before(self.text, close).unwrap_or((at, bracket));
        let lines_between = self.text[at..start.max(at)].matches('\n').count();
        let d = if !block || lines_between <= 1 {
            let message = format!("this `{bracket}` is never closed");
            Diagnostic::error(Code::SyntaxUnclosed, message, open, "opened here")
        } else {
            // The end of a long block is where the bracket is typed.
            let message = format!("expected `{partner}` after `{}`", token::short(last));
            let end = self.span(start, start + last.len());
            Diagnostic::error(Code::SyntaxUnclosed, message, end, "the block seems to end here")
                .related(open, "opened here and never closed")
        };
        // After a block of several lines something else may stand in place of the bracket.
        let one_line = !self.text[at.min(start)..at.max(start)].contains('\n');
        let lines = if one_line { vec![at] } else { vec![at, start, close] };
        (d.help(format!("write the `{partner}` that closes it")), lines)
    }

    fn extra(self, at: usize) -> (Diagnostic, Vec<usize>) {
        let d = Diagnostic::error(
            Code::SyntaxUnopened,
            format!("this `{}` closes nothing", self.bracket(at)),
            self.span(at, at + 1),
            "no bracket is open here",
        );
        (d.help("remove it, or write the bracket that it closes"), vec![at])
    }

    fn wrong(self, at: usize, partner: usize, right: &str) -> (Diagnostic, Vec<usize>) {
        let (first, last) = (at.min(partner), at.max(partner));
        let d = Diagnostic::error(
            Code::SyntaxUnclosed,
            format!("`{}` is closed by `{}`", self.bracket(first), self.bracket(last)),
            self.span(at, at + 1),
            format!("`{right}` should stand here"),
        );
        let label = if partner < at { "opened here" } else { "closed here" };
        let d = d.related(self.span(partner, partner + 1), label).help(format!("write `{right}`"));
        (d, vec![at, partner])
    }

    fn missing(self, at: usize, after: usize) -> (Diagnostic, Vec<usize>) {
        let (start, last) = token::before(self.text, after).unwrap_or((after, ""));
        let d = Diagnostic::error(
            Code::SyntaxUnopened,
            format!("expected `{{` after `{}`", token::short(last)),
            self.span(start, start + last.len()),
            "a block follows, but nothing opens it",
        );
        let d = d.related(self.span(at, at + 1), "this closes it");
        (d.help("write `{` at the end of the line"), vec![at, after])
    }
}
