//! What a remote cache did for a run or a command: counts, and the sentences that are told while it works.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::Error;
use super::push::Pushed;
use xpipe_base::value::human;

/// Takes sentences, from any thread.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Maximum number of sentences of one kind.
const SHOWN: usize = 8;
/// After this many failures in a row the store is not asked any more.
const GIVES_UP: usize = 3;

/// What came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Results taken.
    pub taken: usize,
    /// Bytes of blobs that came.
    pub taken_bytes: u64,
    /// Results sent.
    pub sent: usize,
    /// Bytes of blobs that were sent.
    pub sent_bytes: u64,
    /// Results that were to be sent and were there.
    pub known: usize,
    /// Results of which the remote cache has another one: their operations are not deterministic.
    pub differing: usize,
    /// Results that were not sent because another cache made them.
    pub not_made_here: usize,
    /// Results that were to be sent and were not: an error, or it was stopped.
    pub unsent: usize,
    /// Records and blobs of the remote cache that are not used.
    pub refused: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Whether the remote cache was given up.
    pub given_up: bool,
}

impl Outcome {
    /// A line about it; `None` when there is nothing to say.
    pub fn line(&self, name: &str) -> Option<String> {
        let count = |n: usize, what: &str| (n > 0).then(|| format!("{} {what}", human::thousands(n as u64)));
        let with = |n: usize, what: &str, bytes: u64| {
            count(n, what).map(|text| format!("{text} ({})", human::size(bytes)))
        };
        let parts: Vec<String> = [
            with(self.taken, "taken", self.taken_bytes),
            with(self.sent, "sent", self.sent_bytes),
            count(self.known, "already there"),
            count(self.not_made_here, "from other caches not sent"),
            count(self.differing, "there with another result"),
            count(self.unsent, "not sent (`xpipe cache push` sends them)"),
            count(self.refused, "refused"),
            count(self.failed, "failed requests"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("remote cache `{name}`: {}", parts.join(", ")))
    }
}

/// Counts, and tells what is worth knowing.
pub(crate) struct Reporter {
    name: String,
    tell: Tell,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Outcome,
    /// Failures since the last success.
    in_a_row: usize,
}

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

    /// The store has answered.
    pub(crate) fn answered(&self) {
        self.with(|state| state.in_a_row = 0);
    }

    pub(crate) fn given_up(&self) -> bool {
        self.with(|state| state.outcome.given_up)
    }

    /// Counts and tells an error. After some failures in a row the remote cache is given up.
    pub(crate) fn error(&self, error: &Error) {
        let (shown, more, gave_up) = self.with(|state| {
            let outcome = &mut state.outcome;
            let n = match error {
                Error::Stopped => return (false, false, false),
                Error::Refused(_) => {
                    outcome.refused += 1;
                    state.in_a_row = 0;
                    outcome.refused
                }
                Error::Store { .. } | Error::Settings { .. } | Error::Cache(_) => {
                    outcome.failed += 1;
                    state.in_a_row += 1;
                    outcome.failed
                }
            };
            let gave_up = state.in_a_row >= GIVES_UP && !outcome.given_up;
            outcome.given_up |= gave_up;
            (n <= SHOWN, n == SHOWN + 1, gave_up)
        });
        if shown {
            self.say(&error.to_string());
        } else if more {
            self.say("more of this kind is only counted");
        }
        if gave_up {
            self.say(
                "it is not asked any more: too many failures in a row. Results are computed and kept here",
            );
        }
    }

    /// Counts and tells what became of sending a result.
    pub(crate) fn pushed(&self, pushed: &Pushed, what: &str) {
        self.answered();
        self.count(|outcome| match pushed {
            Pushed::Sent(_) => outcome.sent += 1,
            Pushed::Known => outcome.known += 1,
            Pushed::Differs => outcome.differing += 1,
            Pushed::NotMadeHere => outcome.not_made_here += 1,
        });
        if *pushed == Pushed::Differs {
            self.say(&format!(
                "{what} has another result there for the same recipe: its operation is not deterministic. The first \
                 result stays there, and yours here"
            ));
        }
    }
}
