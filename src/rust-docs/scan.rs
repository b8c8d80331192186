//! Documented public items of one Rust source file.
//!
//! A reader of lines, not of syntax: it knows outer documentation comments (`///`), attributes, the first word of an
//! item and the header of the `impl` or `trait` that it stands in, told by indentation as rustfmt writes it. What it
//! does not recognise it passes over. Must not know: files, collections.

/// A documented item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Line of the item's first word, from 1.
    pub(super) line: usize,
    /// The item up to its body, on one line, behind the type whose `impl` it stands in; without `pub`.
    pub(super) signature: String,
    /// The comment as written, without `///`.
    pub(super) doc: String,
}

/// First words of items after `pub`; modifiers such as `const unsafe` may stand before `fn`.
const KINDS: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "const", "static", "type", "async", "unsafe", "extern"];
/// Characters of a signature that are kept.
const SIGNATURE: usize = 240;

/// The documented public items of a file, in its order.
pub(super) fn items(source: &str) -> Vec<Item> {
    let lines: Vec<&str> = source.lines().collect();
    let (mut found, mut doc) = (Vec::new(), String::new());
    // Headers of the blocks around this line, with their indentation.
    let mut around: Vec<(usize, String)> = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        let (line, indent) = (lines[i].trim(), indent(lines[i]));
        if let Some(text) = line.strip_prefix("///").filter(|t| !t.starts_with('/')) {
            doc.push_str(text.strip_prefix(' ').unwrap_or(text));
            doc.push('\n');
            i += 1;
        } else if line.starts_with("#[") {
            i = after_attribute(&lines, i);
        } else if line.is_empty() || line.starts_with("//") {
            i += 1;
        } else {
            while around.last().is_some_and(|(at, _)| *at >= indent) {
                around.pop();
            }
            let public = is_public(line);
            if public && !doc.trim().is_empty() {
                let own = signature(&lines[i..]);
                let own = own.strip_prefix("pub ").unwrap_or(&own).replace("( ", "(").replace(", )", ")");
                let signature = match around.last() {
                    Some((_, owner)) if !owner.is_empty() => format!("{owner} {own}"),
                    _ => own,
                };
                found.push(Item { line: i + 1, signature, doc: std::mem::take(&mut doc) });
            }
            doc.clear();
            if line.starts_with("impl") && line[4..].starts_with(['<', ' ']) {
                around.push((indent, owner(&signature(&lines[i..]))));
            }
            i += 1;
        }
    }
    found
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_public(line: &str) -> bool {
    if line.starts_with("macro_rules!") {
        return true;
    }
    let mut words = line.split(|c: char| c.is_whitespace() || c == '(' || c == '<');
    words.next() == Some("pub") && words.next().is_some_and(|w| KINDS.contains(&w))
}

/// The line after an attribute, which ends where its brackets do.
fn after_attribute(lines: &[&str], start: usize) -> usize {
    let mut depth = 0;
    for (i, line) in lines.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
        }
        if depth <= 0 {
            // `#[inline] pub fn …` on one line: the item is passed over.
            return i + 1;
        }
    }
    lines.len()
}

/// An item up to its body or end, white space folded.
fn signature(lines: &[&str]) -> String {
    let mut text = String::new();
    'lines: for line in lines.iter().take(20) {
        let mut depth = 0;
        let code = line.split("//").next().unwrap_or("");
        for (at, c) in code.char_indices() {
            match c {
                '{' | ';' => break 'lines,
                '(' | '<' | '[' => depth += 1,
                ')' | '>' | ']' => depth -= 1,
                // The value of a constant, the body of a macro.
                '=' if depth == 0 && !code[at..].starts_with("=>") && !code[at..].starts_with("==") => {
                    break 'lines;
                }
                _ => {}
            }
            text.push(c);
        }
        text.push(' ');
        if text.len() > SIGNATURE * 2 {
            break;
        }
    }
    let folded: Vec<&str> = text.split_whitespace().collect();
    let folded = folded.join(" ");
    let folded = folded.split(" where ").next().unwrap_or("").trim_end_matches(" where");
    folded.chars().take(SIGNATURE).collect::<String>().trim_end().to_owned()
}

/// The type that an `impl` is for, without its parameters: `Shelf` of `impl<T: Clone> Trait for Shelf<T>`.
fn owner(header: &str) -> String {
    let mut depth = 0;
    let mut bare = String::new();
    for c in header.replace("->", "").chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            c if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let bare = bare.trim().trim_start_matches("impl").trim();
    bare.rsplit(" for ").next().unwrap_or("").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
//! Inner comment.
use std::fmt;

/// A shelf of books.
///
/// It has an order.
#[derive(Clone,
         Debug)]
pub struct Shelf<T> {
    /// A field is no item.
    pub books: Vec<T>,
}

impl<T: Clone> Shelf<T> {
    /// Takes a book.
    ///
    /// Gives nothing when there is none.
    #[must_use]
    pub fn take(
        &mut self, // from it
        at: usize,
    ) -> Option<T>
    where
        T: Ord,
    {
        None
    }

    /// Private.
    fn own(&self) {}

    /// Only here.
    pub(crate) fn here(&self) {}
}

/// How many there may be.
pub const MOST: usize = 7;

//// No documentation.
pub type Alias = u8;

/// Makes a shelf.
#[macro_export]
macro_rules! shelf {
    () => {};
}
"#;

    #[test]
    fn documented_public_items_are_found_with_their_signatures() {
        let items = items(SOURCE);
        let found: Vec<(&str, &str)> =
            items.iter().map(|i| (i.signature.as_str(), i.doc.lines().next().unwrap_or(""))).collect();
        assert_eq!(
            found,
            [
                ("struct Shelf<T>", "A shelf of books."),
                ("Shelf fn take(&mut self, at: usize) -> Option<T>", "Takes a book."),
                ("const MOST: usize", "How many there may be."),
                ("macro_rules! shelf", "Makes a shelf."),
            ]
        );
        assert_eq!(items[0].doc, "A shelf of books.\n\nIt has an order.\n");
        assert_eq!(SOURCE.lines().nth(items[1].line - 1).unwrap().trim(), "pub fn take(");
    }

    #[test]
    fn odd_sources_are_passed_over() {
        assert!(items("").is_empty());
        assert!(items("#[cfg(").is_empty());
        assert!(items("/// end of file").is_empty());
        assert_eq!(items("/// Ä.\npub fn ä() -> ü {").len(), 1);
        assert_eq!(items("/// A.\n\n/// B.\npub enum E {").first().map(|i| i.doc.as_str()), Some("A.\nB.\n"));
    }
}
