//! Caches of other versions: an older one is read, a newer one is refused, none is misread.

use std::path::Path;

use crate::space::{Ended, Space, contents, repository};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A space with the committed cache; the study and its data are where they were.
fn old() -> Space {
    let space = Space::new("edition 2026\n");
    copy(&repository("tests/data/old-cache/cache"), &space.cache());
    space
}

fn run(space: &Space) -> Ended {
    let study = repository("tests/data/old-cache/study.xpipe").display().to_string();
    space.xpipe(&["run", &study, "--json", "--output", "results"])
}

#[test]
fn a_cache_of_an_older_version_serves_every_result() {
    let space = old();
    let before = contents(&space.cache());
    assert!(before.len() >= 10, "{}", before.len());
    let verified = space.xpipe(&["cache", "verify", "--json"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let ended = run(&space);
    // An operation with a new version misses; then say so here, and leave the cache as it is.
    assert_eq!(ended.counts(), (0, before.len() as u64, 0), "{ended:?}");
    assert_eq!(contents(&space.cache()), before);
    let json = ended.json();
    let shown = json["results"].to_string();
    assert!(shown.contains("nDCG@10") && shown.contains("low"), "{json:#}");
    // The same numbers as computed anew.
    let anew = Space::new("edition 2026\n");
    let computed = run(&anew);
    assert_eq!(computed.json()["results"], json["results"]);
    assert_eq!(contents(&anew.cache()), before);
    space.is_whole();
}

#[test]
fn a_cache_of_a_newer_format_is_refused() {
    let space = old();
    std::fs::write(space.cache().join("v1/FORMAT"), "xpipe cache format 2\n").unwrap();
    let says = ["has format 2, and this program writes format 1", "choose another folder with `--cache DIR`"];
    let before = contents(&space.cache());
    let study = repository("tests/data/old-cache/study.xpipe").display().to_string();
    for args in [
        vec!["run", &study, "--output", "results"],
        vec!["plan", &study],
        vec!["show", &study],
        vec!["cache", "ls"],
        vec!["cache", "verify"],
        vec!["cache", "verify", "--set-aside"],
    ] {
        space.xpipe(&args).says(5, &says);
    }
    assert_eq!(contents(&space.cache()), before, "something was changed");
    assert_eq!(std::fs::read_to_string(space.cache().join("v1/FORMAT")).unwrap(), "xpipe cache format 2\n");
    // One that a newer version alone has used.
    std::fs::rename(space.cache().join("v1"), space.cache().join("v2")).unwrap();
    space.xpipe(&["run", &study, "--output", "results"]).says(5, &says);
    assert!(!space.cache().join("v1").exists());
}

#[test]
fn a_manifest_of_a_newer_layout_is_made_again_and_not_misread() {
    let space = old();
    let expected = contents(&space.cache());
    let shards = std::fs::read_dir(space.cache().join("v1/actions")).unwrap();
    let file = std::fs::read_dir(shards.map(|s| s.unwrap().path()).min().unwrap()).unwrap().next().unwrap();
    let path = file.unwrap().path();
    let text = std::fs::read_to_string(&path).unwrap();
    // Whole, with a checksum that fits.
    let object =
        text.split(",\n\"checksum\"").next().unwrap().replace("\"format\": 2,", "\"format\": 3,") + "}";
    let newer = xpipe_base::value::sealed::seal(object.as_bytes());
    assert_ne!(newer, text.as_bytes());
    std::fs::write(&path, newer).unwrap();
    let verified = space.xpipe(&["cache", "verify"]);
    assert!(
        verified.code == Some(5) && verified.out.contains("layout version 3, expected at most 2"),
        "{verified:?}"
    );
    let (ran, _, code) = run(&space).counts();
    assert!(ran >= 1 && code == 0);
    assert_eq!(contents(&space.cache()), expected);
    space.is_whole();
}
