//! What goes and what stays, over small stores.

mod care;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::tests::{publication, recipe};
use super::super::{Damage, History, InputNote, Manifest, Miss, Pin, Publication, verify};
use super::*;
use crate::cache::Store;
use xpipe_base::value::Checksum;

const DAY: Duration = Duration::from_secs(86_400);

fn request(older: Duration) -> GcRequest {
    GcRequest { older, max_size: None, forget_gone: false, answers: false, pinned_downloads: BTreeSet::new() }
}

/// A small store, with a process that has it open.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    /// A result with one file, made from others.
    fn result(&self, seed: i64, text: &str, from: &[&Manifest]) -> Manifest {
        let recipe = recipe(seed);
        let work = self.store.workspace(&recipe.key()).unwrap();
        std::fs::write(work.out.join("data.txt"), text).unwrap();
        let inputs = from.iter().map(|m| InputNote {
            path: "data".into(),
            label: m.address.clone(),
            digest: m.digest,
            key: Some(m.key),
        });
        let address = format!("model[{seed}]");
        let what = Publication { inputs: inputs.collect(), address: &address, ..publication(&recipe) };
        self.store.publish(work, what).unwrap().manifest
    }

    fn history(&self, study: &Path, results: &[&Manifest]) {
        self.used_by(study, results, false);
    }

    /// Records results in the history of a study; `limited` for a run with `--keep-days`.
    fn used_by(&self, study: &Path, results: &[&Manifest], limited: bool) {
        std::fs::write(study, "edition 2026\n").unwrap();
        let mut history: History = self.store.history(&study.display().to_string());
        results.iter().for_each(|m| history.record(&m.address, m.key, limited));
        history.save().unwrap();
    }

    /// A run that used results so many days ago.
    fn run(&self, days: u32, results: &[&Manifest], keep: Option<u32>) -> PathBuf {
        let run = self.store.new_run().unwrap();
        let mut lines =
            "{\"at\":0.0,\"what\":{\"event\":\"run_started\",\"study\":\"/s.xpipe\"}}\n".to_owned();
        for m in results {
            lines.push_str(&format!(
                "{{\"at\":0.1,\"what\":{{\"event\":\"cached\",\"key\":\"{}\"}}}}\n",
                m.key.hex()
            ));
        }
        let events = run.path.join("events.jsonl");
        std::fs::write(&events, lines).unwrap();
        if let Some(days) = keep {
            keep_days(&run.path, days).unwrap();
        }
        age(&events, days);
        run.path
    }

    /// The addresses of results that go, and the number of other files.
    fn finds(&self, request: &GcRequest) -> (Vec<String>, usize) {
        let garbage = find_garbage(&self.store, request).unwrap();
        (garbage.results.into_iter().map(|r| r.address).collect(), garbage.files.len())
    }

    fn sweep(&self, request: &GcRequest) -> Removed {
        let garbage = find_garbage(&self.store, request).unwrap();
        let removed = remove_garbage(&self.store, &garbage).unwrap();
        let verified = verify(&self.store, false, &|_, _| {});
        assert_eq!(verified.damage, []);
        let temporary = std::fs::read_dir(self.store.session_folder().unwrap()).unwrap().count();
        assert_eq!(temporary, 0);
        removed
    }
}

/// Makes a file appear to have been written so many days ago.
fn age(path: &Path, days: u32) {
    let file = std::fs::File::options().read(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - DAY * days).unwrap();
}

fn names(seeds: &[i64]) -> Vec<String> {
    seeds.iter().map(|seed| format!("model[{seed}]")).collect()
}

