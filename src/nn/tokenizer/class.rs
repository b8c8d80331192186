//! Tokenizer classes of transformers, and the fields of their settings.

/// Fields without an effect on tokens, or with an effect on decoding only.
pub(super) const HARMLESS: &[&str] = &[
    "add_bos_token",
    "add_eos_token",
    "add_special_tokens",
    "backend",
    "bos_token_id",
    "cache_dir",
    "chat_template",
    "clean_up_tokenization_spaces",
    "cls_token_id",
    "do_basic_tokenize",
    "eos_token_id",
    "errors",
    "extra_ids",
    "from_slow",
    "full_tokenizer_file",
    "is_local",
    "keep_accents",
    "legacy",
    "local_files_only",
    "mask_token_id",
    "max_len",
    "max_length",
    "max_seq_length",
    "merges_file",
    "model_max_length",
    "model_type",
    "name_or_path",
    "never_split",
    "pad_to_multiple_of",
    "pad_token_id",
    "pad_token_type_id",
    "padding",
    "padding_side",
    "processor_class",
    "remove_space",
    "return_token_type_ids",
    "sep_token_id",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "transformers_version",
    "trim_offsets",
    "truncation",
    "truncation_strategy",
    "trust_remote_code",
    "unk_id",
    "unk_token_id",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
    "vocab_size",
    "wordpieces_prefix",
];

/// Fields that are read.
pub(super) const READ: &[&str] = &[
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "auto_map",
    "do_lower_case",
    "extra_special_tokens",
    "fast_tokenizer_files",
    "fix_mistral_regex",
    "init_inputs",
    "model_input_names",
    "split_by_punct",
    "split_special_tokens",
    "strip_accents",
    "tokenize_chinese_chars",
    "tokenizer_class",
    "truncation_side",
    "vocab_type",
];

/// The named special tokens in the order in which transformers adds them.
pub(super) const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The kind of tokenizer that transformers makes of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// BERT's and those like it; whether models receive token types.
    Bert {
        types: bool,
    },
    /// Byte-level BPE: RoBERTa's and GPT-2's.
    Roberta,
    XlmRoberta,
    DebertaV2,
    /// `PreTrainedTokenizerFast`: tokenizer.json as it is.
    Fast,
    /// `TokenizersBackend` of transformers 5: tokenizer.json as it is, without token types.
    Backend,
    /// Unknown.
    Unknown,
}

impl Class {
    /// The class of a `tokenizer_class`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Fast").unwrap_or(name) {
            "BertTokenizer"
            | "ElectraTokenizer"
            | "MobileBertTokenizer"
            | "SqueezeBertTokenizer"
            | "ConvBertTokenizer"
            | "LayoutLMTokenizer"
            | "LxmertTokenizer" => Self::Bert { types: true },
            "DistilBertTokenizer" => Self::Bert { types: false },
            "RobertaTokenizer" | "LongformerTokenizer" | "BartTokenizer" | "GPT2Tokenizer" => Self::Roberta,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "DebertaV2Tokenizer" => Self::DebertaV2,
            "PreTrainedTokenizer" => Self::Fast,
            "TokenizersBackend" => Self::Backend,
            _ => return None,
        })
    }

    /// The `model.type` of tokenizer.json that the class needs.
    pub(super) fn model(self) -> Option<&'static str> {
        match self {
            Self::Bert { .. } => Some("WordPiece"),
            Self::Roberta => Some("BPE"),
            Self::XlmRoberta | Self::DebertaV2 => Some("Unigram"),
            Self::Fast | Self::Backend | Self::Unknown => None,
        }
    }

    /// Default special tokens of the class.
    pub(super) fn default_token(self, name: &str) -> Option<&'static str> {
        let all = match self {
            Self::Bert { .. } => {
                [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")]
            }
            Self::DebertaV2 => ["[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"].map(Some),
            Self::Roberta | Self::XlmRoberta => {
                ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"].map(Some)
            }
            Self::Fast | Self::Backend | Self::Unknown => [None; 7],
        };
        NAMED.iter().position(|n| *n == name).and_then(|i| all[i])
    }
}
