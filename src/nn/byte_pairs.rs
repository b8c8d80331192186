//! `tokenizer.json` from RoBERTa's `vocab.json` and `merges.txt` (byte-level BPE, as GPT-2's).
//!
//! **Source:** transformers `RobertaConverter` and `RobertaTokenizer`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// `tokenizer.json` of RoBERTa; `prefix_space` is the setting `add_prefix_space`.
///
/// # Errors
/// Names the file and what is wrong with it.
pub(super) fn roberta(vocabulary: &[u8], merges: &[u8], prefix_space: bool) -> Result<Json, String> {
    let words: BTreeMap<String, u32> =
        serde_json::from_slice(vocabulary).map_err(|e| format!("vocab.json: not words with numbers: {e}"))?;
    let text = std::str::from_utf8(merges).map_err(|e| format!("merges.txt: not UTF-8 text: {e}"))?;
    let mut pairs = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        let wrong = |why: &str| Err(format!("merges.txt: line {}: {why}", i + 1));
        let Some((a, b)) = line.split_once(' ').filter(|(_, b)| !b.contains(' ')) else {
            return wrong("expected two parts of a word with a space between them");
        };
        if let Some(unknown) = [a, b, &*format!("{a}{b}")].into_iter().find(|w| !words.contains_key(*w)) {
            return wrong(&format!(
                "`{unknown}` is not in vocab.json: the files are of different tokenizers"
            ));
        }
        pairs.push([a, b]);
    }
    let id = |token: &str| {
        let found = words.get(token).copied();
        found.ok_or_else(|| format!("vocab.json: no word `{token}`, which RoBERTa's vocabulary has"))
    };
    let mut added = vec![(id("<s>")?, "<s>"), (id("</s>")?, "</s>"), (id("<unk>")?, "<unk>")];
    added.extend(["<pad>", "<mask>"].into_iter().filter_map(|t| Some((*words.get(t)?, t))));
    added.sort_unstable();
    let special = |(id, token): &(u32, &str)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": *token == "<mask>", "rstrip": false,
            "normalized": false, "special": true})
    };
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true});
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.iter().map(special).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": bytes,
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", id("</s>")?], "cls": ["<s>", id("<s>")?],
            "trim_offsets": true, "add_prefix_space": prefix_space},
        "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": words, "merges": pairs},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = r#"{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "Ġ": 6, "ab": 7, "Ġab": 8, "<mask>": 9}"#;
    const MERGES: &str = "#version: 0.2\na b\nĠ ab\n";

    fn ids(prefix_space: bool, pair: (&str, &str)) -> Vec<u32> {
        let json = roberta(WORDS.as_bytes(), MERGES.as_bytes(), prefix_space).unwrap();
        let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
        tokenizer.encode(pair, true).unwrap().get_ids().to_vec()
    }

    #[test]
    fn words_are_merged_from_bytes() {
        assert_eq!(ids(false, ("ab ab", "a")), [0, 7, 8, 2, 2, 4, 2]);
        assert_eq!(ids(true, ("ab ab", "a")), [0, 8, 8, 2, 2, 6, 4, 2]);
        // The mask includes the space before it.
        assert_eq!(ids(false, ("a <mask>b", "b")), [0, 4, 9, 5, 2, 2, 5, 2]);
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let of = |words: &str, merges: &str| roberta(words.as_bytes(), merges.as_bytes(), false).unwrap_err();
        assert!(of("[]", MERGES).contains("vocab.json"));
        assert!(of(WORDS, "a b c\n").contains("merges.txt: line 1"));
        assert!(of(WORDS, "#version: 0.2\nab b\n").contains("`abb` is not in vocab.json"));
        assert!(of(&WORDS.replace("</s>", "x"), MERGES).contains("`</s>`"));
    }
}
