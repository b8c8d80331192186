//! Settings against transformers 4.57 and 5: `tests/data/tokenizers` has the folders and the ids that both give.

use std::path::{Path, PathBuf};

use super::super::{Limits, Tokenizer};
use super::*;

const WIDE: Limits = Limits { query: 1000, document: 1000, total: 512 };

fn data(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tokenizers").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes the folder of a case; `tests/data/tokenizers/ids.py` does the same.
fn write(folder: &Path, case: &Json, bases: &Json) {
    let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut config = json!({"model_type": case["model_type"], "vocab_size": 600});
    for (name, value) in case["config"].as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    put("config.json", config.to_string());
    if let Some(base) = case["base"].as_str() {
        let mut tokenizer = bases[base].clone();
        for (pointer, value) in case["set"].as_object().into_iter().flatten() {
            *tokenizer.pointer_mut(pointer).unwrap() = value.clone();
        }
        put("tokenizer.json", tokenizer.to_string());
    }
    if let Some(settings) = case.get("tokenizer_config") {
        put("tokenizer_config.json", settings.to_string());
    }
    for (name, content) in case["files"].as_object().into_iter().flatten() {
        if name == "vocab.txt" {
            let words = bases["bert"]["model"]["vocab"].as_object().unwrap();
            let mut words: Vec<(&String, u64)> =
                words.iter().map(|(w, id)| (w, id.as_u64().unwrap())).collect();
            words.sort_by_key(|w| w.1);
            put(name, words.iter().fold(String::new(), |text, (word, _)| text + word + "\n"));
        } else {
            put(name, content.to_string());
        }
    }
}

/// Ids and types of all pairs.
fn ids(tokenizer: &Tokenizer, pairs: &Json, typed: bool) -> Json {
    let pairs = pairs.as_array().unwrap().iter().map(|pair| {
        let (query, document) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        let (ids, types) = tokenizer.encode_pair(query, document, &WIDE).unwrap();
        if typed { json!([ids, types]) } else { json!([ids]) }
    });
    pairs.collect()
}

/// Where the versions differ and nothing of the settings is the cause, tokenizer.json stands, as in version 4: version 5
/// reads DeBERTa's spaces another way.
const FILE_STANDS: [&str; 3] = ["deberta: nothing said", "deberta: usual", "deberta: both lower case"];

/// Folders that the versions of transformers read differently, and the setting because of which they are refused.
const REFUSED: [(&str, &str); 15] = [
    ("bert: Fast, inputs not named", "model_input_names"),
    ("bert: other cls_token", "cls_token"),
    ("bert: other sep_token", "sep_token"),
    ("bert: other unk_token", "unk_token"),
    ("bert: other cls_token in special_tokens_map", "cls_token"),
    ("modernbert: class of BERT", "do_lower_case"),
    ("bert: class of RoBERTa", "tokenizer_class"),
    ("roberta: Fast with prefix", "add_prefix_space"),
    ("roberta: Fast, prefix in the file alone", "add_prefix_space"),
    ("roberta: other cls_token", "cls_token"),
    ("xlm-roberta: no prefix", "add_prefix_space"),
    ("deberta: lower case, file not", "do_lower_case"),
    ("deberta: file lower case, settings not", "do_lower_case"),
    ("deberta: splits at punctuation, file not", "split_by_punct"),
    ("modernbert: prefix", "add_prefix_space"),
];

#[test]
fn every_folder_is_read_as_both_versions_of_transformers_read_it_or_refused() {
    let (folders, four, five) = (data("folders.json"), data("ids-4.json"), data("ids-5.json"));
    let (mut equal, mut told) = (0, 0);
    for case in folders["folders"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        // DistilBERT has no table of types.
        let typed = ["bert", "electra"].contains(&case["model_type"].as_str().unwrap());
        let parts = |of: &Json| -> Json {
            let pair = |p: &Json| if typed { p.clone() } else { json!([p[0]]) };
            of[name].as_array().unwrap_or_else(|| panic!("{name}: no ids")).iter().map(pair).collect()
        };
        let (four, five) = (parts(&four), parts(&five));
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), case, &folders["bases"]);
        let tokenizer = Tokenizer::load(dir.path());
        if let Some((_, field)) = REFUSED.iter().find(|r| r.0 == name) {
            assert_ne!(four, five, "{name}: nothing to refuse");
            let e = tokenizer.err().unwrap_or_else(|| panic!("{name}: not refused"));
            assert!(e.message.contains(&format!("`{field}`")) && e.help.is_some(), "{name}: {e}");
            assert!(e.message.contains("tokenizer_config.json"), "{name}: {e}");
            told += 1;
            continue;
        }
        let tokenizer = tokenizer.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(ids(&tokenizer, &folders["pairs"], typed), four, "{name}");
        assert_eq!(four == five, !FILE_STANDS.contains(&name), "{name}: the versions");
        equal += 1;

        // A saved tokenizer says all that its reader needs, and is read the same.
        let out = tempfile::tempdir().unwrap();
        std::fs::copy(dir.path().join("config.json"), out.path().join("config.json")).unwrap();
        tokenizer.save(out.path(), 77).unwrap();
        let again = Tokenizer::load(out.path()).unwrap_or_else(|e| panic!("{name}: saved: {e}"));
        assert_eq!(ids(&again, &folders["pairs"], typed), four, "{name}: saved");
        let saved: Json =
            serde_json::from_slice(&std::fs::read(out.path().join("tokenizer_config.json")).unwrap())
                .unwrap();
        let most = if name == "bert: sides and length" { 20 } else { 77 };
        assert_eq!(saved["model_max_length"], most, "{name}");
        assert!(saved["model_input_names"].is_array(), "{name}");
    }
    assert_eq!((told, equal > 50), (REFUSED.len(), true));
    if let Some(dir) = std::env::var_os("XPIPE_SAVED_TOKENIZERS") {
        for (i, case) in folders["folders"].as_array().unwrap().iter().enumerate() {
            let from = tempfile::tempdir().unwrap();
            write(from.path(), case, &folders["bases"]);
            let Ok(tokenizer) = Tokenizer::load(from.path()) else { continue };
            let out = Path::new(&dir).join(i.to_string());
            tokenizer.save(&out, 77).unwrap();
            std::fs::copy(from.path().join("config.json"), out.join("config.json")).unwrap();
            std::fs::write(out.join("name"), case["name"].as_str().unwrap()).unwrap();
        }
    }
}

