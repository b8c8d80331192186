//! What is in the folders of a cache. A folder that cannot be read is an error, and none that is empty: `gc` would take
//! what is in it for absent.

use std::path::{Path, PathBuf};

use super::Error;
use super::error::At;

/// The files in the subfolders of a folder, in no order.
///
/// # Errors
/// A folder is there and cannot be read.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for sub in entries(folder)? {
        if std::fs::symlink_metadata(&sub).is_ok_and(|m| m.is_file()) {
            continue;
        }
        found.extend(entries(&sub)?);
    }
    Ok(found)
}

/// What is in a folder, in no order; nothing if there is no such folder.
///
/// # Errors
/// The folder is there and cannot be read.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.at("reading", folder)?,
    };
    read.map(|entry| Ok(entry.at("reading", folder)?.path())).collect()
}
