//! One file from the network. Bytes are written to a part file with a note of what it is for, so that an interrupted
//! download resumes where it stopped, if the server supports ranges and the file is still the same.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{BUFFER, discard, io_failure, require_space};
use super::http::{self, Content, RequestError};
use super::request::FetchRequest;
use super::sums::Sums;
use crate::cache::downloads::PartFile;
use xpipe_base::task::retry::{Retry, wait_until};
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::human;

/// Attempts in a row that bring no new bytes.
const MAX_ATTEMPTS: u32 = 6;
/// Of them, attempts that reach no server.
const MAX_UNREACHED: u32 = 3;
/// The longest wait: a server that asks for a longer one ends the download.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// The layout of [`Note`].
const FORMAT: u32 = 1;

/// What a part file is for, in a file beside it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    format: u32,
    url: String,
    digest: Option<String>,
    total: Option<u64>,
    validator: Option<String>,
}

/// Requests the bytes from an offset; with a validator, of that version of the file only.
pub(super) type Get<'a> = &'a dyn Fn(u64, Option<&str>) -> Result<Content, RequestError>;

/// A download in progress.
struct Download<'a> {
    request: &'a FetchRequest,
    get: Get<'a>,
    part: &'a PartFile,
    file: File,
    sums: Sums,
    note: Note,
    len: u64,
    /// Whether some of the bytes are from an earlier request.
    resumed: bool,
}

