//! Saved models have the same scores in `transformers` and sentence-transformers.
//!
//! `tests/data/roundtrip/scores.py` computes the other side. With `XPIPE_PYTHON` set to a Python that has torch and
//! transformers the test runs it; otherwise it compares with the committed figures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::load::{Options, cross_encoder};
use crate::testing;
use crate::tokenizer::{Limits, TokenCache};

/// Tolerance of scores.
const SAME: f32 = 1e-4;

#[derive(Serialize, Deserialize, Debug)]
struct Scores {
    transformers: Vec<f32>,
    cross_encoder: Option<Vec<f32>>,
    versions: BTreeMap<String, String>,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/roundtrip").join(name)
}

/// Fixtures with vocabularies of 128 rows, one of each architecture.
const SPELLING: [&str; 7] = ["bert", "distilbert", "roberta", "electra", "deberta-v3", "modernbert", "ettin"];

/// A committed fixture with a vocabulary of letters, as a model folder.
fn spelling(fixture: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(testing::fixture(fixture).join(file), dir.path().join(file)).unwrap();
    }
    // 128 rows: special tokens, letters, letter pieces, then digits and marks.
    let mut words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    words.extend(('a'..='z').map(String::from));
    words.extend(('a'..='z').map(|c| format!("##{c}")));
    words.extend("0123456789.,;!?-@()".chars().map(String::from));
    words.extend(["the", "is", "what", "how", "do"].map(String::from));
    words.extend((words.len()..128).map(|i| format!("[unused{i}]")));
    std::fs::write(dir.path().join("vocab.txt"), words.join("\n") + "\n").unwrap();
    if fixture != "bert" {
        // The architecture's own tokenizer class would look for its own files. Only models with token types receive them.
        let types = fixture == "electra";
        let names = if types {
            vec!["input_ids", "token_type_ids", "attention_mask"]
        } else {
            vec!["input_ids", "attention_mask"]
        };
        let config = serde_json::json!({"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names,
            "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
            "mask_token": "[MASK]"});
        std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    }
    dir
}

fn python(folder: &Path, pairs: &[(&str, &str)]) -> Option<Scores> {
    let python = std::env::var_os("XPIPE_PYTHON")?;
    let mut child = Command::new(python)
        .arg(data("scores.py"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pairs = serde_json::to_vec(pairs).unwrap();
    child.stdin.take().unwrap().write_all(&pairs).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "scores.py failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn far(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn other_programs_give_a_saved_model_the_same_scores() {
    let spelling = SPELLING.map(|name| (name, spelling(name)));
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&std::fs::read(data("pairs.json")).unwrap()).unwrap();
    let figures = std::fs::read(data("figures.json")).unwrap_or_else(|_| b"{}".to_vec());
    let mut figures: BTreeMap<String, Scores> = serde_json::from_slice(&figures).unwrap();
    let real = ["bert-tiny", "minilm-l6"].map(|name| (name, testing::real(name)));
    let models = spelling.iter().map(|(name, dir)| (*name, Some(dir.path().to_owned())));
    for (name, folder) in models.chain(real).filter_map(|(n, f)| Some((n, f?))) {
        let (mut model, tokenizer, facts) = cross_encoder(&folder, 1, &Options::default()).unwrap();
        // A fresh head gives scores near zero, on which any model would agree.
        let head = model.parameters().iter().rev().find(|p| p.decays).unwrap().clone();
        if facts.drawn.contains(&head.name) {
            let head = head.offset..head.offset + head.len();
            testing::change_weights(&mut *model, |w| w[head].iter_mut().for_each(|w| *w *= 50.0));
        }
        let limits = Limits { query: 256, document: 256, total: facts.position_limit };
        let texts: Vec<(&str, &str)> = pairs.iter().map(|(q, d)| (&**q, &**d)).collect();
        // Other programs are not told to truncate, so a model gets pairs that fit.
        let whole = Limits { total: usize::MAX, ..limits };
        let fits = |(q, d): &(&str, &str)| {
            tokenizer.encode_pair(q, d, &whole).unwrap().0.len() <= facts.position_limit
        };
        let texts: Vec<(&str, &str)> = texts.into_iter().filter(fits).collect();
        assert!(texts.len() >= 4);
        let scores = model.score(&tokenizer.pack(&texts, &limits, &TokenCache::default()).unwrap()).unwrap();
        let spread = far(&scores, &vec![scores[0]; scores.len()]);
        assert!(spread > 0.05, "{name}: scores that say nothing: {scores:?}");
        let out = tempfile::tempdir().unwrap();
        model.save(out.path()).unwrap();
        tokenizer.save(out.path(), facts.position_limit).unwrap();
        if let Some(theirs) = python(out.path(), &texts) {
            figures.insert(name.to_owned(), theirs);
        }
        let Some(theirs) = figures.get(name) else { panic!("no figures of {name}: set XPIPE_PYTHON") };
        let (a, b) =
            (far(&scores, &theirs.transformers), theirs.cross_encoder.as_ref().map(|c| far(&scores, c)));
        println!("{name}: transformers {a:.1e}, CrossEncoder {b:?}; scores {scores:?}");
        assert!(a <= SAME, "{name}: {scores:?} against {theirs:?}");
        assert!(b.is_none_or(|b| b <= SAME), "{name}: {scores:?} against {theirs:?}");
    }
    if std::env::var_os("XPIPE_UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&figures).unwrap();
        std::fs::write(data("figures.json"), text + "\n").unwrap();
    }
}
