//! What this machine has: the memory that processes may use.

use std::path::Path;

/// The memory that all processes started here may use together, in bytes: that of the machine, or the limit of its
/// control group when that is lower.
pub fn memory_limit() -> u64 {
    let info = rustix::system::sysinfo();
    #[expect(clippy::useless_conversion, reason = "the field is 32 bits wide on some systems")]
    let physical = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group_limit(&groups, Path::new("/sys/fs/cgroup")).map_or(physical, |n| n.min(physical))
}

/// The lowest limit of the control groups of a process and of their ancestors; `groups` is `/proc/self/cgroup`.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let of = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        // A container sees its own group as the root, whatever the path says.
        let path = Path::new(path.trim_start_matches('/'));
        let limits = path.ancestors().filter_map(|p| {
            let text = std::fs::read_to_string(root.join(p).join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        });
        limits.min()
    };
    groups.lines().filter_map(of).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_around_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| group_limit(groups, root.path());
        assert_eq!(limit("0::/user/job\n"), None);
        write("user/memory.max", "4000\n");
        write("user/job/memory.max", "max\n");
        assert_eq!(limit("0::/user/job\n"), Some(4000));
        assert_eq!(limit("0::/other\n"), None);
        // Version 1, whose root says a number near 2⁶³.
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/job/memory.limit_in_bytes", "3000\n");
        let old = "3:cpuset:/\n4:memory:/job\n0::/\n";
        assert_eq!(limit(old), Some(3000));
        assert_eq!(limit("4:cpu,memory:/gone/job\n"), Some(9_223_372_036_854_771_712));
        // Inside a container the path is another's, and the root is its own.
        write("memory.max", "2000");
        assert_eq!(limit("0::/far/away\n"), Some(2000));
        assert!(memory_limit() > 1 << 20);
    }
}
