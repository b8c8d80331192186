//! Counts what a remote cache does, tells what is worth knowing while it works, and decides whether it is asked: after
//! some failures in a row it is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use super::outcome::Outcome;
use super::push::Pushed;

/// Takes sentences, from any thread.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Maximum number of sentences of one kind.
const SHOWN: usize = 8;
/// After this many failures in a row the store is not asked for a while.
const FAILURES: usize = 3;
/// How long it is not asked then. After it one request tries again.
const PAUSE: Duration = Duration::from_secs(120);

/// Counts, and tells what is worth knowing.
pub(crate) struct Reporter {
    name: String,
    tell: Tell,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Outcome,
    /// Failures since the last success. Requests that were under way together count once.
    in_a_row: usize,
    /// When the last of them was counted.
    counted: Option<Instant>,
    /// Until when the store is not asked.
    paused_until: Option<Instant>,
}

/// A request to the store, or a few that belong together, that began at a certain time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(Instant);

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reporter({})", self.name)
    }
}

impl Reporter {
    pub(crate) fn new(name: &str, tell: Tell) -> Self {
        Self { name: name.to_owned(), tell, state: Mutex::default() }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.with(|state| state.outcome.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Outcome)) {
        self.with(|state| change(&mut state.outcome));
    }

    pub(crate) fn say(&self, text: &str) {
        (self.tell)(&format!("remote cache `{}`: {text}", self.name));
    }

    /// Begins a request; `None` while the store is not asked. At the end of a pause one caller may begin, and the others
    /// wait for what becomes of it.
    pub(crate) fn begin(&self) -> Option<Begun> {
        self.begin_at(Instant::now())
    }

    fn begin_at(&self, now: Instant) -> Option<Begun> {
        self.with(|state| match state.paused_until {
            Some(until) if now < until => None,
            Some(_) => {
                state.paused_until = Some(now + PAUSE);
                Some(Begun(now))
            }
            None => Some(Begun(now)),
        })
    }

    /// The store has answered.
    pub(crate) fn answered(&self) {
        self.with(State::answered);
    }

    /// Counts and tells the error of a request. After some failures in a row the store is not asked for a while.
    pub(crate) fn error(&self, error: &Error, begun: Begun) {
        self.error_at(error, begun, Instant::now());
    }

    fn error_at(&self, error: &Error, begun: Begun, now: Instant) {
        let (shown, more, pauses) = self.with(|state| {
            let (n, pauses) = match error {
                Error::Stopped => return (false, false, false),
                Error::Refused(_) => {
                    state.answered();
                    state.outcome.refused += 1;
                    (state.outcome.refused, false)
                }
                Error::Store { .. } | Error::UploadGone { .. } | Error::Settings { .. } | Error::Cache(_) => {
                    state.outcome.failed += 1;
                    (state.outcome.failed, state.failed(begun, now))
                }
            };
            (n <= SHOWN, n == SHOWN + 1, pauses)
        });
        if shown {
            self.say(&error.to_string());
        } else if more {
            self.say("more of this kind is only counted");
        }
        if pauses {
            self.say(
                "too many failures in a row: it is not asked for 2 minutes. Results are computed and kept here",
            );
        }
    }

    /// Counts and tells what became of sending a result.
    pub(crate) fn pushed(&self, pushed: &Pushed, what: &str) {
        self.answered();
        self.count(|outcome| match pushed {
            Pushed::Sent(_) => outcome.sent += 1,
            Pushed::Replaced { .. } => {
                outcome.sent += 1;
                outcome.replaced += 1;
            }
            Pushed::Known => outcome.known += 1,
            Pushed::Differs => outcome.differing += 1,
            Pushed::NotMadeHere => outcome.not_made_here += 1,
        });
        match pushed {
            Pushed::Differs => self.say(&format!(
                "{what} has another result there for the same recipe: its operation is not deterministic. The first \
                 result stays there, and yours here (`xpipe cache push '{what}' --replace` replaces it)"
            )),
            Pushed::Replaced { why } => {
                self.say(&format!("{what} was replaced there by the result of this machine: {why}"));
            }
            Pushed::Sent(_) | Pushed::Known | Pushed::NotMadeHere => {}
        }
    }
}

impl State {
    fn answered(&mut self) {
        (self.in_a_row, self.counted, self.paused_until) = (0, None, None);
    }

    /// Counts a failure; whether a pause begins with it.
    fn failed(&mut self, begun: Begun, now: Instant) -> bool {
        if self.counted.is_none_or(|counted| begun.0 >= counted) {
            self.in_a_row += 1;
            self.counted = Some(now);
        }
        let pauses = self.in_a_row >= FAILURES && self.paused_until.is_none();
        if pauses {
            self.paused_until = Some(now + PAUSE);
            self.outcome.given_up = true;
        }
        pauses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::Store { doing: "reading", path: "x".into(), why: "no answer".into() }
    }

    fn reporter() -> (Reporter, Arc<Mutex<Vec<String>>>) {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = told.clone();
        (Reporter::new("lab", Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()))), told)
    }

    #[test]
    fn a_pause_ends_with_one_request_that_tries_again() {
        let (reporter, told) = reporter();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for n in 0..3 {
            let begun = reporter.begin_at(start + second * n).unwrap();
            reporter.error_at(&failure(), begun, start + second * (n + 1));
        }
        assert!(told.lock().unwrap().last().unwrap().contains("not asked for 2 minutes"));
        assert!(reporter.begin_at(start + second * 120).is_none(), "paused");
        let after = start + second * 124;
        let trial = reporter.begin_at(after).unwrap();
        assert!(reporter.begin_at(after).is_none(), "only one tries again");
        reporter.error_at(&failure(), trial, after + second);
        assert!(reporter.begin_at(after + second * 100).is_none(), "it failed");
        reporter.begin_at(after + second * 121).unwrap();
        reporter.answered();
        assert!(reporter.begin().is_some() && reporter.begin().is_some(), "a success ends the pause");
        let outcome = reporter.outcome();
        assert_eq!((outcome.failed, outcome.given_up), (4, true));
    }

    #[test]
    fn requests_that_failed_together_count_once() {
        let (reporter, _) = reporter();
        let begun: Vec<Begun> = (0..8).filter_map(|_| reporter.begin()).collect();
        begun.iter().for_each(|b| reporter.error(&failure(), *b));
        assert_eq!((reporter.outcome().failed, reporter.outcome().given_up), (8, false));
        assert!(reporter.begin().is_some());
    }
}
