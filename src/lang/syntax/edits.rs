//! Text that was mended before parsing, and the way back from places in it to places in the file.
//!
//! A missing brace or quote is reported, then put in, so that the grammar can read what stands around it. Spans
//! always speak of the file as the user wrote it: text put in has the place where it was put.

use std::borrow::Cow;

/// One change: at `at`, `cut` bytes go and `put` comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// Byte of the original text.
    pub(super) at: usize,
    /// How many bytes of it go.
    pub(super) cut: usize,
    /// What comes in their place.
    pub(super) put: Cow<'static, str>,
}

/// A piece of a file after edits.
pub(super) struct Edited<'a> {
    /// The text to parse.
    pub(super) text: Cow<'a, str>,
    /// Where the piece starts in the file.
    base: usize,
    /// Starts of runs: (in the edited text, in the file, whether the run was put in).
    runs: Vec<(usize, usize, bool)>,
}

impl<'a> Edited<'a> {
    /// The piece of a file that starts at byte `base`, as it is.
    pub(super) fn plain(text: &'a str, base: usize) -> Self {
        Self { text: Cow::Borrowed(text), base, runs: Vec::new() }
    }

    /// The piece with edits, whose places are bytes of the file; overlapping edits are left out.
    pub(super) fn with(text: &'a str, base: usize, edits: &[Edit]) -> Self {
        if edits.is_empty() {
            return Self::plain(text, base);
        }
        let mut edits: Vec<&Edit> = edits.iter().collect();
        edits.sort_by_key(|e| e.at);
        let mut out = String::with_capacity(text.len() + 8);
        let mut runs = Vec::new();
        let mut at = 0;
        for edit in edits {
            let Some(start) = edit.at.checked_sub(base).filter(|s| *s >= at && s + edit.cut <= text.len())
            else {
                continue;
            };
            runs.push((out.len(), base + at, false));
            out.push_str(&text[at..start]);
            runs.push((out.len(), edit.at, true));
            out.push_str(&edit.put);
            at = start + edit.cut;
        }
        runs.push((out.len(), base + at, false));
        out.push_str(&text[at..]);
        Self { text: Cow::Owned(out), base, runs }
    }

    /// The byte of the file for a byte of the edited text.
    pub(super) fn place(&self, at: usize) -> usize {
        let k = self.runs.partition_point(|r| r.0 <= at);
        match k.checked_sub(1).map(|k| self.runs[k]) {
            None => self.base + at,
            Some((_, origin, true)) => origin,
            Some((start, origin, false)) => origin + (at - start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_back() {
        let edits = [Edit { at: 13, cut: 0, put: "}".into() }, Edit { at: 11, cut: 1, put: "".into() }];
        let e = Edited::with("abcde", 10, &edits);
        assert_eq!(e.text, "ac}de");
        let places: Vec<usize> = (0..=5).map(|i| e.place(i)).collect();
        assert_eq!(places, [10, 12, 13, 13, 14, 15]);
    }

    #[test]
    fn without_edits_nothing_moves() {
        let e = Edited::plain("abc", 7);
        assert_eq!((e.place(0), e.place(3)), (7, 10));
    }
}
