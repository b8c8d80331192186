//! What counts as damage, and what becomes of it.

use std::path::Path;
use std::sync::Barrier;

use super::super::lookup::BlobState;
use super::*;

/// Replaces a file by a link to itself: the system gives an error for it, whoever asks.
fn unreadable(path: &Path) {
    std::fs::rename(path, path.with_extension("sound")).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

fn readable(path: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::rename(path.with_extension("sound"), path).unwrap();
}

#[test]
fn what_cannot_be_read_is_told_and_not_moved_and_the_rest_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let r = recipe(1);
    let m = publish(&store, &r, "hello");
    let answer = store.answers().join("ab/1.json");
    std::fs::create_dir_all(answer.parent().unwrap()).unwrap();
    std::fs::write(&answer, r#"{"format":1}"#).unwrap();
    assert!(verify(&store, true, &|_, _| {}).damage.is_empty());
    let other = publish(&store, &recipe(2), "other");
    tamper(&store.blob(&other.outputs[0].digest), b"OTHER");
    for path in [store.blob(&m.outputs[0].digest), store.manifest_path(&r.key()), answer] {
        unreadable(&path);
        let found = verify(&store, true, &|_, _| {}).damage;
        let told = |d: &Damage| matches!(d, Damage::NotRead { why } if why.contains(path.to_str().unwrap()));
        assert!(found.iter().any(told), "{found:?}");
        // Damage beside it is found.
        assert!(found.iter().any(|d| matches!(d, Damage::Blob { .. } | Damage::Result { .. })), "{found:?}");
        assert!(path.is_symlink(), "it was set aside");
        readable(&path);
    }
    let left = verify(&store, true, &|_, _| {}).damage;
    assert!(matches!(&left[..], [Damage::Result { key, .. }] if *key == other.key), "{left:?}");
    assert_eq!(std::fs::read_dir(store.dir().join("damaged")).unwrap().count(), 1, "only what was damaged");
}

#[test]
fn looking_moves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let m = publish(&store, &recipe(1), "hello");
    tamper(&store.blob(&m.outputs[0].digest), b"hel");
    assert!(!list(&store).unwrap()[0].complete);
    assert!(store.look(&m.key).unwrap_err().to_string().contains("recorded size"));
    assert!(store.damage(&m).unwrap().is_some());
    assert!(!store.dir().join("damaged").exists());
    assert!(store.get(&m.key).is_err());
    assert!(store.dir().join("damaged").exists());
}

#[test]
fn a_file_that_cannot_be_read_is_not_said_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let m = publish(&store, &recipe(1), "hello");
    let blob = store.blob(&m.outputs[0].digest);
    unreadable(&blob);
    let miss = store.get(&m.key).unwrap_err().to_string();
    assert!(miss.contains("cannot be read"), "{miss}");
    readable(&blob);
    std::fs::remove_file(&blob).unwrap();
    let miss = store.get(&m.key).unwrap_err().to_string();
    assert!(miss.contains("is missing"), "{miss}");
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let r = recipe(1);
    let m = publish(&store, &r, "hello");
    let (blob, manifest) = (store.blob(&m.outputs[0].digest), store.manifest_path(&r.key()));
    for path in [blob.parent().unwrap(), manifest.parent().unwrap()] {
        unreadable(path);
        let found = verify(&store, true, &|_, _| {}).damage;
        let told = |d: &Damage| matches!(d, Damage::NotRead { why } if why.contains(path.to_str().unwrap()));
        assert!(found.iter().any(told), "{found:?}");
        assert!(usage(&store).is_err() || path != manifest.parent().unwrap());
        readable(path);
    }
    assert!(blob.exists() && store.get(&r.key()).is_ok());
}

#[test]
fn a_sound_blob_that_is_taken_for_damaged_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let m = publish(&store, &recipe(1), "hello");
    let digest = m.outputs[0].digest;
    // As when another process replaced the damaged one just before.
    store.quarantine(&digest);
    assert_eq!(store.blob_state(&digest).unwrap(), BlobState::Intact);
    assert_eq!(std::fs::read_dir(store.dir().join("damaged")).unwrap().count(), 0);
    tamper(&store.blob(&digest), b"HELLO");
    store.quarantine(&digest);
    assert_eq!(store.blob_state(&digest).unwrap(), BlobState::Missing);
    assert_eq!(std::fs::read_dir(store.dir().join("damaged")).unwrap().count(), 1);
}

#[test]
fn those_who_build_the_same_folder_at_once_leave_each_other_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let m = publish(&Store::open(dir.path()).unwrap(), &recipe(1), "hello");
    // Two processes, of two threads each.
    let stores = [Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap()];
    for round in 0..40 {
        let tree = stores[0].tree_path(&m);
        // Missing, or without a file.
        let gone = if round % 2 == 0 { tree.clone() } else { tree.join("sub") };
        std::fs::remove_dir_all(gone).unwrap();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let (store, barrier, m) = (&stores[n % 2], &barrier, &m);
                scope.spawn(move || {
                    barrier.wait();
                    let built = store.tree(m);
                    let reads = WatchedReads::new(store, [m]);
                    barrier.wait();
                    let removed = reads.removed();
                    assert!(built.unwrap().is_ok() && (round % 2 == 1 || removed.is_none()), "round {round}");
                });
            }
        });
        assert!(tree.join("sub/more.bin").is_file());
    }
}

#[test]
fn a_record_that_cannot_be_dropped_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = recipe(1).key();
    store.forget_record(&key).unwrap();
    let hex = key.hex();
    std::fs::create_dir_all(store.dir().join("records").join(&hex[..2]).join(format!("{hex}.json"))).unwrap();
    assert!(matches!(store.forget_record(&key), Err(Error::Io { .. })));
}
