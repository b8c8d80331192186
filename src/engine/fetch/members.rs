//! Members of archives (tar, tar.gz, zip), unpacked one by one to places that we choose: a name in an archive is only
//! compared, never a path. Links and folders are refused, and what unpacks to far more than it is packed in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use flate2::read::DeflateDecoder;

use super::download::room;
use super::{BUFFER, Want, at, stored, told};
use crate::cache::Store;
use crate::cache::downloads::{Download, Growing};
use xpipe_base::archive::Tar;
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::Digest;

/// A member may be this many times as large as its archive: texts pack ten times at most, a bomb a thousand times.
const RATIO: u64 = 100;
/// And this large in any case.
const SMALL: u64 = 16 << 20;
/// How many names are kept to tell which is nearest to one that is missing.
const NAMES: usize = 100_000;

/// How large a member of an archive of `packed` bytes may be.
fn bound(packed: u64) -> u64 {
    packed.saturating_mul(RATIO).max(SMALL)
}

/// Unpacks the members that are wanted and not here.
pub(super) fn unpack(
    want: &Want,
    store: &Store,
    download: &Download,
    grows: &Growing,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let mut open: BTreeSet<String> =
        want.members.iter().filter(|m| !store.has_download(download, Some(m))).cloned().collect();
    if open.is_empty() {
        return Ok(());
    }
    let archive = download.path(None);
    let packed = std::fs::metadata(&archive).map_err(|e| at(&archive, e))?.len();
    let call = Unpack {
        name: told(download, want),
        bound: bound(packed),
        temp: grows.part.with_extension("member"),
        progress,
    };
    let done = each(&archive, &mut open, &call, &mut |member, content| {
        store
            .keep_download(&call.temp, download, Some(member), content, &want.url)
            .map_err(|e| stored(&e))
            .map(|_| ())
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&call.temp);
    }
    let names = done?;
    match open.first() {
        None => Ok(()),
        Some(missing) => Err(call.missing(missing, &names)),
    }
}

/// Reads gzip to its end, where its check sum is; other files say nothing about themselves.
pub(super) fn whole(file: &Path, want: &Want, progress: &dyn Progress) -> Result<(), Failure> {
    let mut from = File::open(file).map_err(|e| at(file, e))?;
    let mut head = [0; 2];
    let n = from.read(&mut head).map_err(|e| at(file, e))?;
    if head[..n] != [0x1F, 0x8B] {
        return Ok(());
    }
    from.seek(SeekFrom::Start(0)).map_err(|e| at(file, e))?;
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
                    want.url
                ))
                .help("nothing of it was kept; fetch it again, and declare its `digest` when it is known"));
            }
        }
    }
}

struct Unpack<'a> {
    /// The archive in messages.
    name: String,
    bound: u64,
    temp: PathBuf,
    progress: &'a dyn Progress,
}

/// What is done with a member that lies whole in the temporary file.
type Keep<'k> = &'k mut dyn FnMut(&str, Digest) -> Result<(), Failure>;

/// Unpacks what is open; takes off what was found. The names of all members that were passed by.
fn each(
    archive: &Path,
    open: &mut BTreeSet<String>,
    call: &Unpack<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut file = File::open(archive).map_err(|e| at(archive, e))?;
    let mut head = [0; 4];
    let n = file.read(&mut head).map_err(|e| at(archive, e))?;
    file.seek(SeekFrom::Start(0)).map_err(|e| at(archive, e))?;
    let reader = BufReader::with_capacity(BUFFER, file);
    match &head[..n] {
        [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6] => zipped(reader, open, call, keep),
        [0x1F, 0x8B, ..] => tarred(MultiGzDecoder::new(reader), open, call, keep),
        _ => tarred(reader, open, call, keep),
    }
}

/// A member's name as it is compared.
fn plain(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    name
}

/// Whether a name leads out of where it would be unpacked.
fn leads_out(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}

fn tarred(
    reader: impl Read,
    open: &mut BTreeSet<String>,
    call: &Unpack<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut archive = Tar::new(reader);
    let mut names = Vec::new();
    while let Some(member) = archive.next_member().map_err(|e| call.damaged(&e))? {
        if call.progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let name = String::from_utf8_lossy(&member.name).into_owned();
        call.sound(&name)?;
        let name = plain(&name).to_owned();
        if names.len() < NAMES {
            names.push(name.clone());
        }
        if !open.contains(&name) {
            continue;
        }
        let kind = member.kind;
        if !kind.is_file() {
            let what = if kind.is_symlink() || kind.is_hard_link() { "a link" } else { "not a file" };
            return Err(call.refused(&name, what));
        }
        let content = call.write(&name, &mut archive, Some(member.size))?;
        keep(&name, content)?;
        open.remove(&name);
        // What follows is of no use, and a large archive takes minutes to read.
        if open.is_empty() {
            break;
        }
    }
    Ok(names)
}

