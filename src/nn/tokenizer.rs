//! Tokenisation of texts and pairs.
//!
//! Query and document are tokenised and truncated separately, so that the ids of a text can be cached and used in many
//! pairs. Special tokens and token types are learnt once from the tokenizer's own pair template. Stored truncation and
//! padding settings never apply. Must not know: weights, engines.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Value as Json, json};

use self::settings::Settings;
use super::{Packed, byte_pairs, sentencepiece};
use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Digest};

mod around;
mod class;
mod parse;
mod prefix;
mod saved;
mod settings;

/// The files of a folder's tokenizer, by name.
type Files = BTreeMap<&'static str, Arc<[u8]>>;

/// Files with settings of a tokenizer: read if they exist, and copied into saved models.
const SETTINGS_FILES: &[&str] = &["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// Files with a vocabulary: read, and copied, if there is no `tokenizer.json`.
const VOCABULARY_FILES: &[&str] =
    &["vocab.txt", "vocab.json", "merges.txt", "spm.model", "sentencepiece.bpe.model"];

/// Maximum lengths of the parts of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of the query, without special tokens.
    pub query: usize,
    /// Tokens of the document, without special tokens.
    pub document: usize,
    /// Tokens of the pair with its special tokens: the model's position limit. The document is truncated to fit.
    pub total: usize,
}

impl Limits {
    /// The limits of the constructor `query_document(query, document)` for a model.
    ///
    /// # Errors
    /// [`xpipe_base::task::FailureKind::Bug`] for other values, which the checker refuses.
    pub fn of(call: &Call, position_limit: usize) -> Result<Self, Failure> {
        let count = |name: &str| {
            let value = call.args.get(name).and_then(xpipe_base::value::Value::as_int);
            value.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| {
                Failure::bug(format!("{}: `{name}` is not a count above zero: {:?}", call.name, call.args))
            })
        };
        Ok(Self { query: count("query")?, document: count("document")?, total: position_limit })
    }
}

/// Special tokens in a row: ids and token types.
type Specials = Vec<(u32, u32)>;

/// Special tokens and token types of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PairTemplate {
    before: Specials,
    between: Specials,
    after: Specials,
    query_type: u32,
    document_type: u32,
}

/// Special tokens and token type of a single text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SingleTemplate {
    before: Specials,
    after: Specials,
    kind: u32,
}

