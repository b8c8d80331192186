//! Nothing goes that cannot be read, changed since the search, or is needed by now.

use super::*;

/// A link to itself: it is there, and cannot be read, whoever asks.
fn make_unreadable(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
    let _ = std::fs::remove_file(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

/// A path in a store with a result and the folder of a run.
type Place = fn(&Store, &Manifest, &Path) -> PathBuf;

#[test]
fn what_cannot_be_read_is_an_error_and_nothing_goes() {
    let at: [(&str, Place); 9] = [
        ("a manifest", |store, m, _| store.manifest_path(&m.key)),
        ("the manifests", |store, _, _| store.dir().join("actions")),
        ("a record", |store, m, _| store.record_path(&m.key)),
        ("the runs", |store, _, _| store.dir().join("runs")),
        ("the events of a run", |_, _, run| run.join("events.jsonl")),
        ("the limit of a run", |_, _, run| run.join("keep.json")),
        ("the histories", |store, _, _| store.dir().join("studies")),
        ("a history", |store, _, _| store.dir().join("studies/s.xpipe-1")),
        ("a claim", |store, _, _| store.dir().join("claims/x.1")),
    ];
    for (what, place) in at {
        let bench = Bench::new();
        let result = bench.result(1, "x", &[]);
        let run = bench.run(1, &[&result], None);
        let all = request(Duration::ZERO);
        let garbage = find_garbage(&bench.store, &all).unwrap();
        assert_eq!(garbage.results.len(), 1);
        make_unreadable(&place(&bench.store, &result, &run));
        let error = find_garbage(&bench.store, &all).expect_err(what).to_string();
        assert!(error.contains("reading") || error.contains("read"), "{what}: {error}");
        assert!(remove_garbage(&bench.store, &garbage).is_err(), "{what}");
        assert!(bench.store.blob(&result.outputs[0].digest).exists(), "{what}");
    }
}

#[test]
fn strange_files_are_passed_over_and_links_are_not_followed() {
    let bench = Bench::new();
    let result = bench.result(1, "x", &[]);
    bench.run(1, &[&result], None);
    let v1 = bench.store.dir();
    std::fs::write(v1.join("runs/.DS_Store"), "x").unwrap();
    std::fs::create_dir(v1.join("studies/folder")).unwrap();
    let scratch = v1.join("scratch").join("0".repeat(64));
    std::fs::create_dir_all(&scratch).unwrap();
    for name in ["a", "b", "c"] {
        std::os::unix::fs::symlink(".", scratch.join(name)).unwrap();
    }
    let begun = std::time::Instant::now();
    let garbage = find_garbage(&bench.store, &request(Duration::ZERO)).unwrap();
    assert_eq!(garbage.results.len(), 1);
    assert!(census::changed(&scratch).is_some());
    assert!(begun.elapsed() < Duration::from_secs(20));
    std::fs::create_dir_all(v1.join("claims")).unwrap();
    std::fs::write(v1.join("claims/x.1"), "{\"run\":").unwrap();
    let error = find_garbage(&bench.store, &request(Duration::ZERO)).unwrap_err().to_string();
    assert!(error.contains("claims/x.1") && error.contains("remove it if no job"), "{error}");
}

#[test]
fn whether_processes_live_is_not_guessed() {
    let bench = Bench::new();
    assert!(!bench.store.has_live_processes().unwrap());
    let other = Store::open(bench.store.root()).unwrap();
    other.session_folder().unwrap();
    assert!(bench.store.has_live_processes().unwrap());
    drop(other);
    assert!(!bench.store.has_live_processes().unwrap());
    make_unreadable(&bench.store.dir().join("tmp"));
    let error = bench.store.has_live_processes().unwrap_err().to_string();
    assert!(error.contains("reading") && error.contains("tmp"), "{error}");
}

#[test]
fn what_changed_or_is_needed_since_the_search_stays() {
    let bench = Bench::new();
    let partial = bench.store.dir().join("downloads/parts/x.part");
    let damaged = bench.store.dir().join("damaged/x.1-1");
    for file in [&partial, &damaged] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "1234").unwrap();
        age(file, 90);
    }
    let (written, claimed, idle) =
        (bench.run(90, &[], None), bench.run(90, &[], None), bench.run(90, &[], None));
    let study = bench.dir.path().join("s.xpipe");
    bench.history(&study, &[]);
    std::fs::remove_file(&study).unwrap();
    let all = GcRequest { forget_gone: true, ..request(30 * DAY) };
    let garbage = find_garbage(&bench.store, &all).unwrap();
    assert_eq!(garbage.files.len(), 6);
    std::thread::sleep(Duration::from_millis(30));
    std::fs::write(&partial, "12345").unwrap();
    std::fs::write(written.join("events.jsonl"), "more").unwrap();
    bench.history(&study, &[&bench.result(1, "x", &[])]);
    let name = claimed.file_name().unwrap().to_str().unwrap();
    let claims = bench.store.dir().join("claims");
    std::fs::create_dir_all(&claims).unwrap();
    std::fs::write(claims.join("k.1"), format!("{{\"run\":\"{name}\"}}")).unwrap();
    let removed = remove_garbage(&bench.store, &garbage).unwrap();
    assert_eq!((removed.files, removed.in_use), (2, 4));
    assert!(partial.exists() && written.exists() && claimed.exists() && !idle.exists() && !damaged.exists());
    assert_eq!(bench.store.histories().unwrap().len(), 1);
}

