//! `tokenizer.json` of folders that have a vocabulary only.

use std::path::Path;

use serde_json::{Value as Json, json};
use xpipe_base::task::Failure;

use super::files::Files;
use super::settings::Settings;
use crate::{byte_pairs, sentencepiece};

/// `tokenizer.json` built from the files of an older model folder.
pub(super) fn build(folder: &Path, there: &Files, settings: &Settings) -> Result<Vec<u8>, Failure> {
    let tokenizer = if let Some(vocabulary) = there.get("vocab.txt") {
        word_piece(folder, vocabulary, settings)?
    } else if let Some(model) = there.get("spm.model") {
        let flag = |name: &str| Ok::<_, Failure>(settings.flag(name)?.unwrap_or(false));
        sentencepiece::deberta(model, flag("do_lower_case")?, flag("split_by_punct")?).map_err(|what| {
            Failure::wrong(format!(
                "{}: not a SentencePiece model: {what}",
                folder.join("spm.model").display()
            ))
        })?
    } else if let Some(model) = there.get("sentencepiece.bpe.model") {
        sentencepiece::xlm_roberta(model).map_err(|what| {
            let name = folder.join("sentencepiece.bpe.model");
            Failure::wrong(format!("{}: not the SentencePiece model of XLM-RoBERTa: {what}", name.display()))
        })?
    } else if let (Some(words), Some(merges)) = (there.get("vocab.json"), there.get("merges.txt")) {
        let prefix_space = settings.flag("add_prefix_space")?.unwrap_or(false);
        byte_pairs::roberta(words, merges, prefix_space)
            .map_err(|what| Failure::wrong(format!("{}: {what}", folder.display())))?
    } else {
        let failure = Failure::missing(format!("{}: no tokenizer.json in this folder", folder.display()));
        return Err(failure.help(crate::files::tokenizer_above(folder).unwrap_or_else(|| {
            "a tokenizer is read from tokenizer.json, from vocab.txt of a BERT model, from vocab.json with merges.txt of \
             RoBERTa, from sentencepiece.bpe.model of XLM-RoBERTa, or from spm.model of a DeBERTa model"
                .to_owned()
        })));
    };
    serde_json::to_vec(&tokenizer).map_err(|e| Failure::bug(format!("a tokenizer cannot be written: {e}")))
}

/// `tokenizer.json` of a BERT vocabulary.
///
/// **Source:** transformers `BertTokenizerFast` and its converter from the slow tokenizer.
pub(super) fn word_piece(folder: &Path, vocabulary: &[u8], settings: &Settings) -> Result<Json, Failure> {
    let name = folder.join("vocab.txt");
    let text = std::str::from_utf8(vocabulary)
        .map_err(|e| Failure::wrong(format!("{}: not UTF-8 text: {e}", name.display())))?;
    let mut words = serde_json::Map::new();
    for (id, word) in text.lines().enumerate() {
        words.insert(word.trim_end().to_owned(), id.into());
    }
    let special = |name: &str, default: &'static str| settings.special(name, default).to_owned();
    let (unknown, cls, sep) =
        (special("unk_token", "[UNK]"), special("cls_token", "[CLS]"), special("sep_token", "[SEP]"));
    let (pad, mask) = (special("pad_token", "[PAD]"), special("mask_token", "[MASK]"));
    let mut added: Vec<Json> = Vec::new();
    for (token, always) in [(&pad, false), (&unknown, true), (&cls, true), (&sep, true), (&mask, false)] {
        match words.get(token) {
            Some(id) if added.iter().all(|t| t["id"] != *id) => added.push(json!({"id": id, "special": true,
                "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})),
            None if always => {
                return Err(Failure::wrong(format!("{}: no line `{token}`", name.display())).help(format!(
                    "a BERT vocabulary has one token a line, {unknown}, {cls} and {sep} among them"
                )));
            }
            _ => {}
        }
    }
    added.sort_by_key(|t| t["id"].as_u64());
    let around = |token: &str| json!({"id": token, "ids": [words[token]], "tokens": [token]});
    let specials = json!({&cls: around(&cls), &sep: around(&sep)});
    let at = |token: &str, kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let sequence = |which: &str, kind: u32| json!({"Sequence": {"id": which, "type_id": kind}});
    let single = [at(&cls, 0), sequence("A", 0), at(&sep, 0)];
    let pair = [at(&cls, 0), sequence("A", 0), at(&sep, 0), sequence("B", 1), at(&sep, 1)];
    let flag = |field: &str| settings.flag(field);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars")?.unwrap_or(true),
            "strip_accents": flag("strip_accents")?, "lowercase": flag("do_lower_case")?.unwrap_or(true)},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words},
    }))
}
