//! Rendering of diagnostics: for people (through miette), one line each, and JSON.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use serde_json::{Value, json};

use super::{Diagnostic, FileId, Label, Severity, Span};

/// A place in a file, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// The files that spans speak of.
pub trait Sources {
    /// What a file is called.
    fn name(&self, file: FileId) -> &str;
    /// Its text.
    fn text(&self, file: FileId) -> &str;
    /// Line and column of a byte.
    fn position(&self, file: FileId, byte: u32) -> Position;
}

/// How to draw for people.
#[derive(Clone, Copy, Debug)]
pub struct RenderStyle {
    /// Whether to use colours.
    pub colour: bool,
    /// Whether to draw with more than ASCII.
    pub unicode: bool,
    /// Columns of the terminal.
    pub width: usize,
}

/// The diagnostics with the text they are about, in the order given.
pub fn graphical(diagnostics: &[&Diagnostic], sources: &dyn Sources, look: RenderStyle) -> String {
    let theme = GraphicalTheme {
        characters: if look.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if look.colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(look.width.max(40))
        .with_context_lines(1)
        .with_links(false)
        .without_syntax_highlighting();
    let mut out = String::new();
    for d in diagnostics {
        // A writer of strings cannot fail, and a report that cannot be drawn still has its line.
        let mut drawn = String::new();
        match handler.render_report(&mut drawn, &Shown::new(d, sources)) {
            Ok(()) => out.push_str(&drawn),
            Err(fmt::Error) => out.push_str(&line(d, sources)),
        }
        out.push('\n');
    }
    out
}

/// One line each: `file:line:col: error[code]: message`.
pub fn short(diagnostics: &[&Diagnostic], sources: &dyn Sources) -> String {
    diagnostics.iter().map(|d| line(d, sources) + "\n").collect()
}

fn line(d: &Diagnostic, sources: &dyn Sources) -> String {
    let span = d.primary.span;
    let at = sources.position(span.file, span.start);
    let (name, severity) = (sources.name(span.file), word(d.severity));
    format!("{name}:{}:{}: {severity}[{}]: {}", at.line, at.column, d.code, d.message)
}

/// A list of objects: `code`, `severity`, `message`, `place`, `labels`, `help`.
pub fn json(diagnostics: &[&Diagnostic], sources: &dyn Sources) -> Value {
    let one = |d: &&Diagnostic| {
        let labels: Vec<Value> = std::iter::once(&d.primary)
            .chain(&d.related)
            .map(|l| json!({ "text": l.text, "place": place(l.span, sources) }))
            .collect();
        json!({
            "code": d.code.as_str(),
            "severity": word(d.severity),
            "message": d.message,
            "place": place(d.primary.span, sources),
            "labels": labels,
            "help": d.help,
        })
    };
    Value::Array(diagnostics.iter().map(one).collect())
}

fn place(span: Span, sources: &dyn Sources) -> Value {
    let start = sources.position(span.file, span.start);
    let end = sources.position(span.file, span.end);
    json!({
        "file": sources.name(span.file),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "start": span.start,
        "end": span.end,
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A diagnostic as miette wants it: labels of one file, those of other files as reports of their own.
struct Shown<'a> {
    d: &'a Diagnostic,
    file: Text<'a>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Elsewhere<'a>>,
}

impl<'a> Shown<'a> {
    fn new(d: &'a Diagnostic, sources: &'a dyn Sources) -> Self {
        let file = Text::new(d.primary.span.file, sources);
        let here = |l: &&Label| l.span.file == d.primary.span.file;
        let mut labels =
            vec![LabeledSpan::new_primary_with_span(text_of(&d.primary), file.range(d.primary.span))];
        labels.extend(
            d.related.iter().filter(here).map(|l| LabeledSpan::new_with_span(text_of(l), file.range(l.span))),
        );
        let elsewhere = d
            .related
            .iter()
            .filter(|l| !here(l))
            .map(|l| {
                let file = Text::new(l.span.file, sources);
                Elsewhere { text: &l.text, range: file.range(l.span), file }
            })
            .collect();
        Self { d, file, labels, elsewhere }
    }
}

fn text_of(label: &Label) -> Option<String> {
    (!label.text.is_empty()).then(|| label.text.clone())
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.d, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.d.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.d.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.d.severity {
            Severity::Note => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.d.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn miette::Diagnostic> + 'b>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|e| e as &dyn miette::Diagnostic)))
    }
}

/// A label in another file.
struct Elsewhere<'a> {
    text: &'a str,
    range: SourceSpan,
    file: Text<'a>,
}

impl fmt::Debug for Elsewhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Display for Elsewhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl std::error::Error for Elsewhere<'_> {}

impl miette::Diagnostic for Elsewhere<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, self.range))))
    }
}