#[test]
fn what_a_study_a_pin_or_a_run_needs_stays_and_the_rest_goes() {
    let bench = Bench::new();
    let base = bench.result(1, "base", &[]);
    let latest = bench.result(2, "latest", &[&base]);
    let earlier = bench.result(3, "base", &[]);
    let pinned = bench.result(5, "pinned", &[&bench.result(4, "below the pinned", &[])]);
    let ran = bench.result(6, "used by a run", &[]);
    let last = bench.result(7, "earlier still", &[&earlier]);
    bench.history(&bench.dir.path().join("s.xpipe"), &[&latest]);
    bench.store.pin(&Pin::new("model[5]", vec![pinned.key], None)).unwrap();
    let run = bench.run(2, &[&ran], None);
    assert_eq!(bench.finds(&request(30 * DAY)), (vec![], 0), "everything is young");
    assert_eq!(bench.finds(&request(Duration::ZERO)), (names(&[3, 6, 7]), 1), "the run is older than that");
    // A run that is kept keeps its results.
    [&ran, &earlier, &last].iter().for_each(|m| age(&bench.store.manifest_path(&m.key), 5));
    assert_eq!(bench.finds(&request(3 * DAY)), (names(&[3, 7]), 0));
    let removed = bench.sweep(&request(3 * DAY));
    let freed = "earlier still".len() as u64;
    assert_eq!(removed, Removed { results: 2, files: 0, bytes: freed, in_use: 0 }, "`base` is a shared file");
    assert_eq!(bench.store.get(&last.key), Err(Miss::Absent));
    assert!(!bench.store.tree_path(&last).exists() && run.exists());
    assert_eq!(
        std::fs::read_to_string(bench.store.tree(&base).unwrap().unwrap().join("data.txt")).unwrap(),
        "base"
    );
    bench.store.unpin("model[5]").unwrap();
    assert_eq!(bench.sweep(&request(Duration::ZERO)).results, 3);
    assert!(bench.store.get(&latest.key).is_ok() && !run.exists());
}

#[test]
fn results_of_runs_with_a_limit_go_when_it_is_over_unless_another_run_has_none() {
    let bench = Bench::new();
    let (only, shared, open) =
        (bench.result(1, "only", &[]), bench.result(2, "shared", &[]), bench.result(3, "open", &[]));
    let study = bench.dir.path().join("s.xpipe");
    bench.history(&study, &[&shared]);
    bench.used_by(&study, &[&only, &shared, &open], true);
    let limited = bench.run(8, &[&only, &shared], Some(7));
    let unlimited = bench.run(90, &[&shared], None);
    bench.run(3, &[&open, &shared], Some(7));
    let (results, files) = bench.finds(&request(30 * DAY));
    assert_eq!((results, files), (names(&[1]), 2), "although they are the latest of a study, and young");
    bench.sweep(&request(30 * DAY));
    // The history says that what the old run shares with the limited one has no limit.
    assert!(!limited.exists() && !unlimited.exists());
    assert!(bench.store.get(&only.key).is_err() && bench.store.get(&shared.key).is_ok());
    let limit = bench.run(0, &[], None).with_file_name("x");
    std::fs::create_dir(&limit).unwrap();
    std::fs::write(limit.join("keep.json"), "damaged").unwrap();
    assert_eq!(bench.finds(&request(30 * DAY)).0, names(&[]), "a limit that cannot be read is none");
}

#[test]
fn a_run_whose_jobs_may_wait_in_a_queue_stays_without_a_living_process() {
    let bench = Bench::new();
    let result = bench.result(1, "read by a job", &[]);
    age(&bench.store.manifest_path(&result.key), 90);
    let run = bench.run(90, &[&result], None);
    let claim = bench.store.dir().join("claims").join(format!("{}.1", recipe(2).key().hex()));
    std::fs::create_dir_all(claim.parent().unwrap()).unwrap();
    let name = run.file_name().unwrap().to_str().unwrap();
    std::fs::write(&claim, format!("{{\"run\":\"{name}\",\"name\":\"x\",\"task\":0,\"attempt\":1}}"))
        .unwrap();
    assert_eq!(bench.finds(&request(30 * DAY)), (names(&[]), 0));
    std::fs::remove_file(claim).unwrap();
    assert_eq!(bench.finds(&request(30 * DAY)), (names(&[1]), 1));
}

