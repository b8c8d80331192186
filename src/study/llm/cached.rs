//! A model with stored answers and spending limits, used by several queries at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::answers::{self, Answers};
use super::spending::Spending;
use super::{Answer, Model, Prompt, Request};
use xpipe_base::task::{Failure, FailureKind, Progress};

/// Options of all requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions {
    /// Maximum tokens of an answer.
    pub max_tokens: u32,
    /// Whether to return log-probabilities of the first token.
    pub logprobs: bool,
    /// The seed passed to the model.
    pub seed: u64,
}

/// A model whose answers are stored and whose spending is limited.
pub struct CachedModel<'a> {
    model: &'a dyn Model,
    identity: String,
    answers: Answers,
    spending: Spending,
    options: RequestOptions,
    progress: &'a dyn Progress,
    done: AtomicU64,
    total: u64,
    /// Set when a query has failed, which stops the others.
    failed: AtomicBool,
}

impl std::fmt::Debug for CachedModel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CachedModel({})", self.identity)
    }
}

impl<'a> CachedModel<'a> {
    /// Wraps `model` for about `total` requests.
    pub fn new(
        model: &'a dyn Model,
        answers: Answers,
        spending: Spending,
        options: RequestOptions,
        total: u64,
        progress: &'a dyn Progress,
    ) -> Self {
        let (done, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { model, identity: model.identity(), answers, spending, options, progress, done, total, failed }
    }

    /// The spending so far.
    pub fn spending(&self) -> &Spending {
        &self.spending
    }

    /// The final spending.
    pub fn into_spending(self) -> Spending {
        self.spending
    }

    /// The answer to a prompt: the stored one, else the model's, which is stored.
    ///
    /// # Errors
    /// A limit is reached, the model does not answer, the answer cannot be stored, or the run is cancelled.
    pub fn ask(&self, prompt: Prompt) -> Result<Answer, Failure> {
        if self.failed.load(Ordering::SeqCst) || self.progress.cancelled() {
            return Err(Failure::interrupted());
        }
        let RequestOptions { max_tokens, logprobs, seed } = self.options;
        let request = Request { prompt, max_tokens, logprobs, seed };
        let key = answers::key(&self.identity, &request)?;
        let kept = self.answers.get(&key).unwrap_or_else(|why| {
            self.progress.note(&format!("{why}; asking the model again"));
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

    /// Runs `work` for each of `n` queries, `at_once` of them concurrently; results in query order. The first failure ends
    /// it after the running requests, which are paid for.
    ///
    /// # Errors
    /// The first failure that is not a cancellation.
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
                if i >= n || self.failed.load(Ordering::SeqCst) {
                    return;
                }
                let result = work(i);
                if result.is_err() {
                    self.failed.store(true, Ordering::SeqCst);
                }
                results.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..at_once.min(n) {
                // If fewer threads can be started, it only takes longer.
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
    use crate::llm::spending::SpendingLimits;
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

    /// Runs `f` with an cached of a model that is a function, in a folder that is kept for as long as the caller wants.
    pub(crate) fn with<T>(
        folder: &std::path::Path,
        says: impl Fn(&str) -> Answer + Sync,
        f: impl FnOnce(&CachedModel<'_>) -> T,
    ) -> (T, u64) {
        let model = Says(says, AtomicU64::new(0));
        let options = RequestOptions { max_tokens: 10, logprobs: false, seed: 0 };
        let spending = Spending::new(SpendingLimits::default());
        let cached = CachedModel::new(&model, Answers::new(folder), spending, options, 0, &Silent);
        let result = f(&cached);
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
                |cached| {
                    let of = |i: usize| Ok(cached.ask(pairwise(&"q".repeat(i), "a", "b"))?.text);
                    (cached.each(n, at_once, of).unwrap(), cached.spending().tallies())
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
            |cached| {
                let of = |i: usize| match i {
                    2 => Err(Failure::wrong("two")),
                    _ => cached.ask(pairwise(&i.to_string(), "a", "b")),
                };
                assert_eq!(cached.each(50, 2, of).unwrap_err().message, "two");
            },
        );
        assert!(asked < 50, "{asked}");
    }
}
