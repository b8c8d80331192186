//! The files of a study: what each is called, its text, and where its lines start.

use std::sync::Arc;

use xpipe_base::diag::render::{Position, Sources};
use xpipe_base::diag::{FileId, Span};

/// The text of a file's bytes.
///
/// # Errors
/// [`std::io::ErrorKind::InvalidData`], with the place of the first byte that is not UTF-8 and the encoding it looks
/// like.
pub fn decoded(bytes: Vec<u8>) -> std::io::Result<String> {
    let wrong = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes[..] {
        return Err(wrong("it is written in UTF-16, expected UTF-8".into()));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let bytes = e.as_bytes();
        let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
        let byte = bytes[at];
        let looks =
            if byte >= 0xa0 { format!(" (in Latin-1 it is `{}`)", char::from(byte)) } else { String::new() };
        wrong(format!("line {line} has the byte 0x{byte:02X}{looks}, expected UTF-8"))
    })
}

/// What to do about a file that could not be read as text; `otherwise` when its encoding is not the reason.
pub fn reading_help(e: &std::io::Error, otherwise: &str) -> String {
    if e.kind() == std::io::ErrorKind::InvalidData {
        "save it as UTF-8 (an editor's \"save with encoding\", or `iconv -f latin1 -t utf-8 OLD > NEW`)"
            .into()
    } else {
        otherwise.to_owned()
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Byte at which each line starts.
    lines: Vec<u32>,
}

/// The files of a study, by number.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Source>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file under the name that messages use (its path as the user gave it, or `std/msmarco.xpipe`).
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let text: Arc<str> = text.into();
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        let id = FileId(self.files.len() as u32);
        self.files.push(Source { name: name.into(), text, lines });
        id
    }

    /// The file added under this name.
    pub fn find(&self, name: &str) -> Option<FileId> {
        self.files.iter().position(|f| &*f.name == name).map(|i| FileId(i as u32))
    }

    /// The text of a file, empty for a number that was never given out.
    pub fn text_of(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0 as usize).map_or_else(|| Arc::from(""), |f| f.text.clone())
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The text of a span, empty when it lies outside the file.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The line of a byte, from 1, as messages print it (`study.xpipe:87`).
    pub fn line(&self, file: FileId, byte: u32) -> u32 {
        self.files.get(file.0 as usize).map_or(1, |f| f.lines.partition_point(|s| *s <= byte) as u32)
    }
}

impl Sources for SourceMap {
    fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |f| &f.name)
    }

    fn text(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |f| &f.text)
    }

    fn position(&self, file: FileId, byte: u32) -> Position {
        let line = self.line(file, byte);
        let start = self
            .files
            .get(file.0 as usize)
            .and_then(|f| f.lines.get(line as usize - 1))
            .map_or(0, |s| *s as usize);
        let text = self.text(file);
        let mut end = (byte as usize).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let column = text.get(start..end).map_or(0, |t| t.chars().count()) as u32 + 1;
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let mut map = SourceMap::new();
        let id = map.add("a.xpipe", "axis\nα = 1\n");
        let at = |byte| map.position(id, byte);
        assert_eq!(at(0), Position { line: 1, column: 1 });
        assert_eq!(at(4), Position { line: 1, column: 5 });
        assert_eq!(at(5), Position { line: 2, column: 1 });
        assert_eq!(at(8), Position { line: 2, column: 3 });
        assert_eq!(at(12), Position { line: 3, column: 1 });
        assert_eq!(map.slice(Span { file: id, start: 5, end: 7 }), "α");
        assert_eq!(map.find("a.xpipe"), Some(id));
    }

    #[test]
    fn what_is_no_utf_8_is_told_with_its_line_and_likely_encoding() {
        let told = |bytes: &[u8]| decoded(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(
            told(b"a\n# na\xefve\n"),
            "line 2 has the byte 0xEF (in Latin-1 it is `ï`), expected UTF-8"
        );
        assert_eq!(told(b"a\n\n\x80"), "line 3 has the byte 0x80, expected UTF-8");
        assert_eq!(told(b"\xfe\xff\0e"), "it is written in UTF-16, expected UTF-8");
        assert_eq!(decoded("α".as_bytes().to_vec()).unwrap(), "α");
    }

    #[test]
    fn numbers_never_given_out_are_empty_files() {
        let map = SourceMap::new();
        assert_eq!(map.name(FileId(3)), "");
        assert_eq!(map.position(FileId(3), 9), Position { line: 1, column: 1 });
    }
}