#[test]
fn what_a_living_process_made_or_uses_stays() {
    let bench = Bench::new();
    let (idle, used, of_study) =
        (bench.result(1, "idle", &[]), bench.result(2, "used", &[]), bench.result(3, "of its study", &[]));
    [&idle, &used, &of_study].iter().for_each(|m| age(&bench.store.manifest_path(&m.key), 9));
    std::thread::sleep(Duration::from_millis(30));
    let other = Store::open(bench.dir.path()).unwrap();
    bench.result(4, "made meanwhile", &[]);
    bench.run(0, &[&used], None);
    // What only a study uses that is gone, but is running.
    let gone = bench.dir.path().join("s.xpipe");
    bench.history(&gone, &[&of_study]);
    std::fs::remove_file(&gone).unwrap();
    let events = bench.run(0, &[], None).join("events.jsonl");
    let line =
        format!("{{\"at\":0.0,\"what\":{{\"event\":\"run_started\",\"study\":\"{}\"}}}}\n", gone.display());
    std::fs::write(&events, line).unwrap();
    let all = GcRequest { max_size: Some(1), forget_gone: true, ..request(Duration::ZERO) };
    let garbage = find_garbage(&bench.store, &all).unwrap();
    assert_eq!(garbage.results.len(), 1, "{garbage:?}");
    assert_eq!(garbage.results[0].address, "model[1]");
    assert!(garbage.above > 0);
    // In use since the search.
    let late = bench.run(0, &[&idle], None);
    let removed = remove_garbage(&bench.store, &garbage).unwrap();
    assert_eq!((removed.results, removed.in_use), (0, 1));
    std::fs::remove_dir_all(late).unwrap();
    assert_eq!(bench.sweep(&all).results, 1);
    drop(other);
    assert_eq!(bench.finds(&all).0, names(&[2, 3, 4]));
}

#[test]
fn a_file_that_is_linked_again_after_the_search_stays() {
    let bench = Bench::new();
    bench.result(1, "same", &[]);
    let garbage = find_garbage(&bench.store, &request(Duration::ZERO)).unwrap();
    assert_eq!(garbage.results.len(), 1);
    // Another result with the same file is published by this process, which counts as no other.
    let again = bench.result(2, "same", &[]);
    let removed = remove_garbage(&bench.store, &garbage).unwrap();
    assert_eq!((removed.results, removed.bytes), (1, 0));
    assert!(bench.store.tree(&again).unwrap().is_ok());
}

#[test]
fn a_maximum_size_takes_what_was_not_used_for_longest_and_never_pins() {
    let bench = Bench::new();
    let text = "x".repeat(100_000);
    let all: Vec<Manifest> = (0..4).map(|i| bench.result(i, &format!("{text}{i}"), &[])).collect();
    bench.history(&bench.dir.path().join("s.xpipe"), &all.iter().collect::<Vec<_>>());
    (0..4).for_each(|i| age(&bench.store.manifest_path(&all[i].key), 10 + i as u32));
    bench.store.pin(&Pin::new("p", vec![all[3].key], None)).unwrap();
    bench.run(1, &[&all[2]], None);
    let limit = |bytes| GcRequest { max_size: Some(bytes), ..request(30 * DAY) };
    assert_eq!(bench.finds(&limit(1 << 30)).0, names(&[]));
    assert_eq!(bench.finds(&limit(350_000)).0, names(&[1]), "the oldest that is not pinned");
    assert_eq!(bench.finds(&limit(250_000)).0, names(&[0, 1]));
    let garbage = find_garbage(&bench.store, &limit(50_000)).unwrap();
    assert_eq!(garbage.results.len(), 3);
    assert!(garbage.results.iter().all(|r| r.hold == Hold::Used), "{garbage:?}");
    assert!((50_000..60_000).contains(&garbage.above), "{}", garbage.above);
    assert_eq!(bench.sweep(&limit(50_000)).results, 3);
    assert!(bench.store.get(&all[3].key).is_ok());
}

