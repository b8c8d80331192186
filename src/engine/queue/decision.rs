//! What to do about one attempt at an action, from what is known of it. The cache decides what is done, the files of the
//! attempt decide what failed; the queue only says what is alive. So success never follows from a state of the queue,
//! and a job that the queue does not list is no failure until its files had time to appear. No answer is no information.

use std::time::Duration;

use super::files::{Report, Verdict};
use super::scheduler::{Ending, Seen};
use xpipe_base::task::{Failure, FailureKind};
use xpipe_base::value::human;

/// What the queue says of the job of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// It has not answered yet since the job was submitted.
    NoAnswer,
    /// It did not list the job in so many answers, one after another.
    Absent(u32),
    /// It lists the job.
    Listed(Seen),
}

/// Who asked for the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CancelledBy {
    /// This run.
    Us,
    /// The user, by `xpipe cancel` for its stage.
    User,
    /// Another run of xpipe that shared the job.
    Other,
}

/// What is known of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// Whether the cache has the result.
    pub(super) published: bool,
    /// Whether the queue has certainly accepted the job.
    pub(super) submitted: bool,
    /// Whether the queue finds a job by its name alone.
    pub(super) named: bool,
    pub(super) job: Job,
    /// The latest report of the job.
    pub(super) report: Option<&'a Report>,
    /// How long the job has been seen ended or has not been listed.
    pub(super) silence: Duration,
    /// Whether its log says that memory ran out.
    pub(super) log_says_memory: bool,
    pub(super) cancelled: Option<CancelledBy>,
    /// Whether it did more than every attempt before it, so that another one goes on from there.
    pub(super) advanced: bool,
    pub(super) tries: Tries,
    pub(super) limits: Limits,
}

/// Attempts that have failed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// The job was lost.
    pub(super) lost: u32,
    /// Memory ran out.
    pub(super) memory: u32,
    /// The operation failed and may succeed another time.
    pub(super) failed: u32,
}

/// How many failed attempts of each kind are allowed, and how long files may lag behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) lost: u32,
    pub(super) memory: u32,
    pub(super) failed: u32,
    pub(super) grace: Duration,
}

/// Why there is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The job was lost; its node is avoided when the node failed.
    Lost { node_failed: bool },
    /// It goes on from its last checkpoint. Not counted.
    Resume,
    /// With more memory.
    MoreMemory,
    /// The operation may succeed another time.
    Failed,
    /// It ended for a reason outside of it (preempted, cancelled by another run). Not counted.
    Outside,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The result is in the cache.
    Done,
    /// Nothing now.
    Wait,
    /// Its job never reached the queue: submit the same attempt again.
    SubmitAgain,
    /// Another attempt.
    Retry(Again),
    /// Cancel a job that cannot start here, and make another attempt.
    Replace,
    /// Cancel a job that can never start. The action has failed.
    Withdraw(Failure),
    /// Results that the action reads are missing or damaged.
    Unreadable(String),
    /// This run cancelled it.
    Stopped,
    /// The action has failed.
    Fail(Failure),
}

/// Successful answers without a job that prove that the queue does not have it.
const PROOF: u32 = 2;

/// Reasons for which a pending job will never start, with what to do.
const NEVER: [(&str, &str); 9] = [
    (
        "PartitionTimeLimit",
        "lower `time` in the stage's `with`, or name another partition in the cluster's settings",
    ),
    ("PartitionNodeLimit", "name another partition in the cluster's settings"),
    (
        "BadConstraints",
        "no node has what is asked for: change `with`, or `constraint` in the cluster's settings",
    ),
    ("DependencyNeverSatisfied", "remove the dependency from `extra` in the cluster's settings"),
    ("QOSMaxWall", "lower `time` in the stage's `with`, or name another `qos` in the cluster's settings"),
    ("QOSMaxCpuPerJob", "lower `cpus` in the stage's `with`"),
    ("QOSMaxMemoryPerJob", "lower `memory` in the stage's `with`"),
    (
        "AssocMaxWall",
        "lower `time` in the stage's `with`, or name another `account` in the cluster's settings",
    ),
    ("InvalidAccount", "correct `account` in the cluster's settings"),
];

