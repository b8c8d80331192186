//! Where a line of code is broken that is longer than [`WIDTH`].
//!
//! A line is broken at its outermost level first: between elements, before operators, inside its widest bracket, after
//! `=`. Its parts are laid out again and broken further while they are too long. A line that is too long only because it
//! is aligned with others is not aligned. Nothing is ever joined, so formatting the output again changes nothing.
//! Comments are not broken and do not count.

use super::align;
use super::layout::Rows;
use super::lex::{Kind, Line, Token};
use super::print::{Code, Row, STEP, WIDTH};
use super::space::{self, FOLLOWING};
use crate::syntax::scan::ITEM_WORDS;

/// Brackets with less in them are broken last.
const NARROW: usize = 12;
/// Elements up to this width may share a line.
const SHORT: usize = 24;

/// The lines with more line breaks; `None` when no line is too long that can be broken.
pub(super) fn wrapped<'a>(lines: &[Line<'a>], laid: &Rows<'a>, code: &[Code]) -> Option<Vec<Line<'a>>> {
    let mut cuts = vec![None; lines.len()];
    let mut open = Vec::new();
    for (row, code) in laid.rows.iter().zip(code) {
        if code.width() > WIDTH
            && let Some(slot) = cuts.get_mut(row.line)
        {
            let piece = Piece::new(row, code.indent, &open);
            *slot = if piece.end() > WIDTH { piece.cuts() } else { None };
        }
        for token in &row.tokens {
            if token.opens() {
                open.push(token.text);
            } else if token.closes() {
                open.pop();
            }
        }
    }
    cuts.iter().any(Option::is_some).then(|| split(lines, cuts))
}

/// The lines that are too long only because they are aligned with others.
pub(super) fn long_by_alignment(laid: &Rows<'_>, code: &[Code]) -> Vec<usize> {
    let too_long = |(row, code): &(&Row<'_>, &Code)| {
        let (text, _) = space::join(row.before.as_ref(), &row.tokens, &[]);
        code.width() > WIDTH && code.indent + text.chars().count() <= WIDTH
    };
    laid.rows.iter().zip(code).filter(too_long).map(|(row, _)| row.line).collect()
}

/// Where a line is broken.
#[derive(Clone, Debug, Default)]
struct Cuts {
    /// The tokens that start a line, in order.
    before: Vec<usize>,
    /// Commas that are redundant at the end of a line.
    idle: Vec<usize>,
}

fn split<'a>(lines: &[Line<'a>], cuts: Vec<Option<Cuts>>) -> Vec<Line<'a>> {
    let mut out = Vec::with_capacity(lines.len());
    for (line, cuts) in lines.iter().zip(cuts) {
        let Some(Cuts { before, idle }) = cuts else {
            out.push(line.clone());
            continue;
        };
        let mut from = 0;
        for to in before.into_iter().chain([line.tokens.len()]) {
            let kept = (from..to).filter(|i| !idle.contains(i));
            out.push(Line { tokens: kept.map(|i| line.tokens[i]).collect(), comment: None });
            from = to;
        }
        if let Some(last) = out.last_mut() {
            // The column that it was written in is that of another line.
            last.comment = line.comment.map(|(text, _)| (text, 0));
        }
    }
    out
}

/// A line that is too long.
struct Piece<'r, 'a> {
    tokens: &'r [Token<'a>],
    indent: usize,
    /// The column of each token, without alignment.
    starts: Vec<usize>,
    /// How many brackets are open around each token, relative to the start of the line; `<` of a type counts.
    depth: Vec<i32>,
    /// The innermost bracket around each token.
    around: Vec<Option<&'a str>>,
    /// The least depth.
    base: i32,
    /// The `=` or `=>` of the line's element.
    sign: Option<usize>,
    /// Whether the line starts an item.
    item: bool,
}

