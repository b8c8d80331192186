//! Spellings of Python, R, SQL, YAML and shells, recognised from the text around the place where the grammar failed,
//! with what to write instead.

use super::scan::ITEM_WORDS;
use super::token;

/// A spelling of another language.
pub(super) struct ForeignSyntax {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) message: String,
    pub(super) label: &'static str,
    pub(super) help: String,
    /// Whether it declares a name that is not known now.
    pub(super) declares: bool,
}

/// Units, which follow their number directly.
const UNITS: &[&str] = &[
    "s", "sec", "min", "h", "d", "B", "KB", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "K", "M",
    "G", "%",
];

/// The slip at byte `at` of a text, where what stands there was not expected.
pub(super) fn at(text: &str, at: usize) -> Option<ForeignSyntax> {
    let place = Place::new(text, at);
    let rules = [
        Place::unit_apart,
        Place::single_equals,
        Place::trailing_condition,
        Place::comprehension,
        Place::power,
        Place::pipe,
        Place::list_without_brackets,
        Place::indented_item,
        Place::quoted_key,
        Place::anonymous_function,
        Place::word_operator,
        Place::line_continuation,
        Place::literal_member,
        Place::compound_assignment,
        Place::apostrophe,
        Place::colon_after_condition,
    ];
    rules.iter().find_map(|rule| rule(&place))
}

/// The place where the grammar failed.
struct Place<'a> {
    text: &'a str,
    /// The byte of the unexpected token, and the token.
    at: usize,
    found: &'a str,
    /// The byte of the token before it, and the token.
    start: usize,
    last: &'a str,
    /// Whether both stand on one line.
    same_line: bool,
    line_start: usize,
    /// The line before and after the unexpected token.
    before: &'a str,
    after: &'a str,
}

