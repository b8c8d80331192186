//! Unbalanced brackets: which one is wrong, and the edits that balance them.
//!
//! Only items whose brackets do not balance come here. Indentation decides: a closing bracket that starts its line
//! belongs to the bracket whose line is indented as far.

use super::edits::Edit;
use super::scan::Bracket;

/// What is wrong with the brackets of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Imbalance {
    /// The bracket at `at` is never closed; its partner is put in at `close`. `block`: nothing follows it on its line.
    Unclosed { at: usize, close: usize, block: bool },
    /// The bracket at this byte closes nothing.
    Extra(usize),
    /// The bracket at `at` belongs to `partner`, but is not its kind: `right` should stand there.
    Wrong { at: usize, partner: usize, right: &'static str },
    /// The bracket at `at` closes one that is missing at the end of the line that ends at `after`.
    Missing { at: usize, after: usize },
}

/// The bracket that closes this one.
pub(super) fn closing(byte: u8) -> &'static str {
    match byte {
        b'(' => ")",
        b'[' => "]",
        _ => "}",
    }
}

fn opening(byte: u8) -> u8 {
    match byte {
        b')' => b'(',
        b']' => b'[',
        _ => b'{',
    }
}

fn opens(b: &Bracket) -> bool {
    matches!(b.byte, b'(' | b'[' | b'{')
}

/// Whether every bracket has its partner.
pub(super) fn balanced(brackets: &[Bracket]) -> bool {
    let mut stack = Vec::new();
    for b in brackets {
        if opens(b) {
            stack.push(b.byte);
        } else if stack.pop() != Some(opening(b.byte)) {
            return false;
        }
    }
    stack.is_empty()
}

/// Finds the wrong brackets and the edits that repair them. `text` is the whole file, `end` the end of the item.
pub(super) fn mend(
    text: &str,
    start: usize,
    end: usize,
    brackets: &[Bracket],
) -> (Vec<Imbalance>, Vec<Edit>) {
    let mut m = Mender { text, start, end, found: Vec::new(), edits: Vec::new() };
    let mut stack: Vec<Bracket> = Vec::new();
    let count = |kind: u8| {
        let open = brackets.iter().filter(|b| b.byte == kind).count() as i64;
        open - brackets.iter().filter(|b| !opens(b) && opening(b.byte) == kind).count() as i64
    };
    let mut lacking = -count(b'{');
    for (i, b) in brackets.iter().enumerate() {
        if opens(b) {
            stack.push(*b);
            continue;
        }
        let kind = opening(b.byte);
        let rest = &brackets[i + 1..];
        if b.first {
            if let Some(k) = stack.iter().rposition(|o| o.byte == kind && o.indent == b.indent) {
                m.unclosed(&stack[k + 1..], b.at);
                stack.truncate(k);
                continue;
            }
            if stack.last().is_some_and(|top| top.indent == b.indent && top.byte != kind) {
                m.wrong(b, stack.pop());
                continue;
            }
            if kind == b'{' && lacking > 0 && m.missing(b) {
                lacking -= 1;
                continue;
            }
        }
        match stack.last() {
            Some(top) if top.byte == kind => {
                let own =
                    |c: &Bracket| c.first && !opens(c) && opening(c.byte) == kind && c.indent == top.indent;
                let odd = count(kind) < 0 || !m.found.is_empty();
                let astray = !b.first || b.indent != top.indent;
                if top.line != b.line && astray && odd && rest.iter().any(own) {
                    m.extra(b);
                } else {
                    stack.pop();
                }
            }
            Some(_) => m.mismatch(b, &mut stack, rest),
            None => m.extra(b),
        }
    }
    m.unclosed(&stack, end);
    (m.found, m.edits)
}

/// How many more mistakes the brackets `rest` of a line make after the open ones.
fn cost(open: &[Bracket], rest: &[Bracket], line: usize) -> usize {
    let mut stack: Vec<&Bracket> = open.iter().collect();
    let mut wrong = 0;
    let here = rest.iter().take_while(|b| b.line == line);
    let block = here.clone().last().filter(|b| opens(b)).map(|b| b.at);
    for b in here {
        if opens(b) {
            stack.push(b);
        } else if stack.last().is_some_and(|top| top.byte == opening(b.byte)) {
            // A bracket in the middle of a line seldom closes what another line opened.
            wrong += usize::from(stack.pop().is_some_and(|top| top.line != line));
        } else {
            wrong += 1;
        }
    }
    wrong + stack.iter().filter(|b| b.line == line && Some(b.at) != block).count()
}

struct Mender<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    found: Vec<Imbalance>,
    edits: Vec<Edit>,
}

