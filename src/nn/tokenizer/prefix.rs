//! Prefixes of a text that determine its first tokens, so that the rest of a long document need not be tokenised.
//!
//! A tokenizer that first splits at white space gives the words before a cut the same tokens whatever follows. Others
//! tokenise whole texts.

use serde_json::Value as Json;

/// Whether a `tokenizer.json` splits texts so that [`cut`] keeps the tokens before it.
pub(super) fn splits_at_spaces(tokenizer: &Json) -> bool {
    let added = tokenizer["added_tokens"].as_array();
    let apart = added.is_none_or(|all| {
        let content = all.iter().map(|token| token["content"].as_str().unwrap_or(" "));
        content.into_iter().all(|token| !token.contains(char::is_whitespace))
    });
    apart && normalises(&tokenizer["normalizer"]) && splits(&tokenizer["pre_tokenizer"]) == Some(true)
}

/// Whether a normaliser treats the words on either side of a single space independently.
fn normalises(part: &Json) -> bool {
    match part["type"].as_str() {
        None => part.is_null(),
        Some(
            "BertNormalizer" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Strip"
            | "Precompiled" | "Nmt",
        ) => true,
        // Runs of spaces; variants of quotation marks.
        Some("Replace") => match (part["pattern"]["Regex"].as_str(), part["pattern"]["String"].as_str()) {
            (Some(pattern), None) => pattern == " {2,}",
            (None, Some(text)) => !text.contains(|c: char| c.is_whitespace() || c.is_ascii_alphanumeric()),
            _ => false,
        },
        Some("Sequence") => part["normalizers"].as_array().is_some_and(|all| all.iter().all(normalises)),
        Some(_) => false,
    }
}

/// Whether a component splits at white space; `None` if it is unknown.
fn splits(part: &Json) -> Option<bool> {
    match part["type"].as_str()? {
        "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" => Some(true),
        "ByteLevel" => Some(part["use_regex"] != false),
        "Metaspace" => Some(part["split"] != false),
        "Punctuation" | "Digits" => Some(false),
        "Sequence" => {
            let parts = part["pretokenizers"].as_array()?.iter().map(splits);
            Some(parts.collect::<Option<Vec<_>>>()?.contains(&true))
        }
        _ => None,
    }
}

/// The first byte index from `from` on where a text may be cut: a single space between two ASCII letters or digits. `None`
/// if there is none.
pub(super) fn cut(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let word = |i: usize| bytes[i].is_ascii_alphanumeric();
    (from.max(1)..bytes.len().saturating_sub(1)).find(|&i| bytes[i] == b' ' && word(i - 1) && word(i + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cut_lies_between_two_words() {
        let text = "one two  three, four é five";
        assert_eq!(cut(text, 0), Some(3));
        assert_eq!(cut(text, 3), Some(3));
        // Not at two spaces, a comma, or a letter beyond ASCII.
        assert_eq!(cut(text, 4), None);
        assert_eq!((cut("", 0), cut(" a", 0), cut("a ", 0), cut("a b", 9)), (None, None, None, None));
    }

    #[test]
    fn only_tokenizers_that_split_at_spaces_are_cut() {
        let of = |normalizer: Json, pre: Json, added: &str| {
            splits_at_spaces(
                &json!({"normalizer": normalizer, "pre_tokenizer": pre, "added_tokens": [{"content": added}]}),
            )
        };
        let bert = || json!({"type": "BertPreTokenizer"});
        let normal = || json!({"type": "BertNormalizer"});
        assert!(of(normal(), bert(), "[SEP]") && of(Json::Null, bert(), "[SEP]"));
        assert!(!of(normal(), bert(), "two words") && !of(normal(), Json::Null, "[SEP]"));
        assert!(!of(json!({"type": "Prepend", "prepend": "a"}), bert(), "[SEP]"));
        assert!(of(Json::Null, json!({"type": "ByteLevel", "use_regex": true}), "</s>"));
        assert!(!of(Json::Null, json!({"type": "ByteLevel", "use_regex": false}), "</s>"));
        assert!(!of(Json::Null, json!({"type": "Metaspace", "split": false}), "</s>"));
        let both = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace"}]});
        let runs = json!({"type": "Sequence", "normalizers": [
            {"type": "Precompiled"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]});
        assert!(of(runs, both, "<mask>"));
        let unknown =
            json!({"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "Whitespace"}]});
        assert!(!of(Json::Null, unknown, "</s>"));
        let letters = json!({"type": "Replace", "pattern": {"String": "a b"}, "content": "ab"});
        assert!(!of(letters, bert(), "[SEP]"));
    }
}
