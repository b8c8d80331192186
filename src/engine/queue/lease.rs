//! The sign of life of a run's driver. It only tells whether a job that was claimed and is not in the queue may still be
//! submitted by its run; nothing goes wrong when that is mistaken, except that work may be done twice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::{host, read, write};

const FILE: &str = "driver.lease";
/// Between two signs of life.
const INTERVAL: Duration = Duration::from_secs(10);
/// A driver without a sign of life for so long is taken for dead.
const STALE: Duration = Duration::from_secs(90);

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    host: String,
    pid: u32,
}

/// The lease of this driver. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Lease {
    path: PathBuf,
    renewed: Option<Instant>,
}

impl Lease {
    /// In the folder of a run. It begins with the first renewal.
    pub(crate) fn of(run: &Path) -> Self {
        Self { path: run.join(FILE), renewed: None }
    }

    /// Gives a sign of life when one is due.
    pub(crate) fn renew(&mut self) {
        if self.renewed.is_none_or(|at| at.elapsed() >= INTERVAL) {
            self.renewed = Some(Instant::now());
            let _ = write(&self.path, &Holder { host: host(), pid: std::process::id() }, false);
        }
    }
}

/// Whether the driver of a run lives. Ages are compared by the clock of the file server.
pub fn is_alive(run: &Path) -> bool {
    let path = run.join(FILE);
    let Ok(holder) = read::<Holder>(&path) else { return false };
    if holder.host == host() {
        return Path::new("/proc").join(holder.pid.to_string()).exists();
    }
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified());
    let now = tempfile::Builder::new().prefix(".now-").tempfile_in(run).and_then(|f| modified(f.path()));
    let now = now.unwrap_or_else(|_| std::time::SystemTime::now());
    modified(&path).is_ok_and(|at| now.duration_since(at).unwrap_or_default() < STALE)
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_alive_while_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let b = dir.path().join("b");
        std::fs::create_dir_all(&b).unwrap();
        let mut other = Lease::of(&b);
        assert!(!is_alive(&b));
        other.renew();
        assert!(is_alive(&b));
        // A process of this host that is gone.
        write(&b.join(FILE), &Holder { host: host(), pid: u32::MAX }, false).unwrap();
        assert!(!is_alive(&b));
        // Another host is believed until its last sign of life is old.
        write(&b.join(FILE), &Holder { host: "elsewhere".into(), pid: 1 }, false).unwrap();
        assert!(is_alive(&b));
        let old = std::fs::File::options().write(true).open(b.join(FILE)).unwrap();
        old.set_modified(std::time::SystemTime::now() - 2 * STALE).unwrap();
        assert!(!is_alive(&b));
        // Who asks changes nothing.
        assert!(b.join(FILE).exists());
        drop(other);
        assert!(!b.join(FILE).exists());
    }
}
