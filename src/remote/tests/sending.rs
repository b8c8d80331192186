//! Sending and taking.

use object_store::RetryConfig;

use super::*;
use xpipe_engine::cache::verify;

#[test]
fn what_one_machine_sends_another_takes() {
    let (lab, a, b) = (Lab::new(), Machine::new(), Machine::new());
    let keys = [a.make(1, "hello"), a.make(2, "world")];
    let anna = lab.anna();
    let outcome = anna.send(&a, &keys);
    // The file of zeros is in both and goes once.
    assert_eq!((outcome.sent, outcome.sent_bytes, outcome.unsent), (2, 5010, 0), "{}", anna.told());
    assert_eq!(anna.told(), "");
    let reader = lab.reader();
    let found = reader.remote.find(&keys[0]).unwrap();
    assert_eq!(found.values["ap"], 0.25);
    assert!(b.store.lookup(&keys[0]).is_none(), "finding takes nothing");
    let taken = reader.bring(&b, &keys[0]).unwrap();
    assert_eq!((b.text(&keys[0]), taken.study.as_str()), ("hello".to_owned(), "study.xpipe"));
    let origin = taken.origin.unwrap();
    assert!(origin.starts_with("remote cache `lab`, signed by ed25519:"), "{origin}");
    assert!(verify(&b.store, false, &|_, _| {}).damage.is_empty());
    reader.bring(&b, &keys[1]).unwrap();
    let outcome = reader.remote.outcome();
    // The zeros were here already the second time.
    assert_eq!((outcome.taken, outcome.taken_bytes, outcome.refused), (2, 5010, 0));
    assert_eq!(reader.remote.find(&Digest::of(b"none")), None);
    assert_eq!(reader.told(), "");
}

#[test]
fn what_is_there_is_not_sent_again() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    lab.anna().send(&a, &[key]);
    let record = lab.record(&key);
    let outcome = lab.anna().send(&a, &[key, key]);
    assert_eq!((outcome.sent, outcome.sent_bytes, outcome.known), (0, 0, 2));
    assert_eq!(lab.record(&key), record);
}

#[test]
fn results_of_other_caches_are_not_signed_again() {
    let (lab, key) = Lab::with_result();
    let b = Machine::new();
    let (file, _) = new_key();
    let bert = lab.open("lab", Some(&file), &[lab.anna_public]);
    bert.bring(&b, &key).unwrap();
    let other = lab.open("other", Some(&file), &[]);
    let outcome = other.send(&b, &[key]);
    assert_eq!((outcome.sent, outcome.not_made_here), (0, 1));
}

#[test]
fn the_first_of_two_different_results_stays_and_it_is_told() {
    let (lab, key) = Lab::with_result();
    let (b, c) = (Machine::new(), Machine::new());
    assert_eq!(b.make(1, "another"), key);
    let anna = lab.anna();
    let outcome = anna.send(&b, &[key]);
    assert_eq!((outcome.sent, outcome.differing, outcome.unsent), (0, 1, 0));
    assert!(anna.told().contains("model[1] has another result there"), "{}", anna.told());
    lab.reader().bring(&c, &key).unwrap();
    assert_eq!((c.text(&key), b.text(&key)), ("hello".to_owned(), "another".to_owned()));
}

#[test]
fn a_damaged_blob_is_replaced_by_who_makes_the_result_again() {
    let (lab, key) = Lab::with_result();
    let (b, c) = (Machine::new(), Machine::new());
    lab.write(&layout::blob(&Digest::of(b"hello")), "hallo");
    let anna = lab.anna();
    assert!(anna.bring(&b, &key).is_none(), "a miss");
    b.make(1, "hello");
    let outcome = anna.send(&b, &[key]);
    assert_eq!((outcome.sent, outcome.sent_bytes, outcome.refused), (1, 5, 1), "{}", anna.told());
    assert!(lab.reader().bring(&c, &key).is_some());
}

#[test]
fn a_store_that_does_not_answer_is_given_up_and_told() {
    let settings =
        serde_json::json!({"url": "http://127.0.0.1:9/x", "namespace": "lab", "mode": "readwrite"});
    let settings: RemoteSettings = serde_json::from_value(settings).unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = told.clone();
    let tell: Tell = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
    let key = SigningKey::generate().unwrap();
    // Without more attempts, which would take half a minute each.
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let objects = connect::connect_with(&settings, Credentials::default(), once).unwrap();
    let trust = Trust { keys: [key.public()].into(), not_before: None };
    let remote = Remote::with("lab", settings, objects, trust, Some(key), tell);
    let a = Machine::new();
    for n in 0..5u8 {
        assert_eq!(remote.bring(&Digest::of(&[n]), &a.store, &|| false), None);
    }
    let made = a.make(1, "hello");
    remote.send_all(&[made], &a.store, &|| false);
    let outcome = remote.outcome();
    assert_eq!((outcome.failed, outcome.unsent, outcome.given_up), (3, 1, true));
    let told = told.lock().unwrap().join("\n");
    assert!(told.contains("reading v1/actions/lab/") && told.contains("not asked for 2 minutes"), "{told}");
}

#[test]
fn sending_stops_when_asked() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    let anna = lab.anna();
    anna.remote.send_all(&[key], &a.store, &|| true);
    assert_eq!((anna.remote.outcome().unsent, anna.remote.outcome().sent), (1, 0));
    assert!(lab.objects().size(&Lab::record_path(&key)).unwrap().is_none());
}

#[test]
fn what_is_damaged_here_is_not_sent() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    let manifest = a.store.lookup(&key).unwrap();
    let file = a.store.tree_path(&manifest).join("a.txt");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    std::fs::write(&file, "hallo").unwrap();
    let anna = lab.anna();
    assert_eq!(anna.send(&a, &[key]).unsent, 1);
    assert!(anna.told().contains("`a.txt` of the result in this cache is damaged"), "{}", anna.told());
    assert!(lab.objects().size(&Lab::record_path(&key)).unwrap().is_none());
}

#[test]
fn conditions_are_tried() {
    assert!(probe::honours_conditions(&Lab::new().objects()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let settings = serde_json::json!({"url": url, "namespace": "lab", "mode": "readwrite"});
    let folder =
        connect::connect(&serde_json::from_value(settings).unwrap(), Credentials::default()).unwrap();
    assert!(probe::honours_conditions(&folder).unwrap());
}

#[test]
fn a_remote_cache_without_trust_is_refused() {
    let settings = |mode: &str| -> RemoteSettings {
        serde_json::from_value(serde_json::json!({"url": "s3://bucket", "namespace": "lab", "mode": mode}))
            .unwrap()
    };
    let tell: Tell = Arc::new(|_: &str| ());
    let nobody = Remote::open("lab", settings("read"), None, [], tell.clone()).unwrap_err();
    assert!(nobody.to_string().contains("no key is trusted"), "{nobody}");
    let keyless = Remote::open("lab", settings("readwrite"), None, [], tell).unwrap_err();
    assert!(keyless.to_string().contains("no key to sign"), "{keyless}");
}
