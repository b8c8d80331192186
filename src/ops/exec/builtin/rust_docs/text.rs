//! Markdown of a documentation comment as plain text: its first sentence, and the rest.

/// A comment in two parts, both plain text on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The first sentence.
    pub(super) sentence: String,
    /// What follows, without code blocks and headings.
    pub(super) rest: String,
}

/// Splits a comment into its first sentence and the rest.
pub(super) fn parts(doc: &str) -> Parts {
    let mut paragraphs: Vec<String> = vec![String::new()];
    let mut fence = None;
    for line in doc.lines() {
        let line = line.trim();
        let mark = ["```", "~~~"].into_iter().find(|m| line.starts_with(m));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            // A heading, a table, a definition of a link, and an empty line end a paragraph.
            (None, None) if line.is_empty() || line.starts_with(['#', '|']) || is_link_definition(line) => {
                if paragraphs.last().is_some_and(|p| !p.is_empty()) {
                    paragraphs.push(String::new());
                }
            }
            (None, None) => {
                if let Some(last) = paragraphs.last_mut() {
                    last.push_str(line);
                    last.push(' ');
                }
            }
        }
    }
    let plain: Vec<String> = paragraphs.iter().map(|p| plain(p)).filter(|p| !p.is_empty()).collect();
    let first = plain.first().map_or("", String::as_str);
    let end = end_of_sentence(first);
    let mut rest = vec![first[end..].trim().to_owned()];
    rest.extend(plain.iter().skip(1).cloned());
    rest.retain(|p| !p.is_empty());
    Parts { sentence: first[..end].trim().to_owned(), rest: rest.join(" ") }
}

/// `[name]: target`.
fn is_link_definition(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// Where the first sentence ends: behind a full stop that white space and no small letter follows, or at the end.
fn end_of_sentence(text: &str) -> usize {
    for (at, c) in text.char_indices() {
        if !matches!(c, '.' | '!' | '?') {
            continue;
        }
        let after = &text[at + 1..];
        let next = after.trim_start();
        let short = ["e.g", "i.e", "etc", "vs", "cf"].iter().any(|s| text[..at].ends_with(s));
        let spaced = next.len() < after.len();
        if spaced && !short && !next.starts_with(|c: char| c.is_lowercase()) {
            return at + 1;
        }
    }
    text.len()
}

/// Text without the marks of code, emphasis, links and HTML tags, white space folded.
fn plain(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '`' | '*' => after,
            '[' | ']' => {
                let target = [('(', ')'), ('[', ']')]
                    .into_iter()
                    .find(|(open, _)| c == ']' && after.starts_with(*open))
                    .and_then(|(_, close)| after.find(close));
                target.map_or(after, |end| &after[end + 1..])
            }
            '<' if after.starts_with(|c: char| c.is_ascii_lowercase() || c == '/') && after.contains('>') => {
                let end = after.find('>').unwrap_or(0);
                if end < 40 { &after[end + 1..] } else { after }
            }
            other => {
                text.push(other);
                after
            }
        };
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(doc: &str) -> (String, String) {
        let parts = parts(doc);
        (parts.sentence, parts.rest)
    }

    #[test]
    fn the_first_sentence_ends_where_readers_see_it() {
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            of("Gives a [`Foo`](crate::Foo). Panics\nnever.\n\nMore."),
            both("Gives a Foo.", "Panics never. More.")
        );
        assert_eq!(of("Reads 1.5 lines, e.g. two. three"), both("Reads 1.5 lines, e.g. two. three", ""));
        assert_eq!(
            of("No stop\n\n# Examples\n```\nfoo. Bar\n```\n* an *item*\n"),
            both("No stop", "an item")
        );
        assert_eq!(of("A.\n\n[`x`]: y\n| a | b |\n"), both("A.", ""));
        assert_eq!(of(""), both("", ""));
        assert_eq!(of("# Heading\n\nÄ text. Über"), both("Ä text.", "Über"));
    }

    #[test]
    fn marks_are_taken_out() {
        assert_eq!(plain("a `b` **c** [d][e] [f](g h) <br> i < j, [k] vec![0]"), "a b c d f i < j, k vec!0");
        assert_eq!(plain("[open (x <never"), "open (x <never");
    }
}
