//! Which process a folder in `tmp/` belongs to, so that other hosts can tell whether it may still be alive.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use xpipe_base::value::Digest;

/// What is left of a process of another host is removed after this time.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// A process of some host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The host and its namespace of processes.
    host: String,
    /// The boot of the host.
    boot: String,
    process: u32,
    /// When the process started, in clock ticks since the boot: numbers of processes are used again.
    start: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.host, self.boot, self.process, self.start)
    }
}

impl Owner {
    /// This process.
    pub(super) fn this() -> Self {
        let process = std::process::id();
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { host: host(), boot: short(&boot), process, start: started(process).unwrap_or_default() }
    }

    /// The owner that the name of a folder tells.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let mut parts = folder.file_name()?.to_str()?.split('-');
        let mut short = || parts.next().filter(|p| p.len() == 8).map(str::to_owned);
        let (host, boot) = (short()?, short()?);
        Some(Self { host, boot, process: parts.next()?.parse().ok()?, start: parts.next()?.parse().ok()? })
    }

    /// Whether the process is gone, as far as `this` process can tell. Of another host's process only the age of what it
    /// left, a file or folder, tells.
    pub(super) fn is_dead(&self, this: &Self, left: &Path) -> bool {
        if self.host != this.host {
            return is_old(left);
        }
        self.boot != this.boot || started(self.process) != Some(self.start)
    }
}

/// This host and its namespace of processes, as eight hexadecimal digits.
pub(super) fn host() -> String {
    let name = rustix::system::uname().nodename().to_bytes().to_owned();
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let processes = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    short(&[&name, &machine, processes.as_os_str().as_encoded_bytes()].concat())
}

fn short(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()[..8].to_owned()
}

/// When a process of this host started; `None` when there is none, or no `/proc`.
fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses and may contain anything; then follow the fields from the third on.
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether something has not changed for so long that nobody uses it.
pub(super) fn is_old(path: &Path) -> bool {
    let changed = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > OLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let this = Owner::this();
        assert!(this.start > 0);
        assert_eq!(Owner::of(&dir.path().join(format!("{this}-18c-0"))), Some(this.clone()));
        assert_eq!(Owner::of(Path::new("/x/4711-18c2f-0")), None, "as older versions named them");
        assert!(!this.is_dead(&this, dir.path()));
        // The same number, used again; another boot.
        assert!(Owner { start: this.start + 1, ..this.clone() }.is_dead(&this, dir.path()));
        assert!(Owner { boot: "00000000".into(), ..this.clone() }.is_dead(&this, dir.path()));
        assert!(Owner { process: u32::MAX, ..this.clone() }.is_dead(&this, dir.path()));
        // Another host's is taken to live until what it left is old.
        let other = Owner { host: "00000000".into(), ..this.clone() };
        assert!(!other.is_dead(&this, dir.path()));
        let file = std::fs::File::open(dir.path()).unwrap();
        file.set_modified(SystemTime::now() - OLD - Duration::from_secs(60)).unwrap();
        assert!(other.is_dead(&this, dir.path()));
        // A clock that jumped back makes nothing old.
        file.set_modified(SystemTime::now() + OLD).unwrap();
        assert!(!other.is_dead(&this, dir.path()));
    }
}
