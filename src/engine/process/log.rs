//! A log file of bounded size: what workers and programs write is kept from its beginning and from its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes that are kept from the beginning and from the end, once a log exceeds four times this.
pub(crate) const KEPT: u64 = 4 << 20;

/// A log that is cut in its middle when it gets long: it never holds more than 16 MiB and one write.
#[derive(Debug)]
pub struct BoundedLog {
    file: File,
    len: u64,
    left_out: u64,
}

impl BoundedLog {
    /// Opens a log, which is appended to. Whoever may use its folder may use it.
    ///
    /// # Errors
    /// The file cannot be opened for reading and writing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        xpipe_base::modes::inherit_file(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len, left_out: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(1 << 20) {
            self.file.write_all(piece)?;
            self.len += piece.len() as u64;
            if self.len > 4 * KEPT {
                self.cut()?;
            }
        }
        Ok(())
    }

    /// Cuts out the middle, including the note of an earlier cut.
    fn cut(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len - KEPT))?;
        let mut end = Vec::new();
        self.file.read_to_end(&mut end)?;
        self.left_out += self.len - 2 * KEPT;
        let note = format!("\n[about {} bytes are left out here]\n", self.left_out);
        self.file.set_len(KEPT)?;
        self.file.write_all(note.as_bytes())?;
        self.file.write_all(&end)?;
        self.len = self.file.metadata()?.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_beginning_and_its_end_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = BoundedLog::open(&path).unwrap();
        log.write(b"the first line\n").unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..40 << 10 {
            log.write(&line).unwrap();
        }
        drop(log);
        BoundedLog::open(&path).unwrap().write(b"the last line\n").unwrap();
        let text = std::fs::read(path).unwrap();
        assert!((2 * KEPT..=4 * KEPT + 100).contains(&(text.len() as u64)), "{}", text.len());
        assert!(text.starts_with(b"the first line\n") && text.ends_with(b"\nthe last line\n"));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("bytes are left out here]").count(), 1);
    }
}
