//! The first pass over a file: where items start, its brackets, and errors that the grammar could not recover from.
//!
//! One pass over the bytes. It knows strings, comments, brackets, words and signs, and nothing of what they mean.
//! It finds strings that do not end on their line, `//` comments, and nesting too deep for a recursive parser.

use super::edits::Edit;
use super::faults::Fault;
use super::odd::{self, Odd};

/// Words that start an item in column 0.
pub(super) const ITEM_WORDS: &[&str] = &[
    "edition", "requires", "use", "study", "param", "axis", "let", "dataset", "stage", "def", "table",
    "claim", "report", "profile",
];

/// How deep an expression may nest: a bracket, `if` or string in a string counts [`NEST`], an operator 1.
const DEEPEST: u32 = 256;
/// What one bracket counts.
const NEST: u32 = 4;

/// A bracket of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    /// Its byte in the file.
    pub(super) at: usize,
    /// `(`, `)`, `[`, `]`, `{` or `}`.
    pub(super) byte: u8,
    /// Byte at which its line starts.
    pub(super) line: usize,
    /// Blanks before the first token of its line.
    pub(super) indent: usize,
    /// Whether it is the first token of its line.
    pub(super) first: bool,
}

/// A piece of the file that should be one item.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    /// Where it starts, with its `##` lines.
    pub(super) start: usize,
    /// Where its first token stands, when it has one.
    pub(super) head: Option<usize>,
    /// One past its end.
    pub(super) end: usize,
    /// Its brackets, in order.
    pub(super) brackets: Vec<Bracket>,
    /// Bytes where another item may start: other words in column 0, indented item words.
    pub(super) soft: Vec<usize>,
    /// Where it nests too deep.
    pub(super) deep: Option<usize>,
    /// Faults of its characters.
    pub(super) faults: Vec<Fault>,
    /// The edits that repair `faults`.
    pub(super) edits: Vec<Edit>,
}

/// Cuts a text into chunks.
pub(super) fn scan(text: &str) -> Vec<Chunk> {
    let mut s = Scanner { text, bytes: text.as_bytes(), ..Scanner::default() };
    s.run();
    s.chunks
}

/// How many blanks a text starts with.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

#[derive(Default)]
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    chunks: Vec<Chunk>,
    now: Chunk,
    /// Open brackets.
    open: u32,
    /// Nesting counted at each open bracket.
    levels: Vec<u32>,
    chain: u32,
    total: u32,
    /// Whether the last token ends a value.
    operand: bool,
    /// Whether the last token is a closing bracket.
    closed: bool,
    /// Start of the `##` lines just above.
    docs: Option<usize>,
    line: usize,
    indent: usize,
    first: bool,
}

