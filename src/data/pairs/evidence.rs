//! Decides from a whole file whether its third column holds scores or ranks.
//!
//! A wrong guess would reverse every ranking, so an ambiguous file is an error that asks for `format`.

use std::collections::HashMap;

use indexmap::IndexMap;

use xpipe_base::place;
use xpipe_base::task::Failure;

/// After this many queries with scores and none with ranks, the decision is made.
const ENOUGH: u64 = 1000;

/// What the numbers of one query are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// A single number.
    Nothing,
    /// 1, 2, 3, … in this order.
    Ranks,
    /// Not whole, below 0, equal for two documents, or whole and falling.
    Scores,
    /// Whole numbers that rise with gaps, or from 0: either.
    Rising,
    /// Different whole numbers in no order: either.
    Mixed,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The numbers are scores.
    Scores,
    /// The numbers are ranks.
    Ranks,
}

/// The numbers of one query.
#[derive(Debug, Default)]
struct Numbers {
    /// Where its first line stands.
    file: usize,
    line: u64,
    /// The first ones as they are written.
    first: Vec<String>,
    /// All, while they are whole; `None` since one was not.
    whole: Option<Vec<u32>>,
    /// How many there are.
    count: u32,
    /// Whether they are written 1, 2, 3, …
    plain: bool,
}

impl Numbers {
    fn new(file: usize, line: u64) -> Self {
        Self { file, line, whole: Some(Vec::new()), plain: true, ..Self::default() }
    }

    fn push(&mut self, text: &str) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(text.to_owned());
        }
        self.plain &= text.parse() == Ok(self.count) && !text.starts_with(['+', '0']);
        // Whole numbers, also written as 1.0; ranks themselves are written plainly.
        let number = text.parse::<f64>().ok().filter(|x| x.fract() == 0.0 && (0.0..4e6).contains(x));
        match (&mut self.whole, number) {
            (Some(whole), Some(number)) => whole.push(number as u32),
            _ => self.whole = None,
        }
    }

    fn kind(&self) -> Kind {
        if self.count < 2 {
            return Kind::Nothing;
        }
        let Some(whole) = &self.whole else { return Kind::Scores };
        let pairs = || whole.windows(2);
        let mut sorted = whole.clone();
        sorted.sort_unstable();
        if self.plain {
            Kind::Ranks
        } else if sorted.windows(2).any(|p| p[0] == p[1]) || pairs().all(|p| p[0] > p[1]) {
            Kind::Scores
        } else if pairs().all(|p| p[0] < p[1]) {
            Kind::Rising
        } else {
            Kind::Mixed
        }
    }
}

/// The state while reading.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    queries: IndexMap<String, Numbers>,
    files: Vec<String>,
    /// The query that the lines are of at the moment.
    current: String,
    scores: u64,
    others: u64,
}

impl Evidence {
    /// Adds a line; returns whether more lines are needed.
    pub(super) fn add(&mut self, file: &str, line: u64, query: &str, number: &str) -> bool {
        if self.files.last().is_none_or(|f| f != file) {
            self.files.push(file.to_owned());
        }
        if self.current != query {
            if let Some(done) = self.queries.get(&self.current) {
                match done.kind() {
                    Kind::Scores => self.scores += 1,
                    Kind::Nothing => {}
                    Kind::Ranks | Kind::Rising | Kind::Mixed => self.others += 1,
                }
            }
            query.clone_into(&mut self.current);
        }
        let at = self.files.len() - 1;
        match self.queries.get_mut(query) {
            Some(numbers) => numbers.push(number),
            None => {
                let mut numbers = Numbers::new(at, line);
                numbers.push(number);
                self.queries.insert(query.to_owned(), numbers);
            }
        }
        self.others > 0 || self.scores < ENOUGH
    }

