//! From lines of tokens to rows: which line starts what, how far it is indented, what is aligned.

use std::collections::BTreeSet;

use super::align::{self, Head, Run};
use super::lex::{Kind, Line, Token};
use super::print::{Place, Row};
use super::space::{self, FOLLOWING, LEADING};

/// An open bracket, or the file.
#[derive(Debug)]
struct Frame<'a> {
    /// The row that opened it, and the bracket.
    opened: Option<(usize, &'a str)>,
    /// The row and head of its element, when the element starts its line with one.
    element: Option<(usize, Head)>,
    run: Run<'a>,
}

impl<'a> Frame<'a> {
    fn new(opened: Option<(usize, &'a str)>) -> Self {
        Self { opened, element: None, run: Run::default() }
    }

    fn row(&self) -> Option<usize> {
        self.opened.map(|o| o.0)
    }
}

/// Lines as rows, and the spaces to add before their tokens, by row.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    pub(super) pads: Vec<Vec<(usize, usize)>>,
}

/// Lays out lines; `items` are the bytes at which items start, in order, and `apart` the lines that are not aligned.
pub(super) fn rows<'a>(lines: &[Line<'a>], items: &[usize], apart: &BTreeSet<usize>) -> Rows<'a> {
    let mut layout = Layout { frames: vec![Frame::new(None)], apart: apart.clone(), ..Layout::default() };
    for (i, line) in lines.iter().enumerate() {
        let next = lines.get(i + 1..).unwrap_or_default().iter().find_map(|l| l.tokens.first()).copied();
        layout.line(i, line, items, next);
    }
    while let Some(mut frame) = layout.frames.pop() {
        frame.run.end(&mut layout.pads);
    }
    Rows { rows: layout.rows, pads: layout.pads }
}

/// The lines without commas in front of a closing bracket; a line of nothing else is gone.
pub(super) fn without_last_commas<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    let mut out = Vec::with_capacity(lines.len());
    let mut closes = false;
    for line in lines.iter().rev() {
        let mut kept = Vec::with_capacity(line.tokens.len());
        for token in line.tokens.iter().rev() {
            if !(closes && token.text == ",") {
                closes = token.closes();
                kept.push(*token);
            }
        }
        kept.reverse();
        let emptied = kept.is_empty() && !line.tokens.is_empty() && line.comment.is_none();
        if !emptied {
            out.push(Line { tokens: kept, comment: line.comment });
        }
    }
    out.reverse();
    out
}

#[derive(Debug, Default)]
struct Layout<'a> {
    rows: Vec<Row<'a>>,
    /// Spaces to add before tokens, by row.
    pads: Vec<Vec<(usize, usize)>>,
    frames: Vec<Frame<'a>>,
    last: Option<Token<'a>>,
    blank: bool,
    /// Lines that are not aligned.
    apart: BTreeSet<usize>,
}

impl<'a> Layout<'a> {
    fn line(&mut self, index: usize, line: &Line<'a>, items: &[usize], next: Option<Token<'a>>) {
        let Some(first) = line.tokens.first() else {
            match line.comment {
                None => self.blank = true,
                Some(_) => {
                    if self.blank {
                        self.end_run();
                    }
                    let inside = self.frames.last().and_then(Frame::row);
                    self.push(index, Place::Inside(inside), Vec::new(), line.comment);
                }
            }
            return;
        };
        if self.blank {
            self.end_run();
        }
        let row = self.rows.len();
        let mut tokens = line.tokens.clone();
        let leading = tokens.iter().take_while(|t| t.closes()).count();
        let mut starts_element = false;
        let place = if leading > 0 {
            let opener = self.frames.iter().rev().nth(leading - 1).and_then(Frame::row);
            opener.map_or(Place::Inside(None), Place::Level)
        } else if self.goes_on(first, items) {
            self.end_run();
            self.continued(first)
        } else {
            starts_element = true;
            Place::Inside(self.frames.last().and_then(Frame::row))
        };
        if starts_element {
            self.start_element(index, row, &tokens);
        }
        let depth = self.frames.len();
        self.brackets(row, &mut tokens, next);
        if self.frames.len() > depth {
            // The element continues on the next lines: what follows it is not aligned with what stands above it.
            for frame in &mut self.frames {
                frame.run.end_after(row, &mut self.pads);
            }
        }
        self.push(index, place, tokens, line.comment);
    }

