//! What reading and writing of files in this module share.

use std::path::Path;

use crate::cache::downloads::PartFile;
use xpipe_base::task::Failure;
use xpipe_base::value::human;

/// Size of buffers, in bytes.
pub(super) const BUFFER: usize = 256 << 10;

/// A failure to read or write a file, with the file's name.
pub(super) fn io_failure(path: &Path, e: std::io::Error) -> Failure {
    let mut failure = Failure::from(e);
    failure.message = format!("{}: {}", path.display(), failure.message);
    failure
}

/// Removes a partial file with its note.
pub(super) fn discard(part: &PartFile) {
    let _ = std::fs::remove_file(&part.data);
    let _ = std::fs::remove_file(&part.note);
}

/// Fails when the disk has no room for `bytes` more at `path`.
pub(super) fn require_space(path: &Path, bytes: u64) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if bytes <= free {
        return Ok(());
    }
    Err(Failure::missing(format!(
        "the disk is full: {} needed in {}, {} free",
        human::size(bytes),
        folder.display(),
        human::size(free)
    ))
    .help("free space or choose another place with `--cache DIR`, and run again; what has arrived is kept"))
}
