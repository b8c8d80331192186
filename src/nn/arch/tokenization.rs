//! How transformers tokenises texts for an architecture, where the folder does not say.

/// Tokenisation of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokenization {
    /// The tokenizer class of a folder that names none.
    pub class: &'static str,
    /// What the model does with token types.
    pub token_types: TokenTypes,
    /// Whether transformers 5 reads the class that a folder names.
    pub reads_class: bool,
}

/// What a model does with token types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenTypes {
    /// It has a table of them.
    Used,
    /// It has a table, but all tokens have type 0.
    Zero,
    /// It has none.
    None,
}

impl Tokenization {
    pub(super) const fn new(class: &'static str, token_types: TokenTypes) -> Self {
        Self { class, token_types, reads_class: true }
    }
}