impl<'a> Place<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        let at = at + (text[at..].len() - text[at..].trim_start().len());
        let found = token::at(text, at);
        let (start, last) = token::before(text, at).unwrap_or((at, ""));
        let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
        let (before, after) = (&text[line_start..at], text[at + found.len()..line_end].trim_end());
        Self {
            text,
            at,
            found,
            start,
            last,
            same_line: !text[start..at].contains('\n'),
            line_start,
            before,
            after,
        }
    }

    /// A slip at the unexpected token.
    fn here(
        &self,
        message: impl Into<String>,
        label: &'static str,
        help: impl Into<String>,
    ) -> Option<ForeignSyntax> {
        self.slip(self.at, message, label, help)
    }

    /// A slip from byte `start` to the end of the unexpected token.
    fn slip(
        &self,
        start: usize,
        message: impl Into<String>,
        label: &'static str,
        help: impl Into<String>,
    ) -> Option<ForeignSyntax> {
        let end = self.at + self.found.len();
        Some(ForeignSyntax { start, end, message: message.into(), label, help: help.into(), declares: false })
    }

    /// `20 h`.
    fn unit_apart(&self) -> Option<ForeignSyntax> {
        if !(self.same_line && UNITS.contains(&self.found) && is_plain_number(self.last)) {
            return None;
        }
        let (ours, theirs) =
            (format!("{}{}", self.last, self.found), &self.text[self.start..self.at + self.found.len()]);
        let message = format!("`{theirs}` is written `{ours}`");
        self.slip(self.start, message, "a unit follows its number directly", format!("write `{ours}`"))
    }

    fn single_equals(&self) -> Option<ForeignSyntax> {
        equals_in_condition(self.text, self.line_start, self.at, self.found)
    }

    /// `a if c else b`.
    fn trailing_condition(&self) -> Option<ForeignSyntax> {
        if !(self.same_line && self.found == "if" && is_value_end(self.last)) {
            return None;
        }
        let (condition, other) = self.after.split_once(" else ").unwrap_or((self.after, "…"));
        let help = format!(
            "write `if {} then {} else {}`",
            token::short(condition.trim()),
            token::short(self.last),
            token::short(token::at(other, 0)),
        );
        self.here("the condition of a choice stands before its values", "not after a value", help)
    }

    /// `[x for x in …]`, `{k: v for …}`.
    fn comprehension(&self) -> Option<ForeignSyntax> {
        if !(self.same_line && self.found == "for") {
            return None;
        }
        if inside(self.text, self.line_start, self.at, '[') {
            let help = "declare the values as an `axis` and write `for` after the stage's name, or write the list out";
            return self.here("lists are not made by loops", "no loop can stand in a list", help);
        }
        if inside(self.text, self.line_start, self.at, '{') {
            let help = "declare the values as an `axis` and write `for` after the name of the stage";
            return self.here("records are not made by loops", "no loop can stand in a record", help);
        }
        None
    }

    /// `a ** b`, `a ^ b`.
    fn power(&self) -> Option<ForeignSyntax> {
        let start = if self.follows(b'*') && self.found == "*" {
            self.at - 1
        } else if self.found == "^" {
            self.at
        } else {
            return None;
        };
        let help = "write the number itself, or the product: `2 * 2 * 2`";
        self.slip(start, "there is no operator for powers", "not an operator", help)
    }

    /// Whether the byte stands directly before the unexpected token.
    fn follows(&self, byte: u8) -> bool {
        self.at > 0 && self.text.as_bytes()[self.at - 1] == byte
    }

    /// `a | b`, `a |> b`, `a >> b`.
    fn pipe(&self) -> Option<ForeignSyntax> {
        let shift = self.found == ">" && self.follows(b'>');
        if !(shift || (self.found == "|" && self.same_line) || self.found == "|>") {
            return None;
        }
        let help = "name each step as a `stage`, and pass it the one before as an argument: `run = first`";
        let start = self.at - usize::from(self.found == ">");
        self.slip(start, "stages are not joined by an operator", "not an operator", help)
    }

    /// `axis a = 1, 2`, `(1, 2)`.
    fn list_without_brackets(&self) -> Option<ForeignSyntax> {
        let listed =
            self.before.starts_with(['a', 'l']) && innermost(self.text, self.line_start, self.at).is_none();
        if !(self.found == "," && (listed || grouped(self.text, self.line_start, self.at))) {
            return None;
        }
        let label = if listed { "one value was expected" } else { "parentheses hold one value" };
        self.here("a list stands in `[…]`", label, "write `[a, b]`")
    }

    fn indented_item(&self) -> Option<ForeignSyntax> {
        let (last, found) = (self.last, self.found);
        let item = ITEM_WORDS.contains(&last) && self.start > self.line_start && last != "report";
        if !(self.same_line && starts_name(found) && item) {
            return None;
        }
        let help = format!(
            "move `{last} {found} …` above this item, to column 0; stages of a `def` stand in its body"
        );
        let message = format!("`{last}` stands in column 0, not inside another item");
        let slip = self.slip(self.start, message, "starts an item", help)?;
        Some(ForeignSyntax { declares: true, ..slip })
    }

    /// `"key": 1`.
    fn quoted_key(&self) -> Option<ForeignSyntax> {
        let found = self.found;
        let quoted = found.len() > 1 && found.starts_with(['"', '\'']) && found.ends_with(['"', '\'']);
        if !(quoted && self.after.trim_start().starts_with([':', '='])) {
            return None;
        }
        let help = format!("write `{} = …`", &found[1..found.len() - 1]);
        self.here("the name of a field stands without quotes", "not a name", help)
    }

    /// `lambda x: …`, `function (x)`.
    fn anonymous_function(&self) -> Option<ForeignSyntax> {
        if !(self.same_line && matches!(self.last, "lambda" | "function")) {
            return None;
        }
        let help = "declare a `def`, and call it by its name";
        let slip = self.slip(self.start, "there are no anonymous functions", "not a value", help)?;
        Some(ForeignSyntax { end: self.start + self.last.len(), ..slip })
    }

    /// `a is b`, `a not in b`.
    fn word_operator(&self) -> Option<ForeignSyntax> {
        let help = match self.found {
            "is" => "write `==`, or `!=` for `is not`",
            "not" if self.after.trim_start().starts_with("in ") => "write `not a in b`",
            _ => return None,
        };
        self.here(format!("`{}` compares nothing here", self.found), "not an operator", help)
    }

    fn line_continuation(&self) -> Option<ForeignSyntax> {
        if !(self.found == "\\" && self.after.trim().is_empty()) {
            return None;
        }
        let help = "remove it: an expression continues after a line end that follows an operator or stands in brackets";
        self.here("lines are not joined by `\\`", "not an operator", help)
    }

    /// `axis."label"`, `axis.32`.
    fn literal_member(&self) -> Option<ForeignSyntax> {
        let literal = self.found.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\''));
        if !(literal && self.last == "." && self.start + 1 == self.at) {
            return None;
        }
        let help =
            format!("a label that is a number or a text is written alone: `{}`", token::short(self.found));
        self.here("a name follows `.`", "not a name", help)
    }

    /// `a += 1`.
    fn compound_assignment(&self) -> Option<ForeignSyntax> {
        if !(self.found == "=" && self.before.ends_with(['+', '-', '*', '/'])) {
            return None;
        }
        let help = "give the result a name of its own: `let b = a + 1`";
        self.slip(self.at - 1, "a name is given its value once", "changes a value", help)
    }

    /// `'it's'`.
    fn apostrophe(&self) -> Option<ForeignSyntax> {
        let adjacent = self.start + self.last.len() == self.at;
        if !(self.same_line && self.found.starts_with('\'') && self.last.starts_with('\'') && adjacent) {
            return None;
        }
        let help = "write it between double quotes: `\"it's\"`";
        self.slip(self.start, "a string between `'` holds no `'`", "the string ends in its middle", help)
    }

    /// `if c: …`.
    fn colon_after_condition(&self) -> Option<ForeignSyntax> {
        if !(self.found == ":" && self.before.contains("if ") && !self.before.contains(" then ")) {
            return None;
        }
        let help = "write `if condition then value else other`";
        self.here("`then` follows the condition of a choice", "not `then`", help)
    }
}

