//! Blocks between an opening and a closing tag, over many lines: `<DOC>…</DOC>`, `<top>…</top>`,
//! `<topic number="1">…</topic>`.

use super::lines::{Lines, MAX_LINE, decode};
use super::place;
use crate::task::Failure;

/// What is between the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the opening tag.
    pub line: u64,
    /// The text between; UTF-8, or decoded as Windows-1252 when the block is not.
    pub text: String,
}

/// Reads blocks one by one; tags are matched without regard to case.
#[derive(Debug)]
pub struct Blocks<'l, 'a> {
    lines: &'l mut Lines<'a>,
    open: &'static str,
    close: &'static str,
    /// What is left of the line read last.
    rest: Vec<u8>,
}

impl<'l, 'a> Blocks<'l, 'a> {
    /// Blocks between `open` and `close`, both with their brackets. An `open` without its last bracket takes tags with
    /// attributes, which are then the beginning of the block's text.
    pub fn new(lines: &'l mut Lines<'a>, open: &'static str, close: &'static str) -> Self {
        Self { lines, open, close, rest: Vec::new() }
    }

    /// The next block; `None` after the last.
    ///
    /// # Errors
    /// Text outside blocks, a block inside a block, a block without its end, or a failure to read.
    pub fn block(&mut self) -> Result<Option<Block>, Failure> {
        loop {
            let outside = std::mem::take(&mut self.rest);
            let Some(at) = find(&outside, self.open) else {
                self.stray(&outside)?;
                match self.lines.next()? {
                    Some(line) => self.rest = line.bytes.to_vec(),
                    None => return Ok(None),
                }
                continue;
            };
            self.stray(&outside[..at])?;
            self.rest = outside[at + self.open.len()..].to_vec();
            return self.inside().map(Some);
        }
    }

    fn inside(&mut self) -> Result<Block, Failure> {
        let line = self.lines.number();
        let file = self.lines.name();
        let mut bytes = Vec::new();
        loop {
            let close = find(&self.rest, self.close);
            let open = find(&self.rest[..close.unwrap_or(self.rest.len())], self.open);
            if open.is_some() {
                let found = format!("`{}` inside the one of line {line}", self.open);
                return Err(place::wrong_line(
                    file,
                    self.lines.number(),
                    found,
                    format!("`{}` first", self.close),
                ));
            }
            if let Some(at) = close {
                bytes.extend_from_slice(&self.rest[..at]);
                self.rest.drain(..at + self.close.len());
                return Ok(Block { line, text: decode(&bytes).into_owned() });
            }
            bytes.append(&mut self.rest);
            bytes.push(b'\n');
            if bytes.len() as u64 > MAX_LINE {
                let found = format!("more than {} MiB after `{}`", MAX_LINE >> 20, self.open);
                return Err(place::wrong_line(file, line, found, format!("`{}`", self.close)));
            }
            match self.lines.next()? {
                Some(next) => self.rest = next.bytes.to_vec(),
                None => {
                    let found = format!("`{}` and then the end of the file", self.open);
                    return Err(place::wrong_line(file, line, found, format!("`{}`", self.close))
                        .help("the file may be cut short; copy or download it again"));
                }
            }
        }
    }

    /// Between blocks there may be blanks and other tags, but no words.
    fn stray(&self, bytes: &[u8]) -> Result<(), Failure> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() || bytes.starts_with(b"<") {
            return Ok(());
        }
        let found = format!("{} outside `{}`", place::quote(&decode(bytes)), self.open);
        Err(place::wrong_line(self.lines.name(), self.lines.number(), found, format!("`{}`", self.open)))
    }
}

fn find(bytes: &[u8], tag: &str) -> Option<usize> {
    let tag = tag.as_bytes();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == b'<') {
        let at = from + at;
        let same = bytes.get(at..at + tag.len()).is_some_and(|b| b.eq_ignore_ascii_case(tag));
        // The name must end here: `<topics>` is no `<topic`.
        let ends = tag.ends_with(b">")
            || bytes.get(at + tag.len()).is_none_or(|b| b.is_ascii_whitespace() || *b == b'>');
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
    use crate::task::Silent;

    fn blocks(text: &[u8]) -> Result<Vec<(u64, String)>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.trec");
        std::fs::write(&path, text).unwrap();
        let mut all = Vec::new();
        each_part(&path, &Silent, &mut |part| {
            let mut lines = Lines::new(part);
            let mut blocks = Blocks::new(&mut lines, "<DOC>", "</DOC>");
            while let Some(block) = blocks.block()? {
                all.push((block.line, block.text));
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
        assert_eq!(all, expected.map(|(n, t)| (n, t.to_owned())));
    }

    #[test]
    fn broken_blocks_name_their_lines() {
        let cases: [(&[u8], &str); 3] = [
            (b"<DOC>\na\n<DOC>\n</DOC>", "d.trec:3: found `<DOC>` inside the one of line 1"),
            (b"\n<DOC>\na\n", "d.trec:2: found `<DOC>` and then the end of the file, expected `</DOC>`"),
            (b"<DOC></DOC>\nwords\n", "d.trec:2: found `words` outside `<DOC>`"),
        ];
        for (text, message) in cases {
            let e = blocks(text).unwrap_err();
            assert!(e.message.contains(message), "{e}");
        }
    }
}