    /// What the numbers are.
    ///
    /// # Errors
    /// They may be either, or are scores for some queries and ranks for others.
    pub(super) fn verdict(&self) -> Result<Verdict, Failure> {
        let mut first: HashMap<Kind, &str> = HashMap::new();
        for (query, numbers) in &self.queries {
            first.entry(numbers.kind()).or_insert(query);
        }
        let of = |kind: Kind| first.get(&kind).map(|q| self.shown(q));
        let ask = |found: String| {
            Err(Failure::wrong(found).help(
                "write `format = \"msmarco\"` when the third column is a rank (1 is the best), or `format = \"tsv\"` when \
                 it is a score (the highest is the best)",
            ))
        };
        match (of(Kind::Ranks), of(Kind::Scores), of(Kind::Rising), of(Kind::Mixed)) {
            (Some((at, ranks)), Some((other, scores)), ..) => ask(format!(
                "{at}: found {ranks}, which are ranks, and at {other} {scores}, which are no ranks; expected the same \
                 in the whole file"
            )),
            (Some(_), None, _, None) => Ok(Verdict::Ranks),
            (_, Some(_), ..) | (None, None, None, None) => Ok(Verdict::Scores),
            (_, None, _, Some((at, numbers))) | (_, None, Some((at, numbers)), None) => ask(format!(
                "{at}: found {numbers}, which may be scores or ranks, expected to see which the third column holds"
            )),
        }
    }

    /// Where a query begins, and its first numbers.
    fn shown(&self, query: &str) -> (String, String) {
        let none = Numbers::default();
        let numbers = self.queries.get(query).unwrap_or(&none);
        let file = self.files.get(numbers.file).map_or("", String::as_str);
        let mut shown: Vec<&str> = numbers.first.iter().take(4).map(String::as_str).collect();
        if numbers.count > 4 {
            shown.push("…");
        }
        let at = format!("{file}:{}", numbers.line);
        (at, format!("the numbers {} for the query {}", shown.join(", "), place::quote(query)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[(&str, &str)]) -> Result<Verdict, Failure> {
        let mut evidence = Evidence::default();
        for ((query, numbers), line) in lines.iter().zip(1..) {
            for number in numbers.split(' ') {
                evidence.add("r.tsv", line, query, number);
            }
        }
        evidence.verdict()
    }

    #[test]
    fn every_query_has_a_say() {
        use Verdict::{Ranks, Scores};
        let cases: [(&[(&str, &str)], Verdict); 9] = [
            (&[("1", "1"), ("2", "1 2 3")], Ranks),
            (&[("1", "1"), ("2", "1"), ("3", "1 2")], Ranks),
            (&[("1", "1 2 3"), ("2", "1 3")], Ranks),
            (&[("1", "1"), ("2", "1")], Scores),
            (&[("1", "7"), ("2", "3")], Scores),
            (&[("1", "1 2.5"), ("2", "1")], Scores),
            (&[("1", "3 2 1"), ("2", "1")], Scores),
            (&[("1", "2 2 1"), ("2", "1 3")], Scores),
            (&[("1", "-1 -2 -3")], Scores),
        ];
        for (lines, expected) in cases {
            assert_eq!(verdict(lines), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn what_does_not_tell_is_asked() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (
                &[("1", "1 3"), ("2", "1")],
                "r.tsv:1: found the numbers 1, 3 for the query `1`, which may be scores or ranks",
            ),
            (&[("1", "2 1 3")], "r.tsv:1: found the numbers 2, 1, 3 for"),
            (&[("1", "0 1 2")], "r.tsv:1: found the numbers 0, 1, 2 for"),
            (&[("1", "1.0 2.0 3.0")], "r.tsv:1: found the numbers 1.0, 2.0, 3.0 for"),
            (&[("1", "1 2"), ("2", "2 9 5")], "r.tsv:2: found the numbers 2, 9, 5 for"),
            (
                &[("1", "1 2"), ("2", "0.5 0.25")],
                "r.tsv:1: found the numbers 1, 2 for the query `1`, which are ranks, and at r.tsv:2 the numbers 0.5, 0.25",
            ),
        ];
        for (lines, message) in cases {
            let e = verdict(lines).unwrap_err();
            assert!(e.message.starts_with(message), "{e}");
            assert!(e.help.unwrap().contains("format = \"msmarco\""));
        }
    }

    #[test]
    fn scattered_lines_of_a_query_count_together() {
        let mut evidence = Evidence::default();
        for (query, number) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")] {
            assert!(evidence.add("r", 1, query, number));
        }
        assert_eq!(evidence.verdict(), Ok(Verdict::Ranks));
    }

    #[test]
    fn a_long_file_of_scores_is_not_read_to_its_end() {
        let mut evidence = Evidence::default();
        let last = (0..5000).find(|i| {
            let query = (i / 2).to_string();
            !evidence.add("r", 1, &query, ["2.5", "1.5"][i % 2])
        });
        assert_eq!(last, Some(2 * ENOUGH as usize));
    }
}
