//! One cache for many hosts and users: two clients of a network file system that see each other's work late and whose
//! locks exclude nobody; users of one group.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::space::{Ended, RETRIEVAL, Space, events};

/// Two mounts of one folder, each with stale knowledge of what the other does.
struct TwoHosts {
    space: Space,
}

/// How long a mount remembers sizes, names, and that a name does not exist; in seconds.
const STALE: u32 = 4;

impl TwoHosts {
    /// `None`, with the reason, where this machine cannot mount.
    fn new(study: &str) -> Option<Self> {
        let hosts = Self { space: Space::new(study) };
        std::fs::create_dir(hosts.space.path("cache")).unwrap();
        for host in ["a", "b"] {
            std::fs::create_dir(hosts.space.path(host)).unwrap();
            let options = format!("attr_timeout={STALE},entry_timeout={STALE},negative_timeout={STALE}");
            let mounted = Command::new("bindfs")
                .args(["-o", &options])
                .args([hosts.space.cache(), hosts.space.path(host)])
                .output();
            match mounted {
                Ok(done) if done.status.success() => {}
                Ok(done) => {
                    xpipe_testing::skip(&format!("bindfs: {}", String::from_utf8_lossy(&done.stderr).trim()));
                    return None;
                }
                Err(e) => {
                    xpipe_testing::skip(&format!("no bindfs: {e}"));
                    return None;
                }
            }
        }
        Some(hosts)
    }

    fn run(&self, host: &str) -> Command {
        self.space.command(&["run", "study.xpipe", "--json", "--threads", "2", "--cache", host])
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for host in ["a", "b"] {
            let _ = Command::new("umount").arg("-l").arg(self.space.path(host)).output();
        }
    }
}

fn expected() -> std::collections::BTreeMap<String, String> {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    space.contents()
}

#[test]
fn two_hosts_at_once_come_to_the_same_results_without_locks() {
    let expected = expected();
    for round in 0..3 {
        let Some(hosts) = TwoHosts::new(RETRIEVAL) else { return };
        let runs = ["a", "b"].map(|host| hosts.run(host).spawn().unwrap());
        for run in runs {
            let ended = Ended::of(run.wait_with_output().unwrap());
            let (ran, cached, code) = ended.counts();
            assert_eq!((ran + cached, code), (8, 0), "round {round}: {ended:?}");
        }
        assert_eq!(hosts.space.contents(), expected, "round {round}");
        hosts.space.is_whole();
        let notes = serde_json::to_string(&events(&hosts.space.cache())).unwrap();
        assert!(!notes.contains("not deterministic") && !notes.contains("made again"), "{notes}");
        assert!(!hosts.space.cache().join("v1/damaged").exists(), "round {round}: something was quarantined");
    }
}

