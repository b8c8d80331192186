//! Blocks between an opening and a closing tag, over many lines: `<DOC>…</DOC>`, `<top lang="en">…</top>`,
//! `<topic number="1">…</topic>`.

use super::lines::{Lines, MAX_LINE, decode};
use xpipe_base::place;
use xpipe_base::task::Failure;

/// The content between the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the opening tag.
    pub line: u64,
    /// The attributes of the opening tag.
    pub attributes: String,
    /// The text between.
    pub text: String,
    /// Whether it is UTF-8; else it was decoded as Windows-1252.
    pub utf8: bool,
}

/// Tags of documents and topics, which may not stand outside a block.
const PARTS: [&str; 15] = [
    "docno", "docid", "dochdr", "text", "headline", "num", "title", "desc", "narr", "query", "number", "doc",
    "top", "topic", "body",
];

/// Reads blocks one by one; tags are matched without regard to case, and may have attributes.
#[derive(Debug)]
pub struct Blocks<'l, 'a> {
    lines: &'l mut Lines<'a>,
    name: &'static str,
    /// The rest of the last line.
    rest: Vec<u8>,
    between: Between,
}

/// What the text between two blocks is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Text,
    /// A comment, since a line.
    Comment(u64),
    /// A tag or declaration over several lines.
    Tag,
}

impl<'l, 'a> Blocks<'l, 'a> {
    /// Blocks of a tag, whose name is given in lower case.
    pub fn new(lines: &'l mut Lines<'a>, name: &'static str) -> Self {
        Self { lines, name, rest: Vec::new(), between: Between::Text }
    }

    /// The next block; `None` after the last.
    ///
    /// # Errors
    /// Text outside blocks, a block inside a block or a comment, a block without its end, or a failure to read.
    pub fn block(&mut self) -> Result<Option<Block>, Failure> {
        loop {
            let outside = std::mem::take(&mut self.rest);
            let Some(at) = find(&outside, b"<", self.name) else {
                self.pass(&outside)?;
                match self.lines.next()? {
                    Some(line) => self.rest = line.bytes.to_vec(),
                    None => return Ok(None),
                }
                continue;
            };
            self.pass(&outside[..at])?;
            if self.between != Between::Text {
                let what = if let Between::Comment(line) = self.between {
                    format!("{} in the comment of line {line}", self.open())
                } else {
                    format!("{} inside another tag", self.open())
                };
                return Err(self
                    .wrong(what, format!("{} outside of it", self.open()))
                    .help("delete the commented-out part"));
            }
            self.rest = outside[at + 1 + self.name.len()..].to_vec();
            return self.inside().map(Some);
        }
    }

    fn open(&self) -> String {
        format!("`<{}>`", self.shown())
    }

    fn close(&self) -> String {
        format!("`</{}>`", self.shown())
    }

    /// The name as it is usually written.
    fn shown(&self) -> String {
        if self.name == "doc" { "DOC".into() } else { self.name.into() }
    }

    fn wrong(&self, found: impl AsRef<str>, expected: impl AsRef<str>) -> Failure {
        place::wrong_line(self.lines.name(), self.lines.number(), found, expected)
    }

    fn inside(&mut self) -> Result<Block, Failure> {
        let line = self.lines.number();
        let file = self.lines.name();
        let mut bytes = Vec::new();
        loop {
            let close = find(&self.rest, b"</", self.name);
            if find(&self.rest[..close.unwrap_or(self.rest.len())], b"<", self.name).is_some() {
                let found = format!("{} inside that of line {line}", self.open());
                return Err(self.wrong(found, format!("{} first", self.close())));
            }
            if let Some(at) = close {
                bytes.extend_from_slice(&self.rest[..at]);
                self.rest.drain(..at + 2 + self.name.len());
                let end = self.rest.iter().position(|b| *b == b'>').map_or(self.rest.len(), |e| e + 1);
                self.rest.drain(..end);
                return self.finish(line, &bytes);
            }
            bytes.append(&mut self.rest);
            bytes.push(b'\n');
            if bytes.len() as u64 > MAX_LINE {
                let found = format!("more than {} MiB after {}", MAX_LINE >> 20, self.open());
                return Err(place::wrong_line(file, line, found, self.close()));
            }
            match self.lines.next()? {
                Some(next) => self.rest = next.bytes.to_vec(),
                None => {
                    let found = format!("{} and then the end of the file", self.open());
                    return Err(place::wrong_line(file, line, found, self.close())
                        .help("the file may be cut short; copy or download it again"));
                }
            }
        }
    }

