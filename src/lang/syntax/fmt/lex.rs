//! The tokens of a study without syntax errors, by line. Comments are kept as written.

use super::super::token;

/// What a token is, as far as spaces around it depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// A number, with its unit, or a string.
    Literal,
    /// Everything else.
    Sign,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// Byte offset in the file.
    pub(super) at: usize,
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    /// Whether it is the `<` or `>` of a type.
    pub(super) angle: bool,
    /// Whether it is part of the names of `for a, b`.
    pub(super) sweep: bool,
}

impl Token<'_> {
    /// Whether it opens a bracket.
    pub(super) fn opens(&self) -> bool {
        matches!(self.text, "(" | "[" | "{")
    }

    /// Whether it closes a bracket.
    pub(super) fn closes(&self) -> bool {
        matches!(self.text, ")" | "]" | "}")
    }
}

/// A line of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    /// The comment that ends it, and its column in characters from 0.
    pub(super) comment: Option<(&'a str, usize)>,
}

/// The lines of a text that parses without errors: strings end on their line, so lines hold whole tokens.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lexer = Lexer::default();
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut at = start;
    let mut out = Vec::new();
    for line in text[start..].split('\n') {
        out.push(lexer.line(text, at, at + line.len()));
        at += line.len() + 1;
    }
    out
}

/// The state that the meaning of `<`, `>` and `,` depends on: `<` after the name of a type opens its arguments.
#[derive(Default)]
struct Lexer {
    /// A type's name comes next.
    wanted: bool,
    /// A type's name was just read.
    named: bool,
    /// Open angle brackets.
    angles: u32,
    /// Whether the names of `for a, b` are being read.
    sweep: bool,
    /// Whether the last token is a dot: a name follows.
    dot: bool,
}

impl Lexer {
    fn line<'a>(&mut self, text: &'a str, start: usize, end: usize) -> Line<'a> {
        let mut line = Line::default();
        let mut at = start;
        while let Some(first) = text[at..end].chars().next() {
            if first.is_whitespace() {
                at += first.len_utf8();
                continue;
            }
            if first == '#' {
                line.comment = Some((text[at..end].trim_end(), text[start..at].chars().count()));
                break;
            }
            let token = self.token(text, at, end);
            at += token.text.len();
            line.tokens.push(token);
        }
        line
    }

    fn token<'a>(&mut self, text: &'a str, at: usize, end: usize) -> Token<'a> {
        let rest = &text[at..end];
        let first = rest.as_bytes()[0];
        let opens = first == b'<' && self.named;
        let closes = first == b'>' && self.angles > 0;
        let (length, kind) = match first {
            _ if opens || closes => (1, Kind::Sign),
            b'"' => (string(rest), Kind::Literal),
            b'\'' => (rest[1..].find('\'').map_or(rest.len(), |n| n + 2), Kind::Literal),
            b'0'..=b'9' => (token::at(text, at).len(), Kind::Literal),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => (token::at(text, at).len(), Kind::Word),
            _ => (token::at(text, at).len(), Kind::Sign),
        };
        let token = rest.get(..length.max(1)).unwrap_or(rest);
        self.angles = (self.angles + u32::from(opens)).saturating_sub(u32::from(closes));
        self.named = self.wanted && kind == Kind::Word;
        self.wanted = matches!(token, ":" | "->") || (self.angles > 0 && matches!(token, "<" | "," | ";"));
        let named = token == "," || (kind == Kind::Word && token != "where");
        self.sweep = (token == "for" && !self.dot) || (self.sweep && named);
        self.dot = token == ".";
        Token { at, text: token, kind, angle: opens || closes, sweep: self.sweep }
    }
}

/// The length of the string that a text starts with, with the expressions in it.
fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut inside = vec![b'"'];
    let mut at = 1;
    while let (Some(top), Some(b)) = (inside.last(), bytes.get(at)) {
        at += 1;
        match (*top, *b) {
            (b'"', b'\\') => at += 1,
            (b'"', b'{') if bytes.get(at) == Some(&b'{') => at += 1,
            (b'"', b'"') | (b'{', b'}') => {
                inside.pop();
            }
            (_, b'{') | (b'{', b'"') => inside.push(*b),
            (b'{', b'\'') => at = text[at..].find('\'').map_or(at, |n| at + n + 1),
            _ => {}
        }
    }
    at.min(text.len())
}
