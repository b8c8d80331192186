//! The tokens of Lucene's `StandardTokenizer`: words, numbers, ideographs and emoji.
//!
//! Word boundaries of UAX#29, with four departures, all Lucene's: punctuation and space make no token; a run of a
//! script without spaces (Thai, Khmer, …) is one token; each ideograph and each hiragana letter is one; an emoji is
//! one, with all of its sequence (flags, keycaps, modifiers, tags, what zero-width joiners hold together), and every
//! pictograph is an emoji, so © ® ™ ★ ↔ are tokens. A token is the longest that one of the rules below finds, within
//! [`LONGEST`] UTF-16 units; the next one is looked for behind it.
//!
//! **Source:** Lucene 9 `StandardTokenizerImpl.jflex`, whose rules [`word`], [`emoji`], [`keycap`] and [`run`] repeat;
//! the classes of characters are those of its table ([`classes`]). Checked against Lucene 9.9.1 over every code point
//! and random strings of all classes; a sample is in tests/data/analysis.

mod classes;

use classes::Class;

/// The longest token, in UTF-16 units (Lucene's default). A longer one is cut there, and its rest looked at anew.
pub(super) const LONGEST: usize = 255;

/// Calls `f` with each token of a text, in order.
pub(super) fn tokens<'a>(text: &'a str, f: &mut dyn FnMut(&'a str)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match class(first) {
            Class::Letter | Class::Hebrew | Class::Number | Class::Katakana | Class::Joiner => word(rest),
            Class::Digit => word(rest).max(keycap(rest)),
            Class::PictographLetter => word(rest).max(emoji(rest)),
            Class::Pictograph | Class::Modifier | Class::Zwj => emoji(rest),
            Class::KeycapBase => keycap(rest),
            Class::Flag => flag(rest),
            Class::Complex | Class::ComplexExtend => {
                run(rest, |class| matches!(class, Class::Complex | Class::ComplexExtend))
            }
            Class::Han | Class::Hiragana => run(rest, |_| false),
            _ => 0,
        };
        if length > 0 {
            f(&rest[..length]);
        }
        rest = &rest[length.max(first.len_utf8())..];
    }
}

fn class(c: char) -> Class {
    classes::TABLE.of(c)
}

/// The classes at the start of a text that one token may hold, each with the place behind it.
fn reach(text: &str) -> impl Iterator<Item = (Class, usize)> {
    let mut units = 0;
    text.char_indices()
        .take_while(move |(_, c)| {
            units += c.len_utf16();
            units <= LONGEST
        })
        .map(|(at, c)| (class(c), at + c.len_utf8()))
}

/// The length of the longest match of an automaton at the start of a text, 0 for none: `step` gives the next state,
/// and whether a token may end there.
fn longest<S: Copy>(text: &str, mut state: S, step: impl Fn(S, Class) -> Option<(S, bool)>) -> usize {
    let mut length = 0;
    for (class, end) in reach(text) {
        match step(state, class) {
            Some((next, accepted)) => {
                state = next;
                if accepted {
                    length = end;
                }
            }
            None => break,
        }
    }
    length
}

/// Where in a word the automaton is: behind what.
#[derive(Clone, Copy)]
enum Word {
    /// Nothing, or joiners (underscores) only.
    Start,
    /// A joiner after a letter or number.
    Joiner,
    Katakana,
    Letter,
    /// A Hebrew letter, which quotes may follow.
    Hebrew,
    /// A Hebrew letter and a single quote.
    HebrewQuote,
    /// A Hebrew letter and a double quote.
    HebrewDouble,
    /// The second of two Hebrew letters around a double quote, which no quote may follow.
    Closed,
    Number,
    /// A letter and what may stand between letters.
    MidLetter,
    /// A number and what may stand between numbers.
    MidNumber,
}

/// Letters, numbers and katakana, joined as UAX#29 joins them.
fn word(text: &str) -> usize {
    longest(text, Word::Start, |state, class| {
        if class.extends() {
            return Some((state, state.ends()));
        }
        use Word as W;
        let next = match class {
            Class::Katakana if matches!(state, W::Start | W::Joiner | W::Katakana) => W::Katakana,
            Class::Hebrew if matches!(state, W::HebrewDouble) => W::Closed,
            // No quote of Hebrew may follow: the rules have this letter in the run of the one before.
            Class::Hebrew if matches!(state, W::MidLetter) => W::Letter,
            _ if matches!(state, W::HebrewDouble) => return None,
            Class::Joiner if matches!(state, W::Start) => W::Start,
            Class::Joiner if state.ends() => W::Joiner,
            _ if matches!(state, W::Katakana) => return None,
            Class::Letter | Class::PictographLetter if !matches!(state, W::MidNumber) => W::Letter,
            Class::Hebrew if !matches!(state, W::MidNumber) => W::Hebrew,
            Class::Digit | Class::Number if !matches!(state, W::MidLetter) => W::Number,
            Class::SingleQuote if matches!(state, W::Hebrew) => W::HebrewQuote,
            Class::DoubleQuote if matches!(state, W::Hebrew) => W::HebrewDouble,
            Class::MidLetter | Class::MidLetterNumber | Class::SingleQuote
                if matches!(state, W::Letter | W::Hebrew) =>
            {
                W::MidLetter
            }
            Class::MidNumber | Class::MidLetterNumber | Class::SingleQuote if matches!(state, W::Number) => {
                W::MidNumber
            }
            _ => return None,
        };
        Some((next, next.ends()))
    })
}

