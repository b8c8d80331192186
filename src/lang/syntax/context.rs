//! The context of building the tree: the parsed text, its positions in the file, and the diagnostics.

use pest::iterators::Pair;

use super::ast::Ident;
use super::edits::Edited;
use super::grammar::Rule;
use xpipe_base::diag::{Diagnostic, Diagnostics, FileId, Severity, Span};

/// The state of building one item or expression.
pub(super) struct BuildContext<'a> {
    pub(super) file: FileId,
    /// The text that was parsed.
    pub(super) source: &'a Edited<'a>,
    /// The diagnostics.
    pub(super) sink: &'a mut Diagnostics,
    /// Byte ranges of the file in which an error is reported already, so that its consequences are not.
    pub(super) quiet: &'a [(usize, usize)],
    /// Whether an error was found, reported or not.
    pub(super) broken: bool,
    /// Whether a part with a syntax error may declare a name.
    pub(super) lost: bool,
}

impl BuildContext<'_> {
    /// The span of bytes of the parsed text.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let start = self.source.place(start) as u32;
        Span { file: self.file, start, end: (self.source.place(end) as u32).max(start) }
    }

    /// The span of a pair that ends with its last token.
    pub(super) fn span_of(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        self.span(span.start(), span.end())
    }

    /// Reports, unless it follows from what was reported before.
    pub(super) fn report(&mut self, d: Diagnostic) {
        if d.severity == Severity::Error {
            self.broken = true;
        }
        let at = d.primary.span.start as usize;
        if !self.quiet.iter().any(|(start, end)| (*start..=*end).contains(&at)) {
            self.sink.push(d);
        }
    }

    /// An identifier.
    pub(super) fn ident(&self, pair: &Pair<'_, Rule>) -> Ident {
        Ident { name: pair.as_str().into(), span: self.span_of(pair) }
    }
}

/// The parts of a pair without comments.
pub(super) fn parts(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(|p| !matches!(p.as_rule(), Rule::remark | Rule::EOI))
}