#[test]
fn a_download_that_a_new_result_reads_stays() {
    let bench = Bench::new();
    let digest = Checksum::parse(&format!("sha256:{}", Digest::of(b"file").hex())).unwrap();
    let download = bench.store.download("http://a/file", &digest);
    let whole = bench.dir.path().join("file");
    std::fs::write(&whole, "file").unwrap();
    bench.store.keep_download(&whole, &download, None, Digest::of(b"file"), "here").unwrap();
    let garbage = find_garbage(&bench.store, &request(Duration::ZERO)).unwrap();
    assert_eq!(garbage.files.len(), 1);
    let recipe = recipe(1);
    let work = bench.store.workspace(&recipe.key()).unwrap();
    let note = InputNote {
        path: "file".into(),
        label: "http://a/file".into(),
        digest: crate::cache::downloads::Download::identity(&digest, None),
        key: None,
    };
    bench.store.publish(work, Publication { inputs: vec![note], ..publication(&recipe) }).unwrap();
    let removed = remove_garbage(&bench.store, &garbage).unwrap();
    assert_eq!((removed.files, removed.in_use), (0, 1));
    assert!(download.path(None).exists());
}

#[test]
fn a_download_whose_records_cannot_be_read_or_used_stays() {
    let bench = Bench::new();
    let digest = Checksum::parse(&format!("sha256:{}", Digest::of(b"file").hex())).unwrap();
    let download = bench.store.download("http://a/file", &digest);
    let keep = |member: Option<&str>| {
        let whole = bench.dir.path().join("file");
        std::fs::write(&whole, "file").unwrap();
        bench.store.keep_download(&whole, &download, member, Digest::of(b"file"), "here").unwrap();
        download.path(member).with_file_name("record.json")
    };
    keep(None);
    let member = keep(Some("part.tsv"));
    let all = request(Duration::ZERO);
    assert_eq!(find_garbage(&bench.store, &all).unwrap().files.len(), 1);
    std::fs::write(&member, "{}").unwrap();
    assert_eq!(
        find_garbage(&bench.store, &all).unwrap().files.len(),
        0,
        "what the member is for is not known"
    );
    make_unreadable(&member);
    assert_eq!(find_garbage(&bench.store, &all).unwrap().files.len(), 0, "nor is it here");
    make_unreadable(&bench.store.dir().join("downloads"));
    assert!(find_garbage(&bench.store, &all).is_err());
}