impl Word {
    /// Whether a word may end here.
    fn ends(self) -> bool {
        !matches!(self, Self::Start | Self::HebrewDouble | Self::MidLetter | Self::MidNumber)
    }
}

/// Where in an emoji the automaton is: behind what.
#[derive(Clone, Copy)]
enum Emoji {
    Start,
    /// Joiners before the first pictograph.
    Before,
    /// A pictograph and what extends it.
    Pictograph,
    /// The same, a joiner last.
    PictographJoiner,
    /// A modifier (a skin tone) by itself, and what extends it.
    Modifier,
    /// The same, a joiner last.
    ModifierJoiner,
    /// The selector of emoji style.
    Styled,
    /// The selector and one joiner.
    StyledJoiner,
    /// The selector and several joiners.
    StyledJoiners,
    /// The selector and tags.
    Tags,
    /// The end of tags.
    Tagged,
}

/// Pictographs, alone or held together by joiners, with their modifiers, selectors and tags.
fn emoji(text: &str) -> usize {
    use Emoji as E;
    longest(text, E::Start, |state, class| {
        let pictograph = matches!(class, Class::Pictograph | Class::PictographLetter);
        let next = match state {
            E::Start | E::Before if pictograph => E::Pictograph,
            E::Start | E::Before if class == Class::Zwj => E::Before,
            E::Start if class == Class::Modifier => E::Modifier,
            E::Pictograph | E::PictographJoiner => match class {
                Class::Zwj => E::PictographJoiner,
                Class::EmojiStyle => E::Styled,
                _ if pictograph && matches!(state, E::PictographJoiner) => E::Pictograph,
                _ if class.extends_emoji() => E::Pictograph,
                _ => return None,
            },
            E::Modifier | E::ModifierJoiner => match class {
                Class::Zwj => E::ModifierJoiner,
                _ if pictograph && matches!(state, E::ModifierJoiner) => E::Pictograph,
                _ if class.extends_emoji() => E::Modifier,
                _ => return None,
            },
            E::Styled if class == Class::Zwj => E::StyledJoiner,
            E::Styled | E::Tags if class == Class::Tag => E::Tags,
            E::Tags if class == Class::TagEnd => E::Tagged,
            E::StyledJoiner if class == Class::Modifier => E::Modifier,
            E::StyledJoiner | E::StyledJoiners if class == Class::Zwj => E::StyledJoiners,
            E::StyledJoiner | E::StyledJoiners if pictograph => E::Pictograph,
            _ => return None,
        };
        let open = matches!(next, E::Start | E::Before | E::StyledJoiner | E::StyledJoiners | E::Tags);
        Some((next, !open))
    })
}

/// A digit, `#` or `*` on a keycap.
fn keycap(text: &str) -> usize {
    #[derive(Clone, Copy)]
    enum Key {
        Start,
        Base,
        Styled,
        Capped,
        /// With a selector, of which there may be one.
        StyledCapped,
    }
    longest(text, Key::Start, |state, class| {
        let next = match (state, class) {
            (Key::Start, _) => Key::Base,
            (Key::Base | Key::Capped, Class::Keycap) => Key::Capped,
            (Key::Styled, Class::Keycap) => Key::StyledCapped,
            (Key::Base | Key::Capped, Class::EmojiStyle) => Key::Styled,
            (Key::Base | Key::Capped | Key::StyledCapped, class) if class.extends_emoji() => state,
            _ => return None,
        };
        Some((next, matches!(next, Key::Capped | Key::StyledCapped)))
    })
}

/// Two regional indicators: a flag.
fn flag(text: &str) -> usize {
    longest(text, 0, |indicators, class| match class {
        Class::Flag if indicators < 2 => Some((indicators + 1, indicators == 1)),
        class if class.extends() => Some((indicators, indicators == 2)),
        _ => None,
    })
}

/// A character with what extends it, and all after it of which `more` is true.
fn run(text: &str, more: impl Fn(Class) -> bool) -> usize {
    longest(text, true, |first, class| (first || class.extends() || more(class)).then_some((false, true)))
}

#[cfg(test)]
mod tests;
