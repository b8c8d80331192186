//! One TREC topic: the fields between `<top>` and `</top>`, with closing tags or in the classic form without.

use super::html::plain;

/// The labels that classic topics put before a field's text.
const LABELS: &[(&str, &str)] = &[
    ("num", "Number:"),
    ("dom", "Domain:"),
    ("title", "Topic:"),
    ("desc", "Description:"),
    ("smry", "Summary:"),
    ("narr", "Narrative:"),
    ("con", "Concept(s):"),
];

/// The fields of a topic in order: tag in lower case, text with labels, entities and line breaks removed.
///
/// A field ends at the next tag, so that both `<title> a <desc> b` and `<title>a</title><desc>b</desc>` are read.
/// A tag is a bracket directly followed by a letter or `/`; a `<` before anything else is text.
pub fn fields(topic: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = topic;
    while let Some((name, closing, after)) = next_tag(rest) {
        let end = next_tag(after).map_or(after.len(), |(_, _, next)| {
            let inside = &after[..after.len() - next.len()];
            inside.rfind('<').unwrap_or(inside.len())
        });
        if !closing {
            let text = plain(&after[..end]);
            let label = LABELS.iter().find(|(n, _)| *n == name).map_or("", |(_, l)| l);
            let text = strip_label(&text, label).trim().to_owned();
            fields.push((name, text));
        }
        rest = &after[end..];
    }
    fields
}

fn strip_label<'t>(text: &'t str, label: &str) -> &'t str {
    match text.get(..label.len()) {
        Some(start) if start.eq_ignore_ascii_case(label) => &text[label.len()..],
        _ => text,
    }
}

/// The next tag: its name in lower case, whether it closes, and what comes after it.
fn next_tag(text: &str) -> Option<(String, bool, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('<') {
        let inside = &text[from + at + 1..];
        let closing = inside.starts_with('/');
        let name: String = inside
            .chars()
            .skip(usize::from(closing))
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .collect();
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if let (true, Some(end)) = (begins, inside.find('>')) {
            return Some((name.to_ascii_lowercase(), closing, &inside[end + 1..]));
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn classic_topics_have_no_closing_tags() {
        let topic = "\n<num> Number: 301\n<title> International Organized Crime\n\n<desc> Description:\nIdentify \
                     organizations.\n\n<narr> Narrative:\nA < B &amp; C\n\n";
        let expected = owned(&[
            ("num", "301"),
            ("title", "International Organized Crime"),
            ("desc", "Identify organizations."),
            ("narr", "A < B & C"),
        ]);
        assert_eq!(fields(topic), expected);
    }

    #[test]
    fn old_topics_have_a_label_in_the_title() {
        let topic = "<head> Tipster Topic Description\n<num> Number: 051\n<title> Topic: Airbus Subsidies\n";
        let all = fields(topic);
        assert_eq!(all[1..], owned(&[("num", "051"), ("title", "Airbus Subsidies")]));
    }

    #[test]
    fn topics_with_closing_tags_are_read_too() {
        let expected = owned(&[("num", "1"), ("title", "A B")]);
        assert_eq!(fields("\n<num>1</num><title>\nA\nB\n</title>\n"), expected);
        assert!(fields("no tags").is_empty());
    }
}
