//! What people write who know Python, R, SQL, YAML or a shell: told from the text around the place where the grammar
//! failed, with what to type here.

use super::scan::ITEM_WORDS;
use super::token;

/// A spelling of another language.
pub(super) struct Slip {
    /// Its first byte.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
    pub(super) message: String,
    pub(super) label: &'static str,
    pub(super) help: String,
    /// Whether it declares a name that is not known now.
    pub(super) declares: bool,
}

/// Units that are written at once after their number.
const UNITS: &[&str] = &[
    "s", "sec", "min", "h", "d", "B", "KB", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "K", "M",
    "G", "%",
];

/// The slip at byte `at` of a text, where what stands there was not expected.
pub(super) fn at(text: &str, at: usize) -> Option<Slip> {
    let at = at + (text[at..].len() - text[at..].trim_start().len());
    let found = token::at(text, at);
    let (start, last) = token::before(text, at).unwrap_or((at, ""));
    let same_line = !text[start..at].contains('\n');
    let line_start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let (before, after) = (&text[line_start..at], text[at + found.len()..line_end].trim_end());
    let slip = |start, end, message: &str, label, help: &str| {
        Some(Slip { start, end, message: message.into(), label, help: help.into(), declares: false })
    };
    let end = at + found.len();

    if same_line && UNITS.contains(&found) && is_plain_number(last) {
        let (ours, theirs) = (format!("{last}{found}"), &text[start..end]);
        let message = format!("`{theirs}` is written `{ours}`");
        return slip(
            start,
            end,
            &message,
            "a unit stands at once after its number",
            &format!("write `{ours}`"),
        );
    }
    if let Some(slip) = equals_in_condition(text, line_start, at, found) {
        return Some(slip);
    }
    if same_line && found == "if" && is_value_end(last) {
        let (condition, other) = after.split_once(" else ").unwrap_or((after, "…"));
        let help = format!(
            "write `if {} then {} else {}`",
            token::short(condition.trim()),
            token::short(last),
            token::short(token::at(other, 0)),
        );
        return slip(
            at,
            end,
            "the condition of a choice stands before its values",
            "not after a value",
            &help,
        );
    }
    if same_line && found == "for" && inside(text, line_start, at, '[') {
        let help =
            "declare the values as an `axis` and write `for` after the stage's name, or write the list out";
        return slip(at, end, "lists are not made by loops", "no loop can stand in a list", help);
    }
    if same_line && found == "for" && inside(text, line_start, at, '{') {
        let help = "declare the values as an `axis` and write `for` after the name of the stage";
        return slip(at, end, "records are not made by loops", "no loop can stand in a record", help);
    }
    if (found == "*" && at > 0 && text.as_bytes()[at - 1] == b'*') || found == "^" {
        let from = if found == "^" { at } else { at - 1 };
        let help = "write the number itself, or the product: `2 * 2 * 2`";
        return slip(from, end, "there is no operator for powers", "not an operator", help);
    }
    if (found == ">" && at > 0 && text.as_bytes()[at - 1] == b'>')
        || (found == "|" && same_line)
        || found == "|>"
    {
        let from = if found == ">" { at - 1 } else { at };
        let help = "name each step as a `stage`, and give it the one before as an argument: `run = first`";
        return slip(from, end, "stages are not joined by an operator", "not an operator", help);
    }
    let listed = before.starts_with(['a', 'l']) && innermost(text, line_start, at).is_none();
    if found == "," && (listed || grouped(text, line_start, at)) {
        return slip(
            at,
            end,
            "a list stands in `[…]`",
            if listed { "one value was expected" } else { "parentheses hold one value" },
            "write `[a, b]`",
        );
    }
    if same_line && starts_name(found) && ITEM_WORDS.contains(&last) && start > line_start && last != "report"
    {
        let help = format!(
            "move `{last} {found} …` above this item, to column 0; stages of a `def` stand in its body"
        );
        let message = format!("`{last}` stands in column 0, not inside of another item");
        let mut slip = slip(start, end, &message, "starts an item", &help)?;
        slip.declares = true;
        return Some(slip);
    }
    let quoted = found.len() > 1 && found.starts_with(['"', '\'']) && found.ends_with(['"', '\'']);
    if quoted && after.trim_start().starts_with([':', '=']) {
        let name = &found[1..found.len() - 1];
        let help = format!("write `{name} = …`");
        return slip(at, end, "the name of a field stands without quotes", "not a name", &help);
    }
    if same_line && matches!((last, found), ("lambda" | "function", _)) {
        let help = "declare a `def`, and call it by its name";
        return slip(start, start + last.len(), "there are no functions without a name", "not a value", help);
    }
    if found == "is" || (found == "not" && after.trim_start().starts_with("in ")) {
        let help = if found == "is" { "write `==`, or `!=` for `is not`" } else { "write `not a in b`" };
        return slip(at, end, &format!("`{found}` compares nothing here"), "not an operator", help);
    }
    if found == "\\" && after.trim().is_empty() {
        let help = "remove it: a line that ends with an operator or inside of brackets goes on by itself";
        return slip(at, end, "lines are not joined by `\\`", "not an operator", help);
    }
    let label = found.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\''));
    if label && last == "." && start + 1 == at {
        let help = format!("a label that is a number or a text is written alone: `{}`", token::short(found));
        return slip(at, end, "a name stands behind `.`", "not a name", &help);
    }
    let changes = found == "=" && before.ends_with(['+', '-', '*', '/']);
    if changes {
        let help = "give the result a name of its own: `let b = a + 1`";
        return slip(at - 1, end, "a name is given its value once", "changes a value", help);
    }
    if same_line && found.starts_with('\'') && last.starts_with('\'') && start + last.len() == at {
        let help = "write it between double quotes: `\"it's\"`";
        return slip(start, end, "a string between `'` holds no `'`", "the string ends in its middle", help);
    }
    if found == ":" && before.contains("if ") && !before.contains(" then ") {
        let help = "write `if condition then value else other`";
        return slip(at, end, "`then` follows the condition of a choice", "not `then`", help);
    }
    None
}

/// `where k = 1` and `if k = 1 then`: a single `=` where a comparison is meant.
fn equals_in_condition(text: &str, line_start: usize, at: usize, found: &str) -> Option<Slip> {
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
    Some(Slip {
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