/// A file's text under its name.
struct Text<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Text<'a> {
    fn new(file: FileId, sources: &'a dyn Sources) -> Self {
        Self { name: sources.name(file), text: sources.text(file) }
    }

    /// A span kept inside the text.
    fn range(&self, span: Span) -> SourceSpan {
        let end = (span.end as usize).min(self.text.len());
        let start = (span.start as usize).min(end);
        SourceSpan::from((start, end - start))
    }
}

impl SourceCode for Text<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_owned(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    struct Two;

    impl Sources for Two {
        fn name(&self, file: FileId) -> &str {
            if file.0 == 0 { "a.xpipe" } else { "b.xpipe" }
        }
        fn text(&self, file: FileId) -> &str {
            if file.0 == 0 { "axis seed [1]\naxis b = 2\n" } else { "axis seed = 3\n" }
        }
        fn position(&self, file: FileId, byte: u32) -> Position {
            let text = &self.text(file)[..byte as usize];
            let line = text.matches('\n').count() as u32 + 1;
            Position { line, column: byte - text.rfind('\n').map_or(0, |n| n as u32 + 1) + 1 }
        }
    }

    fn span(file: u32, start: u32, end: u32) -> Span {
        Span { file: FileId(file), start, end }
    }

    fn sample() -> Diagnostic {
        Diagnostic::error(Code::Syntax, "expected `=`, found `[`", span(0, 10, 11), "not `=`")
            .related(span(1, 5, 9), "first declared here")
            .help("write `=`")
    }

    #[test]
    fn one_line_each() {
        let d = sample();
        assert_eq!(
            short(&[&d, &d], &Two),
            "a.xpipe:1:11: error[syntax::unexpected]: expected `=`, found `[`\n".repeat(2)
        );
    }

    #[test]
    fn pictures_show_both_files_and_no_colour_unless_asked() {
        let d = sample();
        let plain = graphical(&[&d], &Two, RenderStyle { colour: false, unicode: false, width: 80 });
        for part in [
            "syntax::unexpected",
            "a.xpipe:1:11",
            "not `=`",
            "b.xpipe:1:6",
            "first declared here",
            "write `=`",
        ] {
            assert!(plain.contains(part), "{part} in:\n{plain}");
        }
        assert!(plain.is_ascii());
        let coloured = graphical(&[&d], &Two, RenderStyle { colour: true, unicode: true, width: 80 });
        assert!(coloured.contains("\u{1b}[") && coloured.contains('╭'));
    }

    #[test]
    fn spans_outside_the_text_are_drawn_at_its_end() {
        let d = Diagnostic::warning(Code::Syntax, "odd", span(0, 900, 950), "here");
        let plain = graphical(&[&d], &Two, RenderStyle { colour: false, unicode: false, width: 80 });
        assert!(plain.contains("odd"), "{plain}");
    }

    #[test]
    fn json_has_lines_columns_and_bytes() {
        let d = sample();
        let v = json(&[&d], &Two);
        assert_eq!(v[0]["code"], "syntax::unexpected");
        assert_eq!(v[0]["severity"], "error");
        assert_eq!(v[0]["place"]["line"], 1);
        assert_eq!(v[0]["place"]["column"], 11);
        assert_eq!(v[0]["labels"][1]["place"]["file"], "b.xpipe");
        assert_eq!(v[0]["labels"][1]["place"]["start"], 5);
        assert_eq!(v[0]["help"], "write `=`");
    }
}
