//! One TREC topic: the fields between `<top>` and `</top>`, with closing tags or in the classic form without; or
//! those of `<topic number="1">…</topic>`, as XML files of later tracks have them.

use super::html::plain;

/// A topic, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its number.
    id: Option<String>,
    /// Its fields in order: tag in lower case, text.
    fields: Vec<(String, String)>,
    /// The text of an XML topic without fields.
    bare: Option<String>,
}

impl Topic {
    /// The number; `None` when it has none.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| !id.is_empty())
    }

    /// The text of a field.
    pub fn field(&self, wanted: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == wanted).map(|(_, text)| text.as_str())
    }

    /// Whether it has a field more than once.
    pub fn repeats(&self, wanted: &str) -> bool {
        self.fields.iter().filter(|(n, _)| n == wanted).count() > 1
    }

    /// The query text of an XML topic: its title, its query, or the whole text of a topic without fields.
    pub fn query(&self) -> Option<&str> {
        self.field("title").or_else(|| self.field("query")).or(self.bare.as_deref())
    }

    /// The names of its fields, for messages.
    pub fn names(&self) -> String {
        let has: Vec<String> = self.fields.iter().map(|(n, _)| format!("`<{n}>`")).collect();
        if has.is_empty() { "no fields".into() } else { has.join(", ") }
    }
}

/// Whether a file of topics is XML: its first topic is `<topic …>`.
pub fn is_xml(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    // `<topics>` is around either.
    let at = |tag: &str| {
        let places = head.match_indices(tag).map(|(at, _)| at);
        let ends = |at: &usize| !head[at + tag.len()..].starts_with(|c: char| c.is_alphanumeric());
        places.into_iter().find(ends).unwrap_or(usize::MAX)
    };
    at("<topic") < at("<top")
}

/// A topic from the attributes of `<top>` and the text between it and `</top>`.
pub fn classic(attributes: &str, text: &str) -> Topic {
    let fields = fields(text);
    let inner = fields.iter().find(|(n, _)| n == "num").map(|(_, text)| text.clone());
    let id = inner.or_else(|| number(attributes));
    Topic { id, fields, bare: None }
}

/// The number of a topic among its attributes.
fn number(attributes: &str) -> Option<String> {
    ["number", "num", "id"].iter().find_map(|name| attribute(attributes, name))
}

/// A topic from the attributes of `<topic>`, and its fields or its text.
pub fn xml(attributes: &str, inside: &str) -> Topic {
    let fields = fields(inside);
    let number = number(attributes);
    let inner = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone());
    let id = number.or_else(|| inner("number")).or_else(|| inner("num"));
    let bare = fields.is_empty().then(|| plain(inside).trim().to_owned());
    Topic { id, fields, bare }
}

/// The value of an attribute.
pub(super) fn attribute(text: &str, name: &str) -> Option<String> {
    let mut from = 0;
    let lower = text.to_ascii_lowercase();
    while let Some(at) = lower[from..].find(name) {
        let at = from + at;
        let alone = text[..at].chars().next_back().is_none_or(char::is_whitespace);
        let rest = text[at + name.len()..].trim_start();
        if let (true, Some(value)) = (alone, rest.strip_prefix('=')) {
            let value = value.trim_start();
            return match value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                Some(quote) => value[1..].split_once(quote).map(|(v, _)| v.trim().to_owned()),
                // SGML's values without quotes.
                None => value.split_whitespace().next().map(str::to_owned),
            };
        }
        from = at + name.len();
    }
    None
}

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
fn fields(topic: &str) -> Vec<(String, String)> {
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

    #[test]
    fn topics_in_xml_have_a_number_and_a_query_or_a_bare_text() {
        let covid =
            xml(" number=\"7\"", "\n<query>corona &amp; masks</query>\n<question>do they help</question>\n");
        assert_eq!((covid.id(), covid.query()), (Some("7"), Some("corona & masks")));
        assert_eq!(covid.field("question"), Some("do they help"));
        let trial = xml(" number='12' type=\"x\"", "\n A man of 40\n with pain\n");
        assert_eq!((trial.id(), trial.query()), (Some("12"), Some("A man of 40 with pain")));
        let inner = xml("", "<number>3</number><title>t</title>");
        assert_eq!((inner.id(), inner.query()), (Some("3"), Some("t")));
        assert_eq!(xml(" mynumber=\"1\"", "<title>t</title>").id(), None);
        assert!(is_xml("<?xml?>\n<topics>\n<topic number=\"1\">") && !is_xml("\n<top>\n<num> 1"));
        assert!(!is_xml("<topics>\n<top lang='en'>") && is_xml("<topics><topic>"));
        let classic = classic("lang=en id=5", "<title lang=\"en\"> a <title lang=\"fr\"> b");
        assert_eq!((classic.id(), classic.field("title")), (Some("5"), Some("a")));
        assert!(classic.repeats("title") && !classic.repeats("desc"));
    }

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
