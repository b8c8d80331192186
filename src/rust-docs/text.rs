//! Markdown of a documentation comment as plain text: its first sentence.

/// The first sentence of a comment, plain text on one line; empty when it has none.
pub(super) fn first_sentence(doc: &str) -> String {
    let (mut paragraph, mut fence) = (String::new(), None);
    for line in doc.lines().map(str::trim) {
        let mark = ["```", "~~~"].into_iter().find(|m| line.starts_with(m));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            // A heading, a table, a definition of a link, and an empty line end a paragraph.
            (None, None) if line.is_empty() || line.starts_with(['#', '|']) || is_link_definition(line) => {
                if !plain(&paragraph).is_empty() {
                    break;
                }
                paragraph.clear();
            }
            (None, None) => {
                paragraph.push_str(line);
                paragraph.push(' ');
            }
        }
    }
    let text = plain(&paragraph);
    text[..end_of_sentence(&text)].trim().to_owned()
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

    #[test]
    fn the_first_sentence_ends_where_readers_see_it() {
        for (doc, sentence) in [
            ("Gives a [`Foo`](crate::Foo). Panics\nnever.\n\nMore.", "Gives a Foo."),
            ("Reads 1.5 lines, e.g. two. three", "Reads 1.5 lines, e.g. two. three"),
            ("No stop\n\n# Examples\n```\nfoo. Bar\n```\n* an *item*\n", "No stop"),
            ("A line\nand its end. More", "A line and its end."),
            ("", ""),
            ("```\ncode.\n```\n", ""),
            ("# Heading\n\nÄ text. Über", "Ä text."),
            ("[`x`]: y\n\nB.", "B."),
        ] {
            assert_eq!(first_sentence(doc), sentence);
        }
    }

    #[test]
    fn marks_are_taken_out() {
        assert_eq!(plain("a `b` **c** [d][e] [f](g h) <br> i < j, [k] vec![0]"), "a b c d f i < j, k vec!0");
        assert_eq!(plain("[open (x <never"), "open (x <never");
    }
}