/// A folder with BERT's words and this `tokenizer_config.json`.
fn with(config: &str) -> Result<Tokenizer, Failure> {
    let folders = data("folders.json");
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &json!({"model_type": "bert", "base": "bert"}), &folders["bases"]);
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    Tokenizer::load(dir.path())
}

#[test]
fn what_is_not_known_or_of_another_kind_is_refused_by_name() {
    for (config, named) in [
        (r#"{"lowercase": true}"#, "`lowercase`"),
        (r#"{"strip_accent": true, "use_fast": true}"#, "`strip_accent`"),
        (r#"{"do_lower_case": "yes"}"#, "`do_lower_case` is \"yes\"; expected true or false"),
        (r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#, "BertJapaneseTokenizer"),
        (r#"{"tokenizer_class": "BertweetTokenizer"}"#, "BertweetTokenizer"),
        (r#"{"auto_map": {"AutoTokenizer": ["tokenization.Mine", null]}}"#, "`auto_map`"),
        (r#"{"truncation_side": "middle"}"#, "`truncation_side`"),
        (r#"{"vocab_type": "gpt2"}"#, "`vocab_type`"),
        (r#"{"cls_token": 5}"#, "`cls_token` is 5"),
        (r#"{"image_token": "<image>"}"#, "`image_token`"),
        (r#"{"added_tokens_decoder": {"x": "y"}}"#, "`added_tokens_decoder`"),
        (r#"{"model_input_names": "input_ids"}"#, "`model_input_names`"),
        ("[]", "tokenizer_config.json: expected a JSON object"),
        ("{", "tokenizer_config.json: not JSON"),
    ] {
        let e = with(config).unwrap_err();
        assert!(e.message.contains(named), "{config}: {e}");
    }
    with(r#"{"do_lower_case": true, "chat_template": null, "lowercase": null, "_private": 1, "errors": "replace"}"#).unwrap();
}

#[test]
fn texts_are_cut_at_the_side_that_the_settings_name() {
    let limits = Limits { query: 2, document: 3, total: 512 };
    let (right, left) = (with("{}").unwrap(), with(r#"{"truncation_side": "left"}"#).unwrap());
    let whole = right.encode_pair("a b c", "d e f g h", &WIDE).unwrap().0;
    let cut = |t: &Tokenizer, limits| t.encode_pair("a b c", "d e f g h", limits).unwrap().0;
    let (query, document) = (&whole[1..4], &whole[5..10]);
    let (cls, sep) = (whole[0], whole[4]);
    let joined = |q: &[u32], d: &[u32]| [&[cls], q, &[sep], d, &[sep]].concat();
    assert_eq!(cut(&right, &limits), joined(&query[..2], &document[..3]));
    assert_eq!(cut(&left, &limits), joined(&query[1..], &document[2..]));
    // The document gives way to the model's positions, on the same side.
    let tight = Limits { query: 9, document: 9, total: 8 };
    assert_eq!(cut(&left, &tight), joined(query, &document[3..]));
    assert_eq!(left.batch(&["a b c"], 1).unwrap(), [&query[2..]]);
    let mut packed = crate::Packed::new();
    left.push_single(query, 4, &mut packed);
    assert_eq!(packed.ids, [cls, query[1], query[2], sep]);
}

#[test]
fn a_type_that_the_architecture_does_not_read_is_refused() {
    let folders = data("folders.json");
    let dir = tempfile::tempdir().unwrap();
    let names = json!(["input_ids", "token_type_ids", "attention_mask"]);
    let case =
        |settings: Json| json!({"model_type": "roberta", "base": "bert", "tokenizer_config": settings});
    write(dir.path(), &case(json!({"tokenizer_class": "BertTokenizer"})), &folders["bases"]);
    let e = Tokenizer::load(dir.path()).unwrap_err();
    assert!(e.message.contains("token type 1") && e.message.contains("roberta"), "{e}");
    let fast = json!({"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names});
    write(dir.path(), &case(fast), &folders["bases"]);
    assert!(Tokenizer::load(dir.path()).is_err());
}

#[test]
fn only_folders_that_are_read_in_another_way_than_before_have_another_content() {
    let folders = data("folders.json");
    let usual = [
        "bert: Fast with token types",
        "bert: sides and length",
        "bert: settings of the Python class",
        "bert vocab.txt: plain",
        "bert vocab.txt: cased",
        "deberta: usual",
        "modernbert: usual",
        "roberta: empty",
        "roberta: types named",
        "xlm-roberta: nothing said",
        "xlm-roberta: usual",
    ];
    let (mut kept, mut changed) = (0, 0);
    for case in folders["folders"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), case, &folders["bases"]);
        let Ok(tokenizer) = Tokenizer::load(dir.path()) else { continue };
        let reading = super::super::reading(dir.path());
        if usual.contains(&name) {
            assert_eq!(reading, None, "{name}");
            kept += 1;
        }
        // What tokenizer.json alone gives, as it was read before.
        let path = dir.path().join("tokenizer.json");
        let Ok(alone) = tokenizers::Tokenizer::from_file(&path) else { continue };
        let typed = ["bert", "electra"].contains(&case["model_type"].as_str().unwrap());
        let before: Json = folders["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let text = |i: usize| pair[i].as_str().unwrap();
                let pair = alone.encode((text(0), text(1)), true).unwrap();
                if typed { json!([pair.get_ids(), pair.get_type_ids()]) } else { json!([pair.get_ids()]) }
            })
            .collect();
        if before != ids(&tokenizer, &folders["pairs"], typed) {
            assert!(reading.is_some(), "{name}: an older result would be met again");
            changed += 1;
        }
    }
    assert!(kept == usual.len() && changed > 20, "{kept} {changed}");
}
