//! Caveats: what a reader of a result has to know. They are stored with the result and shown with it.

use serde::{Deserialize, Serialize};

use crate::value::human;

/// The kind of a caveat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaveatKind {
    /// Data was read and is not in the result.
    Dropped,
    /// Data was interpreted differently from how it is written.
    Changed,
    /// The numbers may not mean what the reader expects.
    Doubt,
}

/// Causes that older results store as counts among their facts. The texts are shared so that both read the same.
pub mod cause {
    /// `unknown = drop`.
    pub const OUTSIDE_LEFT_OUT: &str = "lines with an id outside the collection were left out";
    /// `unknown = keep`.
    pub const OUTSIDE_KEPT: &str = "lines with an id outside the collection were kept";
    /// `duplicates = first` and `duplicates = drop`.
    pub const REPEATED_IDS: &str = "texts were left out because their id was there more than once";
    /// Queries that consist of stop words, or in another script.
    pub const WITHOUT_TERMS: &str = "queries have no term after analysis and find nothing";
    /// Answers of language models that had to be repaired.
    pub const REPAIRED: &str =
        "answers of a language model were not as asked for, and were repaired or left out";
}

/// One cause, with the number of cases. It is part of the stored result, unlike a note in the log, so it must not hold
/// anything that differs between two runs of an action (times, local paths, attempts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// The kind.
    pub kind: CaveatKind,
    /// The cause: a fixed text, so that counts can be added. It continues a sentence after a count: `lines with an id
    /// outside the collection were left out`.
    pub cause: String,
    /// Number of cases; `None` if nothing is counted and `cause` is a complete sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The total, if known: `2 of 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The first case, for instance `qrels.tsv, line 7: …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Caveat {
    /// `count` cases; `cause` continues after the count.
    pub fn counted(kind: CaveatKind, count: u64, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), count: Some(count), of: None, example: None }
    }

    /// `count` cases of `of`; `cause` continues after them: `2 of 3 judged queries are not in the run`.
    pub fn part(kind: CaveatKind, count: u64, of: u64, cause: impl Into<String>) -> Self {
        Self { of: Some(of), ..Self::counted(kind, count, cause) }
    }

    /// A sentence without a count.
    pub fn sentence(kind: CaveatKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), count: None, of: None, example: None }
    }

    /// Sets the first case.
    #[must_use]
    pub fn example(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }

    /// Adds a caveat to a list sorted by kind and cause. Counts of one cause are summed, the first example is kept.
    pub fn add(list: &mut Vec<Self>, caveat: Self) {
        let place = list.binary_search_by(|c| (c.kind, &c.cause).cmp(&(caveat.kind, &caveat.cause)));
        match place {
            Ok(i) => {
                let known = &mut list[i];
                known.count = sum(known.count, caveat.count);
                // The total is unknown if one of the parts has none.
                known.of = known.of.zip(caveat.of).map(|(a, b)| a.saturating_add(b));
                if known.example.is_none() {
                    known.example = caveat.example;
                }
            }
            Err(i) => list.insert(i, caveat),
        }
    }
}

/// The sum of the known counts.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

impl std::fmt::Display for Caveat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(n) = self.count {
            write!(f, "{} ", human::thousands(n))?;
        }
        if let Some(n) = self.of {
            write!(f, "of {} ", human::thousands(n))?;
        }
        // `1 of 3 queries`: the noun is of the three.
        let one = self.count == Some(1) && self.of.is_none();
        f.write_str(&human::agreeing(if one { 1 } else { 2 }, &self.cause))?;
        match &self.example {
            Some(example) => write!(f, "; the first: {example}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_one_cause_are_summed_and_the_list_is_sorted() {
        let mut list = Vec::new();
        let lines = |n, first: &str| Caveat::counted(CaveatKind::Dropped, n, "lines left out").example(first);
        Caveat::add(&mut list, lines(2, "a, line 1"));
        Caveat::add(&mut list, Caveat::sentence(CaveatKind::Doubt, "the head was drawn"));
        Caveat::add(&mut list, Caveat::counted(CaveatKind::Dropped, 1, "empty texts left out"));
        Caveat::add(&mut list, lines(5, "b, line 9"));
        for (n, of) in [(2, 3), (1, 7)] {
            Caveat::add(&mut list, Caveat::part(CaveatKind::Doubt, n, of, "queries are not in the run"));
        }
        let told: Vec<String> = list.iter().map(Caveat::to_string).collect();
        assert_eq!(
            told,
            [
                "1 empty text left out",
                "7 lines left out; the first: a, line 1",
                "3 of 10 queries are not in the run",
                "the head was drawn"
            ]
        );
    }
}
