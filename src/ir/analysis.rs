//! From text to terms, as Lucene's `EnglishAnalyzer` (Anserini's default) does it.
//!
//! Word boundaries of Unicode (UAX#29) without punctuation, tokens cut at 255 UTF-16 units, the possessive `'s`
//! removed, lower case, Lucene's 33 English stop words removed, Porter's first stemmer. Emoji are terms of their
//! own as in Lucene; of the rarer sequences (flags, keycaps) only pictographs are recognised.
//!
//! **Source:** Lucene `StandardTokenizer`, `EnglishPossessiveFilter`, `EnglishAnalyzer`, `PorterStemFilter`.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::porter;

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

/// The longest token, in UTF-16 units (Lucene's default); longer ones are cut into pieces of this length.
pub const MAX_TOKEN_LENGTH: usize = 255;

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

/// The tokens of Lucene's `StandardTokenizer`.
fn tokens(text: &str, f: &mut dyn FnMut(&str)) {
    if text.is_ascii() {
        // In ASCII only letters and digits make a token (the underscore joins but does not), as here.
        text.unicode_words().for_each(|word| pieces(word, f));
        return;
    }
    // Scripts without word boundaries (Thai, Khmer, …) are kept together by run, as Lucene does.
    let mut run: Option<(usize, usize)> = None;
    for (start, segment) in text.split_word_bound_indices() {
        let end = start + segment.len();
        if segment.chars().next().is_some_and(complex_context) {
            run = Some(run.map_or((start, end), |(s, _)| (s, end)));
            continue;
        }
        if let Some((s, e)) = run.take() {
            pieces(&text[s..e], f);
        }
        if is_token(segment) {
            pieces(segment, f);
        }
    }
    if let Some((s, e)) = run {
        pieces(&text[s..e], f);
    }
}

/// Whether a segment is a word, a number, an ideograph or an emoji, and not space or punctuation.
fn is_token(segment: &str) -> bool {
    segment.chars().any(|c| {
        c.is_alphabetic() || c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric() && joins(&['1', c]))
    }) || is_emoji(segment)
}

/// Whether the segmentation keeps characters together: tells superscripts and fractions, which are no part of
/// words, from digits.
fn joins(chars: &[char]) -> bool {
    let text: String = chars.iter().collect();
    text.split_word_bounds().count() == 1
}

fn is_emoji(segment: &str) -> bool {
    let Some(first) = segment.chars().next() else { return false };
    // A pictograph is what a zero-width joiner holds on to (rule WB3c).
    let pictograph = !first.is_ascii() && !first.is_whitespace() && joins(&['\u{200D}', first]);
    let by_itself = first as u32 >= 0x1F000;
    pictograph && (by_itself || segment.contains('\u{FE0F}'))
}

/// Line-break class SA: the blocks of the South East Asian scripts that are written without spaces.
fn complex_context(c: char) -> bool {
    c.is_alphabetic()
        && matches!(u32::from(c),
            0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x1950..=0x19DF | 0x1A20..=0x1AAF
            | 0xA9E0..=0xA9FF | 0xAA60..=0xAADF)
}

/// Cuts a token that is too long.
fn pieces(token: &str, f: &mut dyn FnMut(&str)) {
    if token.len() <= MAX_TOKEN_LENGTH {
        return f(token);
    }
    let (mut start, mut units) = (0, 0);
    for (i, c) in token.char_indices() {
        if units + c.len_utf16() > MAX_TOKEN_LENGTH {
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

    /// Cases of Lucene's TestEnglishAnalyzer and TestStandardAnalyzer.
    #[test]
    fn cases_of_lucene() {
        assert_eq!(english("books"), ["book"]);
        assert_eq!(english("book"), ["book"]);
        assert_eq!(english("the"), Vec::<String>::new());
        assert_eq!(english("steven's"), ["steven"]);
        assert_eq!(english("steven\u{2019}s"), ["steven"]);
        assert_eq!(english("steven\u{FF07}s"), ["steven"]);
        let tokens = |text: &str| {
            let mut out = Vec::new();
            super::tokens(text, &mut |t| out.push(t.to_owned()));
            out
        };
        assert_eq!(tokens("O'Reilly"), ["O'Reilly"]);
        assert_eq!(tokens("you're"), ["you're"]);
        assert_eq!(tokens("O'Reilly's"), ["O'Reilly's"]);
        assert_eq!(tokens("some-dashed-phrase"), ["some", "dashed", "phrase"]);
        assert_eq!(tokens("21.35"), ["21.35"]);
        assert_eq!(tokens("R2D2 C3PO"), ["R2D2", "C3PO"]);
        assert_eq!(tokens("216.239.63.104"), ["216.239.63.104"]);
        assert_eq!(tokens("1-2"), ["1", "2"]);
        assert_eq!(tokens("foobar@example.com"), ["foobar", "example.com"]);
        assert_eq!(tokens("AT&T"), ["AT", "T"]);
        assert_eq!(tokens("U.S.A."), ["U.S.A"]);
        assert_eq!(tokens("_ab_c __ _"), ["_ab_c"]);
        assert_eq!(tokens("a:b"), ["a:b"]);
        assert_eq!(tokens("3ns_2 2.0m"), ["3ns_2", "2.0m"]);
        assert_eq!(
            tokens("我是中国人。 １２３４ Ｔｅｓｔｓ "),
            ["我", "是", "中", "国", "人", "１２３４", "Ｔｅｓｔｓ"]
        );
        assert_eq!(tokens("仮名遣い カタカナ"), ["仮", "名", "遣", "い", "カタカナ"]);
        assert_eq!(tokens("안녕하세요 한글입니다"), ["안녕하세요", "한글입니다"]);
        assert_eq!(tokens("การที่ได้ต้องแสดงว่างานดี. แล้ว"), ["การที่ได้ต้องแสดงว่างานดี", "แล้ว"]);
        assert_eq!(tokens("x² ½ ©"), ["x"]);
        assert_eq!(tokens("💩 💩💩"), ["💩", "💩", "💩"]);
        assert_eq!(tokens("naïve—café"), ["naïve", "café"]);
    }

    proptest::proptest! {
        /// ASCII goes another way than the rest of Unicode; the tokens are the same.
        #[test]
        fn ascii_is_cut_as_all_text(text in "[ -~\\n\\t]{0,40}|[a-c1-3_.,:;' -]{0,20}") {
            let list = |text: &str| {
                let mut out = Vec::new();
                super::tokens(text, &mut |t| out.push(t.to_owned()));
                out
            };
            let mut expected = list(&text);
            expected.push("é".to_owned());
            proptest::prop_assert_eq!(list(&format!("{text} é")), expected);
        }
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