    /// Takes the attributes from the beginning of what follows the tag's name.
    fn finish(&self, line: u64, bytes: &[u8]) -> Result<Block, Failure> {
        let utf8 = std::str::from_utf8(bytes).is_ok();
        let text = decode(bytes);
        let mut quote = None;
        let end = text.char_indices().find(|(_, c)| {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(*c),
                (Some(q), c) if q == *c => quote = None,
                _ => {}
            }
            quote.is_none() && *c == '>'
        });
        // A quote that is not closed: the first bracket ends the tag.
        let Some(end) = end.map(|(at, _)| at).or_else(|| text.find('>')) else {
            let found = format!("{} without the `>` of its tag", self.open());
            return Err(place::wrong_line(self.lines.name(), line, found, "`>`"));
        };
        let attributes = text[..end].trim().to_owned();
        Ok(Block { line, attributes, text: text[end + 1..].to_owned(), utf8 })
    }

    /// Between blocks there may be blanks, comments, declarations and tags around the blocks, but no words and no
    /// tags of a document.
    fn pass(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes.trim_ascii_start();
        while !rest.is_empty() {
            let end: &[u8] = match self.between {
                Between::Comment(_) => b"-->",
                Between::Tag => b">",
                Between::Text if rest.starts_with(b"<!--") => {
                    self.between = Between::Comment(self.lines.number());
                    b"-->"
                }
                // The end of the declarations inside `<!DOCTYPE … [ … ]>`.
                Between::Text if rest.starts_with(b"]") => b">",
                Between::Text if rest.starts_with(b"<") => {
                    self.check_tag(rest)?;
                    self.between = Between::Tag;
                    b">"
                }
                Between::Text => {
                    let found =
                        format!("{} outside {}", place::quote(&decode(bytes.trim_ascii())), self.open());
                    return Err(self.wrong(found, self.open()));
                }
            };
            match rest.windows(end.len()).position(|w| w == end) {
                Some(at) => {
                    self.between = Between::Text;
                    rest = rest[at + end.len()..].trim_ascii_start();
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Refuses a tag that belongs to a document.
    fn check_tag(&self, tag: &[u8]) -> Result<(), Failure> {
        let name: Vec<u8> = tag[1..]
            .iter()
            .skip_while(|b| **b == b'/')
            .take_while(|b| b.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .collect();
        if PARTS.iter().any(|p| p.as_bytes() == name) {
            let found = format!("{} outside {}", place::quote(&decode(tag.trim_ascii())), self.open());
            return Err(self.wrong(found, self.open()).help("put each document between tags of its own"));
        }
        Ok(())
    }
}

/// Where a tag of this name begins: `start` is `<` or `</`.
fn find(bytes: &[u8], start: &[u8], name: &str) -> Option<usize> {
    let name = name.as_bytes();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'<') {
        let at = from + at;
        let own = at + start.len();
        let same = bytes[at..].starts_with(start)
            && bytes.get(own..own + name.len()).is_some_and(|b| b.eq_ignore_ascii_case(name));
        // The name must end here: `<topics>` is no `<topic`, `<DOCNO>` no `<DOC>`.
        let ends =
            bytes.get(own + name.len()).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
        if same && ends {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::parts::each_part;
    use super::*;
    use xpipe_base::task::Silent;

    fn blocks(text: &[u8]) -> Result<Vec<(u64, String, String)>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.trec");
        std::fs::write(&path, text).unwrap();
        let mut all = Vec::new();
        each_part(&path, &Silent, &mut |part| {
            let mut lines = Lines::new(part);
            let mut blocks = Blocks::new(&mut lines, "doc");
            while let Some(block) = blocks.block()? {
                all.push((block.line, block.attributes, block.text));
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn blocks_may_share_or_span_lines() {
        let all =
            blocks(b"<?xml?>\n<DOC>a</DOC><doc>b\n<x>c\n</Doc>\n\n <DOC></DOC>\n<DOC>\xE9\n</DOC>").unwrap();
        let expected = [(2, "a"), (2, "b\n<x>c\n"), (6, ""), (7, "é\n")];
        assert_eq!(all, expected.map(|(n, t)| (n, String::new(), t.to_owned())));
    }

    #[test]
    fn tags_may_have_attributes() {
        let all = blocks(
            b"<docs>\n<DOC id=\"a>b\" type='story'>x</DOC >\n<DOC\n  id=c>y</DOC>\n<!-- a\n comment --> <DOC>z</DOC>\n\
              </docs>",
        )
        .unwrap();
        let expected = [(2, "id=\"a>b\" type='story'", "x"), (3, "id=c", "y"), (6, "", "z")];
        assert_eq!(all, expected.map(|(n, a, t)| (n, a.to_owned(), t.to_owned())));
    }

    #[test]
    fn broken_blocks_name_their_lines() {
        let cases: [(&[u8], &str); 9] = [
            (b"<DOC>\na\n<DOC>\n</DOC>", "d.trec:3: found `<DOC>` inside that of line 1"),
            (b"<DOC>\na\n<doc id=2>\n</DOC>", "d.trec:3: found `<DOC>` inside that of line 1"),
            (b"\n<DOC>\na\n", "d.trec:2: found `<DOC>` and then the end of the file, expected `</DOC>`"),
            (b"<DOC></DOC>\nwords\n", "d.trec:2: found `words` outside `<DOC>`"),
            (b"<DOC></DOC>\n<P>words</P>\n", "d.trec:2: found `<P>words</P>` outside `<DOC>`"),
            (b"<DOC></DOC>\n<DOCNO>\n", "d.trec:2: found `<DOCNO>` outside `<DOC>`"),
            (b"<DOC></DOC>\n</DOC>\n", "d.trec:2: found `</DOC>` outside `<DOC>`"),
            (b"<!-- <DOC>a</DOC> -->", "d.trec:1: found `<DOC>` in the comment of line 1"),
            (b"<DOC/>\n<DOC>x</DOC>", "d.trec:2: found `<DOC>` inside that of line 1"),
        ];
        for (text, message) in cases {
            let e = blocks(text).unwrap_err();
            assert!(e.message.contains(message), "{e}");
        }
    }
}
