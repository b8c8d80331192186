//! Parses a ranking from any answer, however malformed.
//!
//! As RankGPT does: identifiers in order of appearance, without duplicates and unknown ones, then the missing ones in
//! their previous order. Repairs are counted.
//! **Source:** `receive_permutation` of sunnweiwei/RankGPT.

use serde::Serialize;

/// Numbers of answers that had to be repaired, by cause. One answer may count for several causes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// All answers.
    pub answers: u64,
    /// Answers that are not exactly one permutation.
    pub repaired: u64,
    /// Without any identifier: the order is unchanged.
    pub unreadable: u64,
    /// Cut off at the maximum number of tokens.
    pub truncated: u64,
    /// With numbers outside of brackets only.
    pub bare: u64,
    /// With a duplicate identifier.
    pub duplicates: u64,
    /// With an identifier of no passage.
    pub out_of_range: u64,
    /// With identifiers missing.
    pub missing: u64,
}

impl Repairs {
    /// Adds the counts of other answers.
    pub fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.repaired += other.repaired;
        self.unreadable += other.unreadable;
        self.truncated += other.truncated;
        self.bare += other.bare;
        self.duplicates += other.duplicates;
        self.out_of_range += other.out_of_range;
        self.missing += other.missing;
    }
}

/// An answer without the reasoning (`<think>…</think>`) that some models write before it.
pub fn without_thoughts(text: &str) -> &str {
    match text.rfind("</think>") {
        Some(at) => &text[at + "</think>".len()..],
        // Reasoning that never ends is no answer.
        None if text.trim_start().starts_with("<think>") => "",
        None => text,
    }
}

/// The order of `n` passages in an answer: indices, each once. `truncated`: the answer was cut off.
pub fn read(text: &str, n: usize, truncated: bool) -> (Vec<usize>, Repairs) {
    let text = without_thoughts(text);
    let mut repairs = Repairs { answers: 1, truncated: truncated.into(), ..Repairs::default() };
    let mut found = bracketed(text);
    if found.is_empty() {
        found = bare(text);
        repairs.bare = u64::from(!found.is_empty());
    }
    let (mut order, mut named) = (Vec::with_capacity(n), vec![false; n]);
    for id in &found {
        match id.checked_sub(1).filter(|place| *place < n) {
            None => repairs.out_of_range = 1,
            Some(place) if named[place] => repairs.duplicates = 1,
            Some(place) => {
                named[place] = true;
                order.push(place);
            }
        }
    }
    repairs.unreadable = u64::from(order.is_empty());
    repairs.missing = u64::from(order.len() < n);
    order.extend((0..n).filter(|place| !named[*place]));
    let odd = repairs.bare + repairs.out_of_range + repairs.duplicates + repairs.missing + repairs.truncated;
    repairs.repaired = u64::from(odd > 0);
    (order, repairs)
}

/// Numbers in square brackets. One that overflows is out of range in any case.
fn bracketed(text: &str) -> Vec<usize> {
    let inner =
        text.split('[').skip(1).filter_map(|piece| piece.split_once(']')).map(|(inner, _)| inner.trim());
    let digits = inner.filter(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_digit()));
    digits.map(|d| d.parse().unwrap_or(usize::MAX)).collect()
}

/// All runs of digits.
fn bare(text: &str) -> Vec<usize> {
    let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|r| !r.is_empty());
    runs.map(|r| r.parse().unwrap_or(usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gives(text: &str, order: &[usize], repairs: Repairs) {
        assert_eq!(
            read(text, order.len(), false),
            (order.to_vec(), Repairs { answers: 1, ..repairs }),
            "{text}"
        );
    }

    #[test]
    fn good_answers_are_taken_as_they_are() {
        let none = Repairs::default();
        gives("[2] > [1] > [3]", &[1, 0, 2], none);
        gives("Here are the 3 passages: [3]>[1] > [ 2 ].", &[2, 0, 1], none);
        gives("<think>[1] or [2]? 7</think>\n[2] > [1]", &[1, 0], none);
        gives("[1]", &[0], none);
    }

    #[test]
    fn bad_answers_are_repaired_and_counted() {
        let repaired = Repairs { repaired: 1, ..Repairs::default() };
        gives("[2] > [2] > [1]", &[1, 0], Repairs { duplicates: 1, ..repaired });
        gives("[9] > [0] > [2] > [1]", &[1, 0], Repairs { out_of_range: 1, ..repaired });
        gives("[99999999999999999999999] > [1]", &[0], Repairs { out_of_range: 1, ..repaired });
        gives("[3] > [1", &[2, 0, 1], Repairs { missing: 1, ..repaired });
        gives("2, 1", &[1, 0], Repairs { bare: 1, ..repaired });
        let nothing = Repairs { unreadable: 1, missing: 1, ..repaired };
        for text in ["", "I cannot rank these.", "<think>[1] > [2]", "[a] [] ]["] {
            gives(text, &[0, 1], nothing);
        }
        let (order, cut) = read("[2] >", 2, true);
        let expected = Repairs { answers: 1, missing: 1, truncated: 1, ..repaired };
        assert_eq!((order, cut), (vec![1, 0], expected));
    }

    #[test]
    fn whatever_is_said_an_order_comes_out() {
        let pieces = ["[", "]", "1", "20", " > ", "é", "<think>", "</think>", "[3]", "-1", "\n"];
        let s = xpipe_base::value::rng::Stream::new(5, &["permutation"]);
        for round in 0..500u64 {
            let text: String = (0..12).map(|i| pieces[s.below(round * 16 + i, 11) as usize]).collect();
            let (mut order, _) = read(&text, 4, false);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3], "{text}");
        }
    }
}
