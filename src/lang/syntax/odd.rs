//! Characters and spellings from word processors and other languages: no-break spaces, typographic quotes, names with
//! accents, string prefixes, loops. They are recognised by the characters alone, before the grammar, so that each is one
//! diagnostic and the rest of the file parses.

use super::edits::Edit;
use super::faults::Fault;

/// A fault outside strings and comments, with the edit that repairs it.
pub(super) struct Odd {
    pub(super) fault: Fault,
    pub(super) edit: Edit,
    /// One past its end.
    pub(super) end: usize,
}

/// The fault at byte `i`; `line` is the start of its line.
pub(super) fn at(text: &str, i: usize, line: usize) -> Option<Odd> {
    let rest = &text[i..];
    let first = rest.chars().next()?;
    if !first.is_ascii() && (first.is_whitespace() || invisible(first))
        || first == '\u{c}'
        || first == '\u{b}'
    {
        return Some(cut(Fault::OddBlank(i), i, first.len_utf8(), " "));
    }
    if let Some(close) = closing_quote(first) {
        let end_of_line = rest.find('\n').unwrap_or(rest.len());
        let len = rest[first.len_utf8()..end_of_line]
            .find(close)
            .map_or(first.len_utf8(), |n| first.len_utf8() + n + closing_len(&rest[first.len_utf8() + n..]));
        return Some(cut(Fault::OddQuotes(i, i + len), i, len, "\"\""));
    }
    if rest.starts_with("\"\"\"") || rest.starts_with("'''") {
        let quote = &rest[..3];
        let len = rest[3..].find(quote).map_or(rest.len(), |n| n + 6);
        return Some(cut(Fault::TripleQuotes(i, i + len), i, len, "\"\""));
    }
    let word = super::token::at(text, i);
    if !(first.is_alphabetic() || first == '_') {
        return None;
    }
    if !word.is_ascii() {
        let plain: String = word.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
        let fault = Fault::OddName(i, i + word.len());
        return Some(Odd {
            fault,
            edit: Edit { at: i, cut: word.len(), put: plain.into() },
            end: i + word.len(),
        });
    }
    let quoted = rest[word.len()..].starts_with(['"', '\'']);
    if quoted && word.len() <= 2 && word.bytes().all(|b| b"fFrRbBuU".contains(&b)) {
        return Some(cut(Fault::StringPrefix(i, i + word.len()), i, word.len(), ""));
    }
    if i == line && matches!(word, "for" | "if" | "while" | "with" | "try" | "class" | "async") {
        let end = rest.find('\n').map_or(rest.len(), |n| n);
        let code = rest[..end].split('#').next().unwrap_or_default().trim_end();
        if code.ends_with(':') || (word == "for" && code.contains(" in ")) {
            return Some(cut(Fault::Loop(i, i + code.len()), i, end, ""));
        }
    }
    None
}

fn cut(fault: Fault, at: usize, len: usize, put: &'static str) -> Odd {
    Odd { fault, edit: Edit { at, cut: len, put: put.into() }, end: at + len }
}

/// Invisible characters: zero-width spaces and joiners, marks of direction and byte order.
fn invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

fn closing_quote(c: char) -> Option<&'static [char]> {
    Some(match c {
        '“' | '”' | '„' | '‟' | '＂' => &['”', '“', '"', '＂'],
        '«' | '»' => &['»', '«'],
        '‘' | '’' | '‚' | '＇' => &['’', '‘', '\'', '＇'],
        _ => return None,
    })
}

fn closing_len(rest: &str) -> usize {
    rest.chars().next().map_or(0, char::len_utf8)
}
