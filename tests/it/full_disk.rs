//! A disk that fills up while a study runs: a small file system in a mount namespace of its own.

use std::process::Command;

use crate::space::{Ended, Space, TRAINING};

/// Whether this system lets us mount; says so when not.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let may = tried.is_ok_and(|o| o.status.success());
    if !may {
        xpipe_testing::skip("no mount namespaces");
    }
    may
}

/// Runs the study with a cache on a file system of `size` KiB that begins as a copy of the space's cache; what is in it
/// afterwards, and what `cache verify` says of it there, is in the space's `cache` and in the second result.
fn run_on(space: &Space, size: usize) -> (Ended, Ended) {
    let script = format!(
        r#"mkdir -p small cache && mount -t tmpfs -o size={size}k tmpfs small && cp -a cache/. small/ || exit 99
"$1" run study.xpipe --plain --cache small; code=$?
"$1" cache verify --cache small >verify.out 2>verify.err; echo $? >verify.code
rm -rf cache && cp -a small cache
exit $code"#
    );
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script, "sh"])
        .arg(env!("CARGO_BIN_EXE_xpipe"))
        .current_dir(space.folder.path())
        .output()
        .unwrap();
    let verified = Ended {
        code: space.read("verify.code").trim().parse().ok(),
        out: space.read("verify.out"),
        err: space.read("verify.err"),
    };
    (Ended::of(output), verified)
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if !may_mount() {
        return;
    }
    let whole = Space::new(TRAINING);
    assert_eq!(whole.run(), (12, 0, 0));
    let expected = whole.contents();
    let mut seen = Vec::new();
    // From nearly nothing to nearly enough: a model takes 6 MB, its checkpoint 18 MB, twice while it is replaced.
    for size in [40, 120, 3_000, 24_000, 38_000] {
        let space = Space::new(TRAINING);
        let (ended, verified) = run_on(&space, size);
        assert_eq!(ended.code, Some(4), "{size} KiB: {ended:?}");
        let said = &ended.err;
        assert!(said.contains("the disk is full"), "{size} KiB: {said}");
        assert!(said.contains("small/v1/"), "{size} KiB does not say where: {said}");
        assert!(said.contains("help: free space and run again"), "{size} KiB: {said}");
        assert!(!said.contains("panicked") && !said.contains("defect"), "{size} KiB: {said}");
        assert_eq!(verified.code, Some(0), "{size} KiB: {verified:?}");
        // Every result that is there is a right one.
        let kept = space.contents();
        assert!(kept.iter().all(|(key, digest)| expected.get(key) == Some(digest)), "{size} KiB");
        // With space it goes on from there.
        let (ran, cached, code) = space.run();
        assert_eq!((ran + cached, code), (12, 0), "{size} KiB");
        assert_eq!(cached as usize, kept.len(), "{size} KiB");
        assert_eq!(space.contents(), expected, "{size} KiB");
        space.is_whole();
        seen.push(kept.len());
    }
    assert!(seen[0] < 4 && seen[4] > 6, "results kept: {seen:?}");
}
