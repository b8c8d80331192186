//! Runs of lines whose `=`, `=>` or comments stand under each other.

use super::lex::{Kind, Token};
use crate::syntax::scan::ITEM_WORDS;

/// How much longer the longest head of a run may be than the shortest.
const SPREAD: usize = 32;

/// What the lines of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// `name = value`.
    Field,
    /// `label => value`.
    Arm,
    /// An item, by its keyword, with or without `for`.
    Item(&'a str, bool),
}

/// What stands before the sign that is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Index of `=`, `=>` or the `{` of `use`.
    pub(super) sign: usize,
    /// Index of `for`.
    pub(super) sweep: Option<usize>,
}

/// The form of a line that starts an element in a bracket (`None`: in no bracket), and its head.
pub(super) fn head<'a>(tokens: &[Token<'a>], bracket: Option<&str>) -> Option<(Form<'a>, Option<Head>)> {
    let first = tokens.first()?;
    let mut depth = 0;
    let mut outer = Vec::new();
    for (i, t) in tokens.iter().enumerate() {
        if depth == 0 {
            outer.push((i, t));
        }
        depth += i32::from(t.opens()) - i32::from(t.closes());
    }
    let find = |text: &str| outer.iter().find(|(_, t)| t.text == text).map(|(i, _)| *i);
    let named = tokens.get(1).is_some_and(|t| t.kind == Kind::Word);
    if ITEM_WORDS.contains(&first.text) && (named || bracket.is_none()) && matches!(bracket, None | Some("{"))
    {
        let sign = if first.text == "use" { find("{") } else { find("=") };
        let sweep = find("for").filter(|i| sign.is_some_and(|s| *i < s));
        return Some((Form::Item(first.text, sweep.is_some()), sign.map(|sign| Head { sign, sweep })));
    }
    let comma = find(",").unwrap_or(tokens.len());
    if bracket == Some("{")
        && let Some(sign) = find("=>").filter(|i| *i < comma)
    {
        return Some((Form::Arm, Some(Head { sign, sweep: None })));
    }
    let field = first.kind == Kind::Word && tokens.get(1).is_some_and(|t| t.text == "=");
    field.then_some((Form::Field, Some(Head { sign: 1, sweep: None })))
}

/// Lines of one bracket that may be aligned with each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Run<'a> {
    form: Option<Form<'a>>,
    /// Row, head, width up to `for` (or the sign), and from there to the sign.
    lines: Vec<(usize, Head, usize, usize)>,
}

impl<'a> Run<'a> {
    /// Adds a row; `starts` are the columns of its tokens. Spaces that end a run before it go to `pads`.
    pub(super) fn add(
        &mut self,
        row: usize,
        form: Form<'a>,
        head: Option<Head>,
        starts: &[usize],
        pads: &mut [Vec<(usize, usize)>],
    ) {
        if self.form.is_some_and(|f| f != form) {
            self.end(pads);
        }
        self.form = Some(form);
        let Some(head) = head else { return };
        let width = starts.get(head.sign).copied().unwrap_or(0);
        let name = head.sweep.and_then(|i| starts.get(i)).copied().unwrap_or(width);
        let widths = || self.lines.iter().map(|l| l.2 + l.3).chain([width]);
        if widths().max().unwrap_or(0) - widths().min().unwrap_or(0) > SPREAD {
            self.end(pads);
            self.form = Some(form);
        }
        self.lines.push((row, head, name, width - name));
    }

    /// Ends the run if `row` is its last.
    pub(super) fn end_after(&mut self, row: usize, pads: &mut [Vec<(usize, usize)>]) {
        if self.lines.last().is_some_and(|l| l.0 == row) {
            self.end(pads);
        }
    }

    /// Ends the run: what its lines are short of goes to `pads`, by row.
    pub(super) fn end(&mut self, pads: &mut [Vec<(usize, usize)>]) {
        let name = self.lines.iter().map(|l| l.2).max().unwrap_or(0);
        let rest = self.lines.iter().map(|l| l.3).max().unwrap_or(0);
        for (row, head, n, r) in self.lines.drain(..) {
            let Some(pads) = pads.get_mut(row) else { continue };
            match head.sweep {
                Some(sweep) => pads.extend([(sweep, name - n), (head.sign, rest - r)]),
                None => pads.push((head.sign, name - n)),
            }
        }
        self.form = None;
    }
}

/// The column of the comments that end adjacent lines: (width of the code, column as written) of each.
/// Comments that stand under each other already stay there.
pub(super) fn comment_column(lines: &[(usize, usize)]) -> usize {
    let widest = lines.iter().map(|l| l.0).max().unwrap_or(0);
    match lines.first() {
        Some((_, column)) if *column > widest && lines.iter().all(|l| l.1 == *column) => *column,
        _ => widest + 2,
    }
}
