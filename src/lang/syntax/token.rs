//! Single tokens of a text, for messages: the token at a position, the token before it.

/// Operators of several characters, of this language and others.
const LONG: &[&str] = &[
    "===", "!==", "...", "==", "!=", "<=", ">=", "=>", "->", "<-", ":=", "&&", "||", "..", "//", "/*", "+=",
    "-=", "::", "??",
];

/// The token that starts at a byte: a word or number, a string, a sign; empty at the end of the text.
pub(super) fn at(text: &str, start: usize) -> &str {
    let Some(rest) = text.get(start..) else { return "" };
    let Some(first) = rest.chars().next() else { return "" };
    if first.is_alphanumeric() || first == '_' {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if first.is_ascii_digit() {
            return &rest[..number(rest.as_bytes())];
        }
        return &rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())];
    }
    if first == '"' || first == '\'' {
        let end = rest[1..].find([first, '\n']).map_or(rest.len(), |i| i + 1);
        let closed = rest[end..].starts_with(first);
        return &rest[..end + usize::from(closed)];
    }
    if let Some(sign) = LONG.iter().find(|s| rest.starts_with(**s)) {
        return &rest[..sign.len()];
    }
    &rest[..first.len_utf8()]
}

/// The length of the number that a text starts with, with its exponent and unit.
fn number(text: &[u8]) -> usize {
    let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let mut i = 1;
    loop {
        let exponent = matches!(text[i - 1], b'e' | b'E') && matches!(text.get(i), Some(b'+' | b'-'));
        let more = match text.get(i) {
            Some(b'.') => digit(text.get(i + 1)) && digit(text.get(i - 1)),
            Some(b'%') => return i + 1,
            _ => word(text.get(i)) || (exponent && digit(text.get(i + 1))),
        };
        if !more {
            return i;
        }
        i += 1;
    }
}

/// The last token that ends at or before a byte, with its position; comments and white space are skipped.
pub(super) fn before(text: &str, end: usize) -> Option<(usize, &str)> {
    let mut last = None;
    let mut i = text[..end].rfind('\n').map_or(0, |n| n + 1);
    let mut line_end = end;
    loop {
        let mut at_byte = i;
        while at_byte < line_end {
            let rest = &text[at_byte..line_end];
            let first = rest.chars().next()?;
            if first == '#' {
                break;
            }
            if first.is_whitespace() {
                at_byte += first.len_utf8();
                continue;
            }
            let token = at(&text[..line_end], at_byte);
            last = Some((at_byte, &text[at_byte..at_byte + token.len()]));
            at_byte += token.len();
        }
        if last.is_some() || i == 0 {
            return last;
        }
        line_end = i - 1;
        i = text[..line_end].rfind('\n').map_or(0, |n| n + 1);
    }
}

/// A token short enough for a message.
pub(super) fn short(token: &str) -> String {
    if token.chars().count() <= 24 {
        return token.to_owned();
    }
    let head: String = token.chars().take(22).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_whole() {
        let text = "a_1 == \"x y\" # c\n 20h";
        assert_eq!(at(text, 0), "a_1");
        assert_eq!(at(text, 4), "==");
        assert_eq!(at(text, 7), "\"x y\"");
        assert_eq!(at(text, 18), "20h");
        assert_eq!(at(text, text.len()), "");
        assert_eq!(at("1_0.5e-3+2", 0), "1_0.5e-3");
        assert_eq!(at("2.5%,", 0), "2.5%");
        assert_eq!(at("1..5", 0), "1");
        assert_eq!(before(text, 18), Some((7, "\"x y\"")));
        assert_eq!(before(text, 4), Some((0, "a_1")));
        assert_eq!(before(text, 0), None);
    }
}
