//! The one way a study is written: `xpipe fmt`.
//!
//! Lines stay the author's: no line is broken or joined, and comments stay where they are. What is set anew is the
//! space between tokens, indentation, the alignment of `=`, `=>` and comments in runs of lines, commas that end a line
//! for nothing, and blank lines. What comes out is read again and compared with what went in.

mod align;
mod layout;
mod lex;
mod space;
#[cfg(test)]
mod tests;

use super::ast::File;
use super::parse;
use xpipe_base::diag::{Diagnostics, FileId, Severity};

/// Why a text is not formatted.
#[derive(Debug)]
pub enum Refused {
    /// It has syntax errors: these.
    Wrong(Diagnostics),
    /// The formatted text would not mean the same: a defect of xpipe.
    Defect,
}

/// A study's text, formatted. Formatting it again changes nothing.
///
/// # Errors
/// When the text has syntax errors; it is not touched then.
pub fn format(file: FileId, text: &str) -> Result<String, Refused> {
    let mut found = Diagnostics::new();
    let tree = parse(file, text, &mut found);
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Err(Refused::Wrong(found));
    }
    let items: Vec<usize> = tree.items.iter().map(|i| i.span.start as usize).collect();
    let out = layout::text(&lex::lines(text), &items);
    let mut again = Diagnostics::new();
    if shape(&tree) == shape(&parse(file, &out, &mut again)) { Ok(out) } else { Err(Refused::Defect) }
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
