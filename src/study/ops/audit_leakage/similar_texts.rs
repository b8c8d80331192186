//! Texts that are equal or nearly equal, by their words.
//!
//! Nearly equal is Jaccard's share of common words. Only texts that share a rare word are compared: two sets whose
//! share is at least t have one of their first n - ceil(t n) + 1 words in common, in any order of words that is the same
//! for both. **Source:** Chaudhuri, Ganti and Kaushik 2006, "A Primitive Operator for Similarity Joins".

use std::collections::{BTreeSet, HashMap};

/// The words of a text: runs of letters and digits, in lower case.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase)
}

/// Equal for texts of the same words in the same order.
pub(super) fn fingerprint(text: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for word in words(text) {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    out
}

/// Texts to compare with.
#[derive(Debug)]
pub(super) struct SimilarTexts {
    near: f64,
    /// The place of each word in the order of words: rare ones first.
    order: HashMap<String, u32>,
    /// By text: its words as places, rising.
    sets: Vec<Vec<u32>>,
    /// By word: the texts that have it among their first.
    first: HashMap<u32, Vec<u32>>,
}

impl SimilarTexts {
    /// Of texts, with the share from which on they count as nearly equal.
    pub(super) fn new<'t>(texts: impl Iterator<Item = &'t str>, near: f64) -> Self {
        let sets: Vec<BTreeSet<String>> = texts.map(|t| words(t).collect()).collect();
        let mut count: HashMap<&str, u32> = HashMap::new();
        sets.iter().flatten().for_each(|w| *count.entry(w).or_insert(0) += 1);
        let mut ranked: Vec<(u32, &str)> = count.into_iter().map(|(w, n)| (n, w)).collect();
        ranked.sort_unstable();
        let order: HashMap<String, u32> =
            ranked.iter().enumerate().map(|(place, (_, word))| ((*word).to_owned(), place as u32)).collect();
        let sets: Vec<Vec<u32>> = sets
            .iter()
            .map(|set| {
                let mut places: Vec<u32> = set.iter().map(|w| order[w]).collect();
                places.sort_unstable();
                places
            })
            .collect();
        let mut first: HashMap<u32, Vec<u32>> = HashMap::new();
        for (text, set) in sets.iter().enumerate() {
            for place in &set[..prefix(set.len(), near)] {
                first.entry(*place).or_default().push(text as u32);
            }
        }
        Self { near, order, sets, first }
    }

    /// The texts that are nearly equal to this one, in their order, with the share.
    pub(super) fn find(&self, text: &str) -> Vec<(u32, f64)> {
        let all: BTreeSet<String> = words(text).collect();
        let mut known: Vec<u32> = all.iter().filter_map(|w| self.order.get(w).copied()).collect();
        known.sort_unstable();
        // Words that no text has come first of all: they are the rarest.
        let unknown = all.len() - known.len();
        let looked = prefix(all.len(), self.near).saturating_sub(unknown);
        let mut candidates = BTreeSet::new();
        for place in known.iter().take(looked) {
            candidates.extend(self.first.get(place).into_iter().flatten().copied());
        }
        let share = |other: &[u32]| {
            let common = known.iter().filter(|p| other.binary_search(p).is_ok()).count();
            common as f64 / (all.len() + other.len() - common) as f64
        };
        let shares = candidates.into_iter().map(|i| (i, share(&self.sets[i as usize])));
        shares.filter(|(_, s)| *s >= self.near).collect()
    }
}

/// How many of `n` words have to be looked at.
fn prefix(n: usize, near: f64) -> usize {
    // A hair less, so that rounding loses nothing.
    let common = (near * n as f64 - 1e-9).ceil().max(1.0) as usize;
    (n + 1).saturating_sub(common).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::value::rng::Stream;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(
            words("What's a C++ 17, Äther?").collect::<Vec<_>>(),
            ["what", "s", "a", "c", "17", "äther"]
        );
        assert_eq!(fingerprint("Is it?"), fingerprint(" is  IT"));
        assert_ne!(fingerprint("is it"), fingerprint("it is"));
        assert_ne!(fingerprint("a b"), fingerprint("ab"));
    }

    /// Every pair compared, without looking at rare words only.
    fn slow(texts: &[String], text: &str, near: f64) -> Vec<u32> {
        let set = |t: &str| words(t).collect::<BTreeSet<_>>();
        let a = set(text);
        let share = |t: &String| {
            let b = set(t);
            a.intersection(&b).count() as f64 / a.union(&b).count().max(1) as f64
        };
        (0..texts.len() as u32).filter(|i| share(&texts[*i as usize]) >= near).collect()
    }

    #[test]
    fn nothing_near_is_passed_over() {
        let s = Stream::new(3, &["alike"]);
        let text = |i: u64| -> String {
            let n = 1 + s.sub(i).below(0, 7);
            (0..n).map(|k| format!("w{} ", s.sub(i).below(k + 1, 9))).collect()
        };
        let texts: Vec<String> = (0..300).map(text).collect();
        for near in [0.34, 0.5, 0.8, 1.0] {
            let alike = SimilarTexts::new(texts.iter().map(String::as_str), near);
            let mut found = 0;
            for i in 0..200 {
                let asked = format!("{} {}", text(1000 + i), if i % 3 == 0 { "never" } else { "" });
                let fast: Vec<u32> = alike.find(&asked).into_iter().map(|(i, _)| i).collect();
                assert_eq!(fast, slow(&texts, &asked, near), "{asked} at {near}");
                found += fast.len();
            }
            assert!(found > 0, "{near}");
        }
    }

    #[test]
    fn a_text_without_words_is_near_nothing() {
        let alike = SimilarTexts::new(["", "a"].into_iter(), 0.5);
        assert!(alike.find("?!").is_empty() && alike.find("").is_empty());
    }
}
