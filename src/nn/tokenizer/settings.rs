//! Settings of a tokenizer in `tokenizer_config.json` and related files.
//!
//! In transformers these files override `tokenizer.json`, by rules that depend on the tokenizer's class, with defaults for
//! absent fields. What versions 4 and 5 both do is done here. A field that changes tokens in one of them only is an error
//! that names it. Fields without an effect on tokens are listed.
//!
//! **Source:** transformers 4.57 `PreTrainedTokenizerFast`, `BertTokenizerFast`, `RobertaTokenizerFast`; transformers 5
//! `TokenizersBackend`, `BertTokenizer`, `RobertaTokenizer`, `XLMRobertaTokenizer`, `DebertaV2Tokenizer`, `AutoTokenizer`.
//! tests/data/tokenizers/ids.json has what both give for folders of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use tokenizers::AddedToken;

use super::class::{Class, HARMLESS, NAMED, READ};
use super::files::Files;
use crate::arch::{self, TokenTypes, Tokenization};
use xpipe_base::task::Failure;

/// The settings of a folder's tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Path of `tokenizer_config.json`, for messages.
    pub(super) file: String,
    pub(super) fields: Map<String, Json>,
    pub(super) class: Class,
    /// `tokenizer_class` as written, if it is.
    pub(super) declared: Option<String>,
    /// `model_type` of config.json; empty without one.
    pub(super) architecture: String,
    pub(super) tokenization: Option<Tokenization>,
    /// Special tokens by name; `None` for one that is declared absent.
    pub(super) named: BTreeMap<&'static str, Option<AddedToken>>,
    /// Tokens of `added_tokens_decoder`, whose properties override those of `tokenizer.json`.
    decoder: Vec<AddedToken>,
    /// Tokens to add to the vocabulary if it lacks them, in order.
    added: Vec<AddedToken>,
}

