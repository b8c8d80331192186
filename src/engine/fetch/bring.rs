//! Fetching one file with its members: from the cache, a mirror or the network, checked before it is stored.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::files::{BUFFER, discard, io_failure};
use super::request::{FetchRequest, Fetched, Origin, Sources};
use super::sums::Sums;
use super::{download, members, mirror};
use crate::cache::Store;
use crate::cache::downloads::{PartFile, file_name};
use xpipe_base::task::{Failure, Progress};
use xpipe_base::value::{Algorithm, Checksum};

/// Whether a file with this digest is in the cache, with the requested members.
pub fn is_cached(request: &FetchRequest, digest: &Checksum, store: &Store) -> bool {
    let download = store.download(&request.url, digest);
    let whole = request.whole || request.members.is_empty();
    (!whole || store.has_download(&download, None))
        && request.members.iter().all(|m| store.has_download(&download, Some(m)))
}

/// Fetches a file and unpacks its members, unless they are in the cache.
///
/// # Errors
/// The file cannot be had, has another digest, lacks a member, is not a sound archive; the disk is full; the run is
/// cancelled. What has arrived is kept for the next attempt, unless it is wrong.
pub fn fetch(
    request: &FetchRequest,
    store: &Store,
    sources: &Sources,
    progress: &dyn Progress,
) -> Result<Fetched, Failure> {
    // Without a declared digest, a file that another study has fetched is the same request.
    let known =
        || request.digest.clone().or_else(|| Checksum::parse(&store.downloaded(&request.url)?.digest).ok());
    let cached = |digest: &Checksum| Fetched {
        size: store.download(&request.url, digest).record(None).map_or(0, |r| r.size),
        digest: digest.clone(),
        origin: Origin::Cache,
    };
    if let Some(digest) = known().filter(|d| is_cached(request, d, store)) {
        return Ok(cached(&digest));
    }
    let part = lock_part_file(request, store, progress)?;
    // Another process may have fetched the file while this one waited.
    let fetched = match known().filter(|d| store.has_download(&store.download(&request.url, d), None)) {
        Some(digest) => cached(&digest),
        None => fetch_whole(request, store, sources, &part, progress)?,
    };
    let download = store.download(&request.url, &fetched.digest);
    members::unpack(request, store, &download, &part, progress)?;
    Ok(fetched)
}

/// Waits until no other process is fetching the file.
fn lock_part_file(
    request: &FetchRequest,
    store: &Store,
    progress: &dyn Progress,
) -> Result<PartFile, Failure> {
    let mut noted = false;
    loop {
        if let Some(part) = store.part_file(&request.url, request.digest.as_ref())? {
            return Ok(part);
        }
        if !std::mem::replace(&mut noted, true) {
            progress.note(&format!("{}: another process is fetching it; waiting", file_name(&request.url)));
        }
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads the whole file from a mirror or the network, and stores it when its digest is right.
fn fetch_whole(
    request: &FetchRequest,
    store: &Store,
    sources: &Sources,
    part: &PartFile,
    progress: &dyn Progress,
) -> Result<Fetched, Failure> {
    let (sums, origin, from) = match mirror::find(&sources.mirrors, &request.url) {
        Some(file) => {
            let sums = copy(&file, request, part, progress)?;
            let from = file.display().to_string();
            request.check(&sums, &from).inspect_err(|_| discard(part))?;
            (sums, Origin::Mirror(file), from)
        }
        None if sources.offline => return Err(not_cached(request, sources)),
        None => (download::download(request, part, progress)?, Origin::Network, request.url.to_string()),
    };
    // Without a digest, only the checksum inside gzip detects damage.
    if request.digest.is_none() {
        members::check_gzip(&part.data, request, progress).inspect_err(|_| discard(part))?;
    }
    let digest = request.digest.clone().unwrap_or_else(|| sums.checksum(Algorithm::Sha256));
    let download = store.download(&request.url, &digest);
    let record = store.keep_download(&part.data, &download, None, sums.content(), &from)?;
    let _ = std::fs::remove_file(&part.note);
    Ok(Fetched { digest, origin, size: record.size })
}

/// Copies a file of a mirror and computes its digests. A copy, since a mirror may change after the check.
fn copy(
    file: &Path,
    request: &FetchRequest,
    part: &PartFile,
    progress: &dyn Progress,
) -> Result<Sums, Failure> {
    let mut from = File::open(file).map_err(|e| io_failure(file, e))?;
    let total = from.metadata().map_err(|e| io_failure(file, e))?.len();
    let mut to = File::create(&part.data).map_err(|e| io_failure(&part.data, e))?;
    let mut sums = Sums::new(request.digest.as_ref().map(|d| d.algorithm));
    let (mut buffer, mut done) = (vec![0; BUFFER], 0);
    loop {
        if progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let n = from.read(&mut buffer).map_err(|e| io_failure(file, e))?;
        if n == 0 {
            return Ok(sums);
        }
        to.write_all(&buffer[..n]).map_err(|e| io_failure(&part.data, e))?;
        sums.update(&buffer[..n]);
        done += n as u64;
        progress.progress(done, total, "bytes", "from the mirror");
    }
}

fn not_cached(request: &FetchRequest, sources: &Sources) -> Failure {
    let mirrors: Vec<String> = sources.mirrors.iter().map(|m| m.display().to_string()).collect();
    let looked = match mirrors.is_empty() {
        true => String::new(),
        false => format!(" (not in {} either)", mirrors.join(", ")),
    };
    let place = mirror::place(&request.url).unwrap_or_default();
    Failure::missing(format!(
        "{} is not on this machine{looked}, and `--offline` forbids fetching it",
        request.url
    ))
    .help(format!("fetch it where there is a network, put it at DIR/{place} and give `--mirror DIR`"))
}