    /// Adds a row that starts an element to the run of its bracket.
    fn start_element(&mut self, line: usize, row: usize, tokens: &[Token<'a>]) {
        let (_, starts) = space::join(self.last.as_ref(), tokens, &[]);
        self.pads.resize(row + 1, Vec::new());
        let Some(frame) = self.frames.last_mut() else { return };
        let found = align::head(tokens, frame.opened.map(|o| o.1));
        frame.element = found.and_then(|f| f.1).map(|head| (row, head));
        match found {
            Some(_) if self.apart.contains(&line) => frame.run.end(&mut self.pads),
            Some((form, head)) => frame.run.add(row, form, head, &starts, &mut self.pads),
            None if frame.opened.is_none() => frame.run.end(&mut self.pads),
            None => {}
        }
    }

    /// Follows the brackets of a row, and drops a comma at its end that is not needed.
    fn brackets(&mut self, row: usize, tokens: &mut Vec<Token<'a>>, next: Option<Token<'a>>) {
        let last = tokens.len() - 1;
        for (i, token) in tokens.clone().iter().enumerate() {
            if token.opens() {
                self.frames.push(Frame::new(Some((row, token.text))));
            } else if token.closes() && self.frames.len() > 1 {
                self.end_run();
                self.frames.pop();
            } else if token.text == "," && i < last {
                if let Some(frame) = self.frames.last_mut() {
                    frame.element = None;
                }
            } else if token.text == "," && !token.sweep && self.last_comma_is_idle(next) {
                tokens.pop();
            }
        }
    }

    fn end_run(&mut self) {
        self.pads.resize(self.rows.len() + 1, Vec::new());
        if let Some(frame) = self.frames.last_mut() {
            frame.run.end(&mut self.pads);
        }
    }

    /// Whether the comma at the end of this line is redundant: the line end separates as well.
    fn last_comma_is_idle(&self, next: Option<Token<'_>>) -> bool {
        let Some(frame) = self.frames.last() else { return false };
        frame.opened.is_some_and(|o| o.1 == "{")
            && frame.element.is_some()
            && next.is_some_and(|n| n.kind == Kind::Word && !FOLLOWING.contains(&n.text))
    }

    /// Whether a line continues the element above it.
    fn goes_on(&self, first: &Token<'_>, items: &[usize]) -> bool {
        let Some(last) = self.last else { return false };
        if self.frames.len() == 1 {
            return items.binary_search(&first.at).is_err();
        }
        if last.text == "," || last.opens() {
            return last.sweep;
        }
        let follows = match first.kind {
            Kind::Sign => true,
            Kind::Word => FOLLOWING.contains(&first.text),
            Kind::Literal => false,
        };
        let leads = match last.kind {
            Kind::Sign => !last.closes() && !last.angle,
            Kind::Word => LEADING.contains(&last.text),
            Kind::Literal => false,
        };
        follows || leads
    }

    /// The indentation of a line that continues the element above it.
    fn continued(&self, first: &Token<'_>) -> Place {
        let frame = self.frames.last();
        let inside = frame.and_then(Frame::row);
        let operator = match first.kind {
            Kind::Sign => !first.opens() && !matches!(first.text, "=" | "=>" | "." | "," | "|" | ":" | "->"),
            Kind::Word => matches!(first.text, "in" | "and" | "or"),
            Kind::Literal => false,
        };
        match frame.and_then(|f| f.element) {
            Some((row, Head { sign, .. })) if operator => {
                Place::Under { row, sign, operator: first.text.len() }
            }
            // `with { … }` belongs to the whole item.
            _ if inside.is_none() && first.text == "with" => Place::Inside(None),
            _ if inside.is_none() => Place::Beyond(None),
            _ => Place::Beyond(inside),
        }
    }

    fn push(&mut self, line: usize, place: Place, tokens: Vec<Token<'a>>, comment: Option<(&'a str, usize)>) {
        let opened = self.rows.last().is_some_and(|r| r.tokens.last().is_some_and(Token::opens));
        let closes = tokens.first().is_some_and(Token::closes);
        let blank = self.blank && !self.rows.is_empty() && !opened && !closes;
        let before = self.last;
        if let Some(last) = tokens.last() {
            self.last = Some(*last);
        }
        self.rows.push(Row { line, place, tokens, before, comment, blank });
        self.pads.resize(self.rows.len(), Vec::new());
        self.blank = false;
    }
}
