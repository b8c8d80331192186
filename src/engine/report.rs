//! The outcome of a run, and its exit code.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::Manifest;
use xpipe_base::task::{Failure, FailureKind};
use xpipe_base::value::{ActionId, Digest};

/// The final state of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// No target depends on it.
    NotNeeded,
    /// The store had its result.
    Cached,
    /// It ran.
    Ran,
    /// It failed.
    Failed,
    /// An action that it depends on failed.
    Blocked,
    /// The run was stopped before it ended.
    Stopped,
}

/// Number of actions by final state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each counts the variant of `Final` of its name")]
pub struct Counts {
    pub ran: usize,
    pub cached: usize,
    pub failed: usize,
    pub blocked: usize,
    pub stopped: usize,
}

impl Counts {
    /// All actions that the targets needed.
    pub fn total(&self) -> usize {
        self.ran + self.cached + self.failed + self.blocked + self.stopped
    }
}

/// One action after a run.
#[derive(Clone, Debug)]
pub struct ActionReport {
    /// Its final state.
    pub state: Final,
    /// Its key, when it could be computed.
    pub key: Option<Digest>,
    /// Its result, when there is one.
    pub manifest: Option<Arc<Manifest>>,
    /// The reason of a failure.
    pub failure: Option<Failure>,
    /// Whether the store caused the failure.
    pub store_error: bool,
    /// The failed action that it depends on.
    pub blocked_by: Option<ActionId>,
    /// Duration in this run in seconds; 0 when it did not run.
    pub seconds: f64,
    /// Its log file of this run.
    pub log: Option<PathBuf>,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The name of the run, which is that of its folder.
    pub run: String,
    /// The folder with its events and logs.
    pub dir: PathBuf,
    /// By number of the action.
    pub actions: Vec<ActionReport>,
    /// Number of actions by final state.
    pub counts: Counts,
    /// Duration in seconds.
    pub seconds: f64,
    /// Whether a stop was requested.
    pub cancelled: bool,
    /// Whether it stopped at the first failure.
    pub fail_fast: bool,
    wanted: Vec<ActionId>,
}

impl RunReport {
    pub(crate) fn new(
        run: String,
        dir: PathBuf,
        actions: Vec<ActionReport>,
        wanted: Vec<ActionId>,
        seconds: f64,
        cancelled: bool,
        fail_fast: bool,
    ) -> Self {
        let count = |state| actions.iter().filter(|a| a.state == state).count();
        let counts = Counts {
            ran: count(Final::Ran),
            cached: count(Final::Cached),
            failed: count(Final::Failed),
            blocked: count(Final::Blocked),
            stopped: count(Final::Stopped),
        };
        Self { run, dir, actions, counts, seconds, cancelled, fail_fast, wanted }
    }

    /// The report of an action.
    pub fn action(&self, id: ActionId) -> &ActionReport {
        &self.actions[id.0 as usize]
    }

    /// A number that an action published.
    pub fn number(&self, id: ActionId, member: &str) -> Option<f64> {
        self.actions.get(id.0 as usize)?.manifest.as_ref()?.values.get(member).copied()
    }

    /// The exit code. When several apply: 130 interrupted, 70 a defect, 5 the store, 4 something is missing,
    /// 7 some requested actions failed and the rest is done, 1 a claim failed, or a failure under `--fail-fast`, or
    /// nothing requested was finished; else 0.
    pub fn exit_code(&self, claims_failed: bool) -> u8 {
        let any = |kind| {
            self.actions.iter().any(|a| a.failure.as_ref().is_some_and(|f| f.kind == kind) && !a.store_error)
        };
        let unfinished = self.counts.failed + self.counts.blocked + self.counts.stopped > 0;
        let finished = |id: &ActionId| matches!(self.action(*id).state, Final::Cached | Final::Ran);
        if self.cancelled {
            130
        } else if any(FailureKind::Bug) {
            70
        } else if self.actions.iter().any(|a| a.store_error) {
            5
        } else if any(FailureKind::Missing) {
            4
        } else if unfinished && (self.fail_fast || !self.wanted.iter().any(finished)) {
            1
        } else if unfinished {
            7
        } else {
            u8::from(claims_failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(states: &[(Final, Option<FailureKind>)], cancelled: bool, fail_fast: bool) -> RunReport {
        let actions: Vec<ActionReport> = states
            .iter()
            .map(|(state, kind)| ActionReport {
                state: *state,
                key: None,
                manifest: None,
                failure: kind.map(|kind| Failure { kind, message: "x".into(), help: None }),
                store_error: false,
                blocked_by: None,
                seconds: 0.0,
                log: None,
            })
            .collect();
        let wanted = (0..actions.len() as u32).map(ActionId).collect();
        RunReport::new("r".into(), "d".into(), actions, wanted, 0.0, cancelled, fail_fast)
    }

    #[test]
    fn exit_codes_have_their_precedence() {
        use FailureKind as K;
        let ran = (Final::Ran, None);
        let failed = |k| (Final::Failed, Some(k));
        let blocked = (Final::Blocked, None);
        let cases = [
            (report(&[ran, (Final::Cached, None), (Final::NotNeeded, None)], false, false), 0),
            (report(&[ran, failed(K::Wrong), blocked], false, false), 7),
            (report(&[failed(K::Wrong), blocked], false, false), 1),
            (report(&[ran, failed(K::Wrong)], false, true), 1),
            (report(&[ran, failed(K::Wrong), failed(K::Missing)], false, false), 4),
            (report(&[ran, failed(K::Missing), failed(K::Bug)], false, false), 70),
            (report(&[ran, failed(K::Bug), (Final::Stopped, None)], true, false), 130),
        ];
        for (i, (report, code)) in cases.iter().enumerate() {
            assert_eq!(report.exit_code(false), *code, "case {i}");
        }
        assert_eq!(report(&[ran], false, false).exit_code(true), 1);
        assert_eq!(report(&[ran, failed(K::Wrong)], false, false).exit_code(true), 7);
        let mut store = report(&[ran, failed(K::Missing)], false, false);
        store.actions[1].store_error = true;
        assert_eq!(store.exit_code(false), 5);
    }
}