/// A tokenizer with its templates.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: PairTemplate,
    alone: SingleTemplate,
    files: Files,
    settings: Settings,
    /// `tokenizer.json` as changed by the settings, without the vocabulary.
    effective: Json,
    /// Whether a prefix of a text gives the text's first tokens.
    splits_at_spaces: bool,
    /// Nanoseconds spent on texts by all threads and copies together.
    spent: Arc<AtomicU64>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model folder, or builds a tokenizer from the vocabulary if there is none. [`settings`]
    /// says what `tokenizer_config.json` and related files change.
    ///
    /// # Errors
    /// When there is neither, when a file is damaged or has no pair template, or when files contradict each other.
    pub fn load(folder: &Path) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        let read = |name: &str| match std::fs::read(folder.join(name)) {
            Ok(bytes) => Ok(Some(Arc::from(bytes))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::missing(format!("{}: {e}", folder.join(name).display()))),
        };
        let whole: Option<Arc<[u8]>> = read("tokenizer.json")?;
        for name in SETTINGS_FILES.iter().chain(VOCABULARY_FILES.iter().filter(|_| whole.is_none())) {
            if let Some(bytes) = read(name)? {
                files.insert(*name, bytes);
            }
        }
        let settings = Settings::read(folder, &files)?;
        let path = folder.join("tokenizer.json");
        let bytes: Arc<[u8]> = match whole {
            Some(bytes) => bytes,
            None => Arc::from(built(folder, &files, &settings)?),
        };
        let wrong = |what: String| Failure::wrong(format!("{}: {what}", path.display()));
        let damaged = |what: String| {
            wrong(format!("not a tokenizer: {what}"))
                .help("it may be cut off, or of a newer format than this version reads")
        };
        let mut effective: Json = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if !effective.is_object() {
            return Err(damaged("expected a JSON object".into()));
        }
        settings.apply(&mut effective)?;
        // Padding and truncation are done here, not by these settings.
        for part in ["padding", "truncation"] {
            effective[part] = Json::Null;
        }
        let mut inner = parse::tokenizer(&effective).map_err(damaged)?;
        let additions = settings.additions(&effective, &|word| inner.token_to_id(word).is_some())?;
        let spaced = additions.iter().any(|token| token.content.contains(char::is_whitespace));
        parse::quiet(|| inner.add_tokens(additions).map_err(|e| e.to_string()))
            .map_err(|e| damaged(format!("its added tokens: {e}")))?;
        inner.set_encode_special_tokens(settings.splits_special()?);
        let (mut template, mut alone) =
            (template(&inner, &settings).map_err(wrong)?, alone(&inner, &settings).map_err(wrong)?);
        settings.around(&|word| inner.token_to_id(word), &mut template, &mut alone)?;
        let splits_at_spaces =
            !spaced && !settings.cuts_the_beginning() && prefix::splits_at_spaces(&effective);
        files.insert("tokenizer.json", bytes);
        for words in ["vocab", "merges"] {
            effective["model"][words] = Json::Null;
        }
        let spent = Arc::default();
        Ok(Self { inner, template, alone, files, settings, effective, splits_at_spaces, spent })
    }

    /// Writes the tokenizer's files into a model folder as they were read, and a `tokenizer_config.json` with what readers
    /// need, such as the model's maximum length `longest`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path, longest: usize) -> Result<(), Failure> {
        std::fs::create_dir_all(folder)?;
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes)?;
        }
        let knows = |word: &str| self.inner.token_to_id(word).is_some();
        let config = self.settings.saved(&self.effective, self.template.typed(), longest, &knows);
        let mut text = serde_json::to_string_pretty(&config)
            .map_err(|e| Failure::bug(format!("tokenizer_config.json cannot be written: {e}")))?;
        text.push('\n');
        std::fs::write(folder.join("tokenizer_config.json"), text)?;
        Ok(())
    }

    /// `tokenizer.json` as it was read or built, before the settings apply.
    pub fn json(&self) -> &[u8] {
        self.files.get("tokenizer.json").map_or(&[], |b| b)
    }

    /// Number of special tokens of a pair.
    pub fn specials(&self) -> usize {
        self.template.before.len() + self.template.between.len() + self.template.after.len()
    }

    /// Number of special tokens of a single text.
    pub fn specials_alone(&self) -> usize {
        self.alone.before.len() + self.alone.after.len()
    }

    /// Digest of the vocabulary with its ids. Tokenizers of equal digest have the same ids.
    pub fn vocabulary(&self) -> Digest {
        let words: BTreeMap<u32, String> =
            self.inner.get_vocab(true).into_iter().map(|(word, id)| (id, word)).collect();
        let mut hasher = blake3::Hasher::new_derive_key("xpipe vocabulary v1");
        for (id, word) in words {
            hasher.update(&id.to_le_bytes());
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Seconds spent on texts by all threads together.
    pub fn seconds(&self) -> f64 {
        self.spent.load(Ordering::Relaxed) as f64 * 1e-9
    }

    /// The first `limit` ids of a text, without special tokens; the last ones if the tokenizer truncates on the left.
    ///
    /// # Errors
    /// When the tokenizer fails, for instance because the vocabulary lacks the unknown token.
    pub fn ids(&self, text: &str, limit: usize) -> Result<Vec<u32>, Failure> {
        let begun = Instant::now();
        let encode = |text: &str| {
            parse::quiet(|| self.inner.encode_fast(text, false).map_err(|e| e.to_string())).map_err(|e| {
                let start: String = text.chars().take(40).collect();
                Failure::wrong(format!("the tokenizer cannot read the text \"{start}…\": {e}"))
            })
        };
        // Enough for most texts in languages with spaces; doubled if it is not.
        let mut enough = limit.saturating_mul(6).saturating_add(48);
        let mut encoding = None;
        while self.splits_at_spaces
            && enough < text.len() / 5 * 4
            && let Some(end) = prefix::cut(text, enough)
        {
            let start = encode(&text[..end])?;
            if start.len() >= limit {
                encoding = Some(start);
                break;
            }
            enough = 2 * end;
        }
        let encoding = encoding.map_or_else(|| encode(text), Ok)?;
        self.spent.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(self.kept(encoding.get_ids(), limit).to_vec())
    }

    /// Ids truncated to a length.
    fn kept<'a>(&self, ids: &'a [u32], limit: usize) -> &'a [u32] {
        match ids.len().checked_sub(limit) {
            None => ids,
            Some(off) if self.settings.cuts_the_beginning() => &ids[off..],
            Some(_) => &ids[..limit],
        }
    }

    /// [`Tokenizer::ids`] of many texts, in parallel on the current rayon pool.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn batch(&self, texts: &[&str], limit: usize) -> Result<Vec<Vec<u32>>, Failure> {
        texts.par_iter().map(|t| self.ids(t, limit)).collect()
    }

    /// Adds a pair of id lists to a batch: truncated, with special tokens and types.
    pub fn push(&self, query: &[u32], document: &[u32], limits: &Limits, batch: &mut Packed) {
        let t = &self.template;
        let room = limits.total.saturating_sub(self.specials());
        let query = self.kept(query, limits.query.min(room));
        let document = self.kept(document, limits.document.min(room - query.len()));
        let parts =
            [(&t.before, query, t.query_type), (&t.between, document, t.document_type), (&t.after, &[], 0)];
        for (specials, ids, kind) in parts {
            for &(id, kind) in specials {
                batch.ids.push(id);
                batch.types.push(kind);
            }
            batch.ids.extend_from_slice(ids);
            batch.types.extend(std::iter::repeat_n(kind, ids.len()));
        }
        batch.starts.push(batch.ids.len());
    }

    /// Adds the ids of a single text to a batch: with special tokens, truncated to `total` tokens including them.
    pub fn push_alone(&self, ids: &[u32], total: usize, batch: &mut Packed) {
        let SingleTemplate { before, after, kind } = &self.alone;
        let ids = self.kept(ids, total.saturating_sub(self.specials_alone()));
        for (specials, ids) in [(before, ids), (after, &[][..])] {
            for &(id, kind) in specials {
                batch.ids.push(id);
                batch.types.push(kind);
            }
            batch.ids.extend_from_slice(ids);
            batch.types.extend(std::iter::repeat_n(*kind, ids.len()));
        }
        batch.starts.push(batch.ids.len());
    }

    /// Ids and token types of one pair of texts.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn encode_pair(
        &self,
        query: &str,
        document: &str,
        limits: &Limits,
    ) -> Result<(Vec<u32>, Vec<u32>), Failure> {
        let mut batch = Packed::new();
        let (q, d) = (self.ids(query, limits.query)?, self.ids(document, limits.document)?);
        self.push(&q, &d, limits, &mut batch);
        Ok((batch.ids, batch.types))
    }

    /// A batch of pairs of texts, tokenised in parallel. Texts in the cache are not tokenised again.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn pack(
        &self,
        pairs: &[(&str, &str)],
        limits: &Limits,
        cache: &TokenCache,
    ) -> Result<Packed, Failure> {
        let queries: Vec<&str> = pairs.iter().map(|p| p.0).collect();
        let documents: Vec<&str> = pairs.iter().map(|p| p.1).collect();
        let queries = cache.batch(self, &queries, limits.query)?;
        let documents = cache.batch(self, &documents, limits.document)?;
        let mut batch = Packed::new();
        for (q, d) in queries.iter().zip(&documents) {
            self.push(q, d, limits, &mut batch);
        }
        Ok(batch)
    }
}

