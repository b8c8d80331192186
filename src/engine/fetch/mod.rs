//! Brings files from where a study says they lie: from the cache of downloads, a mirror (a local folder laid out by
//! address), or the network; checks their digest while they arrive, and unpacks the members that are asked for.
//!
//! | file | owns |
//! |---|---|
//! | `download` | one file from the network: goes on where it was cut, tries again, waits as the server asks |
//! | `http` | one request |
//! | `hub` | models of the Hugging Face hub: which files a repository has, and bringing them |
//! | `mirror` | where a mirror has an address |
//! | `members` | members of archives, within bounds |
//! | `sums` | digests of what passes by |
//!
//! Whatever is kept has the digest that was declared; where none is, the one that was found is given back to be pinned.
//! Must not know: the language, the engine, what is in the files.

mod download;
mod http;
pub mod hub;
mod members;
mod mirror;
mod sums;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::cache::downloads::{Download, Growing, file_name};
use crate::cache::{self, Store};
use sums::Sums;
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::{Address, Algorithm, Checksum};

const BUFFER: usize = 256 << 10;

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Its address.
    pub url: Address,
    /// The digest that it must have.
    pub digest: Option<Checksum>,
    /// Who says so, for messages: `data.xpipe:12:3`, `study.lock`.
    pub said: String,
    /// Whether the file itself is read.
    pub whole: bool,
    /// The members that are read.
    pub members: BTreeSet<String>,
}

/// Where files may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Ask nothing of the network.
    pub offline: bool,
    /// Folders with files at `HOST/PATH`, asked first.
    pub mirrors: Vec<PathBuf>,
}

/// Where a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was here.
    Here,
    /// A file of a mirror.
    Mirror(PathBuf),
    /// Its address.
    Network,
}

/// A file that is here, with its members.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    /// Its digest: the one that was wanted, or else the one to be pinned.
    pub digest: Checksum,
    /// Where it came from.
    pub origin: Origin,
    /// The size of the file in bytes; 0 when only its members are here.
    pub size: u64,
}

/// Whether a file with a digest is here, with all that is wanted of it.
pub fn is_here(want: &Want, digest: &Checksum, store: &Store) -> bool {
    let download = store.download(&want.url, digest);
    let whole = want.whole || want.members.is_empty();
    (!whole || store.has_download(&download, None))
        && want.members.iter().all(|m| store.has_download(&download, Some(m)))
}

/// Brings a file and unpacks its members, unless they are here.
///
/// # Errors
/// It is nowhere to be had, has another digest, lacks a member, is no archive that can be trusted; the disk is full; a
/// stop was asked for. What has arrived is kept for the next time, unless it is wrong.
pub fn bring(want: &Want, store: &Store, sources: &Sources, progress: &dyn Progress) -> Result<Got, Failure> {
    // What another study has fetched without a digest is what this one would fetch.
    let known = want.digest.clone().or_else(|| Checksum::parse(&store.downloaded(&want.url)?.digest).ok());
    let here = |digest: &Checksum| Got {
        size: store.download(&want.url, digest).record(None).map_or(0, |r| r.size),
        digest: digest.clone(),
        origin: Origin::Here,
    };
    if let Some(digest) = known.as_ref().filter(|d| is_here(want, d, store)) {
        return Ok(here(digest));
    }
    let grows = alone(want, store, progress)?;
    // Another process may have brought it while this one waited.
    let known = want.digest.clone().or_else(|| Checksum::parse(&store.downloaded(&want.url)?.digest).ok());
    let got = match known.filter(|d| store.has_download(&store.download(&want.url, d), None)) {
        Some(digest) => here(&digest),
        None => arrive(want, store, sources, &grows, progress)?,
    };
    let download = store.download(&want.url, &got.digest);
    members::unpack(want, store, &download, &grows, progress)?;
    Ok(got)
}

