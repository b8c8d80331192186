//! The class that each character has in the tokenizer's rules.
//!
//! `classes.txt` beside this file has a line a class (further lines are indented): its name, and its code points as
//! ranges in hexadecimal. It is the character map of Lucene 9.9.1's `StandardTokenizerImpl`, made from Unicode 12.1:
//! `Word_Break`, `Line_Break`, `Script` and the emoji properties, with Hangul among the letters. What is not listed is
//! [`Class::Other`].

use std::sync::LazyLock;

/// What a character is to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Space, punctuation, symbols, what Unicode 12.1 has not assigned.
    Other,
    /// `"`, which joins Hebrew letters.
    DoubleQuote,
    /// `#` and `*`.
    KeycapBase,
    /// `'`.
    SingleQuote,
    /// Joins numbers: the comma and its like.
    MidNumber,
    /// Joins letters or numbers: the full stop and its like.
    MidLetterNumber,
    /// 0 to 9.
    Digit,
    /// Joins letters: the colon and its like.
    MidLetter,
    /// A letter of any alphabet but Hebrew and Katakana.
    Letter,
    /// The underscore and its like.
    Joiner,
    /// An emoji.
    Pictograph,
    /// A combining mark or a format character.
    Extend,
    /// A Hebrew letter.
    Hebrew,
    /// A digit other than 0 to 9.
    Number,
    /// A character of a script written without spaces.
    Complex,
    /// Its combining marks.
    ComplexExtend,
    /// The zero-width joiner.
    Zwj,
    /// The combining enclosing keycap.
    Keycap,
    /// A letter that is also an emoji: ℹ, Ⓜ.
    PictographLetter,
    /// An ideograph.
    Han,
    /// A katakana letter.
    Katakana,
    /// A hiragana letter.
    Hiragana,
    /// The selector of text style, U+FE0E.
    TextStyle,
    /// The selector of emoji style, U+FE0F.
    EmojiStyle,
    /// A regional indicator, half a flag.
    Flag,
    /// A modifier of emoji: a skin tone.
    Modifier,
    /// A tag: a letter of a subdivision's flag.
    Tag,
    /// The end of tags.
    TagEnd,
}

use Class as C;

const NAMES: [(&str, Class); 27] = [
    ("DoubleQuote", C::DoubleQuote),
    ("KeycapBase", C::KeycapBase),
    ("SingleQuote", C::SingleQuote),
    ("MidNumber", C::MidNumber),
    ("MidLetterNumber", C::MidLetterNumber),
    ("Digit", C::Digit),
    ("MidLetter", C::MidLetter),
    ("Letter", C::Letter),
    ("Joiner", C::Joiner),
    ("Pictograph", C::Pictograph),
    ("Extend", C::Extend),
    ("Hebrew", C::Hebrew),
    ("Number", C::Number),
    ("Complex", C::Complex),
    ("ComplexExtend", C::ComplexExtend),
    ("Zwj", C::Zwj),
    ("Keycap", C::Keycap),
    ("PictographLetter", C::PictographLetter),
    ("Han", C::Han),
    ("Katakana", C::Katakana),
    ("Hiragana", C::Hiragana),
    ("TextStyle", C::TextStyle),
    ("EmojiStyle", C::EmojiStyle),
    ("Flag", C::Flag),
    ("Modifier", C::Modifier),
    ("Tag", C::Tag),
    ("TagEnd", C::TagEnd),
];

impl Class {
    /// Whether a character belongs to the one before it in words (rule WB4).
    pub(super) fn extends(self) -> bool {
        self.extends_emoji() || matches!(self, Self::TextStyle | Self::EmojiStyle)
    }

    /// The same in emoji, whose selectors are rules of their own.
    pub(super) fn extends_emoji(self) -> bool {
        matches!(
            self,
            Self::Extend
                | Self::ComplexExtend
                | Self::Zwj
                | Self::Keycap
                | Self::Modifier
                | Self::Tag
                | Self::TagEnd
        )
    }
}

/// Characters of one block.
const BLOCK: usize = 256;

/// The class of each character, in blocks of which equal ones are kept once.
pub(super) struct Table {
    block_of: Vec<u16>,
    blocks: Vec<[Class; BLOCK]>,
}

/// The table of `classes.txt`.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("classes.txt")));

impl Table {
    /// The class of a character.
    pub(super) fn of(&self, c: char) -> Class {
        let at = c as usize;
        self.blocks[usize::from(self.block_of[at / BLOCK])][at % BLOCK]
    }

    fn read(text: &str) -> Self {
        let mut flat = vec![Class::Other; 0x11_0000];
        let mut class = Class::Other;
        for line in text.lines() {
            let mut words = line.split_whitespace().peekable();
            if !line.starts_with(' ') {
                let name = words.next().unwrap_or_default();
                let known = NAMES.iter().find(|(n, _)| *n == name);
                class = known.unwrap_or_else(|| panic!("classes.txt: no class `{name}`")).1;
            }
            for range in words {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |hex| usize::from_str_radix(hex, 16).expect("classes.txt: hexadecimal");
                flat[number(first)..=number(last)].fill(class);
            }
        }
        let (mut block_of, mut blocks) = (Vec::new(), Vec::<[Class; BLOCK]>::new());
        for block in flat.as_chunks::<BLOCK>().0 {
            let place = blocks.iter().position(|b| b == block).unwrap_or_else(|| {
                blocks.push(*block);
                blocks.len() - 1
            });
            block_of.push(place as u16);
        }
        Self { block_of, blocks }
    }
}