/// A mark in the content of a folder whose tokenizer is read differently than by older versions, so that results of the
/// older reading are not reused.
pub fn reading(folder: &Path) -> Option<&'static str> {
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let files: Files =
        SETTINGS_FILES.iter().filter_map(|name| Some((*name, Arc::from(read(name)?)))).collect();
    settings::reading(folder, &files, read("tokenizer.json").as_deref())
}

/// Learns the pair template by encoding a pair: the tokens that come from neither text.
fn template(inner: &tokenizers::Tokenizer, settings: &Settings) -> Result<PairTemplate, String> {
    let pair = parse::quiet(|| inner.encode_fast(("a", "a"), true).map_err(|e| e.to_string()))
        .map_err(|e| format!("cannot encode a pair: {e}"))?;
    let sources = pair.get_sequence_ids();
    let mut template = PairTemplate::default();
    let mut seen = [false; 2];
    for (i, source) in sources.iter().enumerate() {
        let (id, kind) = (pair.get_ids()[i], pair.get_type_ids()[i]);
        match (source, seen) {
            (Some(0), [_, false]) => (template.query_type, seen[0]) = (kind, true),
            (Some(1), [true, _]) => (template.document_type, seen[1]) = (kind, true),
            (None, [false, false]) => template.before.push((id, kind)),
            (None, [true, false]) => template.between.push((id, kind)),
            (None, [true, true]) => template.after.push((id, kind)),
            _ => return Err("its pair template is not query before document".into()),
        }
    }
    if seen != [true, true] {
        return Err("it gives no token for the text \"a\"".into());
    }
    if !template.before.is_empty() {
        return Ok(template);
    }
    match classic(inner, settings) {
        Some((cls, sep)) => Ok(PairTemplate {
            before: vec![(cls, 0)],
            between: vec![(sep, 0)],
            after: vec![(sep, 1)],
            query_type: 0,
            document_type: 1,
        }),
        None => Err("it has no pair template, and no [CLS] and [SEP] to make BERT's".into()),
    }
}

/// The tokens of BERT's pair template.
fn classic(inner: &tokenizers::Tokenizer, settings: &Settings) -> Option<(u32, u32)> {
    let id = |name: &str, default: &str| inner.token_to_id(settings.special(name, default));
    id("cls_token", "[CLS]").zip(id("sep_token", "[SEP]"))
}

