//! Kernel levels, threads, precision and recomputation as a user chooses them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::space::{Space, TRAINING};

/// The manifests by address, after a run that must succeed.
fn manifests(study: &str, more: &[&str]) -> BTreeMap<String, Json> {
    let space = Space::new(study);
    let ended = space.xpipe(&[&["run", "study.xpipe", "--only", "rate=fast"], more].concat());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let list = space.xpipe(&["cache", "ls", "--json"]).json();
    let each = list.as_array().unwrap().iter().map(|entry| {
        let key = entry["key"].as_str().unwrap();
        let path = space.cache().join("v1/actions").join(&key[..2]).join(format!("{key}.json"));
        let manifest = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        (entry["address"].as_str().unwrap().to_owned(), manifest)
    });
    each.collect()
}

/// The content of each; an index names its files at random.
fn contents(of: &BTreeMap<String, Json>) -> Vec<(&String, &Json)> {
    of.iter().map(|(address, m)| (address, &m["digest"])).collect()
}

#[test]
fn threads_and_recomputation_change_no_byte_and_bfloat16_does() {
    let plain = manifests(TRAINING, &["--threads", "1"]);
    let recomputing =
        TRAINING.replace("checkpoint = steps(4)", "checkpoint = steps(4), activation_checkpointing = true");
    assert_ne!(recomputing, TRAINING);
    let same = manifests(&recomputing, &["--threads", "3"]);
    assert_eq!(contents(&plain), contents(&same));
    assert_eq!(plain["model[fast]"]["key"], same["model[fast]"]["key"]);

    let rounding = TRAINING.replace("seed      = 7", "seed      = 7\n    precision = bf16");
    let rounded = manifests(&rounding, &["--threads", "2"]);
    assert_ne!(plain["model[fast]"]["key"], rounded["model[fast]"]["key"]);
    assert_ne!(plain["model[fast]"]["digest"], rounded["model[fast]"]["digest"]);
    assert_eq!(plain["samples"]["digest"], rounded["samples"]["digest"]);
}

#[test]
fn the_kernels_asked_for_are_used_and_named() {
    let portable = manifests(TRAINING, &["--kernels", "portable"]);
    for cell in ["model[fast]", "ranked[fast]"] {
        assert_eq!(portable[cell]["facts"]["kernels"], "portable", "{:#}", portable[cell]);
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512vl") {
        let [narrow, wide] = ["avx2", "avx512"].map(|k| manifests(TRAINING, &["--kernels", k]));
        assert_eq!(wide["model[fast]"]["facts"]["kernels"], "avx512");
        assert_eq!(contents(&narrow), contents(&wide), "both add up in the same order");
    } else {
        println!("not run without AVX-512: both vector levels give the same model");
    }
    let plain = manifests(TRAINING, &["--kernels", "reference"]);
    for cell in ["model[fast]", "ranked[fast]"] {
        assert_eq!(plain[cell]["facts"]["kernels"], "reference", "{:#}", plain[cell]);
    }
    let space = Space::new(TRAINING);
    let ended = space.xpipe(&["run", "study.xpipe", "--kernels", "abacus"]);
    ended.says(2, &["abacus", "portable", "avx2"]);
}
