//! The formatter: `xpipe fmt`.
//!
//! Line breaks stay the author's, and lines of more than 100 characters get more of them (`wrap`); no lines are joined,
//! and comments stay where they are. The formatter sets the spaces between tokens, indentation, the alignment of `=`,
//! `=>` and comments in runs of lines, needless commas at line ends, and blank lines. Its output is parsed again and
//! compared with the input.

mod align;
#[cfg(test)]
mod generated;
mod layout;
mod lex;
mod print;
mod space;
#[cfg(test)]
mod tests;
mod wrap;

use std::collections::BTreeSet;

use super::ast::File;
use super::parse;
use xpipe_base::diag::{Diagnostics, FileId, Severity};

/// Why a text is not formatted.
#[derive(Debug)]
pub enum FormatError {
    /// It has syntax errors: these.
    Wrong(Diagnostics),
    /// The formatted text would not mean the same: a defect of xpipe.
    Defect,
}

/// A study's text, formatted. Formatting it again changes nothing.
///
/// # Errors
/// When the text has syntax errors; it is not touched then.
pub fn format(file: FileId, text: &str) -> Result<String, FormatError> {
    let mut found = Diagnostics::new();
    let tree = parse(file, text, &mut found);
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Err(FormatError::Wrong(found));
    }
    let items: Vec<usize> = tree.items.iter().map(|i| i.span.start as usize).collect();
    let out = text_of(&lex::lines(text), &items);
    let mut again = Diagnostics::new();
    if shape(&tree) == shape(&parse(file, &out, &mut again)) { Ok(out) } else { Err(FormatError::Defect) }
}

/// The text of formatted lines; `items` are the bytes at which items start, in order.
fn text_of(lines: &[lex::Line<'_>], items: &[usize]) -> String {
    let mut lines = layout::without_last_commas(lines);
    let mut apart = BTreeSet::new();
    loop {
        let laid = layout::rows(&lines, items, &apart);
        let code = print::code(&laid.rows, &laid.pads);
        if let Some(broken) = wrap::wrapped(&lines, &laid, &code) {
            lines = broken;
            apart.clear();
            continue;
        }
        let before = apart.len();
        apart.extend(wrap::long_by_alignment(&laid, &code));
        if apart.len() == before {
            return print::text(&laid.rows, &code);
        }
    }
}

/// A tree without its spans: two texts of one shape mean the same.
pub(super) fn shape(file: &File) -> String {
    let full = format!("{file:?}");
    let mut out = String::with_capacity(full.len() / 2);
    let mut rest = full.as_str();
    while let Some(start) = rest.find("Span { file: FileId(") {
        let end = rest[start..].find('}').map_or(rest.len(), |n| start + n + 1);
        out.push_str(&rest[..start]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
