//! From lines of tokens to formatted lines: which line starts what, how far it is indented, what is aligned.

use super::align::{self, Head, Run};
use super::lex::{Kind, Line, Token};
use super::space::{self, FOLLOWING, LEADING};

/// Spaces a level.
const STEP: usize = 4;

/// How far a row is indented, told from rows above it.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// One level inside the row, or not at all.
    Inside(Option<usize>),
    /// As far as the row.
    Level(usize),
    /// Two levels inside: what goes on with an element.
    Beyond(Option<usize>),
    /// Before the operand under the value of the row: `> b` under `= a`.
    Under { row: usize, sign: usize, operator: usize },
}

/// A line that is printed.
#[derive(Debug)]
struct Row<'a> {
    place: Place,
    tokens: Vec<Token<'a>>,
    before: Option<Token<'a>>,
    comment: Option<(&'a str, usize)>,
    /// Whether a blank line stands above it.
    blank: bool,
}

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

/// The text of formatted lines; `items` are the bytes at which items start, in order.
pub(super) fn text(lines: &[Line<'_>], items: &[usize]) -> String {
    let mut layout = Layout { frames: vec![Frame::new(None)], ..Layout::default() };
    let lines = without_last_commas(lines);
    for (i, line) in lines.iter().enumerate() {
        let next = lines.get(i + 1..).unwrap_or_default().iter().find_map(|l| l.tokens.first()).copied();
        layout.line(line, items, next);
    }
    while let Some(mut frame) = layout.frames.pop() {
        frame.run.end(&mut layout.pads);
    }
    print(&layout.rows, &layout.pads)
}

/// The lines without commas in front of a closing bracket; a line of nothing else is gone.
fn without_last_commas<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
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
}

impl<'a> Layout<'a> {
    fn line(&mut self, line: &Line<'a>, items: &[usize], next: Option<Token<'a>>) {
        let Some(first) = line.tokens.first() else {
            match line.comment {
                None => self.blank = true,
                Some(_) => {
                    if self.blank {
                        self.end_run();
                    }
                    let inside = self.frames.last().and_then(Frame::row);
                    self.push(Place::Inside(inside), Vec::new(), line.comment);
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
            let (_, starts) = space::join(self.last.as_ref(), &tokens, &[]);
            self.pads.resize(row + 1, Vec::new());
            if let Some(frame) = self.frames.last_mut() {
                let found = align::head(&tokens, frame.opened.map(|o| o.1));
                frame.element = found.and_then(|f| f.1).map(|head| (row, head));
                match found {
                    Some((form, head)) => frame.run.add(row, form, head, &starts, &mut self.pads),
                    None if frame.opened.is_none() => frame.run.end(&mut self.pads),
                    None => {}
                }
            }
        }
        let depth = self.frames.len();
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
            } else if token.text == "," && self.last_comma_is_idle(next) {
                tokens.pop();
            }
        }
        if self.frames.len() > depth {
            // The element goes on below: what follows it is not aligned with what stands above it.
            for frame in &mut self.frames {
                frame.run.end_after(row, &mut self.pads);
            }
        }
        self.push(place, tokens, line.comment);
    }

    fn end_run(&mut self) {
        self.pads.resize(self.rows.len() + 1, Vec::new());
        if let Some(frame) = self.frames.last_mut() {
            frame.run.end(&mut self.pads);
        }
    }

    /// Whether the comma that ends this line is one that the end of the line says as well.
    fn last_comma_is_idle(&self, next: Option<Token<'_>>) -> bool {
        let Some(frame) = self.frames.last() else { return false };
        frame.opened.is_some_and(|o| o.1 == "{")
            && frame.element.is_some()
            && next.is_some_and(|n| n.kind == Kind::Word && !FOLLOWING.contains(&n.text))
    }

    /// Whether a line goes on with the element above it.
    fn goes_on(&self, first: &Token<'_>, items: &[usize]) -> bool {
        let Some(last) = self.last else { return false };
        if self.frames.len() == 1 {
            return items.binary_search(&first.at).is_err();
        }
        if last.text == "," || last.opens() {
            return false;
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

    /// Where a line stands that goes on with the element above it.
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

    fn push(&mut self, place: Place, tokens: Vec<Token<'a>>, comment: Option<(&'a str, usize)>) {
        let opened = self.rows.last().is_some_and(|r| r.tokens.last().is_some_and(Token::opens));
        let closes = tokens.first().is_some_and(Token::closes);
        let blank = self.blank && !self.rows.is_empty() && !opened && !closes;
        let before = self.last;
        if let Some(last) = tokens.last() {
            self.last = Some(*last);
        }
        self.rows.push(Row { place, tokens, before, comment, blank });
        self.pads.resize(self.rows.len(), Vec::new());
        self.blank = false;
    }
}

/// Rows as text.
fn print(rows: &[Row<'_>], pads: &[Vec<(usize, usize)>]) -> String {
    let mut indents: Vec<usize> = Vec::with_capacity(rows.len());
    let mut columns: Vec<Vec<usize>> = Vec::with_capacity(rows.len());
    let mut texts: Vec<String> = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let of = |r: usize| indents.get(r).copied().unwrap_or(0);
        let inside = |r: Option<usize>| r.map_or(0, |r| of(r) + STEP);
        let indent = match row.place {
            Place::Inside(r) => inside(r),
            Place::Level(r) => of(r),
            Place::Beyond(r) => inside(r) + STEP,
            Place::Under { row, sign, operator } => {
                let sign_at = columns.get(row).and_then(|c| c.get(sign)).copied().unwrap_or(0);
                let length = rows.get(row).and_then(|r| r.tokens.get(sign)).map_or(1, |t| t.text.len());
                (of(row) + sign_at + length).saturating_sub(operator).max(of(row) + STEP)
            }
        };
        let pads = pads.get(i).map_or(&[][..], Vec::as_slice);
        let (text, starts) = space::join(row.before.as_ref(), &row.tokens, pads);
        let code = if text.is_empty() { String::new() } else { format!("{}{text}", " ".repeat(indent)) };
        indents.push(indent);
        columns.push(starts);
        texts.push(code);
    }
    let width = |i: usize| texts[i].chars().count();
    let mut out = String::new();
    let mut column = None;
    for (i, row) in rows.iter().enumerate() {
        if row.blank {
            out.push('\n');
        }
        out.push_str(&texts[i]);
        match row.comment {
            Some((comment, _)) if row.tokens.is_empty() => {
                out.push_str(&" ".repeat(indents[i]));
                out.push_str(comment);
                column = None;
            }
            Some((comment, _)) => {
                let at = *column.filter(|_| !row.blank).get_or_insert_with(|| {
                    let run = (i..rows.len()).take_while(|k| *k == i || !rows[*k].blank);
                    let run = run.map_while(|k| {
                        rows[k].comment.filter(|_| !rows[k].tokens.is_empty()).map(|c| (width(k), c.1))
                    });
                    align::comment_column(&run.collect::<Vec<_>>())
                });
                column = Some(at);
                out.push_str(&" ".repeat(at - width(i)));
                out.push_str(comment);
            }
            None => column = None,
        }
        out.push('\n');
    }
    out
}