#[test]
fn leftovers_go_by_age_and_answers_only_on_request() {
    let bench = Bench::new();
    let v1 = bench.store.dir().to_owned();
    let (done, open) = (bench.result(1, "done", &[]), recipe(2).key());
    let file = |path: PathBuf| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "1234").unwrap();
        age(&path, 9);
        path
    };
    let of_done = file(v1.join("scratch").join(done.key.hex()).join("checkpoint"));
    let of_open = file(v1.join("scratch").join(open.hex()).join("checkpoint"));
    let others = [
        file(v1.join("damaged/x.1-1")),
        file(v1.join("answers/ab/cd.json")),
        file(v1.join("downloads/parts/x.part")),
        file(v1.join("uploads/ab/cd.json")),
    ];
    bench.history(&bench.dir.path().join("s.xpipe"), &[&done]);
    assert_eq!(bench.finds(&request(30 * DAY)), (vec![], 1), "checkpoints of what has a result");
    assert_eq!(bench.finds(&request(3 * DAY)), (vec![], 5));
    // An orphan, and a file of a manifest that cannot be read, which is kept.
    let blob = bench.store.blob(&Digest::of(b"nobody's"));
    file(blob.clone());
    let doubtful = bench.result(3, "doubtful", &[]);
    let manifest = bench.store.manifest_path(&doubtful.key);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"seconds\": 1.5", "\"seconds\": 2.5")).unwrap();
    let all = GcRequest { answers: true, ..request(Duration::ZERO) };
    bench.store.quarantine_file(&bench.dir.path().join("none"), "none");
    let garbage = find_garbage(&bench.store, &all).unwrap();
    remove_garbage(&bench.store, &garbage).unwrap();
    assert!(!of_done.exists() && !of_open.exists() && !others.iter().any(|p| p.exists()) && !blob.exists());
    assert!(bench.store.blob(&doubtful.outputs[0].digest).exists());
}

#[test]
fn studies_that_are_gone_keep_their_results_unless_they_are_to_be_forgotten() {
    let bench = Bench::new();
    let result = bench.result(1, "x", &[]);
    let study = bench.dir.path().join("s.xpipe");
    bench.history(&study, &[&result]);
    std::fs::remove_file(&study).unwrap();
    assert_eq!(bench.finds(&request(Duration::ZERO)), (vec![], 0));
    let forget = GcRequest { forget_gone: true, ..request(Duration::ZERO) };
    assert_eq!(bench.sweep(&forget).results, 1);
    assert!(bench.store.histories().unwrap().is_empty());
}

#[test]
fn downloads_stay_while_a_result_or_a_lock_file_needs_them() {
    let bench = Bench::new();
    let keep = |name: &str| {
        let digest = Checksum::parse(&format!("sha256:{}", Digest::of(name.as_bytes()).hex())).unwrap();
        let download = bench.store.download(&format!("http://a/{name}"), &digest);
        let whole = bench.dir.path().join(name);
        std::fs::write(&whole, name).unwrap();
        bench.store.keep_download(&whole, &download, None, Digest::of(name.as_bytes()), "here").unwrap();
        (download, digest)
    };
    let ((read, digest), (pinned, pin), (unused, _)) = (keep("read"), keep("pinned"), keep("unused"));
    let recipe = recipe(1);
    let work = bench.store.workspace(&recipe.key()).unwrap();
    let note = InputNote {
        path: "file".into(),
        label: "http://a/read".into(),
        digest: super::super::downloads::Download::identity(&digest, None),
        key: None,
    };
    let what = Publication { inputs: vec![note], ..publication(&recipe) };
    let result = bench.store.publish(work, what).unwrap().manifest;
    bench.history(&bench.dir.path().join("s.xpipe"), &[&result]);
    let mut request = request(Duration::ZERO);
    request.pinned_downloads.insert(pin.to_string());
    let removed = bench.sweep(&request);
    assert_eq!((removed.results, removed.files), (0, 1));
    let there = [&read, &pinned, &unused].map(|d| d.path(None).exists());
    assert_eq!(there, [true, true, false]);
    // Whatever no result reads any more goes with the result.
    request.forget_gone = true;
    std::fs::remove_file(bench.dir.path().join("s.xpipe")).unwrap();
    bench.sweep(&request);
    assert!(!read.path(None).exists() && pinned.path(None).exists());
}

