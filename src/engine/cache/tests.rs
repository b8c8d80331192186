//! The store under stops, damage and company.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use indexmap::IndexMap;

use super::recipe::tests::training;
use super::*;
use xpipe_base::task::{Caveat, CaveatKind};
use xpipe_base::value::{Digest, Record, Value};

mod damage;

pub(crate) fn recipe(seed: i64) -> Recipe {
    Recipe::new("test.op", 1, Record::of([("seed", Value::Int(seed))])).unwrap()
}

pub(crate) fn publication(recipe: &Recipe) -> Publication<'_> {
    Publication {
        recipe,
        study: "study.xpipe",
        address: "model[1]",
        digest: None,
        values: IndexMap::from([("ndcg_10".to_owned(), 0.25)]),
        caveats: Vec::new(),
        facts: serde_json::Map::new(),
        inputs: Vec::new(),
        seconds: 1.5,
        peak_memory: Some(1024),
        device: "cpu".into(),
        kernels: "auto".into(),
        threads: 2,
        started: "2026-11-24T10:00:00Z".parse().unwrap(),
        log: None,
        replace: false,
    }
}

fn fill(out: &Path, text: &str) {
    std::fs::write(out.join("data.txt"), text).unwrap();
    std::fs::create_dir_all(out.join("sub")).unwrap();
    std::fs::write(out.join("sub/more.bin"), [0u8; 5000]).unwrap();
}

fn publish(store: &Store, recipe: &Recipe, text: &str) -> Manifest {
    let work = store.workspace(&recipe.key()).unwrap();
    fill(&work.out, text);
    store.publish(work, publication(recipe)).unwrap().manifest
}

/// Replaces a file's content behind the store's back.
fn tamper(path: &Path, content: &[u8]) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn what_is_published_is_found_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let r = recipe(1);
    let manifest = publish(&Store::open(dir.path()).unwrap(), &r, "hello");
    let store = Store::open(dir.path()).unwrap();
    let found = store.lookup(&r.key()).unwrap();
    assert_eq!(found, manifest);
    assert_eq!(found.size(), 5005);
    assert_eq!(found.values["ndcg_10"], 0.25);
    assert_eq!(store.recipe(&r.key()).unwrap(), r);
    let tree = store.tree(&found).unwrap().unwrap();
    assert_eq!(tree, store.tree_path(&found));
    assert_eq!(std::fs::read_to_string(tree.join("data.txt")).unwrap(), "hello");
    let meta = std::fs::metadata(tree.join("sub/more.bin")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.nlink()), (0o444, 2));
    // The folder given as an input has the digest of the artifact.
    assert_eq!(store.digest_path(&tree).unwrap().0, found.digest);
    assert_eq!(store.lookup(&recipe(2).key()), None);
}

#[test]
fn equal_content_is_kept_once_and_has_one_digest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (a, b) = (publish(&store, &recipe(1), "same"), publish(&store, &recipe(2), "same"));
    assert_eq!((a.digest, a.tree), (b.digest, b.tree));
    let c = publish(&store, &recipe(3), "other");
    assert_ne!(a.digest, c.digest);
    let used = usage(&store).unwrap();
    assert_eq!((used.total.results, used.total.bytes, used.unique), (3, 5004 * 2 + 5005, 5000 + 4 + 5));
    assert_eq!(used.studies["study.xpipe"]["model"].results, 3);
    assert!(list(&store).unwrap().iter().all(|e| e.complete));
    // Three names of the shared blob: itself and one in each of two trees.
    let blob = store.blob(&a.outputs[1].digest);
    assert_eq!(std::fs::metadata(blob).unwrap().nlink(), 3);
}

#[test]
fn a_stop_before_the_manifest_leaves_a_miss_and_a_valid_store() {
    let dir = tempfile::tempdir().unwrap();
    let r = recipe(1);
    {
        // Stops after the blobs.
        let store = Store::open(dir.path()).unwrap();
        let work = store.workspace(&r.key()).unwrap();
        fill(&work.out, "half");
        assert_eq!(store.publish_blobs(&work.out).unwrap().len(), 2);
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.get(&r.key()), Err(Miss::Absent));
    assert!(verify(&store, false, &|_, _| {}).damage.is_empty());
    let m = publish(&store, &r, "half");
    // Stops after the folder, before the manifest.
    std::fs::remove_file(store.manifest_path(&r.key())).unwrap();
    assert_eq!(publish(&store, &r, "half").digest, m.digest);
    assert!(store.lookup(&r.key()).is_some());
}