/// Waits until no other process is at the file.
fn alone(want: &Want, store: &Store, progress: &dyn Progress) -> Result<Growing, Failure> {
    let mut told = false;
    loop {
        if let Some(grows) = store.growing(&want.url, want.digest.as_ref()).map_err(|e| stored(&e))? {
            return Ok(grows);
        }
        if !std::mem::replace(&mut told, true) {
            progress.note(&format!("{}: another process is fetching it; waiting", file_name(&want.url)));
        }
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Brings the whole file from a mirror or the network and keeps it when its digest is right.
fn arrive(
    want: &Want,
    store: &Store,
    sources: &Sources,
    grows: &Growing,
    progress: &dyn Progress,
) -> Result<Got, Failure> {
    let (sums, origin, from) = match mirror::find(&sources.mirrors, &want.url) {
        Some(file) => {
            let sums = copied(&file, want, grows, progress)?;
            check(want, &sums, &file.display().to_string()).inspect_err(|_| discard(grows))?;
            let from = file.display().to_string();
            (sums, Origin::Mirror(file), from)
        }
        None if sources.offline => return Err(absent(want, sources)),
        None => (download::download(want, grows, progress)?, Origin::Network, want.url.to_string()),
    };
    // Without a digest, the check sum of gzip is what tells damage.
    if want.digest.is_none() {
        members::whole(&grows.part, want, progress).inspect_err(|_| discard(grows))?;
    }
    let digest = want.digest.clone().unwrap_or_else(|| sums.checksum(Algorithm::Sha256));
    let download = store.download(&want.url, &digest);
    let record =
        store.keep_download(&grows.part, &download, None, sums.content(), &from).map_err(|e| stored(&e))?;
    let _ = std::fs::remove_file(&grows.about);
    Ok(Got { digest, origin, size: record.size })
}

/// Copies a file of a mirror, with its digests. A mirror may be changed; what was checked must not.
fn copied(file: &Path, want: &Want, grows: &Growing, progress: &dyn Progress) -> Result<Sums, Failure> {
    let mut from = File::open(file).map_err(|e| at(file, e))?;
    let total = from.metadata().map_err(|e| at(file, e))?.len();
    let mut to = File::create(&grows.part).map_err(|e| at(&grows.part, e))?;
    let mut sums = Sums::new(want.digest.as_ref().map(|d| d.algorithm));
    let (mut buffer, mut done) = (vec![0; BUFFER], 0);
    loop {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let n = from.read(&mut buffer).map_err(|e| at(file, e))?;
        if n == 0 {
            return Ok(sums);
        }
        to.write_all(&buffer[..n]).map_err(|e| at(&grows.part, e))?;
        sums.update(&buffer[..n]);
        done += n as u64;
        progress.progress(done, total, "bytes", "from the mirror");
    }
}

/// Refuses bytes whose digest is not the one that was declared.
fn check(want: &Want, sums: &Sums, from: &str) -> Result<(), Failure> {
    let Some(wanted) = &want.digest else { return Ok(()) };
    let found = sums.checksum(wanted.algorithm);
    if found == *wanted {
        return Ok(());
    }
    let mut help = format!(
        "nothing of it was kept. Fetch it again; if its digest is the same, the file has changed: ask its publisher, then \
         change what {} says",
        want.said
    );
    if want.url.split('?').next().is_some_and(|u| u.ends_with(".gz")) && !sums.begins_with(&[0x1F, 0x8B]) {
        help = "its name says gzip and its content does not: if the server unpacks files on their way, fetch it with \
                another program and give the folder with `--mirror`"
            .to_owned();
    }
    Err(Failure::missing(format!("{from} has the digest {found}, and {} says {wanted}", want.said))
        .help(help))
}

/// Removes what has arrived.
fn discard(grows: &Growing) {
    let _ = std::fs::remove_file(&grows.part);
    let _ = std::fs::remove_file(&grows.about);
}

/// Told without network: what is missing and where it would come from.
fn absent(want: &Want, sources: &Sources) -> Failure {
    let mirrors: Vec<String> = sources.mirrors.iter().map(|m| m.display().to_string()).collect();
    let looked = match mirrors.is_empty() {
        true => String::new(),
        false => format!(" (not in {} either)", mirrors.join(", ")),
    };
    let place = mirror::place(&want.url).unwrap_or_default();
    Failure::missing(format!(
        "{} is not on this machine{looked}, and `--offline` forbids to fetch it",
        want.url
    ))
    .help(format!("fetch it where there is a network, put it at DIR/{place} and give `--mirror DIR`"))
}

/// A failure to read or write a file, with its name.
fn at(path: &Path, e: std::io::Error) -> Failure {
    let mut failure = Failure::from(e);
    failure.message = format!("{}: {}", path.display(), failure.message);
    failure
}

/// A failure of the cache.
fn stored(e: &cache::Error) -> Failure {
    let failure =
        if e.exit_code() == 4 { Failure::missing(e.to_string()) } else { Failure::wrong(e.to_string()) };
    match e.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// The download of what is wanted, in messages.
fn told(download: &Download, want: &Want) -> String {
    format!("{} ({})", want.url, download.path(None).display())
}

#[cfg(test)]
mod tests;
