//! Faults of characters, found before parsing, and their diagnostics.

use super::token;
use xpipe_base::diag::{Code, Diagnostic, FileId, Span};

/// A fault of characters, with its byte range.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// A string that does not end on its line: its bytes.
    OpenString(usize, usize),
    /// `{` in a string without its `}`: its byte.
    OpenHole(usize),
    /// A `//` or `/* */` comment: its bytes.
    ForeignComment(usize, usize),
    /// A blank outside of ASCII, or an invisible character: its byte.
    OddBlank(usize),
    /// Curly or angle quotes with what stands between them: their bytes.
    OddQuotes(usize, usize),
    /// Three quotes in a row, to the next three: their bytes.
    TripleQuotes(usize, usize),
    /// A name with letters outside of ASCII: its bytes.
    OddName(usize, usize),
    /// The letters of `f"…"` or `r"…"`: their bytes.
    StringPrefix(usize, usize),
    /// A line in column 0 that starts a loop or choice over the lines below: its bytes.
    Loop(usize, usize),
    /// A string with `{` followed by `\"`: the string's bytes, and the brace's.
    Braces(usize, usize, usize),
}

impl Fault {
    /// The diagnostic of a fault in a file's text.
    pub(super) fn explained(&self, text: &str, file: FileId) -> Diagnostic {
        let source = Source { text, file };
        match *self {
            Fault::OddBlank(at) => source.odd_blank(at),
            Fault::OddQuotes(start, end) => source.odd_quotes(start, end),
            Fault::TripleQuotes(start, end) => source.triple_quotes(start, end),
            Fault::OddName(start, end) => source.odd_name(start, end),
            Fault::StringPrefix(start, end) => source.string_prefix(start, end),
            Fault::Loop(start, end) => source.loop_statement(start, end),
            Fault::Braces(start, end, brace) => source.braces(start, end, brace),
            Fault::OpenString(start, end) => source.open_string(start, end),
            Fault::OpenHole(at) => source.open_interpolation(at),
            Fault::ForeignComment(start, end) => source.foreign_comment(start, end),
        }
    }
}

/// The text in which a fault stands.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    file: FileId,
}

impl Source<'_> {
    fn span(self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn line_end(self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |n| at + n)
    }

    fn odd_blank(self, at: usize) -> Diagnostic {
        let c = self.text[at..].chars().next().unwrap_or(' ');
        Diagnostic::error(
            Code::Syntax,
            format!("found {}, expected a space", name_of(c)),
            self.span(at, at + c.len_utf8()),
            "not an ordinary space",
        )
        .help("replace it by a space; text copied from a web page or a PDF often has such characters")
    }

    fn odd_quotes(self, start: usize, end: usize) -> Diagnostic {
        let found = self.text[start..end].trim_matches(|c: char| !c.is_alphanumeric());
        Diagnostic::error(
            Code::SyntaxForeign,
            "a string stands between straight quotes",
            self.span(start, end),
            "these are typographic quotes",
        )
        .help(format!("write `\"{}\"`", token::short(found)))
    }

    fn triple_quotes(self, start: usize, end: usize) -> Diagnostic {
        Diagnostic::error(
            Code::SyntaxForeign,
            "a string stands on one line, between single `\"`",
            self.span(start, end.min(self.line_end(start))),
            "there are no strings between three quotes",
        )
        .help("write `\"…\"`, with `\\n` for a new line; documentation is written in `##` lines")
    }

    fn odd_name(self, start: usize, end: usize) -> Diagnostic {
        let name = &self.text[start..end];
        Diagnostic::error(
            Code::Syntax,
            format!("the name `{}` has letters other than a to z", token::short(name)),
            self.span(start, end),
            "not a name",
        )
        .help("names are letters a to z, digits and `_`; what tables print may be any text")
    }

    fn string_prefix(self, start: usize, end: usize) -> Diagnostic {
        let prefix = &self.text[start..end];
        let help = if prefix.to_ascii_lowercase().contains('r') {
            "write `'…'` for a string in which `{` and `\\` are ordinary characters"
        } else {
            "write `\"…\"`: every string is interpolated; `{name}` stands for a value"
        };
        Diagnostic::error(
            Code::SyntaxForeign,
            format!("a string has no prefix `{prefix}`"),
            self.span(start, end),
            "remove this",
        )
        .help(help)
    }

    fn loop_statement(self, start: usize, end: usize) -> Diagnostic {
        let word = token::at(self.text, start);
        let help = if word == "for" {
            "declare the values as an axis, `axis k = [1, 2]`, and write `for k` after the name of the stage: \
             `stage s for k = …`"
        } else {
            "leave cells out with `where`: `stage s for k where k == 1 = …`; choose values with `if … then … \
             else …`"
        };
        Diagnostic::error(
            Code::SyntaxForeign,
            format!("`{word}` starts no block: a study has no statements"),
            self.span(start, end),
            "not an item",
        )
        .help(help)
    }

    fn braces(self, start: usize, end: usize, brace: usize) -> Diagnostic {
        Diagnostic::error(
            Code::SyntaxString,
            "`{` starts a value in this string",
            self.span(start, end),
            "a literal brace must be doubled",
        )
        .related(self.span(brace, brace + 1), "the value would start here")
        .help("write it between single quotes, `'{\"a\": 1}'`, where braces are ordinary characters; or write `{{` and `}}`")
    }

    fn open_string(self, start: usize, end: usize) -> Diagnostic {
        Diagnostic::error(
            Code::SyntaxString,
            "this string does not end",
            self.span(start, end),
            "starts here, and its line ends first",
        )
        .help(format!("write the closing `{}`; a string stands on one line", &self.text[start..=start]))
    }

    fn open_interpolation(self, at: usize) -> Diagnostic {
        Diagnostic::error(
            Code::SyntaxString,
            "`{` in a string is never closed",
            self.span(at, at + 1),
            "a value starts here",
        )
        .help("write `}` after the value, or `{{` for a brace")
    }

    fn foreign_comment(self, start: usize, end: usize) -> Diagnostic {
        let sign = &self.text[start..start + 2];
        Diagnostic::error(
            Code::SyntaxForeign,
            format!("a comment is written `#`, not `{sign}`"),
            self.span(start, end.min(self.line_end(start))),
            format!("`{sign}` starts no comment here"),
        )
        .help("write `# …`")
    }
}

/// The name of an unusual blank or invisible character.
fn name_of(c: char) -> String {
    let known = match c {
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{3000}' => "an ideographic space",
        '\u{200b}' => "a zero-width space",
        '\u{feff}' => "a byte order mark",
        '\u{ad}' => "a soft hyphen",
        '\u{b}' | '\u{c}' => "a page break",
        '\u{2028}' | '\u{2029}' => "a line separator",
        c if c.is_whitespace() => "a space of another width",
        _ => "an invisible character",
    };
    format!("{known} (U+{:04X})", c as u32)
}