#[test]
fn a_truncated_manifest_is_a_miss_and_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    publish(&store, &r, "x");
    let path = store.manifest_path(&r.key());
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 1, whole.len() / 2, whole.len() - 3] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let miss = store.get(&r.key()).unwrap_err();
        assert!(matches!(miss, Miss::Unreadable { .. }) && miss.is_damage(), "{miss}");
    }
    let found = verify(&store, false, &|_, _| {});
    assert!(matches!(&found.damage[..], [Damage::Manifest { .. }]));
    publish(&store, &r, "x");
    assert!(store.lookup(&r.key()).is_some());
}

#[test]
fn a_manifest_of_another_key_or_with_other_files_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    publish(&store, &r, "x");
    let text = std::fs::read_to_string(store.manifest_path(&r.key())).unwrap();
    let other = store.manifest_path(&recipe(2).key());
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::write(other, &text).unwrap();
    assert!(matches!(store.get(&recipe(2).key()), Err(Miss::Unreadable { .. })));
    std::fs::write(store.manifest_path(&r.key()), text.replace("data.txt", "date.txt")).unwrap();
    assert!(matches!(store.get(&r.key()), Err(Miss::Unreadable { .. })));
}

#[test]
fn a_missing_or_truncated_blob_is_a_miss_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    let m = publish(&store, &r, "hello");
    let blob = store.blob(&m.outputs[0].digest);

    tamper(&blob, b"hel");
    assert!(matches!(store.get(&r.key()), Err(Miss::Output { .. })));
    assert!(!blob.exists(), "set aside");
    publish(&store, &r, "hello");
    let tree = store.tree(&store.lookup(&r.key()).unwrap()).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("data.txt")).unwrap(), "hello");

    std::fs::remove_file(&blob).unwrap();
    assert!(matches!(store.get(&r.key()), Err(Miss::Output { problem: "is missing", .. })));
    let found = verify(&store, false, &|_, _| {});
    assert!(matches!(&found.damage[..], [Damage::Result { .. }]));
    publish(&store, &r, "hello");
    assert!(store.lookup(&r.key()).is_some());
}

#[test]
fn changed_content_of_the_right_size_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let r = recipe(1);
    let m = publish(&Store::open(dir.path()).unwrap(), &r, "hello");
    let store = Store::open(dir.path()).unwrap();
    tamper(&store.blob(&m.outputs[0].digest), b"jello");
    let found = verify(&store, false, &|_, _| {});
    assert!(
        matches!(&found.damage[..], [Damage::Blob { used_by, .. }] if used_by == &["model[1]"]),
        "{:?}",
        found.damage
    );
    // Sizes agree, so it looks like a hit until it is used.
    let hit = store.lookup(&r.key()).unwrap();
    assert!(store.tree(&hit).unwrap().is_err());
    assert!(store.lookup(&r.key()).is_none(), "set aside");
    let again = publish(&store, &r, "hello");
    assert_eq!(again.digest, m.digest);
    let tree = store.tree(&again).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("data.txt")).unwrap(), "hello");
}

#[test]
fn publishing_over_a_damaged_equal_blob_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let m = publish(&Store::open(dir.path()).unwrap(), &recipe(1), "hello");
    let store = Store::open(dir.path()).unwrap();
    let blob = store.blob(&m.outputs[0].digest);
    tamper(&blob, b"jello");
    publish(&store, &recipe(2), "hello");
    assert_eq!(std::fs::read_to_string(&blob).unwrap(), "hello");
}

#[test]
fn a_missing_folder_view_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    let m = publish(&store, &r, "hello");
    let path = store.tree_path(&m);
    std::fs::remove_file(path.join("sub/more.bin")).unwrap();
    assert!(store.tree(&m).unwrap().unwrap().join("sub/more.bin").exists());
    std::fs::remove_dir_all(&path).unwrap();
    assert!(store.tree(&m).unwrap().unwrap().join("data.txt").exists());
    // Replaced in the view alone: the view is not what the blob is.
    std::fs::remove_file(path.join("data.txt")).unwrap();
    std::fs::write(path.join("data.txt"), "jello").unwrap();
    let tree = store.tree(&m).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("data.txt")).unwrap(), "hello");
}

