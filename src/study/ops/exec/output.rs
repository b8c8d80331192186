//! The output of a program: kept in a log file of bounded size; its last lines and its last error go into the message of a
//! failure.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::super::secret::Secret;
use super::redact::Redactor;

use xpipe_data::lines::decode;
use xpipe_engine::process::BoundedLog;

/// Lines of the end, and of an error before it.
const LAST: usize = 10;
const ERROR: usize = 30;

/// Maximum bytes of a line that are searched for errors.
const LONGEST: usize = 4096;

/// The output so far.
#[derive(Debug)]
pub(super) struct Output {
    log: Option<BoundedLog>,
    redactor: Redactor,
    lines: u64,
    /// The line that has not ended yet.
    open: Vec<u8>,
    last: VecDeque<String>,
    error: Vec<String>,
    /// The number of the last line of `error`.
    error_at: u64,
    traceback: bool,
}

impl Output {
    /// Into a log file, which is appended to; without the values of secrets.
    pub(super) fn new(log: &Path, secrets: &[Secret]) -> io::Result<Self> {
        Ok(Self {
            log: Some(BoundedLog::open(log)?),
            redactor: Redactor::new(secrets),
            lines: 0,
            open: Vec::new(),
            last: VecDeque::new(),
            error: Vec::new(),
            error_at: 0,
            traceback: false,
        })
    }

    /// Appends what a program wrote.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let clean = self.redactor.pass(bytes);
        self.append(&clean);
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log
            && log.write(bytes).is_err()
        {
            // A full disk is reported by whatever needs it; the program continues.
            self.log = None;
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LONGEST.saturating_sub(self.open.len());
            self.open.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.line();
            }
        }
    }

    /// The last line may have no end.
    pub(super) fn end(&mut self) {
        let rest = self.redactor.end();
        self.append(&rest);
        if !self.open.is_empty() {
            self.line();
        }
    }

    /// The number of lines, and the last of them.
    pub(super) fn now(&self) -> (u64, &str) {
        (self.lines, self.last.back().map_or("", String::as_str))
    }

    fn line(&mut self) {
        let bytes = std::mem::take(&mut self.open);
        self.lines += 1;
        // A line that a progress bar writes over is its last state.
        let line = bytes.trim_ascii_end().rsplit(|b| *b == b'\r').next().unwrap_or_default();
        let line = decode(line).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        self.look(&line);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Keeps the last error: a traceback as a whole, else the last line that speaks of one.
    fn look(&mut self, line: &str) {
        if line.starts_with("Traceback (most recent call last)") {
            self.traceback = true;
            self.error = vec![line.to_owned()];
        } else if self.traceback {
            if self.error.len() == ERROR {
                // The head of a traceback names it, its end has the reason.
                self.error.remove(1);
            }
            self.error.push(line.to_owned());
            self.traceback = line.starts_with([' ', '\t']);
        } else if speaks_of_an_error(line) {
            self.error = vec![line.to_owned()];
        } else {
            return;
        }
        self.error_at = self.lines;
    }

    /// The last lines, then the last error if it is further up.
    pub(super) fn told(&self) -> String {
        let indented = |lines: &mut dyn Iterator<Item = &String>| -> String {
            lines.map(|l| format!("\n  {}", shortened(l))).collect()
        };
        if self.last.is_empty() {
            return "it said nothing".into();
        }
        let mut text = format!("the last it said:{}", indented(&mut self.last.iter()));
        let seen = self.error.iter().all(|line| self.last.contains(line));
        if !self.error.is_empty() && !seen {
            text.push_str(&format!("\nand its last error, in line {} of what it said:", self.error_at));
            text.push_str(&indented(&mut self.error.iter()));
        }
        text
    }
}

fn shortened(line: &str) -> String {
    const MOST: usize = 300;
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

fn speaks_of_an_error(line: &str) -> bool {
    const WORDS: [&str; 7] =
        ["error", "exception", "traceback", "fatal", "panicked at", "segmentation fault", "core dumped"];
    let line: String = line.chars().take(200).collect::<String>().to_ascii_lowercase();
    WORDS.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> (Output, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Output::new(&dir.path().join("log"), &[]).unwrap(), dir)
    }

    #[test]
    fn a_traceback_is_shown_last_whatever_follows_it() {
        let (mut output, _dir) = output();
        output.take(b"begin\nTraceback (most recent call last):\n  File \"a.py\", line 1\n    x()\n");
        output.take(b"ValueError: no such field\n");
        for i in 0..20 {
            output.take(format!("bye {i}\n").as_bytes());
        }
        let told = output.told();
        assert!(told.starts_with("the last it said:\n  bye 10\n"), "{told}");
        assert!(
            told.ends_with(
                "in line 5 of what it said:\n  Traceback (most recent call last):\n    File \"a.py\", line 1\n      \
                 x()\n  ValueError: no such field"
            ),
            "{told}"
        );
    }

    #[test]
    fn what_stands_at_the_end_is_not_told_twice() {
        let (mut output, _dir) = output();
        output.take(b"one\n10%\r50%\r100%\r\n\nERROR: two");
        output.end();
        assert_eq!(output.told(), "the last it said:\n  one\n  100%\n  ERROR: two");
        assert_eq!(output.now(), (4, "ERROR: two"));
        assert_eq!(super::Output::told(&self::output().0), "it said nothing");
    }
}
