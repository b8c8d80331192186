//! What a reader of a result has to know: kept with the result, and told again whenever it is shown.

use serde::{Deserialize, Serialize};

use crate::value::counted::agreeing;
use crate::value::rounded::grouped;

/// What kind of thing a caveat tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaveatKind {
    /// Data that was read and is not in the result.
    Dropped,
    /// Data that was read differently from how it is written.
    Changed,
    /// Something that may make the numbers other than the reader thinks.
    Doubt,
}

/// Causes that older results tell as counts among their facts, so that both are read as the same.
pub mod cause {
    /// `unknown = drop`.
    pub const OUTSIDE_LEFT_OUT: &str = "lines with an id outside the collection were left out";
    /// `unknown = keep`.
    pub const OUTSIDE_KEPT: &str = "lines with an id outside the collection were kept";
    /// `duplicates = first` and `duplicates = drop`.
    pub const REPEATED_IDS: &str = "texts were left out because their id was there more than once";
    /// Queries of stop words, or in another script.
    pub const WITHOUT_TERMS: &str = "queries have no term after analysis and find nothing";
    /// Answers that a reader of answers had to repair.
    pub const REPAIRED: &str =
        "answers of a language model were not as asked for, and were repaired or left out";
}

/// One cause, with how often it was met. Unlike a note of the log, it is part of the stored result, so it may not hold
/// anything that differs between two runs of the same action (times, paths of this machine, attempts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// What kind it is.
    pub kind: CaveatKind,
    /// The cause in words, the same wherever it is met, so that counts can be added: after a count it reads as one
    /// sentence, `lines with an id outside the collection were left out`.
    pub cause: String,
    /// How many were met; `None` where nothing is counted and `cause` is a sentence of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Of how many, where that is known: `2 of 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The first one that was met, for instance `qrels.tsv, line 7: …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Caveat {
    /// `count` things were met; `cause` goes on after the count.
    pub fn counted(kind: CaveatKind, count: u64, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), count: Some(count), of: None, example: None }
    }

    /// `count` things of `of` were met; `cause` goes on after them: `2 of 3 judged queries are not in the run`.
    pub fn part(kind: CaveatKind, count: u64, of: u64, cause: impl Into<String>) -> Self {
        Self { of: Some(of), ..Self::counted(kind, count, cause) }
    }

    /// A sentence without a count.
    pub fn sentence(kind: CaveatKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), count: None, of: None, example: None }
    }

    /// The same with the first one that was met.
    #[must_use]
    pub fn example(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }

    /// Adds a caveat to a list that is sorted by kind and cause: counts of one cause are summed, the first example
    /// stays.
    pub fn add(list: &mut Vec<Self>, caveat: Self) {
        let place = list.binary_search_by(|c| (c.kind, &c.cause).cmp(&(caveat.kind, &caveat.cause)));
        match place {
            Ok(i) => {
                let known = &mut list[i];
                known.count = sum(known.count, caveat.count);
                // Of a sum only a part of which says of how many, nothing is known.
                known.of = known.of.zip(caveat.of).map(|(a, b)| a.saturating_add(b));
                if known.example.is_none() {
                    known.example = caveat.example;
                }
            }
            Err(i) => list.insert(i, caveat),
        }
    }
}

/// The sum of what is known.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

impl std::fmt::Display for Caveat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(n) = self.count {
            write!(f, "{} ", grouped(n))?;
        }
        if let Some(n) = self.of {
            write!(f, "of {} ", grouped(n))?;
        }
        // `1 of 3 queries`: the noun is of the three.
        let one = self.count == Some(1) && self.of.is_none();
        f.write_str(&agreeing(if one { 1 } else { 2 }, &self.cause))?;
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