#[test]
fn many_may_publish_one_key_together() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<Store> = (0..4).map(|_| Store::open(dir.path()).unwrap()).collect();
    std::thread::scope(|s| {
        for (i, store) in stores.iter().cycle().take(16).enumerate() {
            s.spawn(move || publish(store, &recipe((i / 8) as i64), "shared"));
        }
    });
    let store = Store::open(dir.path()).unwrap();
    for seed in [0, 1] {
        let m = store.lookup(&recipe(seed).key()).unwrap();
        assert!(store.tree(&m).unwrap().is_ok());
    }
    assert!(verify(&store, false, &|_, _| {}).damage.is_empty());
}

#[test]
fn what_cannot_be_kept_is_refused_and_nothing_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    let work = store.workspace(&r.key()).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", work.out.join("link")).unwrap();
    assert!(matches!(store.publish(work, publication(&r)), Err(Error::Unsupported { .. })));
    let mut what = publication(&r);
    what.values.insert("ap".into(), f64::NAN);
    let e = store.publish(store.workspace(&r.key()).unwrap(), what).unwrap_err();
    assert_eq!(e.to_string(), "the published value `ap` is not a finite number");
    assert_eq!(store.get(&r.key()), Err(Miss::Absent));
}

#[test]
fn a_result_may_have_no_files_and_a_digest_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    let what = Publication { digest: Some(Digest::of(b"logical")), ..publication(&r) };
    let m = store.publish(store.workspace(&r.key()).unwrap(), what).unwrap().manifest;
    assert_eq!((m.digest, m.outputs.len()), (Digest::of(b"logical"), 0));
    assert!(store.tree(&store.lookup(&r.key()).unwrap()).unwrap().unwrap().is_dir());
}

#[test]
fn an_input_that_changes_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let file = dir.path().join("input.txt");
    std::fs::write(&file, "one").unwrap();
    assert_eq!(store.digest_path(&file).unwrap(), (Digest::of(b"one"), 3));
    std::fs::write(&file, "two").unwrap();
    assert_eq!(store.digest_path(&file).unwrap(), (Digest::of(b"two"), 3));
}

#[test]
fn every_field_of_a_manifest_is_protected() {
    let dir = tempfile::tempdir().unwrap();
    let (store, r) = (Store::open(dir.path()).unwrap(), recipe(1));
    let work = store.workspace(&r.key()).unwrap();
    fill(&work.out, "hello");
    let mut what = publication(&r);
    what.facts.insert("documents".into(), 12.into());
    what.caveats = vec![Caveat::counted(CaveatKind::Dropped, 3, "lines without an id")];
    what.log = Some(store.dir().join("runs/x/logs/1.log"));
    store.publish(work, what).unwrap();
    let path = store.manifest_path(&r.key());
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"ndcg_10\": 0.25", "\"ndcg_10\": 0.35"),
        ("\"documents\": 12", "\"documents\": 13"),
        ("\"count\": 3", "\"count\": 8"),
        ("without an id", "without my id"),
        ("\"seconds\": 1.5", "\"seconds\": 1.6"),
        ("\"peak_memory\": 1024", "\"peak_memory\": 1025"),
        ("model[1]", "model[2]"),
        ("runs/x", "runs/y"),
        ("\"size\": 5000", "\"size\": 5001"),
        ("\"format\": 2", "\"format\": 1"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&path, changed).unwrap();
        assert!(matches!(store.get(&r.key()), Err(Miss::Unreadable { .. })), "{from}");
        assert_eq!((store.record(&r.key()), store.recipe(&r.key())), (None, None), "{from}");
    }
    let found = verify(&store, true, &|_, _| {});
    assert!(matches!(&found.damage[..], [Damage::Manifest { .. }]), "{:?}", found.damage);
    assert!(verify(&store, false, &|_, _| {}).damage.is_empty(), "it was moved away");
    std::fs::write(&path, text).unwrap();
    assert!(store.get(&r.key()).is_ok());
}

