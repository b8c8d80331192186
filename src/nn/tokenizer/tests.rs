//! Ids against committed ones, limits, templates, the cache.

use super::*;
use crate::testing;
use serde_json::json;

const WIDE: Limits = Limits { query: 1000, document: 1000, total: 512 };

/// A vocabulary that spells lower-case letters.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut words = vec!["[PAD]".to_owned(), "[UNK]".into(), "[CLS]".into(), "[SEP]".into(), "[MASK]".into()];
    words.extend(('a'..='z').map(String::from));
    words.extend(('a'..='z').map(|c| format!("##{c}")));
    std::fs::write(dir.path().join("vocab.txt"), words.join("\n") + "\n").unwrap();
    dir
}

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    pairs: Vec<(String, String)>,
    golden: BTreeMap<String, Ids>,
}

#[derive(serde::Deserialize)]
struct Ids {
    single: Vec<Vec<u32>>,
    pair: Vec<Vec<u32>>,
    #[serde(default)]
    pair_type_ids: Option<Vec<Vec<u32>>>,
}

/// Compares every golden text and pair; `around` is the single text's first and last token count.
fn meets(tokenizer: &Tokenizer, golden: &Golden, which: &str) {
    let ids = &golden.golden[which];
    for (text, expected) in golden.texts.iter().zip(&ids.single) {
        let inside = &expected[1..expected.len() - 1];
        let ids = tokenizer.ids(text, 1000).unwrap();
        assert_eq!(ids, inside, "{text:?}");
        let mut batch = Packed::new();
        tokenizer.push_single(&ids, 512, &mut batch);
        assert_eq!(&batch.ids, expected, "{text:?} alone");
    }
    for (i, (q, d)) in golden.pairs.iter().enumerate() {
        let (got, types) = tokenizer.encode_pair(q, d, &WIDE).unwrap();
        assert_eq!(got, ids.pair[i], "{q:?} {d:?}");
        if let Some(expected) = &ids.pair_type_ids {
            assert_eq!(types, expected[i], "types of {q:?} {d:?}");
        }
    }
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(testing::fixture("real").join("tokenization.json")).unwrap())
        .unwrap()
}

#[test]
fn ids_are_those_of_the_reference_tokenizers() {
    let golden = golden();
    for (model, which) in
        [("minilm-l6", "bert-uncased"), ("bert-tiny", "bert-uncased"), ("deberta-v3-tokenizer", "deberta-v3")]
    {
        let Some(folder) = testing::real(model) else { continue };
        meets(&Tokenizer::load(&folder).unwrap(), &golden, which);
    }
}

#[test]
fn a_vocabulary_gives_the_same_ids_as_tokenizer_json() {
    let Some(folder) = testing::real("minilm-l6") else { return };
    let dir = tempfile::tempdir().unwrap();
    for file in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(folder.join(file), dir.path().join(file)).unwrap();
    }
    meets(&Tokenizer::load(dir.path()).unwrap(), &golden(), "bert-uncased");
}

#[test]
fn a_sentencepiece_model_gives_the_same_ids_as_tokenizer_json() {
    let Some(folder) = testing::real("deberta-v3-tokenizer") else { return };
    let dir = tempfile::tempdir().unwrap();
    for file in ["spm.model", "tokenizer_config.json"] {
        std::fs::copy(folder.join(file), dir.path().join(file)).unwrap();
    }
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    meets(&tokenizer, &golden(), "deberta-v3");
    assert_eq!(tokenizer.template, Tokenizer::load(&folder).unwrap().template);
}

