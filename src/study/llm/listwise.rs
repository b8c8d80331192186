//! Listwise ranking with a sliding window from the end of the list to its top: the model orders the last passages, then
//! the window moves up by a stride and carries the best ones along, so that good passages reach the top from any rank.
//!
//! **Source:** Sun et al. 2023 (arXiv 2304.09542), section 3.2; the windows are those of castorini/rank_llm, which reach
//! the top also when the stride does not divide the rest.

use std::ops::Range;

use super::cached::CachedModel;
use super::permutation::{self, Repairs};
use super::prompts::Listwise;
use xpipe_base::task::Failure;

/// A sliding-window ranking.
#[derive(Clone, Copy, Debug)]
pub struct Sliding {
    /// The prompt template.
    pub form: Listwise,
    /// Passages per prompt (≥ 2).
    pub window: usize,
    /// Ranks that the window moves (1 to `window`).
    pub stride: usize,
}

/// The windows over `n` passages in the order of the requests: the last first. Empty for fewer than 2 passages.
pub fn windows(n: usize, window: usize, stride: usize) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    if n < 2 {
        return all;
    }
    let (mut end, mut start) = (n, n.saturating_sub(window));
    loop {
        all.push(start..end);
        if start == 0 {
            return all;
        }
        end -= stride;
        start = start.saturating_sub(stride);
    }
}

impl Sliding {
    /// Maximum tokens of an answer: ten per passage of a window, and a few words.
    pub fn max_tokens(&self) -> u32 {
        u32::try_from(10 * self.window + 32).unwrap_or(u32::MAX)
    }

    /// The order of the passages for a query: indices, the best first.
    ///
    /// # Errors
    /// As [`CachedModel::ask`].
    pub fn rank(
        &self,
        cached: &CachedModel<'_>,
        query: &str,
        passages: &[String],
    ) -> Result<(Vec<usize>, Repairs), Failure> {
        let mut order: Vec<usize> = (0..passages.len()).collect();
        let mut repairs = Repairs::default();
        for range in windows(passages.len(), self.window, self.stride) {
            let part = &mut order[range];
            let texts: Vec<&str> = part.iter().map(|i| passages[*i].as_str()).collect();
            let answer = cached.ask(self.form.ask(query, &texts))?;
            let (places, odd) = permutation::read(&answer.text, part.len(), answer.truncated);
            repairs.add(&odd);
            let sorted: Vec<usize> = places.into_iter().map(|p| part[p]).collect();
            part.copy_from_slice(&sorted);
        }
        Ok((order, repairs))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cached::testing::{text, with};
    use super::*;

    #[test]
    fn windows_go_from_the_back_to_the_front() {
        assert_eq!(windows(100, 20, 10).len(), 9);
        assert_eq!(windows(40, 20, 10), [20..40, 10..30, 0..20]);
        assert_eq!(windows(25, 20, 10), [5..25, 0..15]);
        assert_eq!(windows(20, 20, 10), vec![0..20]);
        assert_eq!(windows(3, 20, 10), vec![0..3]);
        assert_eq!(windows(5, 2, 1), [3..5, 2..4, 1..3, 0..2]);
        assert!(windows(1, 20, 10).is_empty() && windows(0, 20, 10).is_empty());
        for (n, w, s) in [(50, 7, 3), (50, 7, 7), (51, 10, 9), (2, 2, 2), (99, 20, 1)] {
            let all = windows(n, w, s);
            assert_eq!((all[0].end, all[all.len() - 1].start), (n, 0));
            // Each reaches into the one behind it, or touches it.
            assert!(all.windows(2).all(|p| p[1].end >= p[0].start && !p[1].is_empty()), "{all:?}");
        }
    }

    /// A model that sorts by the number in each passage, largest first.
    fn by_number(question: &str) -> String {
        let lines = question.lines().filter(|l| l.starts_with('['));
        let mut numbers: Vec<(u32, usize)> =
            lines.enumerate().map(|(i, l)| (l.split(' ').nth(2).unwrap().parse().unwrap(), i + 1)).collect();
        numbers.sort_by(|a, b| b.cmp(a));
        numbers.iter().map(|(_, i)| format!("[{i}]")).collect::<Vec<_>>().join(" > ")
    }

    #[test]
    fn the_best_come_to_the_front_from_any_place() {
        let passages: Vec<String> = (0..30).map(|i| format!("number {i}")).collect();
        let sliding = Sliding { form: Listwise::RankZephyr, window: 8, stride: 4 };
        let dir = tempfile::tempdir().unwrap();
        let rank = |says: &(dyn Fn(&str) -> String + Sync)| {
            with(dir.path(), |q| text(says(q)), |a| sliding.rank(a, "q", &passages).unwrap())
        };
        let ((order, repairs), asked) = rank(&by_number);
        // A window takes half of its passages along: the best four of all are in front, in order.
        assert_eq!(order[..4], [29, 28, 27, 26]);
        assert_eq!((asked, repairs.answers, repairs.repaired), (7, 7, 0));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..30));
        // The same again costs nothing, whatever the model would say now.
        assert_eq!(rank(&|_| "no".into()), ((order, repairs), 0));
        let other = tempfile::tempdir().unwrap();
        let ((order, repairs), _) =
            with(other.path(), |_| text("no"), |a| sliding.rank(a, "q", &passages).unwrap());
        assert!(order.into_iter().eq(0..30));
        assert_eq!((repairs.answers, repairs.unreadable), (7, 7));
    }
}