impl<'a> Download<'a> {
    /// Continues the part file if it is of the same request; else starts an empty one.
    fn open(
        request: &'a FetchRequest,
        part: &'a PartFile,
        get: Get<'a>,
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        let note = Note {
            format: FORMAT,
            url: request.url.to_string(),
            digest: request.digest.as_ref().map(ToString::to_string),
            total: None,
            validator: None,
        };
        let before: Option<Note> =
            std::fs::read(&part.note).ok().and_then(|b| serde_json::from_slice(&b).ok());
        let before = before.filter(|b| {
            (b.format, &b.url, &b.digest) == (FORMAT, &note.url, &note.digest)
                // Without either, bytes of two versions of the file could be joined unnoticed.
                && (b.digest.is_some() || b.validator.is_some())
        });
        let keep = before.is_some();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!keep)
            .open(&part.data)
            .map_err(|e| io_failure(&part.data, e))?;
        let sums = Sums::new(request.digest.as_ref().map(|d| d.algorithm));
        let mut download =
            Self { request, get, part, file, sums, note: before.unwrap_or(note), len: 0, resumed: false };
        download.sum_existing(progress)?;
        if download.len > 0 {
            download.resumed = true;
            progress.note(&format!("{}: resuming after {}", request.url, human::size(download.len)));
        }
        Ok(download)
    }

    /// Adds the bytes that are in the part file to the sums, and leaves the file at their end.
    fn sum_existing(&mut self, progress: &dyn Progress) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        loop {
            if progress.cancelled() {
                return Err(Failure::interrupted());
            }
            let n = self.file.read(&mut buffer).map_err(|e| io_failure(&self.part.data, e))?;
            if n == 0 {
                return Ok(());
            }
            self.sums.update(&buffer[..n]);
            self.len += n as u64;
        }
    }

    fn restart(&mut self) -> Result<(), Failure> {
        use std::io::Seek as _;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|e| io_failure(&self.part.data, e))?;
        self.sums = Sums::new(self.request.digest.as_ref().map(|d| d.algorithm));
        (self.len, self.resumed, self.note.total, self.note.validator) = (0, false, None, None);
        Ok(())
    }

    fn write_note(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.note).map_err(|e| Failure::bug(e.to_string()))?;
        std::fs::write(&self.part.note, text).map_err(|e| io_failure(&self.part.note, e))
    }

    fn is_complete(&self) -> bool {
        self.len > 0 && self.note.total == Some(self.len)
    }

    /// Makes one request and writes all bytes that arrive.
    fn attempt(&mut self, progress: &dyn Progress) -> Result<(), RequestError> {
        let content = self.request_rest()?;
        self.receive(content, progress)?;
        match self.note.total {
            Some(total) if self.len < total => Err(RequestError::transient(&format!(
                "the connection ended after {} of {}",
                human::size(self.len),
                human::size(total)
            ))),
            Some(total) if self.len > total => Err(RequestError::Restart),
            _ => Ok(()),
        }
    }

    /// Requests the bytes that are not there yet, and notes what the server says of the file.
    fn request_rest(&mut self) -> Result<Content, RequestError> {
        let resumable = self.request.digest.is_some() || self.note.validator.is_some();
        if self.len > 0 && !resumable {
            self.restart().map_err(RequestError::Permanent)?;
        }
        let mut content = (self.get)(self.len, self.note.validator.as_deref())?;
        let other_size = self.note.total.is_some() && content.total != self.note.total;
        if content.start != self.len || (self.len > 0 && other_size) {
            // The server does not support ranges, or the file has changed.
            self.restart().map_err(RequestError::Permanent)?;
            if content.start > 0 {
                return Err(RequestError::transient("the server sends another range than was requested"));
            }
        }
        self.resumed |= self.len > 0;
        self.note.total = content.total;
        self.note.validator = content.validator.take().or_else(|| self.note.validator.take());
        self.write_note().map_err(RequestError::Permanent)?;
        require_space(&self.part.data, content.total.map_or(0, |t| t.saturating_sub(self.len)))
            .map_err(RequestError::Permanent)?;
        Ok(content)
    }

    fn receive(&mut self, mut content: Content, progress: &dyn Progress) -> Result<(), RequestError> {
        let mut buffer = vec![0; BUFFER];
        loop {
            if progress.cancelled() {
                return Err(RequestError::Permanent(Failure::interrupted()));
            }
            progress.progress(self.len, self.note.total.unwrap_or(0), "bytes", "");
            let n = content.body.read(&mut buffer).map_err(|e| {
                RequestError::transient(&self.request.url.clean(&format!("the connection was lost: {e}")))
            })?;
            if n == 0 {
                return Ok(());
            }
            self.file
                .write_all(&buffer[..n])
                .map_err(|e| RequestError::Permanent(io_failure(&self.part.data, e)))?;
            self.sums.update(&buffer[..n]);
            self.len += n as u64;
        }
    }

    /// Makes requests until the file is complete.
    fn complete(&mut self, progress: &dyn Progress) -> Result<(), Failure> {
        let mut retry = Retry::new(MAX_ATTEMPTS).unlikely(MAX_UNREACHED);
        let mut longest = self.len;
        while !self.is_complete() {
            let (why, retry_after, reached) = match self.attempt(progress) {
                Ok(()) => return Ok(()),
                Err(RequestError::Permanent(failure)) => return Err(failure),
                Err(RequestError::Restart) => {
                    self.restart()?;
                    ("the file on the server has changed".to_owned(), None, true)
                }
                Err(RequestError::Transient { why, retry_after, reached }) => (why, retry_after, reached),
            };
            if self.len > longest {
                longest = self.len;
                retry.reset();
            }
            let wait = match retry.failed(!reached, retry_after) {
                Some(wait) if wait <= MAX_WAIT => wait,
                Some(wait) => {
                    let asked = human::duration(wait.as_secs_f64());
                    return Err(self.gave_up(&format!("{why}, and asks to wait {asked}")));
                }
                None => {
                    let attempts = human::counted(retry.attempts(), "attempts");
                    return Err(self.gave_up(&format!("{why} ({attempts})")));
                }
            };
            let pause = human::duration(wait.as_secs_f64());
            progress.note(&format!("{}: {why}; retrying in {pause}", self.request.url));
            if !wait_until(Instant::now() + wait, &|| progress.cancelled()) {
                return Err(Failure::interrupted());
            }
        }
        Ok(())
    }

    fn gave_up(&self, why: &str) -> Failure {
        let kept = match self.len {
            0 => String::new(),
            n => format!("; {} are kept, and the next attempt resumes there", human::size(n)),
        };
        Failure::missing(format!("cannot fetch {}: {why}", self.request.url))
            .help(format!("try again later, or give a folder that has the file with `--mirror`{kept}"))
    }
}

/// Downloads a file into its part file; its digests. Bytes with another digest than the requested one are removed.
///
/// # Errors
/// The file cannot be had, or has another digest; the disk is full; the run is cancelled.
pub(super) fn download(
    request: &FetchRequest,
    part: &PartFile,
    progress: &dyn Progress,
) -> Result<Sums, Failure> {
    let get = |from: u64, validator: Option<&str>| http::get(&request.url, from, validator);
    download_with(request, part, &get, progress)
}

/// The same with requests made by `get`.
///
/// # Errors
/// As [`download`].
pub(super) fn download_with(
    request: &FetchRequest,
    part: &PartFile,
    get: Get<'_>,
    progress: &dyn Progress,
) -> Result<Sums, Failure> {
    let mut download = Download::open(request, part, get, progress)?;
    let mut restarted = false;
    loop {
        download.complete(progress)?;
        match request.check(&download.sums, &request.url) {
            Ok(()) => return Ok(download.sums),
            // The earlier bytes may have been of an older version: once more, from the beginning.
            Err(_) if download.resumed && !restarted => {
                restarted = true;
                progress.note(&format!("{}: the parts do not fit together; starting again", request.url));
                download.restart()?;
            }
            Err(failure) => {
                discard(part);
                return Err(failure);
            }
        }
    }
}
