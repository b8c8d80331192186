//! Finds processes through `/proc`: the descendants of a process, and programs that write to a folder.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A running process and its parent.
struct Running {
    pid: Pid,
    parent: i32,
}

/// All visible processes; none where there is no `/proc`.
fn running() -> Vec<Running> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let parent = parent(&stat)?;
            Some(Running { pid, parent })
        })
        .collect()
}

/// The parent in `/proc/PID/stat`; `None` for a zombie. The program's name is in parentheses and may contain anything.
fn parent(stat: &[u8]) -> Option<i32> {
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X" | "x")).then(|| fields.next()?.parse().ok())?
}

/// All descendants of a process.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    let all = running();
    let mut found: Vec<Pid> = Vec::new();
    let mut parents = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|p| p.parent == parent) {
            found.push(child.pid);
            parents.push(child.pid.as_raw_nonzero().get());
        }
    }
    found
}

/// Kills programs of dead runs that still write below `folder`, which no other process may use. They are found by
/// [`super::OUT`] in their environment. Returns their number.
pub fn kill_orphans(folder: &Path) -> usize {
    let mut start = super::OUT.as_bytes().to_vec();
    start.push(b'=');
    start.extend_from_slice(folder.as_os_str().as_encoded_bytes());
    start.push(b'/');
    let me = rustix::process::getpid();
    let is_orphan = |p: &Running| {
        let environment = std::fs::read(format!("/proc/{}/environ", p.pid.as_raw_nonzero()));
        environment.is_ok_and(|e| e.split(|b| *b == 0).any(|entry| entry.starts_with(&start)))
    };
    let orphans: Vec<Pid> = running().iter().filter(|p| p.pid != me && is_orphan(p)).map(|p| p.pid).collect();
    for pid in &orphans {
        let _ = kill_process(*pid, Signal::KILL);
    }
    orphans.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_read_whatever_the_program_is_called() {
        assert_eq!(parent(b"12 (cat) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (a) S 9 (b) R 8 12"), Some(8));
        assert_eq!(parent(b"12 (cat) Z 7 12 12 0"), None);
        assert_eq!(parent(b"nonsense"), None);
    }
}
