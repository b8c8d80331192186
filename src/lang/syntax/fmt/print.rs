//! From rows to text: indentation, spaces, comments.

use super::align;
use super::lex::Token;
use super::space;

/// Maximum width of a line of code, in characters.
pub(super) const WIDTH: usize = 100;
/// Spaces per level of indentation.
pub(super) const STEP: usize = 4;

/// How far a row is indented, relative to a row above it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// One level inside the row; without a row, in column 0.
    Inside(Option<usize>),
    /// As far as the row.
    Level(usize),
    /// Two levels inside: the continuation of an element.
    Beyond(Option<usize>),
    /// Before the operand under the value of the row, `> b` under `= a`, or [`STEP`] inside the row when it would be
    /// too long there.
    Under { row: usize, sign: usize, operator: usize },
}

/// A line of the output.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The line it was made from.
    pub(super) line: usize,
    pub(super) place: Place,
    pub(super) tokens: Vec<Token<'a>>,
    /// The token before its first one.
    pub(super) before: Option<Token<'a>>,
    pub(super) comment: Option<(&'a str, usize)>,
    /// Whether a blank line stands above it.
    pub(super) blank: bool,
}

/// A row's code without indentation and comment.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) indent: usize,
    pub(super) text: String,
    /// The column of each token, counted from the indentation.
    pub(super) starts: Vec<usize>,
}

impl Code {
    /// The column after the last token.
    pub(super) fn width(&self) -> usize {
        if self.text.is_empty() { 0 } else { self.indent + self.text.chars().count() }
    }
}

/// The code of each row; `pads` are the spaces to add before tokens, by row.
pub(super) fn code(rows: &[Row<'_>], pads: &[Vec<(usize, usize)>]) -> Vec<Code> {
    let mut out: Vec<Code> = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let of = |r: usize| out.get(r).map_or(0, |c| c.indent);
        let inside = |r: Option<usize>| r.map_or(0, |r| of(r) + STEP);
        let indent = match row.place {
            Place::Inside(r) => inside(r),
            Place::Level(r) => of(r),
            Place::Beyond(r) => inside(r) + STEP,
            Place::Under { row, .. } => of(row) + STEP,
        };
        let pads = pads.get(i).map_or(&[][..], Vec::as_slice);
        let (text, starts) = space::join(row.before.as_ref(), &row.tokens, pads);
        let indent = match row.place {
            Place::Under { row, sign, operator } => {
                let sign_at = out.get(row).and_then(|c| c.starts.get(sign)).copied().unwrap_or(0);
                let length = rows.get(row).and_then(|r| r.tokens.get(sign)).map_or(1, |t| t.text.len());
                let under = (of(row) + sign_at + length).saturating_sub(operator).max(indent);
                if under + text.chars().count() > WIDTH { indent } else { under }
            }
            _ => indent,
        };
        out.push(Code { indent, text, starts });
    }
    out
}

/// The text of rows with their comments.
pub(super) fn text(rows: &[Row<'_>], code: &[Code]) -> String {
    let mut out = String::new();
    let mut column = None;
    for (i, (row, code_of_row)) in rows.iter().zip(code).enumerate() {
        if row.blank {
            out.push('\n');
        }
        if !code_of_row.text.is_empty() || row.comment.is_some_and(|_| row.tokens.is_empty()) {
            out.extend(std::iter::repeat_n(' ', code_of_row.indent));
        }
        out.push_str(&code_of_row.text);
        match row.comment {
            Some((comment, _)) if row.tokens.is_empty() => {
                out.push_str(comment);
                column = None;
            }
            Some((comment, _)) => {
                let at = *column
                    .filter(|_| !row.blank)
                    .get_or_insert_with(|| align::comment_column(&comments_from(rows, code, i)));
                column = Some(at);
                out.extend(std::iter::repeat_n(' ', at - code_of_row.width()));
                out.push_str(comment);
            }
            None => column = None,
        }
        out.push('\n');
    }
    out
}

/// The adjacent rows from row `first` on that end with a comment: width of the code, column of the comment as written.
fn comments_from(rows: &[Row<'_>], code: &[Code], first: usize) -> Vec<(usize, usize)> {
    let adjacent = (first..rows.len()).take_while(|k| *k == first || !rows[*k].blank);
    adjacent
        .map_while(|k| rows[k].comment.filter(|_| !rows[k].tokens.is_empty()).map(|c| (code[k].width(), c.1)))
        .collect()
}