#[test]
fn a_changed_answer_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let folder = store.answers().join("ab");
    std::fs::create_dir_all(&folder).unwrap();
    let old = r#"{"format":1,"answer":{"text":"[2] > [1]"}}"#;
    let new = xpipe_base::value::sealed::seal(old.replace("1,", "2,").as_bytes());
    std::fs::write(folder.join("1.json"), old).unwrap();
    std::fs::write(folder.join("2.json"), &new).unwrap();
    let found = verify(&store, false, &|_, _| {});
    assert_eq!((found.answers, found.without_checksum, found.damage.len()), (2, 1, 0));
    let changed = String::from_utf8(new).unwrap().replace("[2] > [1]", "[1] > [2]");
    std::fs::write(folder.join("2.json"), changed).unwrap();
    let found = verify(&store, true, &|_, _| {});
    assert!(matches!(&found.damage[..], [Damage::Answer { .. }]), "{:?}", found.damage);
    assert!(verify(&store, false, &|_, _| {}).damage.is_empty());
}

/// A manifest as format 1 was first written. Caches of users hold such files: this must stay readable, and its key
/// must stay what it is, as long as the format is 1.
#[test]
fn a_committed_manifest_of_format_1_is_read() {
    let bytes = include_bytes!("testdata/manifest-v1.json");
    let r = training();
    let m = Manifest::parse(bytes, &r.key()).unwrap();
    assert_eq!((m.op.as_str(), m.version, m.size()), ("train.cross_encoder", 3, 5005));
    assert_eq!(m.inputs[0].label, "samples[infonce, 1]");
    assert!(!m.has_checksum());
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(read_recipe(&json["recipe"]).unwrap().key(), r.key());
}

#[test]
fn the_first_of_two_publications_stands_and_other_content_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
    let r = recipe(1);
    let put = |store: &Store, text: &str, replace: bool| {
        let work = store.workspace(&r.key()).unwrap();
        fill(&work.out, text);
        store.publish(work, Publication { replace, seconds: text.len() as f64, ..publication(&r) }).unwrap()
    };
    let first = put(&a, "one", false);
    let same = put(&b, "one", false);
    assert_eq!((same.differs, &same.manifest), (false, &first.manifest));
    let other = put(&b, "another", false);
    assert_eq!((other.differs, &other.manifest), (true, &first.manifest));
    assert_eq!(a.lookup(&r.key()).unwrap(), first.manifest);
    let replaced = put(&b, "another", true);
    assert!(!replaced.differs && replaced.manifest.digest != first.manifest.digest);
    assert_eq!(a.lookup(&r.key()).unwrap(), replaced.manifest);
    // The content may be another than that of the files: an index whose files have random names.
    let work = b.workspace(&r.key()).unwrap();
    fill(&work.out, "yet another");
    let logical = Publication { digest: Some(replaced.manifest.digest), ..publication(&r) };
    let equal = b.publish(work, logical).unwrap();
    assert_eq!((equal.differs, equal.manifest.tree), (false, replaced.manifest.tree));
    // A damaged result does not stand.
    tamper(&a.blob(&replaced.manifest.outputs[0].digest), b"x");
    let mended = put(&a, "one", false);
    assert_eq!((mended.differs, mended.manifest.digest), (false, first.manifest.digest));
    assert_eq!(b.lookup(&r.key()).unwrap(), mended.manifest);
    let left = std::fs::read_dir(a.manifest_path(&r.key()).parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "temporary files are left beside the manifest");
}

#[test]
fn a_blob_that_others_link_while_it_is_read_is_not_damaged() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = tempfile::tempdir().unwrap();
    let r = recipe(1);
    let m = {
        let store = Store::open(dir.path()).unwrap();
        let work = store.workspace(&r.key()).unwrap();
        std::fs::write(work.out.join("large"), vec![7; 24 << 20]).unwrap();
        store.publish(work, publication(&r)).unwrap().manifest
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let store = Store::reading(dir.path()).unwrap();
            let (blob, link) = (store.blob(&m.outputs[0].digest), dir.path().join("link"));
            while !over.load(Ordering::Relaxed) {
                std::fs::hard_link(&blob, &link).unwrap();
                std::fs::remove_file(&link).unwrap();
            }
        });
        for _ in 0..5 {
            let store = Store::open(dir.path()).unwrap().verify_always(true);
            let checked = store.check(&m);
            if !matches!(checked, Ok(Ok(()))) {
                over.store(true, Ordering::Relaxed);
                panic!("{checked:?}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let store = Store::open(dir.path()).unwrap();
    assert!(verify(&store, false, &|_, _| {}).damage.is_empty());
}