#[test]
fn results_of_a_newer_version_are_left_alone() {
    let bench = Bench::new();
    let result = bench.result(1, "x", &[]);
    let manifest = bench.store.manifest_path(&result.key);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"format\": 2", "\"format\": 9")).unwrap();
    let error = find_garbage(&bench.store, &request(Duration::ZERO)).unwrap_err().to_string();
    assert!(error.contains("layout version 9"), "{error}");
}

#[test]
fn a_run_with_a_limit_does_not_take_results_of_an_earlier_run_without_one() {
    let bench = Bench::new();
    let study = bench.dir.path().join("s.xpipe");
    let both = bench.result(1, "both", &[]);
    age(&bench.store.manifest_path(&both.key), 90);
    bench.used_by(&study, &[&both], false);
    let first = bench.run(90, &[&both], None);
    bench.sweep(&request(30 * DAY));
    assert!(!first.exists());
    // A run with a limit finds one result and makes another; then its days are over.
    let second = bench.result(2, "second", &[]);
    age(&bench.store.manifest_path(&second.key), 90);
    bench.used_by(&study, &[&both, &second], true);
    bench.run(8, &[&both, &second], Some(7));
    assert_eq!(bench.sweep(&request(30 * DAY)).results, 1);
    assert!(bench.store.get(&both.key).is_ok() && bench.store.get(&second.key).is_err());
    // A run without a limit lifts the limit of what it finds, also when its folder is gone.
    let third = bench.result(3, "third", &[]);
    age(&bench.store.manifest_path(&third.key), 90);
    bench.used_by(&study, &[&third], true);
    bench.used_by(&study, &[&third], false);
    bench.run(8, &[&third], Some(7));
    assert_eq!(bench.sweep(&request(30 * DAY)).results, 0);
    assert!(bench.store.get(&third.key).is_ok());
}

#[test]
fn a_record_without_files_is_held_like_a_result_goes_like_one_and_is_verified() {
    let bench = Bench::new();
    let (base, top) = (bench.result(1, "base", &[]), bench.result(2, "top", &[]));
    let top = bench.result(3, "above", &[&base, &top]);
    [&base, &top].iter().for_each(|m| age(&bench.store.manifest_path(&m.key), 90));
    // The result came without its files: its manifest stands among the records.
    let text = std::fs::read_to_string(bench.store.manifest_path(&top.key)).unwrap();
    bench.store.add_record(&top.key, &text).unwrap();
    std::fs::remove_file(bench.store.manifest_path(&top.key)).unwrap();
    std::fs::remove_file(bench.store.blob(&top.outputs[0].digest)).unwrap();
    std::fs::remove_dir_all(bench.store.tree_path(&top)).unwrap();
    let record = bench.store.record_path(&top.key);
    age(&record, 90);
    let study = bench.dir.path().join("s.xpipe");
    bench.history(&study, &[&top]);
    assert_eq!(bench.sweep(&request(30 * DAY)).results, 0, "the record holds what it was made from");
    let verified = verify(&bench.store, false, &|_, _| {});
    assert_eq!((verified.manifests, verified.damage.len()), (3, 0));
    std::fs::write(&record, text.replace("\"seconds\": 1.5", "\"seconds\": 2.5")).unwrap();
    let damage = verify(&bench.store, false, &|_, _| {}).damage;
    assert!(matches!(damage.as_slice(), [Damage::Manifest { key, .. }] if *key == top.key), "{damage:?}");
    std::fs::write(&record, &text).unwrap();
    // Nothing needs it any more.
    std::fs::remove_file(&study).unwrap();
    let forget = GcRequest { forget_gone: true, ..request(Duration::ZERO) };
    assert_eq!(bench.sweep(&forget).results, 3);
    assert!(!record.exists());
}
