//! Numbered lines of a part, as bytes or as UTF-8, with their offsets.

use std::io::{BufRead, Read};

use super::parts::{Meter, Part, read_failed};
use xpipe_base::place;
use xpipe_base::task::Failure;

/// A longer line is refused instead of filling the memory.
pub const MAX_LINE: u64 = 256 << 20;
const CHECK_EVERY: u64 = 4096;

/// Reads lines one by one into one buffer.
pub struct Lines<'a> {
    name: &'a str,
    reader: &'a mut dyn BufRead,
    meter: &'a Meter<'a>,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
    next_offset: u64,
}

impl std::fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({}:{})", self.name, self.number)
    }
}

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// The name of the file in messages.
    pub file: &'l str,
    /// Its number, from 1.
    pub number: u64,
    /// Where it starts in the decompressed file.
    pub offset: u64,
    /// Its bytes.
    pub bytes: &'l [u8],
}

impl<'l> Line<'l> {
    /// The line as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> Result<&'l str, Failure> {
        std::str::from_utf8(self.bytes).map_err(|e| {
            let at = e.valid_up_to();
            let byte = self.bytes.get(at).copied().unwrap_or_default();
            let offset = self.offset + at as u64;
            let found = format!("the byte 0x{byte:02X} at offset {offset}, which is not UTF-8");
            place::wrong_line(self.file, self.number, found, "UTF-8 text")
                .help("convert the file, for instance with `iconv -f WINDOWS-1252 -t UTF-8`")
        })
    }

    /// A failure at this line.
    pub fn wrong(&self, found: impl AsRef<str>, expected: impl AsRef<str>) -> Failure {
        place::wrong_line(self.file, self.number, found, expected)
    }

    /// Whether the line is empty or only white space.
    pub fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

impl<'a> Lines<'a> {
    /// The lines of a part.
    pub fn new(part: Part<'a>) -> Self {
        let Part { name, reader, meter, .. } = part;
        Self { name, reader, meter, buffer: Vec::new(), number: 0, offset: 0, next_offset: 0 }
    }

    /// The name of the file in messages.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The number of the line read last; 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` after the last. Ends of lines are `\n` or `\r\n`; a byte order mark is skipped.
    ///
    /// # Errors
    /// The file is truncated, damaged or unreadable, a line is longer than [`MAX_LINE`], or the run was cancelled.
    #[expect(clippy::should_implement_trait, reason = "lines borrow the buffer")]
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Failure> {
        if self.number.is_multiple_of(CHECK_EVERY) {
            self.meter.check()?;
        }
        self.buffer.clear();
        let read = (&mut *self.reader)
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|e| read_failed(self.name, Some(self.number + 1), e))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.offset = self.next_offset;
        self.next_offset += read as u64;
        if read as u64 > MAX_LINE {
            let found = format!("a line of more than {} MiB", MAX_LINE >> 20);
            return Err(place::wrong_line(self.name, self.number, found, "one record a line"));
        }
        let mut bytes = self.buffer.as_slice();
        if self.number == 1 && bytes.starts_with(b"PAR1") {
            return Err(place::wrong_line(self.name, 1, "a Parquet file", "lines of text")
                .help("write it out as text"));
        }
        if self.number == 1 {
            bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
        }
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { file: self.name, number: self.number, offset: self.offset, bytes }))
    }
}

/// Decodes old text: UTF-8 where it is, else Windows-1252, in which every byte is a character.
pub fn decode(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|b| windows_1252(*b)).collect::<String>().into(),
    }
}

/// **Source:** WHATWG Encoding, index windows-1252.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parts::each_part;
    use super::*;
    use xpipe_base::task::{FailureKind, Progress, Silent};

    fn lines(bytes: &[u8]) -> Result<Vec<(u64, u64, String)>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        std::fs::write(&path, bytes).unwrap();
        let mut all = Vec::new();
        each_part(&path, &Silent, &mut |part| {
            let mut lines = Lines::new(part);
            while let Some(line) = lines.next()? {
                all.push((line.number, line.offset, line.text()?.to_owned()));
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn lines_have_numbers_and_offsets() {
        let all = lines(b"\xEF\xBB\xBFa\r\n\nbc\nd").unwrap();
        let expected = [(1, 0, "a"), (2, 6, ""), (3, 7, "bc"), (4, 10, "d")];
        assert_eq!(all, expected.map(|(n, o, t)| (n, o, t.to_owned())));
        assert!(lines(b"").unwrap().is_empty());
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_named() {
        let e = lines(b"ok\nna\xEFve\n").unwrap_err();
        assert!(e.message.contains("x.txt:2: found the byte 0xEF at offset 5"), "{e}");
    }

    #[test]
    fn a_stop_ends_reading() {
        struct Stopped;
        impl Progress for Stopped {
            fn progress(&self, _: u64, _: u64, _: &str, _: &str) {}
            fn note(&self, _: &str) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "a\n").unwrap();
        let e = each_part(dir.path(), &Stopped, &mut |_| Ok(())).unwrap_err();
        assert_eq!(e.kind, FailureKind::Interrupted);
    }

    #[test]
    fn old_text_is_decoded() {
        assert_eq!(decode("naïve".as_bytes()), "naïve");
        assert_eq!(decode(b"na\xEFve \x93x\x94 \x80"), "naïve “x” €");
    }
}
