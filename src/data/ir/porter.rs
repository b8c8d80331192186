//! Porter's first stemmer, as Lucene's `PorterStemFilter` has it.
//!
//! Rules of M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two departures of his
//! own later implementations that Lucene shares (`bli` to `ble`, `logi` to `log`); words of one or two letters are
//! left alone. Not the Snowball English stemmer ("Porter 2"), which gives other stems.
//! Tested against word and stem pairs of an independent implementation (`tests/data/analysis/make.py`).

/// Stems a lower-case word in place.
pub fn stem(word: &mut String) {
    if word.is_ascii() {
        if word.len() > 2 {
            let mut w = Word { b: std::mem::take(word).into_bytes(), j: 0 };
            w.run();
            *word = String::from_utf8(w.b).expect("only ASCII was there, and only ASCII is put in");
        }
        return;
    }
    let chars: Vec<char> = word.chars().collect();
    if chars.iter().map(|c| c.len_utf16()).sum::<usize>() <= 2 {
        return;
    }
    // Each letter outside ASCII behaves as a consonant that is in no suffix; all are stood in for by one byte, and
    // since suffixes only shrink or swap ASCII letters at the end, the rest is restored by position. Two equal
    // stand-ins at the end are not a double consonant unless the letters are equal.
    let bytes: Vec<u8> = chars.iter().enumerate().map(|(i, c)| stand_in(&chars, i, *c)).collect();
    let mut w = Word { b: bytes, j: 0 };
    w.run();
    *word =
        w.b.iter()
            .enumerate()
            .map(|(i, b)| if *b >= 128 { chars.get(i).copied().unwrap_or_default() } else { char::from(*b) })
            .collect();
}

/// A byte from 128 that equals its neighbour's exactly when the letters are equal.
fn stand_in(chars: &[char], i: usize, c: char) -> u8 {
    if c.is_ascii() {
        return c as u8;
    }
    let run = chars[..i].iter().rev().take_while(|p| **p == c).count();
    128 | u8::try_from((i - run) % 64).unwrap_or(0)
}

struct Word {
    /// The letters.
    b: Vec<u8>,
    /// The length of the stem before the suffix that `ends` found.
    j: usize,
}

impl Word {
    fn run(&mut self) {
        self.plurals();
        self.y_to_i();
        self.double_suffixes();
        self.more_suffixes();
        self.long_suffixes();
        self.final_e();
    }

    fn consonant(&self, i: usize) -> bool {
        match self.b[i] {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => i == 0 || !self.consonant(i - 1),
            _ => true,
        }
    }

    /// The number of vowel-consonant sequences in the first `len` letters.
    fn measure(&self, len: usize) -> usize {
        let mut n = 0;
        let mut after_vowel = false;
        for i in 0..len {
            let consonant = self.consonant(i);
            if consonant && after_vowel {
                n += 1;
            }
            after_vowel = !consonant;
        }
        n
    }

    fn vowel_in_stem(&self) -> bool {
        (0..self.j).any(|i| !self.consonant(i))
    }

    /// Whether the first `len` letters end in a doubled consonant.
    fn doubled(&self, len: usize) -> bool {
        len >= 2 && self.b[len - 1] == self.b[len - 2] && self.consonant(len - 1)
    }

    /// Whether the first `len` letters end consonant, vowel, consonant, the last not w, x or y.
    fn cvc(&self, len: usize) -> bool {
        len >= 3
            && self.consonant(len - 1)
            && !self.consonant(len - 2)
            && self.consonant(len - 3)
            && !matches!(self.b[len - 1], b'w' | b'x' | b'y')
    }

    fn ends(&mut self, suffix: &str) -> bool {
        let (word, end) = (self.b.as_slice(), suffix.as_bytes());
        // Most rules fail here, without a call.
        let (Some(a), Some(b)) = (word.last(), end.last()) else { return false };
        if a != b || (end.len() > 1 && word.len() > 1 && word[word.len() - 2] != end[end.len() - 2]) {
            return false;
        }
        let found = word.ends_with(end);
        if found {
            self.j = self.b.len() - suffix.len();
        }
        found
    }

    fn set(&mut self, suffix: &str) {
        self.b.truncate(self.j);
        self.b.extend_from_slice(suffix.as_bytes());
    }

    /// The first rule whose suffix fits decides; it applies when the stem has a measure above zero.
    fn first(&mut self, rules: &[(&str, &str)]) {
        for (suffix, to) in rules {
            if self.ends(suffix) {
                if self.measure(self.j) > 0 {
                    self.set(to);
                }
                return;
            }
        }
    }

