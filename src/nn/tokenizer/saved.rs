//! The settings of a saved model's tokenizer, with all that others need to read it alike.

use serde_json::{Value as Json, json};

use super::class::Class;
use super::settings::Settings;

impl Settings {
    /// `tokenizer_config.json` of a saved model, with all that others need to read its tokenizer alike: its class, the
    /// names of inputs, the longest pair, and the special tokens.
    pub(super) fn saved(
        &self,
        tokenizer: &Json,
        typed: bool,
        longest: usize,
        knows: &dyn Fn(&str) -> bool,
    ) -> Json {
        let mut map = self.fields.clone();
        let mut add = |name: &str, value: Json| {
            map.entry(name).or_insert(value);
        };
        let normalizer = &tokenizer["normalizer"];
        let class = match self.class {
            Class::Bert { .. } if normalizer["type"] == "BertNormalizer" => {
                add("do_lower_case", normalizer["lowercase"].clone());
                add("strip_accents", normalizer["strip_accents"].clone());
                add("tokenize_chinese_chars", normalizer["handle_chinese_chars"].clone());
                match &*self.architecture {
                    "distilbert" => "DistilBertTokenizer",
                    "electra" => "ElectraTokenizer",
                    _ => "BertTokenizer",
                }
            }
            Class::Roberta if tokenizer["pre_tokenizer"]["add_prefix_space"].is_boolean() => {
                add("add_prefix_space", tokenizer["pre_tokenizer"]["add_prefix_space"].clone());
                "RobertaTokenizer"
            }
            Class::XlmRoberta if tokenizer["model"]["type"] == "Unigram" => "XLMRobertaTokenizer",
            _ => "PreTrainedTokenizerFast",
        };
        if self.declared.is_none() {
            add("tokenizer_class", class.into());
        }
        let names: &[&str] = match typed {
            true => &["input_ids", "token_type_ids", "attention_mask"],
            false => &["input_ids", "attention_mask"],
        };
        add("model_input_names", json!(names));
        // Version 5 makes another normaliser for DeBERTa than tokenizer.json has, unless the class says to take the file.
        let by_file = self.class == Class::DebertaV2;
        if by_file {
            map.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        }
        let mut add = |name: &str, value: Json| {
            map.entry(name).or_insert(value);
        };
        // A class that has no names of its own gets those that the vocabulary has.
        if by_file || self.class.default_token("pad_token").is_none() {
            for (name, words) in [
                ("unk_token", ["[UNK]", "<unk>"]),
                ("sep_token", ["[SEP]", "</s>"]),
                ("pad_token", ["[PAD]", "<pad>"]),
                ("cls_token", ["[CLS]", "<s>"]),
                ("mask_token", ["[MASK]", "<mask>"]),
            ] {
                if let Some(word) = words.into_iter().find(|word| knows(word)) {
                    add(name, word.into());
                }
            }
        }
        let known = map.get("model_max_length").or_else(|| map.get("max_len")).and_then(Json::as_f64);
        // Some files have a huge number that means none.
        let longest = known.filter(|n| (1.0..1e9).contains(n)).map_or(longest, |n| longest.min(n as usize));
        map.remove("max_len");
        map.insert("model_max_length".into(), longest.into());
        map.sort_keys();
        Json::Object(map)
    }
}