/// Byte-level BPE with RoBERTa's special tokens and template, as its `tokenizer.json` has them.
#[test]
fn byte_level_bpe_with_two_separators_between() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "Ġ", "Ġa", "Ã", "©"];
    let vocab: serde_json::Map<String, Json> =
        tokens.iter().enumerate().map(|(i, t)| ((*t).to_owned(), i.into())).collect();
    let added: Vec<Json> = tokens[..4]
        .iter()
        .enumerate()
        .map(|(i, t)| {
            json!({"id": i, "content": t, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": true,
            "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocab, "merges": ["Ġ a"]}});
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let t = Tokenizer::load(dir.path()).unwrap();
    let (ids, types) = t.encode_pair("a a", "bé", &WIDE).unwrap();
    assert_eq!(ids, [0, 4, 7, 2, 2, 5, 8, 9, 2]);
    assert_eq!((types, t.specials()), (vec![0; 9], 4));
}

#[test]
fn real_pairs_have_the_expected_ids() {
    let file = testing::fixture("real").join("expected.json");
    let expected: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for (model, name) in [("minilm-l6", "all-minilm-l6-v2"), ("bert-tiny", "bert-tiny-splade")] {
        let Some(folder) = testing::real(model) else { continue };
        let tokenizer = Tokenizer::load(&folder).unwrap();
        for (pair, ids) in
            expected["pairs"].as_array().unwrap().iter().zip(expected[name]["ids"].as_array().unwrap())
        {
            let text = |i: usize| pair[i].as_str().unwrap();
            let got = tokenizer.encode_pair(text(0), text(1), &WIDE).unwrap().0;
            assert_eq!(json!(got), *ids);
        }
    }
}

#[test]
fn parts_are_cut_apart_and_the_document_gives_way() {
    let dir = small();
    let t = Tokenizer::load(dir.path()).unwrap();
    let cut = |query, document, total| {
        let limits = Limits { query, document, total };
        t.encode_pair("abcd", "efghij", &limits).unwrap()
    };
    let (a, sep) = (5, 3); // `##b` is 26 + 5 + 1
    let tail = |c: u32| 5 + 26 + c;
    let (ids, types) = cut(2, 3, 512);
    assert_eq!(ids, [2, a, tail(1), sep, a + 4, tail(5), tail(6), sep]);
    assert_eq!(types, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(cut(2, 3, 7).0, [2, a, tail(1), sep, a + 4, tail(5), sep]);
    assert_eq!(cut(2, 3, 5).0, [2, a, tail(1), sep, sep]);
    assert_eq!(cut(2, 3, 4).0, [2, a, sep, sep]);
    assert_eq!(cut(32, 256, 512).0.len(), 4 + 6 + t.specials());
    let empty = t.encode_pair("", " ", &WIDE).unwrap();
    assert_eq!((empty.0, empty.1), (vec![2, 3, 3], vec![0, 0, 1]));
}

#[test]
fn a_text_alone_has_its_special_tokens_in_any_length() {
    let dir = small();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let ids = tokenizer.ids("abc", 9).unwrap();
    let mut batch = Packed::new();
    for total in [9, 4, 2] {
        tokenizer.push_single(&ids, total, &mut batch);
    }
    tokenizer.push_single(&[], 9, &mut batch);
    let (cls, sep) = (2, 3);
    assert_eq!(batch.ids, [cls, ids[0], ids[1], ids[2], sep, cls, ids[0], ids[1], sep, cls, sep, cls, sep]);
    assert_eq!(batch.starts, [0, 5, 9, 11, 13]);
    assert!(batch.types.iter().all(|t| *t == 0));
}

#[test]
fn vocabularies_are_told_apart_by_words_and_numbers() {
    let dir = small();
    let digest = || Tokenizer::load(dir.path()).unwrap().vocabulary();
    let first = digest();
    assert_eq!(first, digest());
    // Settings of padding and truncation are no words.
    let path = dir.path().join("tokenizer.json");
    Tokenizer::load(dir.path()).unwrap().save(dir.path(), 512).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let cut = r#""truncation":{"direction":"Right","max_length":8,"strategy":"LongestFirst","stride":0}"#;
    assert!(text.contains(r#""truncation":null"#));
    std::fs::write(&path, text.replace(r#""truncation":null"#, cut)).unwrap();
    assert_eq!(first, digest());
    std::fs::write(&path, text.replace(r#""b":6"#, r#""b":7"#).replace(r#""c":7"#, r#""c":6"#)).unwrap();
    assert_ne!(first, digest());
}

#[test]
fn stored_truncation_and_padding_do_not_apply() {
    let dir = small();
    let mut json: Json = serde_json::from_slice(Tokenizer::load(dir.path()).unwrap().json()).unwrap();
    json["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 30}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let t = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(t.encode_pair("abcdefgh", "a", &WIDE).unwrap().0.len(), 8 + 1 + 3);
    json["post_processor"] = Json::Null;
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().encode_pair("a", "b", &WIDE).unwrap().1, [0, 0, 0, 1, 1]);
}

#[test]
fn cased_vocabularies_stay_cased() {
    let dir = small();
    std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().ids("A a", 9).unwrap(), [1, 5]);
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().ids("A a", 9).unwrap(), [5, 5]);
}

#[test]
fn saving_copies_the_files_and_loads_the_same() {
    let (dir, out) = (small(), tempfile::tempdir().unwrap());
    let t = Tokenizer::load(dir.path()).unwrap();
    t.save(out.path(), 512).unwrap();
    let again = Tokenizer::load(out.path()).unwrap();
    assert_eq!(t.json(), again.json());
    assert_eq!(t.template, again.template);
}

#[test]
fn the_cache_changes_no_id_and_keeps_within_its_capacity() {
    let dir = small();
    let t = Tokenizer::load(dir.path()).unwrap();
    let texts = ["abc", "d", "abc", "", "zz zz", "d"];
    for capacity in [0, 3, 1000] {
        let cache = TokenCache::new(capacity);
        for limit in [2, 9, 2] {
            let got = t.cached_ids(&cache, &texts, limit).unwrap();
            for (text, ids) in texts.iter().zip(&got) {
                assert_eq!(**ids, *t.ids(text, limit).unwrap());
            }
        }
        let known = cache.known.lock().unwrap();
        assert!(known.tokens <= capacity.max(4) && (capacity < 1000 || known.ids.len() == 8));
    }
    let pairs = [("abc", "d"), ("", "abc")];
    let packed = t.pack(&pairs, &WIDE, &TokenCache::default()).unwrap();
    for (i, (q, d)) in pairs.iter().enumerate() {
        let (ids, types) = t.encode_pair(q, d, &WIDE).unwrap();
        assert_eq!((&packed.ids[packed.pair(i)], &packed.types[packed.pair(i)]), (&*ids, &*types));
    }
}

#[test]
fn damage_is_told_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let e = Tokenizer::load(dir.path()).unwrap_err();
    assert!(
        e.kind == xpipe_base::task::FailureKind::Missing && e.message.contains("no tokenizer.json"),
        "{e}"
    );
    std::fs::write(dir.path().join("vocab.txt"), "a\nb\n").unwrap();
    assert!(Tokenizer::load(dir.path()).unwrap_err().message.contains("no line `[UNK]`"));
    std::fs::write(dir.path().join("tokenizer.json"), r#"{"version": "1.0", "mod"#).unwrap();
    assert!(Tokenizer::load(dir.path()).unwrap_err().message.contains("tokenizer.json: not a tokenizer"));
}

#[test]
fn the_beginning_of_a_text_gives_its_first_ids() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart/model")];
    for model in ["minilm-l6", "deberta-v3-tokenizer"] {
        folders.extend(testing::real(model));
    }
    // Texts of all kinds, with and without places to cut at.
    let golden = golden();
    let joined = golden.texts.join(" ");
    let spaced = golden.texts.join(" x  y\n\nz, ");
    let plain: String = (0..2_000).map(|i| format!("word{} of{i} ", i % 7)).collect();
    let unbroken = "unbroken".repeat(500);
    for folder in folders {
        let tokenizer = Tokenizer::load(&folder).unwrap();
        assert!(tokenizer.splits_at_spaces, "{}", folder.display());
        for text in [&joined, &spaced, &plain, &unbroken] {
            let all = tokenizer.ids(text, usize::MAX).unwrap();
            for limit in (1..80).chain([100, 250, 251, 252, 500, 1_000, all.len(), all.len() + 1]) {
                let ids = tokenizer.ids(text, limit).unwrap();
                assert!(ids == all[..limit.min(all.len())], "{}: {limit} of {}", folder.display(), all.len());
            }
        }
    }
}
