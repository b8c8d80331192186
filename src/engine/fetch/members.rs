//! Members of archives (tar, tar.gz, zip), unpacked one by one to paths that we choose: names in an archive are only
//! compared, never used as paths. Links, folders and archive bombs are refused.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use flate2::read::DeflateDecoder;

use super::files::{BUFFER, io_failure, require_space};
use super::request::FetchRequest;
use crate::cache::Store;
use crate::cache::downloads::{Download, PartFile};
use xpipe_base::archive::Tar;
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::{Digest, human};

/// The largest ratio of a member's size to its archive's: text compresses about tenfold, a bomb a thousandfold.
const MAX_RATIO: u64 = 100;
/// The size that a member may have whatever the ratio, in bytes.
const SMALL: u64 = 16 << 20;
/// Names kept to suggest the nearest one when a member is missing.
const MAX_NAMES: usize = 100_000;

/// The largest size of a member of an archive of `packed` bytes.
fn max_size(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).max(SMALL)
}

/// Unpacks the requested members that are not in the cache.
pub(super) fn unpack(
    request: &FetchRequest,
    store: &Store,
    download: &Download,
    part: &PartFile,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let mut open: BTreeSet<String> =
        request.members.iter().filter(|m| !store.has_download(download, Some(m))).cloned().collect();
    if open.is_empty() {
        return Ok(());
    }
    let archive = download.path(None);
    let packed = std::fs::metadata(&archive).map_err(|e| io_failure(&archive, e))?.len();
    let unpacker = Unpacker {
        archive: format!("{} ({})", request.url, archive.display()),
        max_size: max_size(packed),
        temp: part.data.with_extension("member"),
        progress,
    };
    let done = unpack_each(&archive, &mut open, &unpacker, &mut |member, content| {
        store.keep_download(&unpacker.temp, download, Some(member), content, &request.url)?;
        Ok(())
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&unpacker.temp);
    }
    let names = done?;
    match open.first() {
        None => Ok(()),
        Some(missing) => Err(unpacker.missing(missing, &names)),
    }
}

/// Reads a gzip file to its end, where its checksum is. Other files have none.
pub(super) fn check_gzip(
    file: &Path,
    request: &FetchRequest,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let mut from = File::open(file).map_err(|e| io_failure(file, e))?;
    let mut head = [0; 2];
    let n = from.read(&mut head).map_err(|e| io_failure(file, e))?;
    if head[..n] != [0x1F, 0x8B] {
        return Ok(());
    }
    from.seek(SeekFrom::Start(0)).map_err(|e| io_failure(file, e))?;
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, from));
    let mut buffer = vec![0; BUFFER];
    loop {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        match unpacked.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) => {
                return Err(Failure::wrong(format!(
                    "{}: the gzip file is damaged or cut short: {e}",
                    request.url
                ))
                .help("nothing of it was kept; fetch it again, and declare its `digest` when it is known"));
            }
        }
    }
}

struct Unpacker<'a> {
    /// The archive's name in messages.
    archive: String,
    /// The largest size of a member, in bytes.
    max_size: u64,
    /// Where a member is written before it is stored.
    temp: PathBuf,
    progress: &'a dyn Progress,
}

/// Stores the member that is complete in the temporary file.
type Keep<'k> = &'k mut dyn FnMut(&str, Digest) -> Result<(), Failure>;

/// Unpacks the members in `open` and removes them from it. The names of all members that were seen.
fn unpack_each(
    archive: &Path,
    open: &mut BTreeSet<String>,
    unpacker: &Unpacker<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut file = File::open(archive).map_err(|e| io_failure(archive, e))?;
    let mut head = [0; 4];
    let n = file.read(&mut head).map_err(|e| io_failure(archive, e))?;
    file.seek(SeekFrom::Start(0)).map_err(|e| io_failure(archive, e))?;
    let reader = BufReader::with_capacity(BUFFER, file);
    match &head[..n] {
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zipped(reader, open, unpacker, keep),
        [0x1F, 0x8B, ..] => tarred(MultiGzDecoder::new(reader), open, unpacker, keep),
        _ => tarred(reader, open, unpacker, keep),
    }
}

/// A member's name without leading `./`.
fn normalised(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    name
}

/// Whether a name would lead out of the folder that it is unpacked in.
fn leads_out(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}

fn tarred(
    reader: impl Read,
    open: &mut BTreeSet<String>,
    unpacker: &Unpacker<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut archive = Tar::new(reader);
    let mut names = Vec::new();
    while let Some(member) = archive.next_member().map_err(|e| unpacker.damaged(&e))? {
        if unpacker.progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let name = String::from_utf8_lossy(&member.name).into_owned();
        unpacker.check_name(&name)?;
        let name = normalised(&name).to_owned();
        if names.len() < MAX_NAMES {
            names.push(name.clone());
        }
        if !open.contains(&name) {
            continue;
        }
        let kind = member.kind;
        if !kind.is_file() {
            let what = if kind.is_symlink() || kind.is_hard_link() { "a link" } else { "not a file" };
            return Err(unpacker.refused(&name, what));
        }
        let content = unpacker.write(&name, &mut archive, Some(member.size))?;
        keep(&name, content)?;
        open.remove(&name);
        // Reading on would take minutes for a large archive.
        if open.is_empty() {
            break;
        }
    }
    Ok(names)
}

