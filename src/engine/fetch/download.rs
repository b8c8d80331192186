//! One file from the network. Bytes go into a part file with a note of what it is for, so that a download that was cut
//! or killed goes on where it was, when the server allows it and the file is still the same.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::sums::Sums;
use super::{BUFFER, Want, at, check, discard};
use crate::cache::downloads::Growing;
use crate::cache::text::rough_bytes;
use xpipe_base::task::{Failure, Progress};

/// Tries in a row that bring nothing new.
const TRIES: u32 = 6;
/// The same when no server was reached.
const UNREACHED: u32 = 3;
/// The first pause; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// A server that asks for a longer wait is left alone.
const LONGEST: Duration = Duration::from_secs(600);
const FORMAT: u32 = 1;

/// What a server answers.
pub(super) struct Answer {
    /// The place of the first byte that comes.
    pub start: u64,
    /// The size of the whole file.
    pub total: Option<u64>,
    /// What tells whether the file is still the same.
    pub validator: Option<String>,
    pub body: Box<dyn Read>,
}

/// Why no bytes came, or no more.
pub(super) enum Trouble {
    /// It may go well another time.
    Again { why: String, after: Option<Duration>, reached: bool },
    /// What has arrived is of no use.
    Restart,
    /// It will not.
    Never(Failure),
}

impl Trouble {
    pub(super) fn again(why: &str) -> Self {
        Self::Again { why: why.to_owned(), after: None, reached: true }
    }
}

/// What a part file is for, beside it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    format: u32,
    url: String,
    digest: Option<String>,
    total: Option<u64>,
    validator: Option<String>,
}

/// Asks for the bytes from some place on; with a validator only when the file is still the same.
pub(super) type Get<'a> = &'a dyn Fn(u64, Option<&str>) -> Result<Answer, Trouble>;

/// A file that is arriving.
struct Part<'a> {
    want: &'a Want,
    get: Get<'a>,
    grows: &'a Growing,
    file: File,
    sums: Sums,
    about: About,
    len: u64,
    /// Whether some of it was there before this request.
    resumed: bool,
}

impl<'a> Part<'a> {
    /// What is there from before, when it is of the same file; else an empty one.
    fn open(
        want: &'a Want,
        grows: &'a Growing,
        get: Get<'a>,
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        let about = About {
            format: FORMAT,
            url: want.url.to_string(),
            digest: want.digest.as_ref().map(ToString::to_string),
            total: None,
            validator: None,
        };
        let before: Option<About> =
            std::fs::read(&grows.about).ok().and_then(|b| serde_json::from_slice(&b).ok());
        let before = before.filter(|b| {
            (b.format, &b.url, &b.digest) == (FORMAT, &about.url, &about.digest)
                // Without either nothing would tell that the rest is of another file.
                && (b.digest.is_some() || b.validator.is_some())
        });
        let keep = before.is_some();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!keep)
            .open(&grows.part)
            .map_err(|e| at(&grows.part, e))?;
        let sums = Sums::new(want.digest.as_ref().map(|d| d.algorithm));
        let mut part =
            Self { want, get, grows, file, sums, about: before.unwrap_or(about), len: 0, resumed: keep };
        let mut buffer = vec![0; BUFFER];
        loop {
            if progress.cancelled() {
                return Err(Failure::interrupted());
            }
            let n = part.file.read(&mut buffer).map_err(|e| at(&grows.part, e))?;
            if n == 0 {
                break;
            }
            part.sums.update(&buffer[..n]);
            part.len += n as u64;
        }
        part.resumed = part.len > 0;
        if part.resumed {
            progress.note(&format!("{}: goes on after {}", want.url, rough_bytes(part.len)));
        }
        Ok(part)
    }

    fn restart(&mut self) -> Result<(), Failure> {
        use std::io::Seek as _;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|e| at(&self.grows.part, e))?;
        self.sums = Sums::new(self.want.digest.as_ref().map(|d| d.algorithm));
        (self.len, self.resumed, self.about.total, self.about.validator) = (0, false, None, None);
        Ok(())
    }

    /// Notes what the part is for, before its first byte.
    fn note(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.about).map_err(|e| Failure::bug(e.to_string()))?;
        std::fs::write(&self.grows.about, text).map_err(|e| at(&self.grows.about, e))
    }

    fn whole(&self) -> bool {
        self.len > 0 && self.about.total == Some(self.len)
    }

    /// One request; all that comes is kept.
    fn request(&mut self, progress: &dyn Progress) -> Result<(), Trouble> {
        let resumable = self.want.digest.is_some() || self.about.validator.is_some();
        if self.len > 0 && !resumable {
            self.restart().map_err(Trouble::Never)?;
        }
        let mut answer = (self.get)(self.len, self.about.validator.as_deref())?;
        if answer.start != self.len
            || (self.len > 0 && self.about.total.is_some() && answer.total != self.about.total)
        {
            // The server knows no ranges, or the file is another.
            self.restart().map_err(Trouble::Never)?;
            if answer.start > 0 {
                return Err(Trouble::again("the server sends another part than was asked for"));
            }
        }
        self.resumed |= self.len > 0;
        self.about.total = answer.total;
        self.about.validator = answer.validator.take().or_else(|| self.about.validator.take());
        self.note().map_err(Trouble::Never)?;
        room(&self.grows.part, answer.total.map_or(0, |t| t.saturating_sub(self.len)))
            .map_err(Trouble::Never)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            if progress.cancelled() {
                return Err(Trouble::Never(Failure::interrupted()));
            }
            progress.progress(self.len, self.about.total.unwrap_or(0), "bytes", "");
            let n = match answer.body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) => {
                    return Err(Trouble::again(&self.want.url.clean(&format!("the connection is cut: {e}"))));
                }
            };
            self.file.write_all(&buffer[..n]).map_err(|e| Trouble::Never(at(&self.grows.part, e)))?;
            self.sums.update(&buffer[..n]);
            self.len += n as u64;
        }
        match self.about.total {
            Some(total) if self.len < total => {
                Err(Trouble::again(&format!("the connection ended after {} of {total} bytes", self.len)))
            }
            Some(total) if self.len > total => Err(Trouble::Restart),
            _ => Ok(()),
        }
    }
}

