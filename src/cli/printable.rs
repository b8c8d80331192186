//! What a terminal may get: texts of programs, servers, files and studies cannot move its cursor, set its title or its
//! clipboard, or turn the direction of what is read.

use std::borrow::Cow;

/// A text with everything that would steer a terminal shown as in messages: `\u{1b}`, `\r`. Line ends and tabs stay.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    shown(text, false)
}

/// The same for a text of ours that has colours: they pass, nothing else does, and they end with the text.
pub(super) fn printable_coloured(text: &str) -> Cow<'_, str> {
    shown(text, true)
}

fn shown(text: &str, colours: bool) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut coloured = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = if colours { colour(rest) } else { 0 };
        if colour > 0 {
            coloured = true;
            out.push_str(&rest[..colour]);
            rest = &rest[colour..];
            continue;
        }
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    Cow::Owned(out)
}

/// Whether a character does something else than be seen: control characters, and those that turn the direction.
fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The length of the colour sequence (`ESC [ numbers m`) that a text begins with; 0 when it begins with none.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if rest.as_bytes().get(numbers) == Some(&b'm') { numbers + 3 } else { 0 }
}

/// JSON text that holds no control character but line ends: `serde_json` escapes those below U+0020 only, and some
/// terminals obey others.
pub(super) fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let escaped = |c: char| if steers(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(json.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let nasty = "a\u{1b}]52;c;cHduZWQ=\u{7}b\u{1b}[2J\u{8}\r\u{9b}31m\u{202e}c\u{7f}\tä\n";
        let shown = printable(nasty);
        assert_eq!(shown, "a\\u{1b}]52;c;cHduZWQ=\\u{7}b\\u{1b}[2J\\u{8}\\r\\u{9b}31m\\u{202e}c\\u{7f}\tä\n");
        assert!(matches!(printable("plain ä\n\t"), Cow::Borrowed(_)));
    }

    #[test]
    fn our_colours_pass_and_end() {
        assert_eq!(
            printable_coloured("\u{1b}[1;31mx\u{1b}[0m\u{1b}[2J"),
            "\u{1b}[1;31mx\u{1b}[0m\\u{1b}[2J\u{1b}[0m"
        );
        assert_eq!(printable_coloured("\u{1b}["), "\\u{1b}[");
        assert_eq!(printable("\u{1b}[1mx"), "\\u{1b}[1mx");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a": "\u{9b}2J\u{7f}\u{1b}\n" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = printable_json(&text);
        assert!(safe.chars().all(|c| !c.is_control() || c == '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