    /// Step 1a and 1b.
    fn plurals(&mut self) {
        if self.b.last() == Some(&b's') {
            if self.ends("sses") {
                self.set("ss");
            } else if self.ends("ies") {
                self.set("i");
            } else if !self.ends("ss") && self.ends("s") {
                self.set("");
            }
        }
        if self.ends("eed") {
            if self.measure(self.j) > 0 {
                self.set("ee");
            }
        } else if (self.ends("ed") || self.ends("ing")) && self.vowel_in_stem() {
            self.b.truncate(self.j);
            if self.ends("at") {
                self.set("ate");
            } else if self.ends("bl") {
                self.set("ble");
            } else if self.ends("iz") {
                self.set("ize");
            } else if self.doubled(self.b.len()) {
                if !matches!(self.b.last(), Some(b'l' | b's' | b'z')) {
                    self.b.pop();
                }
            } else if self.measure(self.b.len()) == 1 && self.cvc(self.b.len()) {
                self.b.push(b'e');
            }
        }
    }

    /// Step 1c.
    fn y_to_i(&mut self) {
        if self.ends("y") && self.vowel_in_stem() {
            self.set("i");
        }
    }

    /// Step 2.
    fn double_suffixes(&mut self) {
        self.first(&[
            ("ational", "ate"),
            ("tional", "tion"),
            ("enci", "ence"),
            ("anci", "ance"),
            ("izer", "ize"),
            ("bli", "ble"),
            ("alli", "al"),
            ("entli", "ent"),
            ("eli", "e"),
            ("ousli", "ous"),
            ("ization", "ize"),
            ("ation", "ate"),
            ("ator", "ate"),
            ("alism", "al"),
            ("iveness", "ive"),
            ("fulness", "ful"),
            ("ousness", "ous"),
            ("aliti", "al"),
            ("iviti", "ive"),
            ("biliti", "ble"),
            ("logi", "log"),
        ]);
    }

    /// Step 3.
    fn more_suffixes(&mut self) {
        self.first(&[
            ("icate", "ic"),
            ("ative", ""),
            ("alize", "al"),
            ("iciti", "ic"),
            ("ical", "ic"),
            ("ful", ""),
            ("ness", ""),
        ]);
    }

    /// Step 4.
    fn long_suffixes(&mut self) {
        const SUFFIXES: [&str; 19] = [
            "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
            "ism", "ate", "iti", "ous", "ive", "ize",
        ];
        for suffix in SUFFIXES {
            if self.ends(suffix) {
                if suffix == "ion" && !(self.j > 0 && matches!(self.b[self.j - 1], b's' | b't')) {
                    continue;
                }
                if self.measure(self.j) > 1 {
                    self.b.truncate(self.j);
                }
                return;
            }
        }
    }

    /// Step 5.
    fn final_e(&mut self) {
        if self.b.last() == Some(&b'e') {
            let stem = self.b.len() - 1;
            let m = self.measure(stem);
            if m > 1 || (m == 1 && !self.cvc(stem)) {
                self.b.pop();
            }
        }
        if self.b.last() == Some(&b'l') && self.doubled(self.b.len()) && self.measure(self.b.len()) > 1 {
            self.b.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    fn stemmed(word: &str) -> String {
        let mut w = word.to_owned();
        stem(&mut w);
        w
    }

    #[test]
    fn examples_of_the_article() {
        let pairs = [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("ties", "ti"),
            ("caress", "caress"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("bled", "bled"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("troubled", "troubl"),
            ("sized", "size"),
            ("hopping", "hop"),
            ("tanned", "tan"),
            ("falling", "fall"),
            ("hissing", "hiss"),
            ("fizzed", "fizz"),
            ("failing", "fail"),
            ("filing", "file"),
            ("happy", "happi"),
            ("sky", "sky"),
            ("relational", "relat"),
            ("rational", "ration"),
            ("generalizations", "gener"),
            ("oscillators", "oscil"),
            ("controll", "control"),
            ("rate", "rate"),
            ("cease", "ceas"),
            ("adoption", "adopt"),
            ("archaeology", "archaeolog"),
            ("possibly", "possibl"),
        ];
        for (word, expected) in pairs {
            assert_eq!(stemmed(word), expected, "{word}");
        }
    }

    #[test]
    fn agrees_with_an_independent_implementation() {
        let pairs = include_str!("../../../tests/data/analysis/porter.tsv");
        let mut seen = 0;
        for line in pairs.lines() {
            let (word, expected) = line.split_once('\t').expect("two columns");
            assert_eq!(stemmed(word), expected, "{word}");
            seen += 1;
        }
        assert!(seen > 500, "{seen} pairs");
    }

    #[test]
    fn letters_outside_ascii_are_consonants_in_no_suffix() {
        assert_eq!(stemmed("naïves"), "naïv");
        assert_eq!(stemmed("ñoñoing"), "ñoño");
        assert_eq!(stemmed("é"), "é");
        assert_eq!(stemmed("中文"), "中文");
    }
}