impl Settings {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` of `files`, and `config.json`.
    ///
    /// # Errors
    /// When one of them is damaged, or has an unknown field that could change tokens.
    pub(super) fn read(folder: &Path, files: &Files) -> Result<Self, Failure> {
        let object = |name: &str| match files.get(name) {
            None => Ok(Map::new()),
            Some(bytes) => match serde_json::from_slice(bytes) {
                Ok(Json::Object(map)) => Ok(map),
                Ok(_) => Err(Failure::wrong(format!(
                    "{}: expected a JSON object with the tokenizer's settings",
                    folder.join(name).display()
                ))),
                Err(e) => Err(Failure::wrong(format!("{}: not JSON: {e}", folder.join(name).display()))),
            },
        };
        let fields = object("tokenizer_config.json")?;
        // Errors of config.json are reported where the model is read.
        let config: Json = std::fs::read(folder.join("config.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let architecture = config["model_type"].as_str().unwrap_or_default().to_owned();
        let tokenization = arch::tokenization(&architecture);
        let text = |json: Option<&Json>| json.and_then(Json::as_str).map(str::to_owned);
        let mut settings = Self {
            file: folder.join("tokenizer_config.json").display().to_string(),
            declared: text(fields.get("tokenizer_class")).or_else(|| text(config.get("tokenizer_class"))),
            class: tokenization.and_then(|t| Class::named(t.class)).unwrap_or(Class::Unknown),
            architecture,
            tokenization,
            fields,
            named: BTreeMap::new(),
            decoder: Vec::new(),
            added: Vec::new(),
        };
        settings.known()?;
        if let Some(name) = &settings.declared {
            settings.class = Class::named(name).ok_or_else(|| {
                settings.wrong("tokenizer_class", &format!("\"{name}\""), "a class of tokenizers that this version knows")
                    .help("it knows those of BERT, DistilBERT, ELECTRA, RoBERTa, XLM-RoBERTa and DeBERTa-v2, and PreTrainedTokenizerFast")
            })?;
        } else if settings.class == Class::Unknown && files.contains_key("vocab.txt") {
            settings.class = Class::Bert { types: true };
        }
        settings.tokens(&object("special_tokens_map.json")?, &object("added_tokens.json")?)?;
        Ok(settings)
    }

    pub(super) fn wrong(&self, field: &str, found: &str, expected: &str) -> Failure {
        Failure::wrong(format!("{}: `{field}` is {found}; expected {expected}", self.file))
    }

    /// A field, if it is there and not null.
    pub(super) fn get(&self, field: &str) -> Option<&Json> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// A boolean field, if it is there.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(field, &value.to_string(), "true or false"))
    }

    /// Refuses unknown fields, and values that are not implemented.
    fn known(&self) -> Result<(), Failure> {
        let known = |name: &str| {
            HARMLESS.contains(&name) || READ.contains(&name) || NAMED.contains(&name) || name.starts_with('_')
        };
        // Special tokens of other names: transformers 5 adds them to the vocabulary.
        let token = |name: &str, value: &Json| name.ends_with("_token") && value.is_string();
        let left: Vec<String> = self
            .fields
            .iter()
            .filter(|(name, value)| !value.is_null() && !known(name) && !token(name, value))
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if !left.is_empty() {
            return Err(Failure::wrong(format!("{}: no known meaning of {}", self.file, left.join(", ")))
                .help("settings that may change tokens are not ignored; remove those without an effect"));
        }
        for (field, allowed) in [
            ("auto_map", vec![json!({})]),
            ("fast_tokenizer_files", vec![json!([]), json!(["tokenizer.json"])]),
            ("fix_mistral_regex", vec![json!(false)]),
            ("init_inputs", vec![json!([])]),
            ("vocab_type", vec![json!("spm")]),
            ("truncation_side", vec![json!("right"), json!("left")]),
        ] {
            if let Some(value) = self.get(field).filter(|value| !allowed.contains(value)) {
                let expected: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                return Err(self
                    .wrong(field, &value.to_string(), &expected.join(" or "))
                    .help("this version has no implementation of other values"));
            }
        }
        Ok(())
    }

    /// Collects the special tokens and the tokens to add.
    fn tokens(&mut self, map: &Map<String, Json>, ids: &Map<String, Json>) -> Result<(), Failure> {
        // Older folders have them in the other two files.
        let whole = self.get("added_tokens_decoder").is_some();
        let says = |name: &str| {
            let older = map.get(name).filter(|_| !whole);
            older.or_else(|| self.fields.get(name)).cloned()
        };
        let mut named = BTreeMap::new();
        for name in NAMED {
            if let Some(value) = says(name) {
                named.insert(name, self.token(name, &value, true)?);
            }
        }
        let mut more = Vec::new();
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            let list = match says(name) {
                None | Some(Json::Null) => Vec::new(),
                Some(Json::Array(list)) => list,
                Some(Json::Object(map)) => map.into_iter().map(|(_, token)| token).collect(),
                Some(other) => return Err(self.wrong(name, &other.to_string(), "a list of tokens")),
            };
            for token in &list {
                more.extend(self.token(name, token, true)?);
            }
        }
        let mut added = Vec::new();
        if let Some(decoder) = self.get("added_tokens_decoder") {
            let wrong = || self.wrong("added_tokens_decoder", "something else", "tokens by their ids");
            for (id, token) in decoder.as_object().ok_or_else(wrong)? {
                let id: u32 = id.parse().map_err(|_| wrong())?;
                added.extend(self.token("added_tokens_decoder", token, false)?.map(|token| (id, token)));
            }
        } else {
            let special = |word: &str| {
                named.values().flatten().chain(&more).any(|token: &AddedToken| token.content == word)
            };
            for (word, id) in ids {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                    let file = Path::new(&self.file).with_file_name("added_tokens.json");
                    Failure::wrong(format!(
                        "{}: the id of `{word}` is {id}; expected a number",
                        file.display()
                    ))
                })?;
                let special = special(word);
                added.push((id, AddedToken::from(word.clone(), special).normalized(!special)));
            }
        }
        added.sort_by_key(|(id, _)| *id);
        let added = added.into_iter().map(|(_, token)| token).collect();
        if whole {
            self.decoder = added;
        } else {
            self.added = added;
        }
        self.added.extend(NAMED.iter().filter_map(|name| named.get(name).cloned().flatten()));
        self.added.extend(more);
        self.named = named;
        Ok(())
    }

    /// A token as a string or with its properties. Special tokens are not normalised.
    fn token(&self, field: &str, value: &Json, special: bool) -> Result<Option<AddedToken>, Failure> {
        let wrong =
            || self.wrong(field, &value.to_string(), "a token as text, or an object with its `content`");
        match value {
            Json::Null => Ok(None),
            Json::String(word) => Ok(Some(AddedToken::from(word.clone(), special))),
            Json::Object(map) => {
                let content = map.get("content").and_then(Json::as_str).ok_or_else(wrong)?;
                let is = |name: &str, default| map.get(name).and_then(Json::as_bool).unwrap_or(default);
                let special = special || is("special", false);
                Ok(Some(
                    AddedToken::from(content, special)
                        .single_word(is("single_word", false))
                        .lstrip(is("lstrip", false))
                        .rstrip(is("rstrip", false))
                        .normalized(is("normalized", !special)),
                ))
            }
            _ => Err(wrong()),
        }
    }

    /// The special token of a name, or a default.
    pub(super) fn special<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        match self.named.get(name) {
            Some(Some(token)) => &token.content,
            Some(None) | None => default,
        }
    }

    /// Whether texts are truncated on the left.
    pub(super) fn cuts_the_beginning(&self) -> bool {
        self.get("truncation_side").and_then(Json::as_str) == Some("left")
    }

    /// Whether special tokens written in a text are split like any other text.
    pub(super) fn splits_special(&self) -> Result<bool, Failure> {
        Ok(self.flag("split_special_tokens")?.unwrap_or(false))
    }

    /// Whether both versions of transformers read the class that the folder names.
    fn class_is_read(&self) -> bool {
        self.tokenization.is_none_or(|t| t.reads_class)
    }

    /// Whether the architecture does this with token types.
    pub(super) fn has_types(&self, types: TokenTypes) -> bool {
        self.tokenization.is_some_and(|t| t.token_types == types)
    }

    /// The value of a boolean field or its default, with the wording for messages.
    fn effective(&self, field: &'static str, default: bool) -> Result<(bool, String), Failure> {
        Ok(match self.flag(field)? {
            Some(value) => (value, format!("`{field}` is {value}")),
            None => (default, format!("`{field}` is absent, which means {default},")),
        })
    }

    /// The error for a setting that only one version of transformers follows.
    pub(super) fn contradiction(&self, says: &str, found: &str) -> Failure {
        Failure::wrong(format!(
            "{}: {says} and tokenizer.json {found}; transformers 4 and 5 read that differently",
            self.file
        ))
        .help("make the two files agree; most models were trained with tokenizer.json")
    }

    /// Applies the settings to a `tokenizer.json`.
    ///
    /// # Errors
    /// When a field contradicts the file and the versions of transformers disagree which of them holds.
    pub(super) fn apply(&self, tokenizer: &mut Json) -> Result<(), Failure> {
        if let (Some(name), Some(model), Some(found)) =
            (&self.declared, self.class.model(), tokenizer["model"]["type"].as_str())
            && found != model
        {
            return Err(
                self.contradiction(&format!("`tokenizer_class` is {name}"), &format!("has a {found} model"))
            );
        }
        match self.class {
            Class::Bert { .. } => self.bert(tokenizer),
            Class::Roberta => self.prefix(tokenizer, self.class_is_read()),
            Class::Fast => self.prefix(tokenizer, false),
            Class::XlmRoberta => {
                let scheme = find(&tokenizer["pre_tokenizer"], &["Metaspace"]).map(prepends);
                match (self.flag("add_prefix_space")?, scheme) {
                    (Some(says), Some(found)) if says != found => Err(self
                        .contradiction(&format!("`add_prefix_space` is {says}"), &format!("says {found}"))),
                    _ => Ok(()),
                }
            }
            Class::DebertaV2 => self.deberta(tokenizer),
            Class::Backend | Class::Unknown => Ok(()),
        }
    }

    fn bert(&self, tokenizer: &mut Json) -> Result<(), Failure> {
        if let (Some(unknown), Some(found)) =
            (self.named.get("unk_token"), tokenizer["model"]["unk_token"].as_str())
            && let Some(unknown) = unknown
            && unknown.content != found
        {
            let says = format!("`unk_token` is \"{}\"", unknown.content);
            return Err(self.contradiction(&says, &format!("says \"{found}\"")));
        }
        let normalizer = &mut tokenizer["normalizer"];
        if normalizer["type"] == "BertNormalizer" {
            let strip = self.flag("strip_accents")?;
            let fields = [
                ("do_lower_case", "lowercase", self.effective("do_lower_case", true)?),
                (
                    "tokenize_chinese_chars",
                    "handle_chinese_chars",
                    self.effective("tokenize_chinese_chars", true)?,
                ),
            ];
            for (field, inner, (value, says)) in fields {
                if !self.class_is_read() && normalizer[inner] != value {
                    let found = format!("says {}", normalizer[inner]);
                    return Err(self
                        .contradiction(&says, &found)
                        .help(format!("`{field}` is no setting of `{}` models", self.architecture)));
                }
                normalizer[inner] = value.into();
            }
            normalizer["strip_accents"] = strip.map_or(Json::Null, Json::Bool);
            return Ok(());
        }
        // Version 4 keeps another normaliser, version 5 replaces it.
        let kind = normalizer["type"].as_str().unwrap_or("none").to_owned();
        for (field, part) in [("do_lower_case", "Lowercase"), ("strip_accents", "StripAccents")] {
            let found = match find(normalizer, &["BertNormalizer"]) {
                Some(bert) if field == "do_lower_case" => bert["lowercase"] == true,
                Some(bert) => bert["strip_accents"].as_bool().unwrap_or(bert["lowercase"] == true),
                None => find(normalizer, &[part]).is_some(),
            };
            if let Some(says) = self.flag(field)?.filter(|says| *says != found) {
                let does = if found { "does it" } else { "does not do it" };
                let found = format!("{does} (its normaliser is {kind})");
                return Err(self.contradiction(&format!("`{field}` is {says}"), &found));
            }
        }
        Ok(())
    }

    /// `add_prefix_space` of byte-level BPE; `both` if both versions of transformers follow it.
    fn prefix(&self, tokenizer: &mut Json, both: bool) -> Result<(), Failure> {
        let (value, says) = self.effective("add_prefix_space", false)?;
        let part = &mut tokenizer["pre_tokenizer"];
        if let Some(found) = part["add_prefix_space"].as_bool() {
            if both {
                part["add_prefix_space"] = value.into();
            } else if found != value {
                return Err(self.contradiction(&says, &format!("says {found}")));
            }
            return Ok(());
        }
        let found = find(part, &["ByteLevel"]).and_then(|inner| inner["add_prefix_space"].as_bool());
        match (self.flag("add_prefix_space")?, found) {
            (Some(says), Some(found)) if says != found && self.class == Class::Roberta => {
                Err(self.contradiction(&format!("`add_prefix_space` is {says}"), &format!("says {found}")))
            }
            _ => Ok(()),
        }
    }

    fn deberta(&self, tokenizer: &Json) -> Result<(), Failure> {
        let lower = find(&tokenizer["normalizer"], &["Lowercase"]).is_some()
            || find(&tokenizer["normalizer"], &["BertNormalizer"]).is_some_and(|n| n["lowercase"] == true);
        let splits = find(&tokenizer["pre_tokenizer"], &["Punctuation", "BertPreTokenizer"]).is_some();
        for (field, found) in [("do_lower_case", lower), ("split_by_punct", splits)] {
            let (value, says) = self.effective(field, false)?;
            if value != found {
                let found = if found { "does it" } else { "does not do it" };
                return Err(self.contradiction(&says, found));
            }
        }
        if self.flag("add_prefix_space")? == Some(false) {
            return Err(self
                .wrong("add_prefix_space", "false", "true")
                .help("transformers 4 and 5 read it differently for DeBERTa's tokenizer"));
        }
        Ok(())
    }

    /// The tokens to add to a vocabulary; `knows` says whether it has a token.
    ///
    /// # Errors
    /// When a special token of another name is not in the vocabulary: only transformers 5 adds it.
    pub(super) fn additions(
        &self,
        tokenizer: &Json,
        knows: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<AddedToken>, Failure> {
        let own = tokenizer["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut tokens = self.decoder.clone();
        let more = self.added.iter().filter(|token| own.iter().all(|o| o["content"] != *token.content));
        tokens.extend(more.cloned());
        for (name, value) in &self.fields {
            if let Some(word) =
                value.as_str().filter(|_| name.ends_with("_token") && !NAMED.contains(&name.as_str()))
                && !own.iter().any(|token| token["content"] == word)
                && !tokens.iter().any(|token| token.content == word)
            {
                let says = format!("`{name}` is \"{word}\"");
                return Err(self.contradiction(&says, "does not have it among its added tokens"));
            }
        }
        let defaults = NAMED.iter().filter(|name| !self.named.contains_key(*name));
        let defaults = defaults.filter_map(|name| self.class.default_token(name));
        let fresh = |word: &&str| knows(word) && own.iter().all(|o| o["content"] != **word);
        tokens.extend(defaults.filter(fresh).map(|word| AddedToken::from(word, true)));
        let mut seen = std::collections::BTreeSet::new();
        tokens.retain(|token| seen.insert(token.content.clone()));
        Ok(tokens)
    }
}

/// The first component of these types: the component itself, or one of its sequence.
fn find<'a>(part: &'a Json, types: &[&str]) -> Option<&'a Json> {
    if part["type"].as_str().is_some_and(|t| types.contains(&t)) {
        return Some(part);
    }
    let lists = ["normalizers", "pretokenizers"].into_iter().filter_map(|name| part[name].as_array());
    lists.flatten().find_map(|inner| find(inner, types))
}

/// Whether a Metaspace component puts a space before a text.
fn prepends(part: &Json) -> bool {
    match part["prepend_scheme"].as_str() {
        Some(scheme) => scheme != "never",
        None => part["add_prefix_space"] != false,
    }
}

/// A mark of the settings that apply now and did not in older versions. Empty if they change nothing, so that keys stay.
pub(super) fn reading(folder: &Path, files: &Files, tokenizer: Option<&[u8]>) -> Option<&'static str> {
    const HONOURED: Option<&str> = Some("settings of the tokenizer are honoured");
    // Refused folders have no results to reuse.
    let Ok(settings) = Settings::read(folder, files) else { return HONOURED };
    if settings.cuts_the_beginning() || settings.splits_special().unwrap_or(true) {
        return HONOURED;
    }
    let parts = tokenizer.and_then(|bytes| serde_json::from_slice::<Parts>(bytes).ok()).unwrap_or_default();
    let before = json!({"normalizer": parts.normalizer, "pre_tokenizer": parts.pre_tokenizer,
        "added_tokens": parts.added_tokens, "model": {"type": parts.model.kind, "unk_token": parts.model.unk_token}});
    let mut after = before.clone();
    let same = tokenizer.is_none() || settings.apply(&mut after).is_ok() && after == before;
    let typed = tokenizer.is_none() || mentions_types(&parts.post_processor);
    let known = |token: &AddedToken| {
        let own = parts.added_tokens.as_array().map(Vec::as_slice).unwrap_or_default();
        own.iter().any(|o| serde_json::from_value::<AddedToken>(o.clone()).is_ok_and(|o| o == *token))
    };
    // A tokenizer built from a vocabulary has BERT's special tokens already.
    let added = match tokenizer {
        Some(_) => {
            let own = parts.added_tokens.as_array().map(Vec::as_slice).unwrap_or_default();
            settings.decoder.iter().any(|token| !known(token))
                || settings.added.iter().any(|token| own.iter().all(|o| o["content"] != *token.content))
        }
        None => {
            let usual = |token: &AddedToken| {
                ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"].contains(&token.content.as_str())
            };
            settings.decoder.iter().chain(&settings.added).any(|token| !usual(token))
        }
    };
    (!same || added || typed && !settings.gives_types().unwrap_or(false)).then_some(HONOURED).flatten()
}

/// The parts of a `tokenizer.json` that settings may change, without the vocabulary.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Parts {
    normalizer: Json,
    pre_tokenizer: Json,
    post_processor: Json,
    added_tokens: Json,
    model: Kind,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Kind {
    #[serde(rename = "type")]
    kind: Json,
    unk_token: Json,
}

/// Whether the pair template has a token type above 0.
fn mentions_types(part: &Json) -> bool {
    match part {
        Json::Object(map) => map.iter().any(|(name, value)| match name.as_str() {
            "type_id" => value.as_u64().is_some_and(|n| n > 0),
            // BERT's older format of a template implies its types.
            "type" => value == "BertProcessing",
            _ => mentions_types(value),
        }),
        Json::Array(list) => list.iter().any(mentions_types),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