impl Mender<'_> {
    /// Closes brackets, the last one first, no later than `limit`.
    fn unclosed(&mut self, open: &[Bracket], limit: usize) {
        for b in open.iter().rev() {
            let at = self.block_end(b).min(limit);
            // What stands alone at the end of its line opens a block, whose end is far away.
            let rest = &self.text[b.at + 1..self.end];
            let rest = rest.split('\n').next().unwrap_or(rest);
            let block = code_len(rest) == 0;
            self.found.push(Imbalance::Unclosed { at: b.at, close: at, block });
            let close = closing(b.byte);
            let put = match self.text[..at].ends_with('\n') {
                true => format!("{close}\n").into(),
                false if at == self.end => format!("\n{close}").into(),
                false => close.into(),
            };
            self.edits.push(Edit { at, cut: 0, put });
        }
    }

    /// A closing bracket of another kind than what was opened last: the reading with the fewest mistakes on its line.
    fn mismatch(&mut self, b: &Bracket, stack: &mut Vec<Bracket>, rest: &[Bracket]) {
        let last = stack.len() - 1;
        let partner = stack.iter().rposition(|o| o.byte == opening(b.byte) && (o.line == b.line || b.first));
        let forgotten = partner.map(|k| (last - k + cost(&stack[..k], rest, b.line), k));
        let wrong = 1 + cost(&stack[..last], rest, b.line) + usize::from(stack[last].line != b.line);
        let extra = 1 + cost(stack, rest, b.line);
        match forgotten {
            Some((n, k)) if n <= wrong && n <= extra => {
                self.unclosed(&stack[k + 1..], b.at);
                stack.truncate(k);
            }
            _ if wrong <= extra => self.wrong(b, stack.pop()),
            _ => self.extra(b),
        }
    }

    fn extra(&mut self, b: &Bracket) {
        self.found.push(Imbalance::Extra(b.at));
        self.edits.push(Edit { at: b.at, cut: 1, put: " ".into() });
    }

    fn wrong(&mut self, b: &Bracket, opened: Option<Bracket>) {
        let Some(opened) = opened else { return };
        let between = self.text[opened.at + 1..b.at].trim_start_matches([' ', '\t', '\r']);
        let commas = between.lines().any(|l| l[..code_len(l)].ends_with(','));
        if b.first && b.byte == b'}' && between.starts_with('\n') && !commas {
            // Lines without commas are the fields of a block.
            self.found.push(Imbalance::Wrong { at: opened.at, partner: b.at, right: "{" });
            self.edits.push(Edit { at: opened.at, cut: 1, put: "{".into() });
            return;
        }
        let right = closing(opened.byte);
        self.found.push(Imbalance::Wrong { at: b.at, partner: opened.at, right });
        self.edits.push(Edit { at: b.at, cut: 1, put: right.into() });
    }

    /// Puts a `{` at the end of the nearest line above that is indented as far as this `}`.
    fn missing(&mut self, b: &Bracket) -> bool {
        let mut end = b.line;
        let mut body = false;
        while end > self.start {
            let line_start = self.text[..end - 1].rfind('\n').map_or(0, |n| n + 1).max(self.start);
            let line = &self.text[line_start..end - 1];
            let code = &line[..code_len(line)];
            if !code.trim().is_empty() && indent(line) <= b.indent {
                // Only a line with something indented below it can open a block.
                if indent(line) < b.indent || !body || code.ends_with(['{', '(', '[']) {
                    return false;
                }
                let after = line_start + code.len();
                self.found.push(Imbalance::Missing { at: b.at, after });
                self.edits.push(Edit { at: after, cut: 0, put: " {".into() });
                return true;
            }
            body |= !code.trim().is_empty();
            end = line_start;
        }
        false
    }

    /// Where a bracket that is not closed should have been: after the lines indented further than its own.
    fn block_end(&self, b: &Bracket) -> usize {
        let next = |from: usize| self.text[from..self.end].find('\n').map_or(self.end, |n| from + n + 1);
        let mut end = next(b.line);
        let mut at = end;
        while at < self.end {
            let after = next(at);
            let line = &self.text[at..after];
            if code_len(line) > 0 && !line[..code_len(line)].trim().is_empty() {
                if indent(line) <= b.indent {
                    break;
                }
                end = after;
            }
            at = after;
        }
        end
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// How much of a line is code: all before its comment, without the blanks at the end.
fn code_len(line: &str) -> usize {
    let mut quote = None;
    let mut end = line.len();
    for (i, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => {
                end = i;
                break;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), _) if q == c => quote = None,
            _ => {}
        }
    }
    line[..end].trim_end().len()
}
