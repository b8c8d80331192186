//! The words of Slurm for the state of a job, as `squeue` and `sacct` print them.

use super::scheduler::{Ending, Seen};

/// The meaning of a state. A word that is not known is taken for a job that lives.
pub(super) fn seen(word: &str, reason: &str) -> Seen {
    match word.split([' ', '+']).next().unwrap_or_default() {
        "PENDING" => Seen::Pending(reason.to_owned()),
        "COMPLETED" => Seen::Ended(Ending::Completed),
        "FAILED" => Seen::Ended(Ending::Failed),
        "CANCELLED" => Seen::Ended(Ending::Cancelled),
        "TIMEOUT" | "DEADLINE" => Seen::Ended(Ending::Time),
        "OUT_OF_MEMORY" => Seen::Ended(Ending::Memory),
        "NODE_FAIL" | "BOOT_FAIL" | "REVOKED" => Seen::Ended(Ending::Node),
        "PREEMPTED" => Seen::Ended(Ending::Preempted),
        _ => Seen::Alive,
    }
}

/// The node of a job; `None` for the words that say that it had none.
pub(super) fn node(word: &str) -> Option<String> {
    (!matches!(word, "" | "(null)" | "None assigned")).then(|| word.to_owned())
}