/// `where k = 1` and `if k = 1 then`: a single `=` where a comparison is meant.
fn equals_in_condition(text: &str, line_start: usize, at: usize, found: &str) -> Option<ForeignSyntax> {
    let line = &text[line_start..at + found.len()];
    let (word, from) = ["where ", "if "]
        .iter()
        .filter_map(|w| line.rfind(w).map(|n| (w.trim_end(), n + w.len())))
        .max_by_key(|(_, n)| *n)?;
    let condition = &line[from..];
    if condition.contains(" then ") || condition.contains(['{', '"', '(']) || !found.starts_with(['=', '{']) {
        return None;
    }
    let bytes = condition.as_bytes();
    let single = |i: usize| {
        bytes[i] == b'='
            && bytes.get(i + 1).is_none_or(|b| !b"=>".contains(b))
            && (i == 0 || !b"=!<>:".contains(&bytes[i - 1]))
    };
    let equals: Vec<usize> = (0..bytes.len()).filter(|i| single(*i)).collect();
    // The `=` of `stage s for k where c = call` is right when it is the only one; a table has none.
    let needed = if word == "where" && !line.starts_with(['t', 'c']) { 2 } else { 1 };
    if equals.len() < needed {
        return None;
    }
    let start = line_start + from + equals[0];
    let left = condition[..equals[0]].trim();
    Some(ForeignSyntax {
        start,
        end: start + 1,
        message: "a comparison is written `==`".into(),
        label: "gives a value",
        help: format!("write `{word} {left} == …`"),
        declares: false,
    })
}

fn is_plain_number(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_digit()) && token.ends_with(|c: char| c.is_ascii_digit())
}

fn is_value_end(token: &str) -> bool {
    token.ends_with(|c: char| c.is_ascii_alphanumeric() || "_\"')]}%".contains(c))
        && !matches!(token, "then" | "else" | "and" | "or" | "not" | "in")
}

fn starts_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The innermost bracket that is open at `at`, counted from `from`: its byte and place.
fn innermost(text: &str, from: usize, at: usize) -> Option<(char, usize)> {
    let mut open = Vec::new();
    let mut i = from;
    while i < at {
        let token = token::at(text, i);
        match token {
            "(" | "[" | "{" => open.push((token.chars().next()?, i)),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
        i += token.len().max(1);
        while i < at && !text.is_char_boundary(i) {
            i += 1;
        }
    }
    open.pop()
}

fn inside(text: &str, from: usize, at: usize, bracket: char) -> bool {
    innermost(text, from, at).is_some_and(|(b, _)| b == bracket)
}

/// Whether `at` stands in parentheses that group and call nothing.
fn grouped(text: &str, from: usize, at: usize) -> bool {
    let Some(('(', open)) = innermost(text, from, at) else { return false };
    token::before(text, open)
        .is_none_or(|(_, t)| !t.ends_with(|c: char| c.is_ascii_alphanumeric() || "_)]".contains(c)))
}
