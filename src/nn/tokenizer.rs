//! Tokenisation of texts and pairs.
//!
//! Query and document are tokenised and truncated separately, so that the ids of a text can be cached and used in many
//! pairs. Special tokens and token types are learnt once from the tokenizer's own pair template. Stored truncation and
//! padding settings never apply. Must not know: weights, engines.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::Value as Json;

pub use self::cache::TokenCache;
use self::files::{Files, SETTINGS_FILES, VOCABULARY_FILES};
use self::settings::Settings;
use self::template::{PairTemplate, SingleTemplate, learn_pair, learn_single};
use super::Packed;
use xpipe_base::task::Failure;
use xpipe_base::value::{Call, Digest};

mod build;
mod cache;
mod class;
mod files;
mod parse;
mod prefix;
mod saved;
mod settings;
mod special_tokens;
mod template;

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

/// A tokenizer with its templates.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    template: PairTemplate,
    single: SingleTemplate,
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
            None => Arc::from(build::build(folder, &files, &settings)?),
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
        let (mut template, mut single) =
            (learn_pair(&inner, &settings).map_err(wrong)?, learn_single(&inner, &settings).map_err(wrong)?);
        settings.around(&|word| inner.token_to_id(word), &mut template, &mut single)?;
        let splits_at_spaces =
            !spaced && !settings.cuts_the_beginning() && prefix::splits_at_spaces(&effective);
        files.insert("tokenizer.json", bytes);
        for words in ["vocab", "merges"] {
            effective["model"][words] = Json::Null;
        }
        let spent = Arc::default();
        Ok(Self { inner, template, single, files, settings, effective, splits_at_spaces, spent })
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
    pub fn single_specials(&self) -> usize {
        self.single.before.len() + self.single.after.len()
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
    pub fn push_single(&self, ids: &[u32], total: usize, batch: &mut Packed) {
        let SingleTemplate { before, after, kind } = &self.single;
        let ids = self.kept(ids, total.saturating_sub(self.single_specials()));
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

    /// [`Tokenizer::ids`] of many texts, in parallel. Texts in the cache are not tokenised again.
    ///
    /// # Errors
    /// As [`Tokenizer::ids`].
    pub fn cached_ids(
        &self,
        cache: &TokenCache,
        texts: &[&str],
        limit: usize,
    ) -> Result<Vec<Arc<[u32]>>, Failure> {
        cache.batch(texts, limit, |text| self.ids(text, limit))
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
        let queries = self.cached_ids(cache, &queries, limits.query)?;
        let documents = self.cached_ids(cache, &documents, limits.document)?;
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

#[cfg(test)]
mod tests;
