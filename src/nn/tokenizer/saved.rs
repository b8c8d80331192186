//! `tokenizer_config.json` of saved models.

use serde_json::{Map, Value as Json, json};

use super::class::Class;
use super::settings::Settings;

/// Special tokens by name, with their spellings in the order of preference.
const SPECIAL: [(&str, [&str; 2]); 5] = [
    ("unk_token", ["[UNK]", "<unk>"]),
    ("sep_token", ["[SEP]", "</s>"]),
    ("pad_token", ["[PAD]", "<pad>"]),
    ("cls_token", ["[CLS]", "<s>"]),
    ("mask_token", ["[MASK]", "<mask>"]),
];

/// Adds a field if it is not there.
fn add(map: &mut Map<String, Json>, name: &str, value: Json) {
    map.entry(name).or_insert(value);
}

impl Settings {
    /// `tokenizer_config.json` of a saved model, with what other programs need for the same tokens: class, input names,
    /// maximum length, special tokens. `typed` says whether inputs have token types, `knows` whether the vocabulary has a
    /// token.
    pub(super) fn saved(
        &self,
        tokenizer: &Json,
        typed: bool,
        longest: usize,
        knows: &dyn Fn(&str) -> bool,
    ) -> Json {
        let mut map = self.fields.clone();
        let class = self.saved_class(tokenizer, &mut map);
        if self.declared.is_none() {
            add(&mut map, "tokenizer_class", class.into());
        }
        let names: &[&str] = match typed {
            true => &["input_ids", "token_type_ids", "attention_mask"],
            false => &["input_ids", "attention_mask"],
        };
        add(&mut map, "model_input_names", json!(names));
        // Version 5 replaces the normaliser of DeBERTa's tokenizer.json unless the class says to use the file.
        let by_file = self.class == Class::DebertaV2;
        if by_file {
            map.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        }
        // A class without default special tokens gets those of the vocabulary.
        if by_file || self.class.default_token("pad_token").is_none() {
            for (name, spellings) in SPECIAL {
                if let Some(token) = spellings.into_iter().find(|token| knows(token)) {
                    add(&mut map, name, token.into());
                }
            }
        }
        let known = map.get("model_max_length").or_else(|| map.get("max_len")).and_then(Json::as_f64);
        // Some files have a huge number for "none".
        let longest = known.filter(|n| (1.0..1e9).contains(n)).map_or(longest, |n| longest.min(n as usize));
        map.remove("max_len");
        map.insert("model_max_length".into(), longest.into());
        map.sort_keys();
        Json::Object(map)
    }

    /// The class with which both versions of transformers read this tokenizer; adds the fields that it needs.
    fn saved_class(&self, tokenizer: &Json, map: &mut Map<String, Json>) -> &'static str {
        let (normalizer, pre_tokenizer) = (&tokenizer["normalizer"], &tokenizer["pre_tokenizer"]);
        match self.class {
            Class::Bert { .. } if normalizer["type"] == "BertNormalizer" => {
                add(map, "do_lower_case", normalizer["lowercase"].clone());
                add(map, "strip_accents", normalizer["strip_accents"].clone());
                add(map, "tokenize_chinese_chars", normalizer["handle_chinese_chars"].clone());
                let own = self.tokenization.map(|t| t.class);
                own.filter(|c| matches!(Class::named(c), Some(Class::Bert { .. }))).unwrap_or("BertTokenizer")
            }
            Class::Roberta if pre_tokenizer["add_prefix_space"].is_boolean() => {
                add(map, "add_prefix_space", pre_tokenizer["add_prefix_space"].clone());
                "RobertaTokenizer"
            }
            Class::XlmRoberta if tokenizer["model"]["type"] == "Unigram" => "XLMRobertaTokenizer",
            _ => "PreTrainedTokenizerFast",
        }
    }
}
