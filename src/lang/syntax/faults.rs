//! What is said about faults of the characters themselves.

use super::scan::Fault;
use super::{odd, token};
use xpipe_base::diag::{Code, Diagnostic, FileId, Span};

impl Fault {
    /// The diagnostic of a fault in a file's text.
    pub(super) fn explained(&self, text: &str, file: FileId) -> Diagnostic {
        let span = |start: usize, end: usize| Span { file, start: start as u32, end: end as u32 };
        let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |n| at + n);
        match *self {
            Fault::OddBlank(at) => {
                let c = text[at..].chars().next().unwrap_or(' ');
                let name = odd::name_of(c);
                Diagnostic::error(
                    Code::Syntax,
                    format!("{name} stands here, where a blank was expected"),
                    span(at, at + c.len_utf8()),
                    "looks like a blank or like nothing, and is neither",
                )
                .help("replace it by a blank; text copied from a web page or a PDF often has such characters")
            }
            Fault::OddQuotes(start, end) => {
                let found = text[start..end].trim_matches(|c: char| !c.is_alphanumeric());
                Diagnostic::error(
                    Code::SyntaxForeign,
                    "a string stands between straight quotes",
                    span(start, end),
                    "these quotes are of a word processor",
                )
                .help(format!("write `\"{}\"`", token::short(found)))
            }
            Fault::TripleQuotes(start, end) => Diagnostic::error(
                Code::SyntaxForeign,
                "a string stands on one line, between single `\"`",
                span(start, end.min(line_end(start))),
                "three quotes start no string here",
            )
            .help("write `\"…\"`, with `\\n` for a new line; documentation is written in `##` lines"),
            Fault::OddName(start, end) => {
                let name = &text[start..end];
                Diagnostic::error(
                    Code::Syntax,
                    format!("the name `{}` has letters other than a to z", token::short(name)),
                    span(start, end),
                    "not a name",
                )
                .help("names are letters a to z, digits and `_`; what tables print may be any text")
            }
            Fault::StringPrefix(start, end) => {
                let raw = text[start..end].to_ascii_lowercase().contains('r');
                let help = if raw {
                    "write `'…'` for a string whose `{` and `\\` mean themselves"
                } else {
                    "write `\"…\"`: every string puts in the values between `{` and `}`"
                };
                Diagnostic::error(
                    Code::SyntaxForeign,
                    format!("a string has no prefix `{}`", &text[start..end]),
                    span(start, end),
                    "remove this",
                )
                .help(help)
            }
            Fault::Loop(start, end) => {
                let word = token::at(text, start);
                let help = if word == "for" {
                    "declare the values as an axis, `axis k = [1, 2]`, and write `for k` after the name of the \
                     stage: `stage s for k = …`"
                } else {
                    "leave cells out with `where`: `stage s for k where k == 1 = …`; choose values with `if … \
                     then … else …`"
                };
                Diagnostic::error(
                    Code::SyntaxForeign,
                    format!("`{word}` starts no block: a study has no statements"),
                    span(start, end),
                    "not an item",
                )
                .help(help)
            }
            Fault::Braces(start, end, brace) => Diagnostic::error(
                Code::SyntaxString,
                "`{` starts a value in this string",
                span(start, end),
                "a brace that is meant as it is has to be doubled",
            )
            .related(span(brace, brace + 1), "the value would start here")
            .help("write it between single quotes, `'{\"a\": 1}'`, where every sign means itself; or write `{{` and `}}`"),
            Fault::OpenString(start, end) => Diagnostic::error(
                Code::SyntaxString,
                "this string does not end",
                span(start, end),
                "starts here, and its line ends first",
            )
            .help(format!(
                "write the closing `{}`; a string stands on one line",
                &text[start..=start]
            )),
            Fault::OpenHole(at) => Diagnostic::error(
                Code::SyntaxString,
                "`{` in a string is never closed",
                span(at, at + 1),
                "a value starts here",
            )
            .help("write `}` after the value, or `{{` for a brace"),
            Fault::ForeignComment(start, end) => {
                let sign = &text[start..start + 2];
                let end = end.min(line_end(start));
                Diagnostic::error(
                    Code::SyntaxForeign,
                    format!("a comment is written `#`, not `{sign}`"),
                    span(start, end),
                    format!("`{sign}` starts no comment here"),
                )
                .help("write `# …`")
            }
        }
    }
}