impl<'r, 'a> Piece<'r, 'a> {
    /// A row in the brackets that are open before it.
    fn new(row: &'r Row<'a>, indent: usize, open: &[&'a str]) -> Self {
        let tokens = row.tokens.as_slice();
        let (_, starts) = space::join(row.before.as_ref(), tokens, &[]);
        let starts = starts.into_iter().map(|s| s + indent).collect();
        let mut brackets = open.to_vec();
        let (mut depth, mut around, mut now) = (Vec::new(), Vec::new(), 0);
        for token in tokens {
            if token.closes() {
                brackets.pop();
            }
            now -= i32::from(token.closes() || (token.angle && token.text == ">"));
            depth.push(now);
            around.push(brackets.last().copied());
            now += i32::from(token.opens() || (token.angle && token.text == "<"));
            if token.opens() {
                brackets.push(token.text);
            }
        }
        let base = depth.iter().copied().min().unwrap_or(0);
        let first = around.first().copied().flatten();
        let sign = align::head(tokens, first).and_then(|h| h.1).map(|h| h.sign).or_else(|| {
            // `name: Type = default` of a def; `for axes = call` on a line of its own.
            let formal = tokens.get(1).is_some_and(|t| t.text == ":");
            let clause = tokens.first().is_some_and(|t| matches!(t.text, "for" | "where"));
            let sign = |(t, d): (&Token<'_>, &i32)| t.text == "=" && *d == base;
            tokens.iter().zip(&depth).position(sign).filter(|_| formal || clause)
        });
        let named = tokens.get(1).is_some_and(|t| t.kind == Kind::Word);
        let item = named && first != Some("(") && first != Some("[");
        let item = item && tokens.first().is_some_and(|t| ITEM_WORDS.contains(&t.text));
        Self { tokens, indent, starts, depth, around, base, sign, item }
    }

    /// The column after the last token.
    fn end(&self) -> usize {
        self.end_of(self.tokens.len().saturating_sub(1))
    }

    fn end_of(&self, token: usize) -> usize {
        let width = self.tokens.get(token).map_or(0, |t| t.text.chars().count());
        self.starts.get(token).copied().unwrap_or(0) + width
    }

    /// Where the line is broken: the first way that applies.
    fn cuts(&self) -> Option<Cuts> {
        let value = self.sign.unwrap_or(0);
        self.elements()
            .or_else(|| self.unmatched_closers())
            .or_else(|| self.choice(value))
            .or_else(|| self.operators(value))
            .or_else(|| self.bracket(value, NARROW))
            .or_else(|| self.clause())
            .or_else(|| self.after_sign())
            .or_else(|| self.bracket(value, 1))
            .or_else(|| self.bracket(0, 1))
            .or_else(|| self.anywhere())
    }

    /// The tokens of a level, by index.
    fn level(&self, depth: i32) -> impl Iterator<Item = (usize, &'r Token<'a>)> + '_ {
        self.tokens.iter().enumerate().filter(move |(i, _)| self.depth.get(*i) == Some(&depth))
    }

    /// Between the elements of the bracket around the line.
    fn elements(&self) -> Option<Cuts> {
        let before = self.separated(self.base, 0, self.tokens.len());
        if self.are_short(&before, 0, self.tokens.len()) {
            return found(self.filled(&before));
        }
        let idle = self.idle(&before);
        found(before).map(|cuts| Cuts { idle, ..cuts })
    }

    /// The tokens that start an element, but for the first, among the tokens `from..to` of a level.
    fn separated(&self, depth: i32, from: usize, to: usize) -> Vec<usize> {
        let mut out = Vec::new();
        for (i, token) in self.level(depth).filter(|(i, _)| (from..to).contains(i)) {
            let Some(bracket) = self.around.get(i).copied().flatten() else { continue };
            if token.text == "," && i > from && i + 1 < to && !token.sweep {
                out.push(i + 1);
            } else if bracket == "{" && i > from && self.starts_item(i) && out.last() != Some(&i) {
                out.push(i);
            }
        }
        out
    }

    /// Whether a token of a block starts a stage, `let`, `yield` or `only`, which need no comma before them.
    fn starts_item(&self, i: usize) -> bool {
        let before = i.checked_sub(1).and_then(|i| self.tokens.get(i));
        matches!(self.tokens[i].text, "stage" | "let" | "yield" | "only")
            && self.tokens.get(i + 1).is_some_and(|t| !matches!(t.text, "=" | "," | "}"))
            && before.is_none_or(|t| !matches!(t.text, "." | "="))
    }

    /// Whether all elements between `from` and `to` are names, paths or literals of a few characters.
    fn are_short(&self, starts: &[usize], from: usize, to: usize) -> bool {
        let mut first = from;
        !starts.is_empty()
            && starts.iter().copied().chain([to]).all(|next| {
                let element = &self.tokens[first..next];
                let width = self.end_of(next - 1) - self.starts[first];
                first = next;
                let plain = |t: &Token<'_>| t.kind != Kind::Sign || matches!(t.text, "," | "." | "-");
                width <= SHORT && element.iter().all(plain)
            })
    }

    /// The starts of elements that stand on a new line when each line takes as many as fit.
    fn filled(&self, starts: &[usize]) -> Vec<usize> {
        let (mut out, mut line) = (Vec::new(), self.indent);
        for (k, start) in starts.iter().enumerate() {
            let next = starts.get(k + 1).copied().unwrap_or(self.tokens.len());
            if self.end_of(next - 1) - line + self.indent > WIDTH {
                out.push(*start);
                line = self.starts[*start];
            }
        }
        out
    }

    /// The commas before new lines of a block that are not needed there.
    fn idle(&self, before: &[usize]) -> Vec<usize> {
        let needless = |comma: &usize| {
            let next = self.tokens.get(comma + 1);
            *comma > 0
                && self.tokens[*comma].text == ","
                && self.around[*comma] == Some("{")
                && !before.contains(comma)
                && next.is_some_and(|t| t.kind == Kind::Word && !FOLLOWING.contains(&t.text))
        };
        before.iter().map(|i| i - 1).filter(needless).collect()
    }

    /// Before brackets that close what an earlier line opened.
    fn unmatched_closers(&self) -> Option<Cuts> {
        let mut least = 0;
        let mut before: Vec<usize> = Vec::new();
        let mut last = None;
        for (i, token) in self.tokens.iter().enumerate() {
            if token.closes() && self.depth[i] < least {
                least = self.depth[i];
                if i > 0 && last != Some(i - 1) {
                    before.push(i);
                }
                last = Some(i);
            }
        }
        found(before)
    }

    /// Before each `else`; when there is none, before each `then`.
    fn choice(&self, from: usize) -> Option<Cuts> {
        let words = |word: &str| {
            let outer =
                self.level(self.base).filter(|(i, t)| *i > from && t.text == word && !self.is_name(*i));
            found(outer.map(|w| w.0).collect())
        };
        words("else").or_else(|| words("then"))
    }

    /// Whether a word is a member's name: after a dot.
    fn is_name(&self, i: usize) -> bool {
        i.checked_sub(1).and_then(|i| self.tokens.get(i)).is_some_and(|t| t.text == ".")
    }

    /// Before the operators that bind least.
    fn operators(&self, from: usize) -> Option<Cuts> {
        let is_binary = |i: usize, t: &Token<'_>| {
            let before = i.checked_sub(1).and_then(|i| self.tokens.get(i));
            i > from && before.is_some() && !space::is_prefix(t, before) && !t.angle && !self.is_name(i)
        };
        let outer = self.level(self.base).filter(|(i, t)| is_binary(*i, t));
        let all: Vec<(usize, u8)> = outer.filter_map(|(i, t)| Some((i, strength(t.text)?))).collect();
        let least = all.iter().map(|o| o.1).min()?;
        found(all.into_iter().filter(|o| o.1 == least).map(|o| o.0).collect())
    }