fn zipped(
    reader: impl Read + Seek,
    open: &mut BTreeSet<String>,
    unpacker: &Unpacker<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut archive = zip::ZipArchive::new(reader).map_err(|e| unpacker.damaged(&e))?;
    let mut names = Vec::new();
    let mut places = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| unpacker.damaged(&e))?;
        let name = entry.name().map_err(|e| unpacker.damaged(&e))?.into_owned();
        unpacker.check_name(&name)?;
        let name = normalised(&name).to_owned();
        if open.contains(&name) {
            if entry.is_symlink() {
                return Err(unpacker.refused(&name, "a link"));
            }
            if entry.is_dir() {
                return Err(unpacker.refused(&name, "not a file"));
            }
            places.push((i, name.clone()));
        }
        if names.len() < MAX_NAMES {
            names.push(name);
        }
    }
    for (i, name) in places {
        // Raw: the zip crate unpacks only with features that would rebuild candle.
        let entry = archive.by_index_raw(i).map_err(|e| unpacker.damaged(&e))?;
        if entry.encrypted() {
            return Err(unpacker.damaged(&format!("`{name}` is encrypted")));
        }
        let (size, crc, method) = (entry.size(), entry.crc32(), entry.compression());
        let unpacked: Box<dyn Read + '_> = match method {
            zip::CompressionMethod::Stored => Box::new(entry),
            zip::CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(entry)),
            other => {
                return Err(
                    unpacker.damaged(&format!("`{name}` is compressed by {other:?}; supported: deflate"))
                );
            }
        };
        let mut summed = flate2::CrcReader::new(unpacked);
        let content = unpacker.write(&name, &mut summed, Some(size))?;
        if summed.crc().sum() != crc {
            return Err(unpacker.damaged(&format!("the checksum of `{name}` is wrong")));
        }
        drop(summed);
        keep(&name, content)?;
        open.remove(&name);
    }
    Ok(names)
}

impl Unpacker<'_> {
    /// Writes a member to the temporary file; the digest of its content.
    fn write(&self, name: &str, reader: &mut dyn Read, size: Option<u64>) -> Result<Digest, Failure> {
        if size.is_some_and(|s| s > self.max_size) {
            return Err(self.bomb(name));
        }
        require_space(&self.temp, size.unwrap_or(0))?;
        let mut to = File::create(&self.temp).map_err(|e| io_failure(&self.temp, e))?;
        let mut hasher = blake3::Hasher::new();
        let (mut buffer, mut done) = (vec![0; BUFFER], 0);
        loop {
            if self.progress.cancelled() {
                return Err(Failure::interrupted());
            }
            let n = reader.read(&mut buffer).map_err(|e| self.damaged(&e))?;
            if n == 0 {
                break;
            }
            done += n as u64;
            if done > self.max_size {
                return Err(self.bomb(name));
            }
            to.write_all(&buffer[..n]).map_err(|e| io_failure(&self.temp, e))?;
            hasher.update(&buffer[..n]);
            self.progress.progress(done, size.unwrap_or(0), "bytes", &format!("unpacking {name}"));
        }
        match size {
            Some(size) if done != size => {
                Err(self.damaged(&format!("`{name}` has {done} bytes and its header says {size}")))
            }
            _ => Ok(Digest(*hasher.finalize().as_bytes())),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Failure> {
        if !leads_out(name) {
            return Ok(());
        }
        Err(Failure::wrong(format!(
            "{}: the member `{name}` would lead out of the folder it is unpacked in",
            self.archive
        ))
        .help("do not trust such an archive; nothing more was unpacked from it"))
    }

    fn refused(&self, name: &str, what: &str) -> Failure {
        Failure::wrong(format!("{}: the member `{name}` is {what}; only files are unpacked", self.archive))
            .help("name the file itself as `member`")
    }

    fn bomb(&self, name: &str) -> Failure {
        Failure::wrong(format!(
            "{}: the member `{name}` unpacks to more than {}, {MAX_RATIO} times the archive",
            self.archive,
            human::size(self.max_size)
        ))
        .help("no text compresses that well: the archive is damaged or malicious. If it is sound, unpack it by hand and declare it with `local { … }`")
    }

    fn damaged(&self, e: &dyn std::fmt::Display) -> Failure {
        Failure::wrong(format!("{}: not a whole zip, tar or tar.gz archive: {e}", self.archive))
            .help("`member` is for archives; `xpipe cache verify` tells whether the file is damaged")
    }

    fn missing(&self, member: &str, names: &[String]) -> Failure {
        let last = |n: &str| n.rsplit('/').next().unwrap_or_default().to_owned();
        let near = |n: &String| {
            let whole = strsim::normalized_levenshtein(member, n);
            whole.max(strsim::normalized_levenshtein(&last(member), &last(n)) * 0.9)
        };
        let mut scored: Vec<(f64, &String)> =
            names.iter().filter(|n| !n.ends_with('/')).map(|n| (near(n), n)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let nearest: Vec<String> = scored.iter().take(5).map(|(_, n)| format!("`{n}`")).collect();
        let help = match nearest.is_empty() {
            true => "the archive holds no files".to_owned(),
            false => format!(
                "the nearest of its {} are {}",
                human::counted(scored.len(), "members"),
                nearest.join(", ")
            ),
        };
        Failure::wrong(format!("{}: there is no member `{member}`", self.archive)).help(help)
    }
}
