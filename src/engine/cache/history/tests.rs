//! What a history remembers.

use super::*;

fn failure(message: &str) -> LastFailure {
    LastFailure {
        at: "2026-11-30T10:00:00Z".into(),
        message: message.into(),
        log: Some("runs/r/logs/1".into()),
    }
}

#[test]
fn the_last_key_of_an_address_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study");
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let mut history = History::load(path.clone(), true);
    history.record("model[infonce, \"x y\", 1]", a, false);
    history.record("other", a, false);
    history.save().unwrap();
    history.record("other", b, false);
    history.save().unwrap();
    std::fs::write(&path, [std::fs::read(&path).unwrap(), b"12ab \"torn".to_vec()].concat()).unwrap();
    let mut again = History::load(path.clone(), true);
    assert_eq!(again.last("model[infonce, \"x y\", 1]"), Some(a));
    assert_eq!(again.last("other"), Some(b));
    again.record("third", a, false);
    again.save().unwrap();
    assert_eq!(History::load(path, true).iter().count(), 3);
}

#[test]
fn a_failure_is_kept_until_there_is_a_result_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study");
    let key = Digest::of(b"k");
    let mut history = History::load(path.clone(), true);
    history.record("f", key, false);
    history.record_failure("f", failure("line 3 has\n2 columns"));
    history.save().unwrap();
    let mut again = History::load(path.clone(), true);
    assert_eq!((again.last("f"), again.failure("f")), (Some(key), Some(&failure("line 3 has\n2 columns"))));
    again.record("f", key, false);
    again.record_failure("g", failure(&"x".repeat(9_000)));
    again.save().unwrap();
    let last = History::load(path, true);
    assert_eq!((last.last("f"), last.failure("f")), (Some(key), None));
    assert_eq!(last.failure("g").unwrap().message.chars().count(), MAX_MESSAGE + 1);
}

#[test]
fn a_result_is_limited_until_a_run_without_a_limit_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study");
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let after = |records: &[(&str, Digest, bool)]| {
        let mut history = History::load(path.clone(), true);
        records.iter().for_each(|(address, key, limited)| history.record(address, *key, *limited));
        history.save().unwrap();
        let again = History::load(path.clone(), true);
        let compact = History::parse(path.clone(), again.whole().as_bytes()).0;
        assert!(compact.held().eq(again.held()), "rewritten, it says the same");
        again.held().copied().collect::<Vec<_>>()
    };
    assert_eq!(after(&[("f", a, true), ("g", a, false)]), [a]);
    assert_eq!(after(&[("g", a, true)]), [a], "what has no limit gets none");
    assert_eq!(after(&[("f", a, false)]), [a, a]);
    assert_eq!(after(&[("f", b, true)]), [a], "another result");
    assert_eq!(History::load(path.clone(), true).last("f"), Some(b));
    // An older version reads all results and skips the limits.
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&result_line("f", &b)), "{text}");
}

#[test]
fn a_run_without_a_limit_counts_beside_one_with_it_whoever_writes_first() {
    let key = Digest::of(b"k");
    for order in [[true, false], [false, true]] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study");
        // Both began before either recorded a result.
        let mut runs = [History::load(path.clone(), true), History::load(path.clone(), true)];
        for (history, limited) in runs.iter_mut().zip(order) {
            history.record("f", key, limited);
            history.save().unwrap();
        }
        let held = |history: &History| history.held().count();
        assert_eq!(held(&History::load(path.clone(), true)), 1, "{order:?}");
        // A later run with a limit changes nothing, and another result is its own.
        let mut later = History::load(path.clone(), true);
        later.record("f", key, true);
        later.save().unwrap();
        assert_eq!(held(&History::load(path.clone(), true)), 1, "{order:?}");
        let mut other = History::load(path.clone(), true);
        other.record("f", Digest::of(b"l"), true);
        other.save().unwrap();
        assert_eq!(held(&History::load(path, true)), 0, "{order:?}");
    }
}

#[test]
fn what_the_first_version_wrote_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let key = Digest::of(b"k");
    let path = dir.path().join("study");
    std::fs::write(&path, format!("\n{} \"model[1]\"\n\n{} \"other\"\n", key.hex(), key.hex())).unwrap();
    let history = History::load(path, true);
    assert_eq!((history.last("model[1]"), history.iter().count()), (Some(key), 2));
}

#[test]
fn a_study_that_moves_keeps_its_history_and_a_copy_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let studies = dir.path().join("studies");
    let at = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    std::fs::create_dir(&studies).unwrap();
    let of = |study: &str| History::of(&studies, study, true);
    let key = Digest::of(b"k");
    let first = at("a/main.xpipe", "one");
    let mut history = of(&first);
    history.record("f", key, false);
    history.save().unwrap();
    // Copied and renamed, with the same text.
    assert_eq!(of(&at("b/copy.xpipe", "one")).last("f"), Some(key));
    // Another study of the same name: the first is still there.
    assert_eq!(of(&at("c/main.xpipe", "two")).last("f"), None);
    // Moved, then edited.
    std::fs::remove_file(&first).unwrap();
    let mut moved = of(&at("d/main.xpipe", "three"));
    assert_eq!(moved.last("f"), Some(key));
    moved.record("g", key, false);
    moved.save().unwrap();
    assert_eq!(of(&at("d/main.xpipe", "four")).iter().count(), 2);
}