/// The decision.
pub(super) fn decide(facts: &Facts<'_>) -> Decision {
    if facts.published {
        return Decision::Done;
    }
    let over = match &facts.job {
        Job::NoAnswer => false,
        Job::Absent(polls) => *polls >= PROOF,
        Job::Listed(seen) => matches!(seen, Seen::Ended(_)),
    };
    if facts.cancelled == Some(CancelledBy::Us) {
        let reported = facts.report.is_some();
        return if over || reported { Decision::Stopped } else { Decision::Wait };
    }
    if facts.cancelled == Some(CancelledBy::User) {
        let reported = facts.report.is_some();
        return if over || reported { cancelled("with `xpipe cancel`") } else { Decision::Wait };
    }
    match facts.report.map(|r| &r.verdict) {
        // Only the end of the job tells whether it was short of memory.
        Some(Verdict::Failed(failure)) if failure.kind == FailureKind::Transient && !over => {
            return Decision::Wait;
        }
        Some(Verdict::Failed(failure)) => return failed(facts, failure),
        Some(Verdict::Unreadable(what)) => return Decision::Unreadable(what.clone()),
        // A job that the queue started again has not ended with its first report.
        Some(Verdict::Interrupted) if over => return interrupted(facts),
        Some(Verdict::OutOfTime) if over => return out_of_time(facts),
        Some(Verdict::Done) if over => return unseen(facts),
        _ => {}
    }
    match &facts.job {
        Job::NoAnswer => Decision::Wait,
        Job::Absent(_) if !over => Decision::Wait,
        Job::Absent(_) if !facts.submitted && facts.named => Decision::SubmitAgain,
        Job::Absent(_) if facts.silence < facts.limits.grace => Decision::Wait,
        Job::Absent(_) if !facts.submitted => Decision::SubmitAgain,
        Job::Absent(_) => lost(facts, false, "is no longer in the queue and left no report"),
        Job::Listed(Seen::Pending(reason)) => pending(reason),
        Job::Listed(Seen::Alive) => Decision::Wait,
        Job::Listed(Seen::Ended(_)) if facts.silence < facts.limits.grace => Decision::Wait,
        Job::Listed(Seen::Ended(ending)) => ended(facts, *ending),
    }
}

/// The operation failed.
fn failed(facts: &Facts<'_>, failure: &Failure) -> Decision {
    // A program that was killed for its memory only looks like one that failed.
    let killed = facts.log_says_memory || facts.job == Job::Listed(Seen::Ended(Ending::Memory));
    if failure.kind == FailureKind::Transient && killed {
        return memory(facts);
    }
    match failure.kind == FailureKind::Transient && facts.tries.failed < facts.limits.failed {
        true => Decision::Retry(Again::Failed),
        false => Decision::Fail(failure.clone()),
    }
}

/// A worker was told to stop, and did.
fn interrupted(facts: &Facts<'_>) -> Decision {
    if facts.cancelled == Some(CancelledBy::Other) || facts.job == Job::Listed(Seen::Ended(Ending::Preempted))
    {
        return Decision::Retry(Again::Outside);
    }
    if facts.job == Job::Listed(Seen::Ended(Ending::Cancelled)) {
        return cancelled("by someone else");
    }
    if facts.advanced {
        return Decision::Retry(Again::Resume);
    }
    match facts.tries.lost < facts.limits.lost {
        true => Decision::Retry(Again::Lost { node_failed: false }),
        false => Decision::Fail(
            Failure::wrong("its job was stopped before it got any further than the one before").help(
                "raise `time` in the stage's `with`, or make checkpoints more frequent with `checkpoint`",
            ),
        ),
    }
}

