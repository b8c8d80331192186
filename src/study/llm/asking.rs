//! Asking a model: answers that are kept are not asked for again, limits hold, several queries at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::answers::{self, Answers};
use super::spending::Spending;
use super::{Answer, Model, Prompt, Request};
use xpipe_base::task::{Failure, FailureKind, Progress};

/// How answers are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Tokens of an answer at most.
    pub max_tokens: u32,
    /// Whether log-probabilities of the first token are wanted.
    pub logprobs: bool,
    /// The seed that is passed on.
    pub seed: u64,
}

/// Stands between a method and a model.
pub struct Asker<'a> {
    model: &'a dyn Model,
    identity: String,
    answers: Answers,
    spending: Spending,
    manner: Manner,
    progress: &'a dyn Progress,
    done: AtomicU64,
    total: u64,
    /// Set when one query failed: the others stop.
    over: AtomicBool,
}

impl std::fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asker({})", self.identity)
    }
}

impl<'a> Asker<'a> {
    /// Asks `model` some `total` questions.
    pub fn new(
        model: &'a dyn Model,
        answers: Answers,
        spending: Spending,
        manner: Manner,
        total: u64,
        progress: &'a dyn Progress,
    ) -> Self {
        let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { model, identity: model.identity(), answers, spending, manner, progress, done, total, over }
    }

    /// What is spent.
    pub fn spending(&self) -> &Spending {
        &self.spending
    }

    /// What was spent.
    pub fn into_spending(self) -> Spending {
        self.spending
    }

    /// The answer to a question: the kept one, else the model's, which is kept.
    ///
    /// # Errors
    /// When a limit is reached, the model has no answer, the answer cannot be kept, or a stop was asked for.
    pub fn ask(&self, prompt: Prompt) -> Result<Answer, Failure> {
        if self.over.load(Ordering::SeqCst) || self.progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let Manner { max_tokens, logprobs, seed } = self.manner;
        let request = Request { prompt, max_tokens, logprobs, seed };
        let key = answers::key(&self.identity, &request)?;
        let kept = self.answers.get(&key).unwrap_or_else(|why| {
            self.progress.note(&format!("{why}; the model is asked again"));
            None
        });
        let answer = match kept {
            Some(kept) => {
                self.spending.kept(&kept);
                kept
            }
            None => {
                let reserved = self.spending.reserve(&request)?;
                let answer = self.model.answer(&request, self.progress);
                self.spending.settle(&reserved, answer.as_ref().ok());
                let answer = answer?;
                self.answers.put(&key, &answer)?;
                answer
            }
        };
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        self.progress.progress(done, self.total.max(done), "requests", "");
        Ok(answer)
    }

    /// Does `work` for each of `n` queries, `at_once` of them at a time; results in their order. The first failure ends
    /// it; requests under way are waited for, since they are paid for.
    ///
    /// # Errors
    /// The failure of the first query that failed by itself.
    pub fn each<T: Send>(
        &self,
        n: usize,
        at_once: usize,
        work: impl Fn(usize) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(n)));
        let take = || {
            loop {
                let i = next.fetch_add(1, Ordering::SeqCst);
                if i >= n || self.over.load(Ordering::SeqCst) {
                    return;
                }
                let result = work(i);
                if result.is_err() {
                    self.over.store(true, Ordering::SeqCst);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..at_once.min(n) {
                // With fewer threads it takes longer, and this one asks too.
                let _ = std::thread::Builder::new().spawn_scoped(scope, take);
            }
            take();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(i, _)| *i);
        let interrupted = |r: &Result<T, Failure>| matches!(r, Err(f) if f.kind == FailureKind::Interrupted);
        let own = results.iter().position(|(_, r)| r.is_err() && !interrupted(r));
        if let Some(place) = own {
            return results.swap_remove(place).1.map(|_| Vec::new());
        }
        results.into_iter().map(|(_, r)| r).collect()
    }
}

/// Models for tests of methods.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::llm::spending::Limits;
    use xpipe_base::task::Silent;

    /// A model that is a function of the last message.
    pub(crate) struct Says<F>(pub(crate) F, pub(crate) AtomicU64);

    impl<F: Fn(&str) -> Answer + Sync> Model for Says<F> {
        fn identity(&self) -> String {
            "says".into()
        }
        fn answer(&self, request: &Request, _: &dyn Progress) -> Result<Answer, Failure> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(self.0(&request.prompt.messages.last().unwrap().content))
        }
    }

    /// Runs `f` with an asker of a model that is a function, in a folder that is kept for as long as the caller wants.
    pub(crate) fn with<T>(
        folder: &std::path::Path,
        says: impl Fn(&str) -> Answer + Sync,
        f: impl FnOnce(&Asker<'_>) -> T,
    ) -> (T, u64) {
        let model = Says(says, AtomicU64::new(0));
        let manner = Manner { max_tokens: 10, logprobs: false, seed: 0 };
        let spending = Spending::new(Limits::default());
        let asker = Asker::new(&model, Answers::new(folder), spending, manner, 0, &Silent);
        let result = f(&asker);
        (result, model.1.load(Ordering::SeqCst))
    }

    /// An answer of a text.
    pub(crate) fn text(text: impl Into<String>) -> Answer {
        Answer { text: text.into(), prompt_tokens: 3, completion_tokens: 2, ..Answer::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{text, with};
    use super::*;
    use crate::llm::prompts::pairwise;

    #[test]
    fn what_was_answered_is_not_asked_again_and_order_is_that_of_the_queries() {
        let dir = tempfile::tempdir().unwrap();
        let run = |at_once: usize, n: usize| {
            with(
                dir.path(),
                |m| text(m.len().to_string()),
                |asker| {
                    let of = |i: usize| Ok(asker.ask(pairwise(&"q".repeat(i), "a", "b"))?.text);
                    (asker.each(n, at_once, of).unwrap(), asker.spending().tallies())
                },
            )
        };
        let ((first, tallies), asked) = run(1, 5);
        assert_eq!((asked, tallies.0.requests, tallies.1.requests), (5, 5, 5));
        let ((second, tallies), asked) = run(3, 7);
        assert_eq!((asked, tallies.0.requests, tallies.1.requests), (2, 7, 2));
        assert_eq!(first[..], second[..5]);
        assert!(second.windows(2).all(|w| w[0] < w[1] || w[0].len() < w[1].len()), "{second:?}");
    }

    #[test]
    fn the_first_failure_of_its_own_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let ((), asked) = with(
            dir.path(),
            |_| text("A"),
            |asker| {
                let of = |i: usize| match i {
                    2 => Err(Failure::wrong("two")),
                    _ => asker.ask(pairwise(&i.to_string(), "a", "b")),
                };
                assert_eq!(asker.each(50, 2, of).unwrap_err().message, "two");
            },
        );
        assert!(asked < 50, "{asked}");
    }
}
