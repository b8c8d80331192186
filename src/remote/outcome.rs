//! What a remote cache did for a run or a command, in counts.

use serde::Serialize;

use xpipe_base::value::human;

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
    /// Records of the remote cache that were replaced by those of this machine.
    pub replaced: usize,
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
    /// Whether the remote cache was not asked for a while, after failures in a row.
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
            count(self.replaced, "replaced there"),
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