/// Learns the special tokens of a single text in the same way.
fn alone(inner: &tokenizers::Tokenizer, settings: &Settings) -> Result<SingleTemplate, String> {
    let one = parse::quiet(|| inner.encode_fast("a", true).map_err(|e| e.to_string()))
        .map_err(|e| format!("cannot encode a text: {e}"))?;
    let (mut alone, mut seen) = (SingleTemplate::default(), false);
    for (i, source) in one.get_sequence_ids().iter().enumerate() {
        let (id, kind) = (one.get_ids()[i], one.get_type_ids()[i]);
        match (source, seen) {
            (Some(_), _) => (alone.kind, seen) = (kind, true),
            (None, false) => alone.before.push((id, kind)),
            (None, true) => alone.after.push((id, kind)),
        }
    }
    if alone.before.is_empty()
        && let Some((cls, sep)) = classic(inner, settings)
    {
        (alone.before, alone.after) = (vec![(cls, 0)], vec![(sep, 0)]);
    }
    Ok(alone)
}

/// `tokenizer.json` built from the files of an older model folder.
fn built(folder: &Path, files: &Files, settings: &Settings) -> Result<Vec<u8>, Failure> {
    let tokenizer = if let Some(vocabulary) = files.get("vocab.txt") {
        word_piece(folder, vocabulary, settings)?
    } else if let Some(model) = files.get("spm.model") {
        let flag = |name: &str| Ok::<_, Failure>(settings.flag(name)?.unwrap_or(false));
        sentencepiece::deberta(model, flag("do_lower_case")?, flag("split_by_punct")?).map_err(|what| {
            Failure::wrong(format!(
                "{}: not a SentencePiece model: {what}",
                folder.join("spm.model").display()
            ))
        })?
    } else if let Some(model) = files.get("sentencepiece.bpe.model") {
        sentencepiece::xlm_roberta(model).map_err(|what| {
            let name = folder.join("sentencepiece.bpe.model");
            Failure::wrong(format!("{}: not the SentencePiece model of XLM-RoBERTa: {what}", name.display()))
        })?
    } else if let (Some(words), Some(merges)) = (files.get("vocab.json"), files.get("merges.txt")) {
        let prefix_space = settings.flag("add_prefix_space")?.unwrap_or(false);
        byte_pairs::roberta(words, merges, prefix_space)
            .map_err(|what| Failure::wrong(format!("{}: {what}", folder.display())))?
    } else {
        let failure = Failure::missing(format!("{}: no tokenizer.json in this folder", folder.display()));
        return Err(failure.help(super::files::tokenizer_above(folder).unwrap_or_else(|| {
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
fn word_piece(folder: &Path, vocabulary: &[u8], settings: &Settings) -> Result<Json, Failure> {
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

/// Cached ids of the texts of one run, by content. Shared between threads and limited in size.
#[derive(Debug)]
pub struct TokenCache {
    known: Mutex<CachedIds>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct CachedIds {
    ids: HashMap<([u8; 16], usize), Arc<[u32]>>,
    tokens: usize,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl TokenCache {
    /// A cache of at most this many token ids (4 bytes each). It is emptied when it is full.
    pub fn new(capacity: usize) -> Self {
        Self { known: Mutex::default(), capacity }
    }

    /// The first `limit` ids of each text.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn batch(
        &self,
        tokenizer: &Tokenizer,
        texts: &[&str],
        limit: usize,
    ) -> Result<Vec<Arc<[u32]>>, Failure> {
        let key = |text: &&str| {
            let mut key = [0; 16];
            key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
            (key, limit)
        };
        let keys: Vec<_> = texts.par_iter().map(key).collect();
        let mut found: Vec<Option<Arc<[u32]>>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            keys.iter().map(|k| known.ids.get(k).cloned()).collect()
        };
        // Each unknown text once.
        let mut first = HashMap::new();
        for (i, key) in keys.iter().enumerate().filter(|(i, _)| found[*i].is_none()) {
            first.entry(*key).or_insert(i);
        }
        let mut fresh: Vec<usize> = first.values().copied().collect();
        fresh.sort_unstable();
        let ids: Vec<Arc<[u32]>> = fresh
            .par_iter()
            .map(|&i| tokenizer.ids(texts[i], limit).map(Arc::from))
            .collect::<Result<_, Failure>>()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (&i, ids) in fresh.iter().zip(ids) {
            if known.tokens + ids.len() > self.capacity {
                *known = CachedIds::default();
            }
            known.tokens += ids.len();
            known.ids.insert(keys[i], ids.clone());
            found[i] = Some(ids);
        }
        drop(known);
        let of = |i: usize| found[i].clone().or_else(|| first.get(&keys[i]).and_then(|f| found[*f].clone()));
        (0..keys.len()).map(|i| of(i).ok_or_else(|| Failure::bug("a text was not tokenised"))).collect()
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
