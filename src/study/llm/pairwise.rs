//! Pairwise ranking: which of two passages is better, asked in both orders because of models' position bias. Answers that
//! disagree are a tie.
//!
//! **Source:** Qin et al. 2023 (arXiv 2306.17563): all pairs (PRP-Allpair), or bubble-sort passes from the end to the top
//! (PRP-Sliding-K), each of which moves the best of the rest up.

use super::cached::CachedModel;
use super::permutation::{Repairs, without_thoughts};
use super::prompts;
use xpipe_base::task::Failure;

/// Which pairs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// All. The order is by wins; a tie counts half, and equal counts keep their order.
    All,
    /// A number of passes from the end to the top.
    Passes(usize),
}

/// Default number of passes.
pub const PASSES: usize = 10;

/// Maximum tokens of an answer.
pub const MAX_TOKENS: u32 = 16;

impl Pairs {
    /// Number of requests for `n` passages. In passes, repeated ones are answered from the stored answers.
    pub fn requests(self, n: usize) -> u64 {
        let n = n as u64;
        match self {
            Self::All => n * n.saturating_sub(1),
            Self::Passes(k) => (0..(k as u64).min(n.saturating_sub(1))).map(|p| 2 * (n - 1 - p)).sum(),
        }
    }

    /// The order of the passages for a query: indices, the best first.
    ///
    /// # Errors
    /// As [`CachedModel::ask`].
    pub fn rank(
        self,
        cached: &CachedModel<'_>,
        query: &str,
        passages: &[String],
    ) -> Result<(Vec<usize>, Repairs), Failure> {
        let n = passages.len();
        let mut order: Vec<usize> = (0..n).collect();
        let mut repairs = Repairs::default();
        let mut better = |a: usize, b: usize| better(cached, query, &passages[a], &passages[b], &mut repairs);
        match self {
            Self::All => {
                // Wins are doubled, so that a tie is an integer.
                let mut wins = vec![0u32; n];
                for a in 0..n {
                    for b in a + 1..n {
                        let won = better(a, b)?;
                        wins[a] += won;
                        wins[b] += 2 - won;
                    }
                }
                order.sort_by_key(|i| std::cmp::Reverse(wins[*i]));
            }
            Self::Passes(k) => {
                for front in 0..k.min(n.saturating_sub(1)) {
                    for i in (front..n - 1).rev() {
                        if better(order[i], order[i + 1])? == 0 {
                            order.swap(i, i + 1);
                        }
                    }
                }
            }
        }
        Ok((order, repairs))
    }
}

/// 2 if `a` is better, 0 if `b` is, 1 for a tie.
fn better(
    cached: &CachedModel<'_>,
    query: &str,
    a: &str,
    b: &str,
    repairs: &mut Repairs,
) -> Result<u32, Failure> {
    let mut first = |x: &str, y: &str| -> Result<Option<bool>, Failure> {
        let answer = cached.ask(prompts::pairwise(query, x, y))?;
        let said = says_first(&answer.text);
        let odd = u64::from(said.is_none());
        repairs.add(&Repairs {
            answers: 1,
            repaired: odd,
            unreadable: odd,
            truncated: odd * u64::from(answer.truncated),
            ..Repairs::default()
        });
        Ok(said)
    };
    Ok(match (first(a, b)?, first(b, a)?) {
        (Some(true), Some(false)) => 2,
        (Some(false), Some(true)) => 0,
        _ => 1,
    })
}

/// Whether an answer prefers passage A; `None` if it names neither. If it names both, the first counts.
fn says_first(text: &str) -> Option<bool> {
    let text = without_thoughts(text).to_lowercase();
    let named = |x: &str| text.find(&format!("passage {x}"));
    match (named("a"), named("b")) {
        (Some(a), Some(b)) => Some(a < b),
        (Some(_), None) => Some(true),
        (None, Some(_)) => Some(false),
        (None, None) => match text.trim_matches(|c: char| !c.is_alphanumeric()) {
            "a" => Some(true),
            "b" => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::cached::testing::{text, with};
    use super::*;

    #[test]
    fn answers_name_a_passage() {
        for (said, is) in [
            ("Passage A", Some(true)),
            ("passage b.", Some(false)),
            ("B", Some(false)),
            (" \"A\"", Some(true)),
            ("Passage B is better than Passage A", Some(false)),
            ("<think>Passage A</think> Passage B", Some(false)),
            ("Both.", None),
            ("", None),
        ] {
            assert_eq!(says_first(said), is, "{said}");
        }
    }

    /// The passage with the larger number, which is its fourth word.
    fn larger(question: &str) -> String {
        let number = |x: &str| -> u32 {
            let at = question.find(&format!("Passage {x}: n ")).unwrap() + 13;
            question[at..].split_whitespace().next().unwrap().parse().unwrap()
        };
        if number("A") >= number("B") { "Passage A".into() } else { "Passage B".into() }
    }

    #[test]
    fn all_pairs_sort_and_passes_bring_the_best_forward() {
        let numbers = [3, 9, 1, 7, 7, 5];
        let passages: Vec<String> = numbers.iter().map(|n| format!("n {n}")).collect();
        let rank = |pairs: Pairs, says: &(dyn Fn(&str) -> String + Sync)| {
            let dir = tempfile::tempdir().unwrap();
            with(dir.path(), |q| text(says(q)), |a| pairs.rank(a, "q", &passages).unwrap())
        };
        let ((order, repairs), asked) = rank(Pairs::All, &larger);
        // Equal ones say A twice, which is a tie, and keep their order.
        assert_eq!(order, [1, 3, 4, 5, 0, 2]);
        // The two equal passages make one question out of two.
        assert!(asked < 30 && repairs.answers == 30 && Pairs::All.requests(6) == 30, "{asked}");
        let ((order, repairs), _) = rank(Pairs::Passes(2), &larger);
        assert_eq!(order[..2], [1, 3]);
        assert_eq!((repairs.answers, Pairs::Passes(2).requests(6)), (18, 18));
        assert_eq!(rank(Pairs::Passes(99), &larger).0.0, [1, 3, 4, 5, 0, 2]);
        // A model that always prefers the first place, and one that says nothing, change nothing.
        for says in ["Passage A", "?"] {
            for pairs in [Pairs::All, Pairs::Passes(3)] {
                let ((order, repairs), _) = rank(pairs, &|_| says.into());
                assert!(order.into_iter().eq(0..6));
                assert_eq!(repairs.unreadable, if says == "?" { repairs.answers } else { 0 });
            }
        }
        assert_eq!(
            (Pairs::All.requests(0), Pairs::Passes(3).requests(1), Pairs::Passes(9).requests(3)),
            (0, 0, 6)
        );
    }
}
