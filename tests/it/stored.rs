//! The cache as others leave it: changed numbers, names that lead out of it.

use std::path::PathBuf;

use crate::space::{RETRIEVAL, Space, repository};

/// The manifests of an operation, sorted.
fn manifests(space: &Space, op: &str) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(space.cache().join("v1/actions")).unwrap();
    let files = shards.flat_map(|s| std::fs::read_dir(s.unwrap().path()).unwrap()).map(|f| f.unwrap().path());
    let says = format!("\"op\": \"{op}\"");
    let mut found: Vec<PathBuf> =
        files.filter(|f| std::fs::read_to_string(f).unwrap().contains(&says)).collect();
    found.sort();
    found
}

/// Puts another digit in place of the last one of the number that follows `field`.
fn change(file: &PathBuf, field: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let at = text.find(field).unwrap_or_else(|| panic!("no {field} in {text}")) + field.len();
    let at = at + text[at..].find(|c: char| c.is_ascii_digit()).unwrap();
    let at = at + text[at..].find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap() - 1;
    let other = if &text[at..=at] == "0" { "1" } else { "0" };
    std::fs::write(file, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
}

#[test]
fn a_changed_number_of_a_stored_result_is_never_shown() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let before = space.xpipe(&["show", "study.xpipe"]).out;
    // A number of the table, a time of the costs, a fact of an index.
    for (op, field) in
        [("evaluate", "\"ndcg_10\": "), ("bm25.search", "\"seconds\": "), ("bm25.index", "\"facts\": ")]
    {
        let file = manifests(&space, op).remove(0);
        change(&file, field);
        let verified = space.xpipe(&["cache", "verify"]);
        assert_eq!(verified.code, Some(5), "{op}: {verified:#?}");
        assert!(verified.out.contains("its checksum does not match its content"), "{verified:#?}");
        space.xpipe(&["show", "study.xpipe"]).says(5, &["damaged: ", "checksum"]);
        space.xpipe(&["report", "study.xpipe"]).says(5, &["damaged: ", "checksum"]);
        let (ran, _, code) = space.run();
        assert!(ran >= 1 && code == 0, "{op}: {ran}");
        assert_eq!(space.xpipe(&["show", "study.xpipe"]).out, before, "{op}");
        space.is_whole();
    }
    change(&manifests(&space, "bm25.search")[0], "\"finished\": ");
    let ended = [
        space.xpipe(&["export", "study.xpipe", "first[low]", "a.run"]),
        space.xpipe(&["export", "study.xpipe", "first[high]", "b.run"]),
    ];
    let mut codes = ended.each_ref().map(|e| e.code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(5)], "{ended:#?}");
}

#[test]
fn damage_behind_a_table_is_told_by_show() {
    let space = Space::new(&format!(
        "{RETRIEVAL}table q {{ title = \"test\", rows = k1, value = scores.ndcg_10, test = paired_t(over = query, against = k1.low, correct = holm, alpha = 5%) }}\n"
    ));
    let first = space.xpipe(&["run", "study.xpipe"]);
    if first.code != Some(0) {
        panic!("{first:#?}");
    }
    let file = manifests(&space, "evaluate").remove(0);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let hex = json["outputs"][0]["digest"].as_str().unwrap().to_owned();
    let blob = space.cache().join("v1/objects").join(&hex[..2]).join(&hex[2..]);
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    space
        .xpipe(&["show", "study.xpipe"])
        .says(5, &["damaged: scores[", "does not have its recorded content"]);
}

/// The checksum of an output list as the format says it, to write what a stranger could write.
fn tree(outputs: &[(&str, &str)]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("xpipe folder v1");
    for (name, digest) in outputs {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(blake3::Hash::from_hex(digest).unwrap().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn a_name_in_a_manifest_cannot_lead_out_of_the_cache() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let absolute = space.path("ESCAPED-absolute");
    for name in
        ["../../../../ESCAPED-relative", absolute.to_str().unwrap(), "../.../x", "a/../../../../ESCAPED"]
    {
        let file = manifests(&space, "import.queries").remove(0);
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let mut other = json["outputs"][0].clone();
        other["name"] = name.into();
        json["outputs"].as_array_mut().unwrap().push(other);
        json["outputs"].as_array_mut().unwrap().sort_by_key(|o| o["name"].as_str().unwrap().to_owned());
        let outputs: Vec<(String, String)> = json["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| (o["name"].as_str().unwrap().to_owned(), o["digest"].as_str().unwrap().to_owned()))
            .collect();
        let pairs: Vec<(&str, &str)> = outputs.iter().map(|(n, d)| (n.as_str(), d.as_str())).collect();
        let old = json["tree"].as_str().unwrap().to_owned();
        json["tree"] = tree(&pairs).into();
        json["digest"] = json["tree"].clone();
        json.as_object_mut().unwrap().remove("checksum");
        // As version 1, which had no checksum, and as version 2 with a right one.
        for format in [1, 2] {
            json["format"] = format.into();
            let text = serde_json::to_vec_pretty(&json).unwrap();
            let text = if format == 1 { text } else { xpipe_base::value::sealed::seal(&text) };
            std::fs::write(&file, text).unwrap();
            let verified = space.xpipe(&["cache", "verify"]);
            assert_eq!(verified.code, Some(5), "{name}: {verified:#?}");
            assert!(verified.out.contains("leads out of its folder"), "{verified:#?}");
            assert_eq!(space.run().2, 0, "{name}");
            let found = |folder: &std::path::Path| {
                let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
                names.filter(|n| n.to_string_lossy().contains("ESCAPED")).count()
            };
            assert_eq!(
                found(space.folder.path()) + found(space.folder.path().parent().unwrap()),
                0,
                "{name}"
            );
        }
        assert!(!old.is_empty());
        space.is_whole();
    }
}

#[test]
fn results_of_an_older_version_are_used_and_counted() {
    let space = Space::new(RETRIEVAL);
    assert_eq!(space.run(), (8, 0, 0));
    let mut n = 0;
    for op in ["evaluate", "bm25.search"] {
        for file in manifests(&space, op) {
            let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            json.as_object_mut().unwrap().remove("checksum");
            json["format"] = 1.into();
            std::fs::write(&file, serde_json::to_vec_pretty(&json).unwrap()).unwrap();
            n += 1;
        }
    }
    assert_eq!(n, 4);
    assert_eq!(space.run(), (0, 8, 0));
    let verified = space.xpipe(&["cache", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    assert!(verified.out.contains("4 of them have no checksum"), "{verified:#?}");
    let told = space.xpipe(&["cache", "verify", "--json"]).json();
    assert_eq!(told["without_checksum"], 4);
    // Whole as the older program wrote it, in another cache: it is read there.
    assert!(repository("src/engine/cache/testdata/manifest-v1.json").is_file());
}
