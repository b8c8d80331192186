//! From text to terms, as Lucene's `EnglishAnalyzer` (Anserini's default) does it.
//!
//! The tokens of Lucene's `StandardTokenizer` ([`super::tokens`]), the possessive `'s` removed, lower case, Lucene's 33
//! English stop words removed, Porter's first stemmer.
//!
//! **Source:** Lucene `EnglishPossessiveFilter`, `EnglishAnalyzer`, `PorterStemFilter`.

use serde::{Deserialize, Serialize};

use super::porter;
use super::tokens::{LONGEST, tokens};

/// How text becomes terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Analysis {
    /// Lucene's English analysis.
    English,
    /// What stands between white space, unchanged: for text that was analysed before.
    Whitespace,
}

/// Lucene's `EnglishAnalyzer.ENGLISH_STOP_WORDS_SET`, sorted.
pub const STOP_WORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
    "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to",
    "was", "will", "with",
];

impl Analysis {
    /// Reads the word that studies write.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "english" => Some(Self::English),
            "whitespace" => Some(Self::Whitespace),
            _ => None,
        }
    }

    /// The word that studies write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::English => "english",
            Self::Whitespace => "whitespace",
        }
    }

    /// Calls `f` with each term of a text, in order.
    pub fn terms(self, text: &str, f: &mut dyn FnMut(&str)) {
        let mut buffer = String::new();
        match self {
            Self::Whitespace => {
                text.split_whitespace().for_each(|word| pieces(word, &mut |piece| f(piece)));
            }
            Self::English => tokens(text, &mut |token| {
                if english(token, &mut buffer) {
                    f(&buffer);
                }
            }),
        }
    }

    /// The terms of a text as a list.
    pub fn list(self, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        self.terms(text, &mut |t| out.push(t.to_owned()));
        out
    }
}

/// The filters after the tokenizer; false for a stop word.
fn english(token: &str, out: &mut String) -> bool {
    out.clear();
    let token = without_possessive(token);
    if token.is_ascii() {
        out.push_str(token);
        out.make_ascii_lowercase();
    } else {
        // Java's simple case mapping: one letter for one letter.
        out.extend(token.chars().map(|c| c.to_lowercase().next().unwrap_or(c)));
    }
    if STOP_WORDS.binary_search(&out.as_str()).is_ok() {
        return false;
    }
    porter::stem(out);
    !out.is_empty()
}

fn without_possessive(token: &str) -> &str {
    let Some(rest) = token.strip_suffix(['s', 'S']) else { return token };
    rest.strip_suffix(['\'', '\u{2019}', '\u{FF07}']).unwrap_or(token)
}

/// Cuts a word between white space that is longer than a token may be.
fn pieces(token: &str, f: &mut dyn FnMut(&str)) {
    if token.len() <= LONGEST {
        return f(token);
    }
    let (mut start, mut units) = (0, 0);
    for (i, c) in token.char_indices() {
        if units + c.len_utf16() > LONGEST {
            f(&token[start..i]);
            (start, units) = (i, 0);
        }
        units += c.len_utf16();
    }
    f(&token[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english(text: &str) -> Vec<String> {
        Analysis::English.list(text)
    }

    /// Cases of Lucene's TestEnglishAnalyzer.
    #[test]
    fn cases_of_lucene() {
        assert_eq!(english("books"), ["book"]);
        assert_eq!(english("book"), ["book"]);
        assert_eq!(english("the"), Vec::<String>::new());
        assert_eq!(english("steven's"), ["steven"]);
        assert_eq!(english("steven\u{2019}s"), ["steven"]);
        assert_eq!(english("steven\u{FF07}s"), ["steven"]);
    }

    #[test]
    fn stop_words_are_sorted_and_matched_after_the_possessive() {
        assert!(STOP_WORDS.is_sorted());
        assert_eq!(english("It's THE Running of dogs' tails, isn't it?"), ["run", "dog", "tail", "isn't"]);
    }

    #[test]
    fn long_tokens_are_cut() {
        let long = "x".repeat(600);
        let lengths: Vec<usize> = english(&long).iter().map(String::len).collect();
        assert_eq!(lengths, [255, 255, 90]);
        let wide = "é".repeat(300);
        let lengths: Vec<usize> =
            Analysis::Whitespace.list(&wide).iter().map(|t| t.chars().count()).collect();
        assert_eq!(lengths, [255, 45]);
    }

    #[test]
    fn whitespace_changes_nothing() {
        assert_eq!(Analysis::Whitespace.list(" The\tDogs  run. "), ["The", "Dogs", "run."]);
        assert_eq!(Analysis::English.list(""), Vec::<String>::new());
    }
}
