//! What somebody may do who can write to the object store. Each is a miss that is told, and nothing of it is served.

use super::*;
use crate::keys::to_hex;
use xpipe_base::value::sealed;

/// Nothing of the key is taken, the reader is told why, and the machine's own result is not touched by it.
#[track_caller]
fn refused(opened: &Opened, key: &Digest, why: &str) {
    let machine = Machine::new();
    assert_eq!(opened.bring(&machine, key), None);
    assert!(opened.told().contains(why), "no `{why}` in `{}`", opened.told());
    assert_eq!(opened.remote.outcome().refused, 1);
    assert!(machine.store.lookup(key).is_none());
    let left = std::fs::read_dir(machine.store.dir().join("trees")).unwrap().count();
    assert_eq!(left, 0, "no part of it is kept");
    machine.make(1, "hello");
    assert_eq!(machine.text(key), "hello", "it is computed here");
}

/// A record of Anna's or another's key over any text, as only the owner of that key could make.
fn signed(key: &[u8], namespace: &str, of: &Digest, manifest: &str) -> serde_json::Value {
    let (key, time) = (read_key(key), "2026-11-30T12:00:00Z");
    serde_json::json!({
        "format": 1, "namespace": namespace, "key": of.hex(), "signed": time, "signer": key.public().to_string(),
        "signature": key.sign(&record::message(namespace, of, time, manifest)), "manifest": manifest,
    })
}

/// The manifest of a record with some text replaced, and a checksum that fits again.
fn edited(lab: &Lab, key: &Digest, from: &str, to: &str) -> String {
    let text = lab.record(key)["manifest"].as_str().unwrap().to_owned();
    assert!(text.contains(from), "{text}");
    let open = text.replace(from, to).rsplit_once(",\n\"checksum\"").unwrap().0.to_owned();
    String::from_utf8(sealed::seal(format!("{open}}}").as_bytes())).unwrap()
}

#[test]
fn a_record_without_a_signature() {
    let (lab, key) = Lab::with_result();
    let mut record = lab.record(&key);
    record.as_object_mut().unwrap().remove("signature");
    lab.write_record(&key, &record);
    refused(&lab.reader(), &key, "it is not signed");
}

#[test]
fn a_record_of_a_newer_format() {
    let (lab, key) = Lab::with_result();
    let mut record = lab.record(&key);
    record["format"] = 2.into();
    lab.write_record(&key, &record);
    refused(&lab.reader(), &key, "has format 2, and this program reads format 1");
}

#[test]
fn a_record_signed_by_a_stranger() {
    let (lab, key) = Lab::with_result();
    let (stranger, public) = new_key();
    let text = edited(&lab, &key, "0.25", "0.99");
    lab.write_record(&key, &signed(&stranger, "lab", &key, &text));
    refused(&lab.reader(), &key, &format!("it is signed by {public}, which is not trusted"));
    // The same record is used by who trusts its signer: the signature is what is refused.
    assert!(lab.open("lab", None, &[public]).bring(&Machine::new(), &key).is_some());
}

#[test]
fn a_record_with_a_forged_signature() {
    let (lab, key) = Lab::with_result();
    let record = lab.record(&key);
    for (field, value) in [
        ("signature", to_hex(&[7; 64])),
        ("signature", to_hex(&[0; 64])),
        ("signed", "2026-11-30T00:00:00Z".to_owned()),
        ("manifest", edited(&lab, &key, "0.25", "0.99")),
    ] {
        let mut forged = record.clone();
        forged[field] = value.into();
        lab.write_record(&key, &forged);
        refused(&lab.reader(), &key, "does not have the signature");
    }
    for (field, value) in [("signature", "zz"), ("signer", "ed25519:12"), ("more", "x")] {
        let mut forged = record.clone();
        forged[field] = value.into();
        lab.write_record(&key, &forged);
        refused(&lab.reader(), &key, "it is damaged");
    }
}

#[test]
fn a_record_of_another_namespace() {
    let (lab, key) = Lab::with_result();
    let other = layout::record(&"other".to_owned().try_into().unwrap(), &key);
    lab.write(&other, serde_json::to_vec(&lab.record(&key)).unwrap());
    refused(&lab.open("other", None, &[lab.anna_public]), &key, "it belongs to namespace `lab`");
    // Renamed as well: the signature is over the name.
    let mut record = lab.record(&key);
    record["namespace"] = "other".into();
    lab.write(&other, serde_json::to_vec(&record).unwrap());
    refused(&lab.open("other", None, &[lab.anna_public]), &key, "does not have the signature");
}