    /// Inside the widest bracket after a token, of at least `narrow` characters; of an item without `=`, the last.
    fn bracket(&self, from: usize, narrow: usize) -> Option<Cuts> {
        let end = self.tokens.len();
        let mut all = Vec::new();
        for (open, _) in self.level(self.base).filter(|(i, t)| t.opens() && *i >= from) {
            let close = self.level(self.base).find(|(i, t)| *i > open && t.closes()).map(|c| c.0);
            let width = self.starts[close.unwrap_or(end - 1)] - self.starts[open];
            if close.unwrap_or(end) - open > 1 && width >= narrow {
                all.push((open, close, width));
            }
        }
        let (open, close, _) = if self.item && self.sign.is_none() {
            all.last().copied()?
        } else {
            // Of two that are as wide, the first.
            all.iter().rev().max_by_key(|b| b.2).copied()?
        };
        if let Some((open, close)) = close.and_then(|close| self.only_bracket(open, close)) {
            return Some(self.inside(self.base + 2, open, Some(close)));
        }
        Some(self.inside(self.base + 1, open, close))
    }

    /// The bracket that ends the only element of `(…)` or `[…]`: `({ … })`, `(match a { … })`.
    fn only_bracket(&self, open: usize, close: usize) -> Option<(usize, usize)> {
        let last = close - 1;
        let single = self.separated(self.base + 1, open + 1, close).is_empty();
        if self.tokens[open].text == "{" || !single || !self.tokens[last].closes() {
            return None;
        }
        let inner = self.level(self.base + 1).filter(|(i, t)| *i < last && *i > open && t.opens()).last()?.0;
        (last - inner > 1).then_some((inner, last))
    }