#[test]
fn what_another_host_made_is_found_although_it_was_missing_a_moment_ago() {
    let Some(hosts) = TwoHosts::new(RETRIEVAL) else { return };
    // `b` has looked for the results, and remembers that there are none.
    let first = Ended::of(hosts.space.command(&["plan", "study.xpipe", "--cache", "b"]).output().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(Ended::of(hosts.run("a").output().unwrap()).counts(), (8, 0, 0));
    assert_eq!(Ended::of(hosts.run("b").output().unwrap()).counts(), (0, 8, 0));
    // And the other way round, with something new.
    hosts.space.edit("study.xpipe", "high = 1.2", "high = 1.4");
    let (ran, _, code) = Ended::of(hosts.run("b").output().unwrap()).counts();
    assert!(ran >= 1 && code == 0);
    assert_eq!(Ended::of(hosts.run("a").output().unwrap()).counts(), (0, 8, 0));
    hosts.space.is_whole();
}

#[test]
fn a_host_killed_in_the_middle_leaves_nothing_that_stops_another() {
    let expected = expected();
    for at in [3, 40, 90] {
        let Some(hosts) = TwoHosts::new(RETRIEVAL) else { return };
        let killed = Ended::of(hosts.run("a").env("XPIPE_TEST_CRASH_AT", at.to_string()).output().unwrap());
        assert_eq!(killed.code, None, "call {at}: {killed:?}");
        let (ran, cached, code) = Ended::of(hosts.run("b").output().unwrap()).counts();
        assert_eq!((ran + cached, code), (8, 0), "call {at}");
        assert_eq!(hosts.space.contents(), expected, "call {at}");
        hosts.space.is_whole();
    }
}

/// Users of one group, by number; no such users need to exist.
const USERS: [u32; 2] = [61_231, 61_232];
const GROUP: u32 = 61_230;

/// Runs a line of shell as a user of the group. `$X` is the program.
fn as_user(space: &Space, user: u32, umask: &str, line: &str) -> Ended {
    let mut command = Command::new("setpriv");
    command
        .args([&format!("--reuid={user}"), &format!("--regid={GROUP}"), "--clear-groups", "sh", "-c"])
        .arg(format!("umask {umask}; {line}"))
        .env("X", space.path("xpipe"))
        .env("XPIPE_CACHE", space.cache())
        .env("HOME", space.folder.path())
        .env("HF_HUB_CACHE", space.path("no-hub"))
        .env_remove("XPIPE_MODELS")
        .current_dir(space.folder.path())
        .stdin(std::process::Stdio::null());
    Ended::of(command.output().unwrap())
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A space that every user may enter, with a cache of the group; `None`, with the reason, if this is not root.
fn of_a_group(mode: u32) -> Option<Space> {
    let space = Space::new(RETRIEVAL);
    std::fs::copy(env!("CARGO_BIN_EXE_xpipe"), space.path("xpipe")).unwrap();
    std::fs::create_dir(space.cache()).unwrap();
    set(space.folder.path(), 0o777);
    let owned = std::os::unix::fs::chown(space.cache(), Some(USERS[0]), Some(GROUP));
    set(&space.cache(), mode);
    let may = owned.is_ok() && as_user(&space, USERS[0], "022", "true").code == Some(0);
    if !may {
        xpipe_testing::skip("cannot become another user");
    }
    may.then_some(space)
}

/// All files and folders below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn users_of_a_group_share_a_cache_whatever_their_umasks() {
    for (mode, object) in [(0o2770, 0o440), (0o2775, 0o444)] {
        let Some(space) = of_a_group(mode) else { return };
        let [a, b] = USERS;
        let run = "\"$X\" run study.xpipe --json --output $(mktemp -d)";
        assert_eq!(as_user(&space, a, "077", run).counts(), (8, 0, 0));
        assert_eq!(as_user(&space, b, "022", run).counts(), (0, 8, 0));
        let edit = |from: &str, to: &str| space.edit("study.xpipe", from, to);
        edit("high = 1.2", "high = 1.4");
        assert_eq!(as_user(&space, b, "077", run).counts().2, 0);
        assert_eq!(as_user(&space, a, "022", run).counts(), (0, 8, 0));
        let pinned = as_user(&space, b, "077", "\"$X\" cache pin study.xpipe");
        assert_eq!(pinned.code, Some(0), "{pinned:?}");
        let listed = as_user(&space, a, "077", "\"$X\" cache pins");
        assert!(listed.code == Some(0) && listed.out.contains("study.xpipe"), "{listed:?}");
        for path in below(&space.cache().join("v1")) {
            let meta = std::fs::metadata(&path).unwrap();
            assert_eq!(meta.gid(), GROUP, "{}", path.display());
            let bits = meta.mode() & 0o7777;
            let within = |name: &str| path.starts_with(space.cache().join("v1").join(name));
            match (meta.is_dir(), within("objects") || within("trees")) {
                (true, _) => assert_eq!(bits, mode, "{}", path.display()),
                (false, true) => assert_eq!(bits, object, "{}", path.display()),
                (false, false) => assert!(bits & 0o060 == 0o060, "{bits:o} {}", path.display()),
            }
        }
        // One user's damage is mended by the other.
        let blob = below(&space.cache().join("v1/objects")).into_iter().find(|p| p.is_file()).unwrap();
        set(&blob, 0o644);
        std::fs::write(&blob, "x").unwrap();
        for (user, code) in [(b, 5), (a, 5)] {
            assert_eq!(as_user(&space, user, "022", "\"$X\" cache verify").code, Some(code));
        }
        let mended = as_user(&space, b, "022", run);
        assert!(mended.counts().0 >= 1 && mended.code == Some(0), "{mended:?}");
        assert_eq!(as_user(&space, a, "022", "\"$X\" cache verify").code, Some(0));
        let told = as_user(&space, b, "022", "\"$X\" doctor");
        assert!(told.out.contains(&format!("shared by the users of group {GROUP}")), "{told:?}");
    }
}

#[test]
fn a_folder_that_a_killed_run_left_closed_is_opened_by_the_next_run_of_its_user() {
    let Some(space) = of_a_group(0o2770) else { return };
    let [a, b] = USERS;
    let run = "\"$X\" run study.xpipe --json --threads 1 --output $(mktemp -d)";
    let one = |more: &str| format!("RAYON_NUM_THREADS=1 {more} {run}");
    let calls = space.path("calls");
    let told = one(&format!("XPIPE_TEST_CALLS='{}'", calls.display()));
    assert_eq!(as_user(&space, a, "077", &told).counts(), (8, 0, 0));
    let text = std::fs::read_to_string(&calls).unwrap();
    let begun: Vec<&str> = text.lines().filter(|line| line.contains("\"begun\"")).collect();
    let opens = |below: &str| {
        let wanted = |line: &&str| line.contains("\"begun\":\"open\"") && line.contains(below);
        begun.iter().position(wanted).unwrap_or_else(|| panic!("{below}: {begun:#?}"))
    };
    for at in [opens("/v1\""), opens("/v1/trees\""), opens("/v1/objects/"), opens("/v1/actions/")] {
        std::fs::remove_dir_all(space.cache().join("v1")).unwrap();
        let killed = as_user(&space, a, "077", &one(&format!("XPIPE_TEST_CRASH_AT={at}")));
        assert!(!matches!(killed.code, Some(0..=7)), "call {at}: {killed:?}");
        let closed = || {
            let all = below(&space.cache().join("v1")).into_iter();
            all.filter(|p| p.is_dir() && std::fs::metadata(p).unwrap().mode() & 0o7777 != 0o2770).count()
        };
        assert!(closed() > 0, "call {at}");
        assert_eq!(as_user(&space, a, "077", run).counts().2, 0);
        assert_eq!(closed(), 0, "call {at}");
        assert_eq!(as_user(&space, b, "077", run).counts(), (0, 8, 0), "call {at}");
    }
}

#[test]
fn doctor_tells_of_folders_that_are_closed_to_this_user() {
    let Some(space) = of_a_group(0o2775) else { return };
    let [a, b] = USERS;
    assert_eq!(as_user(&space, a, "022", "\"$X\" run study.xpipe --json").counts(), (8, 0, 0));
    let locks = space.cache().join("v1/locks");
    set(&locks, 0o755);
    std::os::unix::fs::chown(&locks, Some(0), Some(0)).unwrap();
    for user in [a, b] {
        let told = as_user(&space, user, "022", "\"$X\" doctor");
        assert_eq!(told.code, Some(4), "{told:?}");
        assert!(told.out.contains("1 folder of the cache cannot be written by this user"), "{told:?}");
        assert!(told.out.contains("v1/locks of user 0") && told.out.contains("chmod -R g+rwXs"), "{told:?}");
    }
    // Root may write everywhere, and would leave folders of its own in somebody's cache.
    let Some(space) = of_a_group(0o755) else { return };
    let told = space.xpipe(&["doctor"]);
    assert!(told.out.contains(&format!("the cache belongs to user {a}, and this is user 0")), "{told:?}");
}