#[test]
fn a_record_under_another_key() {
    let (lab, key) = Lab::with_result();
    let other = Machine::new().make(2, "x");
    let record = lab.record(&key);
    lab.write_record(&other, &record);
    let reader = lab.reader();
    assert_eq!(reader.bring(&Machine::new(), &other), None);
    assert!(reader.told().contains(&format!("it belongs to key {key}")), "{}", reader.told());
    let mut renamed = record.clone();
    renamed["key"] = other.hex().into();
    lab.write_record(&other, &renamed);
    let reader = lab.reader();
    assert_eq!(reader.bring(&Machine::new(), &other), None);
    assert!(reader.told().contains("does not have the signature"), "{}", reader.told());
    // Even signed by Anna: the recipe in the manifest has the other key.
    let text = record["manifest"].as_str().unwrap();
    lab.write_record(&other, &signed(&lab.anna, "lab", &other, text));
    let reader = lab.reader();
    assert_eq!(reader.bring(&Machine::new(), &other), None);
    assert!(reader.told().contains("it is wrong: it is the manifest of key"), "{}", reader.told());
}

#[test]
fn an_old_record() {
    let (lab, key) = Lab::with_result();
    let text = lab.record(&key)["manifest"].as_str().unwrap().to_owned();
    lab.write_record(&key, &signed(&lab.anna, "lab", &key, &text));
    let settings =
        |time: &str| serde_json::json!({"url": "file:///x", "namespace": "lab", "not_before": time});
    let after = lab.open_with(settings("2026-11-30T13:00:00Z"), None, &[lab.anna_public]);
    refused(&after, &key, "was signed 2026-11-30T12:00:00Z, and `not_before` is 2026-11-30T13:00:00Z");
    let before = lab.open_with(settings("2026-11-30T11:00:00Z"), None, &[lab.anna_public]);
    assert!(before.bring(&Machine::new(), &key).is_some());
}

#[test]
fn a_swapped_truncated_longer_or_missing_blob() {
    let (lab, key) = Lab::with_result();
    let blob = layout::blob(&Digest::of(b"hello"));
    for (bytes, why) in [
        ("hallo", "`a.txt` of the remote cache has other content than its digest"),
        ("hell", "`a.txt` of the remote cache is shorter than its record says"),
        ("", "`a.txt` of the remote cache is shorter than its record says"),
        ("hello!", "`a.txt` of the remote cache is larger than its record says"),
    ] {
        lab.write(&blob, bytes);
        refused(&lab.reader(), &key, why);
    }
    lab.objects().remove(&blob).unwrap();
    refused(&lab.reader(), &key, "`a.txt` of the remote cache is missing");
}

#[test]
fn file_names_that_lead_out_of_the_folder() {
    // Signed by Anna: even a trusted machine that was taken over writes nowhere else.
    for name in ["../a.txt", "/tmp/a.txt", "sub/../../a.txt", "sub//a.txt", "a\\u0000b", ""] {
        let (lab, key) = Lab::with_result();
        let text = edited(&lab, &key, "\"a.txt\"", &format!("\"{name}\""));
        lab.write_record(&key, &signed(&lab.anna, "lab", &key, &text));
        refused(&lab.reader(), &key, "it is wrong: ");
    }
}

#[test]
fn an_enormous_record() {
    let (lab, key) = Lab::with_result();
    lab.write(&Lab::record_path(&key), vec![b' '; record::LONGEST as usize + 1]);
    refused(&lab.reader(), &key, "has more than 25165824 bytes");
    // Deep nesting ends the reader, not the stack.
    lab.write(&Lab::record_path(&key), "[".repeat(1 << 20));
    refused(&lab.reader(), &key, "it is damaged");
}

#[test]
fn an_enormous_result() {
    let (lab, key) = Lab::with_result();
    let text = edited(&lab, &key, "\"size\": 5\n", &format!("\"size\": {}\n", u64::MAX));
    lab.write_record(&key, &signed(&lab.anna, "lab", &key, &text));
    refused(&lab.reader(), &key, "its files have more than 100.0 GiB");
    let (lab, key) = Lab::with_result();
    let settings = serde_json::json!({"url": "file:///x", "namespace": "lab", "largest": "4KiB"});
    let small = lab.open_with(settings, None, &[lab.anna_public]);
    refused(&small, &key, "its files have more than 4.0 KiB");
}

#[test]
fn a_record_that_is_not_trusted_is_not_overwritten_in_silence() {
    let (lab, key) = Lab::with_result();
    let (stranger, _) = new_key();
    let text = lab.record(&key)["manifest"].as_str().unwrap().to_owned();
    let poisoned = signed(&stranger, "lab", &key, &text);
    lab.write_record(&key, &poisoned);
    let machine = Machine::new();
    machine.make(1, "hello");
    let anna = lab.anna();
    let outcome = anna.send(&machine, &[key]);
    assert_eq!((outcome.sent, outcome.unsent, outcome.refused), (0, 1, 1));
    assert!(anna.told().contains("which is not trusted"), "{}", anna.told());
    assert_eq!(lab.record(&key), poisoned);
}