/// The stage's own time was over. Another job would need as much again, unless this one has kept more than those before.
fn out_of_time(facts: &Facts<'_>) -> Decision {
    if facts.cancelled == Some(CancelledBy::Other) {
        return Decision::Retry(Again::Outside);
    }
    match facts.advanced {
        true => Decision::Retry(Again::Resume),
        false => Decision::Fail(
            Failure::wrong("its time is over, and it was stopped before it kept a newer checkpoint").help(
                "raise `time` in the stage's `with`, or in the cluster's settings; or make checkpoints more \
                 frequent with `checkpoint`",
            ),
        ),
    }
}

/// The job says that it is done, and the cache has no result.
fn unseen(facts: &Facts<'_>) -> Decision {
    // A file server may answer from an old list of files for a minute.
    if facts.silence < 2 * facts.limits.grace {
        return Decision::Wait;
    }
    Decision::Fail(
        Failure::missing(format!(
            "its job says that the result is in the cache, and it cannot be seen here after {}",
            human::duration(facts.silence.as_secs_f64())
        ))
        .help("check that the nodes and this machine see the same cache: `xpipe doctor slurm`"),
    )
}

fn lost(facts: &Facts<'_>, node_failed: bool, how: &str) -> Decision {
    if facts.tries.lost < facts.limits.lost {
        return Decision::Retry(Again::Lost { node_failed });
    }
    let times = match facts.tries.lost + 1 {
        1 => String::new(),
        n => format!(" {n} times, the last time because it"),
    };
    let message =
        if times.is_empty() { format!("its job {how}") } else { format!("its job was lost{times} {how}") };
    Decision::Fail(
        Failure::missing(message).help(
            "look at its log and at the queue's records; `retries` in the cluster's settings allows more",
        ),
    )
}

fn pending(reason: &str) -> Decision {
    if reason.to_lowercase().contains("launch failed") {
        return Decision::Replace;
    }
    match NEVER.iter().find(|(never, _)| reason.trim_start_matches('(').starts_with(never)) {
        Some((_, help)) => Decision::Withdraw(
            Failure::missing(format!("its job can never start: the queue says {reason}")).help(*help),
        ),
        None => Decision::Wait,
    }
}

fn cancelled(how: &str) -> Decision {
    Decision::Fail(
        Failure::missing(format!("its job was cancelled {how}"))
            .help("run again to go on from its last checkpoint"),
    )
}

/// The job has ended without a report.
fn ended(facts: &Facts<'_>, ending: Ending) -> Decision {
    match ending {
        Ending::Memory => memory(facts),
        Ending::Failed if facts.log_says_memory => memory(facts),
        Ending::Failed => lost(facts, false, "ended without a report (killed, or it crashed)"),
        Ending::Node => lost(facts, true, "was on a node that failed"),
        Ending::Preempted => Decision::Retry(Again::Outside),
        Ending::Cancelled if facts.cancelled == Some(CancelledBy::Other) => Decision::Retry(Again::Outside),
        Ending::Cancelled => cancelled("by someone else"),
        Ending::Time if facts.advanced => Decision::Retry(Again::Resume),
        Ending::Time => Decision::Fail(
            Failure::wrong("the time limit of its job is over, and it kept no newer checkpoint")
                .help("raise `time` in the stage's `with`, or in the cluster's settings"),
        ),
        Ending::Completed => {
            Decision::Fail(Failure::bug("its job ended well, but left neither result nor report"))
        }
    }
}

fn memory(facts: &Facts<'_>) -> Decision {
    match facts.tries.memory < facts.limits.memory {
        true => Decision::Retry(Again::MoreMemory),
        false => Decision::Fail(Failure::missing("its job ran out of memory").help(
            "write what it needs as `memory` in the stage's `with`, or lower its batch (`micro_batch`, `batch`)",
        )),
    }
}

#[cfg(test)]
mod tests;