/// Fetches a file into its part file; its digests. Bytes with another digest than was declared are not kept.
///
/// # Errors
/// It cannot be had, or is another than was declared; the disk is full; a stop was asked for.
pub(super) fn download(want: &Want, grows: &Growing, progress: &dyn Progress) -> Result<Sums, Failure> {
    download_by(want, grows, &|from, validator| get(&want.url, from, validator), progress)
}

/// The same with requests of another kind.
///
/// # Errors
/// As [`download`].
pub(super) fn download_by(
    want: &Want,
    grows: &Growing,
    get: Get<'_>,
    progress: &dyn Progress,
) -> Result<Sums, Failure> {
    let mut part = Part::open(want, grows, get, progress)?;
    let mut again = false;
    loop {
        complete(&mut part, progress)?;
        match check(want, &part.sums, &want.url) {
            Ok(()) => return Ok(part.sums),
            // What was there from before may have been of an older file: once more, from the beginning.
            Err(_) if part.resumed && !again => {
                again = true;
                progress.note(&format!("{}: the parts do not fit together; from the beginning", want.url));
                part.restart()?;
            }
            Err(failure) => {
                discard(grows);
                return Err(failure);
            }
        }
    }
}

/// Asks until everything is there.
fn complete(part: &mut Part<'_>, progress: &dyn Progress) -> Result<(), Failure> {
    let (mut tries, mut best) = (0, part.len);
    while !part.whole() {
        let (why, after, reached) = match part.request(progress) {
            Ok(()) => return Ok(()),
            Err(Trouble::Never(failure)) => return Err(failure),
            Err(Trouble::Restart) => {
                part.restart()?;
                ("the server has another file than before".to_owned(), None, true)
            }
            Err(Trouble::Again { why, after, reached }) => (why, after, reached),
        };
        if part.len > best {
            (best, tries) = (part.len, 0);
        }
        tries += 1;
        let most = if reached { TRIES } else { UNREACHED };
        let wait = after.unwrap_or(PAUSE * 2u32.pow(tries.min(TRIES)));
        if tries >= most || wait > LONGEST {
            let asked = if wait > LONGEST {
                format!(", and asks to wait {}", crate::cache::text::rough_seconds(wait.as_secs_f64()))
            } else {
                format!(" ({tries} tries)")
            };
            let kept = match part.len {
                0 => String::new(),
                n => format!("; {} of it are kept, the next time goes on from there", rough_bytes(n)),
            };
            return Err(Failure::missing(format!("cannot fetch {}: {why}{asked}", part.want.url))
                .help(format!("try again later, or give a folder that has it with `--mirror`{kept}")));
        }
        progress.note(&format!(
            "{}: {why}; again in {}",
            part.want.url,
            crate::cache::text::rough_seconds(wait.as_secs_f64())
        ));
        pause(wait, progress)?;
    }
    Ok(())
}

pub(super) fn pause(wait: Duration, progress: &dyn Progress) -> Result<(), Failure> {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        std::thread::sleep(Duration::from_millis(20).min(wait));
    }
    Ok(())
}

/// Refuses to begin what cannot fit.
pub(super) fn room(path: &Path, bytes: u64) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if bytes <= free {
        return Ok(());
    }
    Err(Failure::missing(format!(
        "the disk is full: {} more are needed in {}, {} are free",
        rough_bytes(bytes),
        folder.display(),
        rough_bytes(free)
    ))
    .help("free space or choose another place with `--cache DIR`, and run again; what has arrived is kept"))
}

use super::http::get;