impl Scanner<'_> {
    fn run(&mut self) {
        self.first = true;
        let mut i = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        self.now.start = i;
        while let Some(&b) = self.bytes.get(i) {
            match b {
                b'\n' => {
                    i += 1;
                    (self.line, self.indent, self.first) = (i, 0, true);
                    continue;
                }
                b' ' | b'\t' | b'\r' => {
                    self.indent += usize::from(self.first);
                    i += 1;
                    continue;
                }
                b'#' => {
                    if self.first && self.bytes.get(i + 1) == Some(&b'#') {
                        self.docs.get_or_insert(self.line.max(self.now.start));
                    }
                    i = self.line_end(i);
                    continue;
                }
                _ => {}
            }
            let column_0 = self.first && self.open == 0;
            let odd = odd::at(self.text, i, if column_0 { self.line } else { usize::MAX });
            let odd = match odd {
                Some(o) if matches!(o.fault, Fault::OddBlank(_) | Fault::Loop(..)) => {
                    self.indent += usize::from(self.first);
                    i = self.odd(o);
                    continue;
                }
                odd => odd,
            };
            if self.first {
                self.boundary(i);
            }
            self.docs = None;
            self.now.head.get_or_insert(i);
            i = match odd {
                Some(o) => {
                    if !matches!(o.fault, Fault::StringPrefix(..)) {
                        self.value();
                    }
                    self.odd(o)
                }
                None => self.token(i, b),
            };
            self.closed = matches!(b, b')' | b']' | b'}');
            self.first = false;
        }
        self.finish(self.bytes.len());
    }

    /// Records a fault and its edit; returns where it ends.
    fn odd(&mut self, odd: Odd) -> usize {
        self.now.faults.push(odd.fault);
        self.now.edits.push(odd.edit);
        odd.end
    }

    /// At the first token of a line: whether an item starts here.
    fn boundary(&mut self, i: usize) {
        let word = super::token::at(self.text, i);
        let keyword = ITEM_WORDS.contains(&word);
        let start = self.docs.unwrap_or(i);
        if keyword && i == self.line {
            // Inside brackets the word must be followed by something that an item could go on with.
            let after = i + word.len() + blanks(&self.text[i + word.len()..]);
            let named = self.text[after..]
                .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '\''));
            if self.open == 0 || (named && after > i + word.len()) {
                if self.now.head.is_some() || self.now.start < start {
                    self.finish(start);
                }
                self.now.start = start;
                return;
            }
        }
        let named = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let after = super::token::at(self.text, i + word.len() + blanks(&self.text[i + word.len()..]));
        let declares = matches!(after, ":" | "=" | "for" | "{");
        let other = named && (i == self.line || declares);
        let continues =
            matches!(word, "with" | "for" | "where" | "then" | "else" | "and" | "or" | "in" | "not" | "as");
        if self.open == 0 && self.now.head.is_some() && (keyword || other) && !continues {
            self.now.soft.push(start);
        }
    }

    fn finish(&mut self, end: usize) {
        self.now.end = end;
        if self.now.start < end {
            self.chunks.push(std::mem::take(&mut self.now));
        }
        self.now = Chunk { start: end, ..Chunk::default() };
        self.open = 0;
        self.levels.clear();
        (self.chain, self.total, self.operand) = (0, 0, false);
    }

    /// One token; returns where it ends.
    fn token(&mut self, i: usize, b: u8) -> usize {
        let next = self.bytes.get(i + 1).copied();
        match b {
            b'"' => {
                self.value();
                self.string(i)
            }
            b'\'' => {
                self.value();
                self.raw(i)
            }
            b'(' | b'[' | b'{' => {
                self.bracket(i, b);
                if b == b'{' && self.closed {
                    self.reset();
                }
                self.open += 1;
                self.step(1, i);
                self.levels.push(self.chain);
                self.chain = 0;
                self.step(NEST - 1, i);
                self.operand = false;
                i + 1
            }
            b')' | b']' | b'}' => {
                self.bracket(i, b);
                self.open = self.open.saturating_sub(1);
                self.total = self.total.saturating_sub(self.chain);
                self.chain = self.levels.pop().unwrap_or(0);
                self.operand = true;
                i + 1
            }
            b'/' if next == Some(b'/') && !self.text[..i].ends_with(':') => {
                let end = self.line_end(i);
                self.foreign_comment(i, end);
                end
            }
            b'/' if next == Some(b'*') => {
                let end = self.text[i..].find("*/").map_or(self.bytes.len(), |n| i + n + 2);
                self.foreign_comment(i, end);
                end
            }
            b',' | b';' => {
                self.reset();
                self.operand = false;
                i + 1
            }
            b'=' if next != Some(b'=') => {
                self.reset();
                self.operand = false;
                i + 1 + usize::from(next == Some(b'>'))
            }
            b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => self.word(i),
            _ => {
                self.step(1, i);
                self.operand = false;
                i + super::token::at(self.text, i).len().max(1)
            }
        }
    }

    fn word(&mut self, i: usize) -> usize {
        let word = super::token::at(self.text, i);
        match word {
            "if" => {
                self.step(NEST, i);
                self.operand = false;
            }
            "and" | "or" | "not" | "in" => {
                self.step(1, i);
                self.operand = false;
            }
            "then" | "else" => self.operand = false,
            _ => self.value(),
        }
        let len = if word.is_empty() {
            self.text[i..].chars().next().map_or(1, char::len_utf8)
        } else {
            word.len()
        };
        i + len
    }

    /// A value starts: after another one it belongs to the next element or field.
    fn value(&mut self) {
        if self.operand {
            self.reset();
        }
        self.operand = true;
    }

    fn step(&mut self, by: u32, i: usize) {
        self.chain += by;
        self.total += by;
        if self.total > DEEPEST {
            self.now.deep.get_or_insert(i);
        }
    }

    fn reset(&mut self) {
        let floor = if self.levels.is_empty() { 0 } else { NEST - 1 };
        self.total = self.total.saturating_sub(self.chain.saturating_sub(floor));
        self.chain = self.chain.min(floor);
    }

    fn bracket(&mut self, at: usize, byte: u8) {
        let (line, indent, first) = (self.line, self.indent, self.first);
        self.now.brackets.push(Bracket { at, byte, line, indent, first });
    }

    fn foreign_comment(&mut self, start: usize, end: usize) {
        self.now.faults.push(Fault::ForeignComment(start, end));
        self.now.edits.push(Edit { at: start, cut: end - start, put: " ".into() });
    }

    fn line_end(&self, i: usize) -> usize {
        self.text[i..].find('\n').map_or(self.bytes.len(), |n| i + n)
    }

    /// A raw string from `i`; returns where it ends.
    fn raw(&mut self, i: usize) -> usize {
        let end = self.line_end(i);
        match self.text[i + 1..end].find('\'') {
            Some(n) => i + n + 2,
            None => self.open_string(i, end, "'"),
        }
    }

    /// A string from `i`; returns where it ends.
    fn string(&mut self, i: usize) -> usize {
        let end = self.line_end(i);
        // `"` for a string, `{` for a hole or a brace in a hole, with its place.
        let mut inside = vec![(b'"', i)];
        let mut weight = 0;
        let mut at = i + 1;
        while at < end {
            let (b, next) = (self.bytes[at], self.bytes.get(at + 1));
            let Some(&(top, _)) = inside.last() else { return at };
            at += 1;
            if top == b'"' {
                match b {
                    b'\\' => at = (at + 1).min(end),
                    b'{' if next == Some(&b'{') => at += 1,
                    b'{' => inside.push((b, at - 1)),
                    b'"' => {
                        inside.pop();
                    }
                    _ => {}
                }
            } else if b == b'\\' && next == Some(&b'"') {
                return self.braces(i, end, inside.get(1).map_or(i, |(_, hole)| *hole));
            } else {
                weight += u32::from(!b.is_ascii_alphanumeric());
                match b {
                    b'{' | b'"' => {
                        inside.push((b, at - 1));
                        weight += NEST;
                    }
                    b'(' | b'[' => weight += NEST - 1,
                    b'}' => {
                        inside.pop();
                    }
                    b'\'' => at = self.text[at..end].find('\'').map_or(at, |n| at + n + 1),
                    _ => {}
                }
            }
            if inside.is_empty() {
                if weight + self.total > DEEPEST {
                    self.now.deep.get_or_insert(i);
                }
                return at;
            }
        }
        // A hole that is not closed swallowed the closing quote, when there is one.
        if let Some(&(_, hole)) = inside.get(1)
            && let Some(n) = self.text[hole..end].find('"')
        {
            self.now.faults.push(Fault::OpenHole(hole));
            self.now.edits.push(Edit { at: hole, cut: 1, put: " ".into() });
            return hole + n + 1;
        }
        self.open_string(i, end, "\"")
    }

    /// A string with braces that are meant as they are (`"{\"a\": 1}"`); returns where it ends.
    fn braces(&mut self, start: usize, line_end: usize, brace: usize) -> usize {
        let mut at = start + 1;
        while at < line_end && self.bytes[at] != b'"' {
            at += 1 + usize::from(self.bytes[at] == b'\\');
        }
        let end = (at + 1).min(line_end);
        self.now.faults.push(Fault::Braces(start, end, brace));
        self.now.edits.push(Edit { at: start, cut: end - start, put: "\"\"".into() });
        end
    }

    /// A string that does not end: it is closed before the brackets and commas at the end of its line.
    fn open_string(&mut self, start: usize, end: usize, quote: &'static str) -> usize {
        let body = &self.text[start + 1..end];
        let signs = [')', ']', '}', '(', '[', '{', ',', ' ', '\t', '\r'];
        let trimmed = body.trim_end_matches(signs);
        // A comment that stands after it is not part of it.
        let trimmed = match trimmed.find(" #") {
            Some(n) => trimmed[..n].trim_end_matches(signs),
            None => trimmed,
        };
        let close = start + 1 + trimmed.len();
        self.now.faults.push(Fault::OpenString(start, close));
        // What the text holds must not start a hole or an escape once it is closed.
        self.now.edits.push(Edit { at: start, cut: close - start, put: format!("{quote}{quote}").into() });
        close
    }
}