fn zipped(
    reader: impl Read + Seek,
    open: &mut BTreeSet<String>,
    call: &Unpack<'_>,
    keep: Keep<'_>,
) -> Result<Vec<String>, Failure> {
    let mut archive = zip::ZipArchive::new(reader).map_err(|e| call.damaged(&e))?;
    let mut names = Vec::new();
    let mut places = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| call.damaged(&e))?;
        let name = entry.name().map_err(|e| call.damaged(&e))?.into_owned();
        call.sound(&name)?;
        let name = plain(&name).to_owned();
        if open.contains(&name) {
            if entry.is_symlink() {
                return Err(call.refused(&name, "a link"));
            }
            if entry.is_dir() {
                return Err(call.refused(&name, "not a file"));
            }
            places.push((i, name.clone()));
        }
        if names.len() < NAMES {
            names.push(name);
        }
    }
    for (i, name) in places {
        // Raw, since the crate unpacks only with features that would build everything above candle again.
        let entry = archive.by_index_raw(i).map_err(|e| call.damaged(&e))?;
        if entry.encrypted() {
            return Err(call.damaged(&format!("`{name}` is encrypted")));
        }
        let (size, crc, method) = (entry.size(), entry.crc32(), entry.compression());
        let unpacked: Box<dyn Read + '_> = match method {
            zip::CompressionMethod::Stored => Box::new(entry),
            zip::CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(entry)),
            other => return Err(call.damaged(&format!("`{name}` is packed by {other:?}; deflate is read"))),
        };
        let mut summed = flate2::CrcReader::new(unpacked);
        let content = call.write(&name, &mut summed, Some(size))?;
        if summed.crc().sum() != crc {
            return Err(call.damaged(&format!("the check sum of `{name}` is wrong")));
        }
        drop(summed);
        keep(&name, content)?;
        open.remove(&name);
    }
    Ok(names)
}

impl Unpack<'_> {
    /// Writes a member into the temporary file; its content.
    fn write(&self, name: &str, reader: &mut dyn Read, size: Option<u64>) -> Result<Digest, Failure> {
        if size.is_some_and(|s| s > self.bound) {
            return Err(self.bomb(name));
        }
        room(&self.temp, size.unwrap_or(0))?;
        let mut to = File::create(&self.temp).map_err(|e| at(&self.temp, e))?;
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
            if done > self.bound {
                return Err(self.bomb(name));
            }
            to.write_all(&buffer[..n]).map_err(|e| at(&self.temp, e))?;
            hasher.update(&buffer[..n]);
            self.progress.progress(done, size.unwrap_or(0), "bytes", &format!("unpacking {name}"));
        }
        match size {
            Some(size) if done != size => {
                Err(self.damaged(&format!("`{name}` has {done} bytes and says {size}")))
            }
            _ => Ok(Digest(*hasher.finalize().as_bytes())),
        }
    }

    fn sound(&self, name: &str) -> Result<(), Failure> {
        if !leads_out(name) {
            return Ok(());
        }
        Err(Failure::wrong(format!(
            "{}: the member `{name}` would lead out of the folder it is unpacked in",
            self.name
        ))
        .help("such an archive is not to be trusted; nothing more was unpacked from it"))
    }

    fn refused(&self, name: &str, what: &str) -> Failure {
        Failure::wrong(format!("{}: the member `{name}` is {what}; only files are unpacked", self.name))
            .help("name the file itself as `member`")
    }

    fn bomb(&self, name: &str) -> Failure {
        Failure::wrong(format!(
            "{}: the member `{name}` unpacks to more than {} bytes, {RATIO} times its archive",
            self.name, self.bound
        ))
        .help("no text packs that well: the archive is damaged or made to fill disks. Unpack it by hand if it is sound, and declare it with `local { … }`")
    }

    fn damaged(&self, e: &dyn std::fmt::Display) -> Failure {
        Failure::wrong(format!("{}: not a whole zip, tar or tar.gz archive: {e}", self.name))
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
            false => format!("of its {} members the nearest are {}", scored.len(), nearest.join(", ")),
        };
        Failure::wrong(format!("{}: there is no member `{member}`", self.name)).help(help)
    }
}
