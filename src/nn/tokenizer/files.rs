//! The files of a folder's tokenizer.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The files of a folder's tokenizer, by name.
pub(super) type Files = BTreeMap<&'static str, Arc<[u8]>>;

/// Files with settings of a tokenizer: read if they exist, and copied into saved models.
pub(super) const SETTINGS_FILES: &[&str] =
    &["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"];

/// Files with a vocabulary: read, and copied, if there is no `tokenizer.json`.
pub(super) const VOCABULARY_FILES: &[&str] =
    &["vocab.txt", "vocab.json", "merges.txt", "spm.model", "sentencepiece.bpe.model"];
