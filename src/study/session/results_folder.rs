//! Whether results can be written to a folder, known before the work.

use std::path::Path;

use rustix::fs::{Access, access};

use super::error::Error;

/// Refuses a folder, which may not exist yet, that tables and pages cannot be written to.
pub(super) fn require_writable(folder: &Path) -> Result<(), Error> {
    for place in [folder.to_owned(), folder.join("tables")] {
        let there = place.ancestors().find(|p| std::fs::symlink_metadata(p).is_ok());
        let there = there.filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let problem = if !there.is_dir() {
            "is not a folder"
        } else if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            "may not be written by this user"
        } else {
            continue;
        };
        return Err(Error::missing(format!(
            "results cannot go to {}: {} {problem}",
            folder.display(),
            there.display()
        ))
        .help("give another folder with `--output DIR`; `xpipe show` prints tables and writes nothing"));
    }
    Ok(())
}