    /// After an opening bracket, between the elements in it, which have a depth, and before the closing one.
    fn inside(&self, depth: i32, open: usize, close: Option<usize>) -> Cuts {
        let end = self.tokens.len();
        let inner = self.separated(depth, open + 1, close.unwrap_or(end));
        let short = self.are_short(&inner, open + 1, close.unwrap_or(end));
        let mut before = vec![open + 1];
        if !short {
            before.extend(inner);
        }
        let idle = if short { Vec::new() } else { self.idle(&before) };
        before.extend(close);
        Cuts { before, idle }
    }

    /// Before the last of `for`, `where`, `with`, `as` and `->` up to which the line fits.
    fn clause(&self) -> Option<Cuts> {
        let words = self.level(self.base).filter(|(i, t)| {
            *i > 1 && matches!(t.text, "for" | "where" | "with" | "as" | "->") && !self.is_name(*i)
        });
        self.last_that_fits(&words.map(|w| w.0).collect::<Vec<_>>())
    }

    /// After `=` or `=>`, when the value then fits.
    fn after_sign(&self) -> Option<Cuts> {
        let value = self.sign? + 1;
        let start = *self.starts.get(value)?;
        let beyond = if self.around.first()?.is_some() { self.indent + STEP } else { STEP };
        (beyond + self.end() - start <= WIDTH).then(|| Cuts { before: vec![value], ..Cuts::default() })
    }

    /// Before `in`, `|` and `.`, between the axes of a sweep, and after words that an operand follows.
    fn anywhere(&self) -> Option<Cuts> {
        let place = |i: usize| {
            let (before, token) = (&self.tokens[i - 1], &self.tokens[i]);
            let after_word = matches!(before.text, "if" | "then" | "else" | "not" | "in");
            match token.text {
                "." => before.closes(),
                "in" | "|" => !self.is_name(i),
                _ => (before.text == "," && before.sweep) || (after_word && !self.is_name(i - 1)),
            }
        };
        let outer = self.level(self.base).map(|(i, _)| i).filter(|i| *i > 0);
        self.last_that_fits(&outer.filter(|i| place(*i)).collect::<Vec<_>>())
    }

    fn last_that_fits(&self, places: &[usize]) -> Option<Cuts> {
        let fits = |i: &&usize| self.end_of(**i - 1) <= WIDTH;
        let place = places.iter().rev().find(fits).or(places.first())?;
        Some(Cuts { before: vec![*place], ..Cuts::default() })
    }
}

fn found(before: Vec<usize>) -> Option<Cuts> {
    (!before.is_empty()).then(|| Cuts { before, ..Cuts::default() })
}

/// How strongly a binary operator binds. `in` is none: the list after it is broken instead.
fn strength(operator: &str) -> Option<u8> {
    Some(match operator {
        "or" => 0,
        "and" => 1,
        "==" | "!=" | "<" | "<=" | ">" | ">=" => 2,
        ".." => 3,
        "+" | "-" => 4,
        "*" | "/" => 5,
        _ => return None,
    })
}
