//! The table of decisions.

use super::*;

const GRACE: Duration = Duration::from_secs(60);

fn base() -> Facts<'static> {
    Facts {
        published: false,
        submitted: true,
        named: true,
        job: Job::Listed(Seen::Alive),
        report: None,
        silence: Duration::ZERO,
        log_says_memory: false,
        cancelled: None,
        advanced: false,
        tries: Tries::default(),
        limits: Limits { lost: 3, memory: 1, failed: 1, grace: GRACE },
    }
}

fn report(verdict: Verdict) -> Report {
    Report::of("exec", verdict)
}

fn listed(seen: Seen) -> Facts<'static> {
    Facts { job: Job::Listed(seen), ..base() }
}

/// Long after the job has ended.
fn ended(ending: Ending) -> Facts<'static> {
    Facts { silence: 2 * GRACE, ..listed(Seen::Ended(ending)) }
}

const LOST: Decision = Decision::Retry(Again::Lost { node_failed: false });

#[track_caller]
fn fails(facts: &Facts<'_>, kind: FailureKind, text: &str) {
    match decide(facts) {
        Decision::Fail(f) => assert!(f.kind == kind && f.message.contains(text), "{f:?}"),
        other => panic!("{other:?} of {facts:#?}"),
    }
}

#[test]
fn a_published_result_is_done_whatever_else_is_said() {
    let failure = report(Verdict::Failed(Failure::wrong("no")));
    for job in [
        Job::NoAnswer,
        Job::Absent(9),
        Job::Listed(Seen::Alive),
        Job::Listed(Seen::Ended(Ending::Failed)),
        Job::Listed(Seen::Ended(Ending::Cancelled)),
    ] {
        let facts = Facts {
            published: true,
            job,
            report: Some(&failure),
            cancelled: Some(CancelledBy::Us),
            ..base()
        };
        assert_eq!(decide(&facts), Decision::Done);
    }
}

#[test]
fn no_state_of_the_queue_is_a_success() {
    for ending in [
        Ending::Completed,
        Ending::Failed,
        Ending::Cancelled,
        Ending::Time,
        Ending::Memory,
        Ending::Node,
        Ending::Preempted,
    ] {
        assert_ne!(decide(&ended(ending)), Decision::Done, "{ending:?}");
    }
    fails(&ended(Ending::Completed), FailureKind::Bug, "neither result nor report");
}

#[test]
fn no_answer_says_nothing() {
    let facts = Facts { job: Job::NoAnswer, silence: 99 * GRACE, submitted: false, ..base() };
    assert_eq!(decide(&facts), Decision::Wait);
}

#[test]
fn a_job_that_is_not_listed_had_time_to_appear_before_it_is_lost() {
    let absent = |polls, silence| Facts { job: Job::Absent(polls), silence, ..base() };
    assert_eq!(decide(&absent(1, 9 * GRACE)), Decision::Wait);
    assert_eq!(decide(&absent(9, GRACE / 2)), Decision::Wait);
    assert_eq!(decide(&absent(2, GRACE)), LOST);
    // One that was perhaps never accepted is submitted again after two answers without it.
    let doubtful = |polls| Facts { submitted: false, ..absent(polls, Duration::ZERO) };
    assert_eq!(decide(&doubtful(1)), Decision::Wait);
    assert_eq!(decide(&doubtful(2)), Decision::SubmitAgain);
    // Where answers prove nothing, when it had time to begin.
    let nameless = |silence| Facts { named: false, silence, ..doubtful(9) };
    assert_eq!(decide(&nameless(GRACE / 2)), Decision::Wait);
    assert_eq!(decide(&nameless(GRACE)), Decision::SubmitAgain);
}

#[test]
fn what_lives_is_waited_for() {
    assert_eq!(decide(&base()), Decision::Wait);
    for reason in
        ["Priority", "Resources", "JobHeldUser", "JobHeldAdmin", "QOSMaxJobsPerUserLimit", "(Nodes down)"]
    {
        assert_eq!(decide(&listed(Seen::Pending(reason.into()))), Decision::Wait, "{reason}");
    }
}

#[test]
fn what_can_never_start_is_withdrawn_with_the_reason() {
    for reason in ["PartitionTimeLimit", "(BadConstraints)", "QOSMaxWallDurationPerJobLimit"] {
        match decide(&listed(Seen::Pending(reason.into()))) {
            Decision::Withdraw(f) => assert!(f.message.contains(reason) && f.help.is_some(), "{f:?}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
    let held = listed(Seen::Pending("launch failed requeued held".into()));
    assert_eq!(decide(&held), Decision::Replace);
}

#[test]
fn a_failed_operation_is_tried_as_often_as_the_study_says() {
    let wrong = report(Verdict::Failed(Failure::wrong("line 3 is odd")));
    // At once, also while the queue still lists the job.
    fails(&Facts { report: Some(&wrong), ..base() }, FailureKind::Wrong, "line 3");
    let network = Failure { kind: FailureKind::Transient, message: "no network".into(), help: None };
    let network = report(Verdict::Failed(network));
    // A retry only when the job is over, which may then turn out to have been short of memory.
    assert_eq!(decide(&Facts { report: Some(&network), ..base() }), Decision::Wait);
    let again = Facts { report: Some(&network), ..ended(Ending::Failed) };
    assert_eq!(decide(&again), Decision::Retry(Again::Failed));
    let spent = Facts { tries: Tries { failed: 1, ..Tries::default() }, ..again };
    fails(&spent, FailureKind::Transient, "no network");
}

#[test]
fn an_interrupted_job_goes_on_while_it_gets_further() {
    let told = report(Verdict::Interrupted);
    let facts = Facts { report: Some(&told), ..ended(Ending::Failed) };
    assert_eq!(decide(&Facts { advanced: true, ..facts.clone() }), Decision::Retry(Again::Resume));
    assert_eq!(decide(&facts), LOST);
    let spent = Facts { tries: Tries { lost: 3, ..Tries::default() }, ..facts.clone() };
    fails(&spent, FailureKind::Wrong, "got any further");
    // Started again by the queue itself: the report is of its first execution.
    assert_eq!(decide(&Facts { job: Job::Listed(Seen::Alive), ..facts.clone() }), Decision::Wait);
    let outside = Decision::Retry(Again::Outside);
    assert_eq!(decide(&Facts { report: Some(&told), ..ended(Ending::Preempted) }), outside);
    assert_eq!(decide(&Facts { cancelled: Some(CancelledBy::Other), ..facts }), outside);
}

#[test]
fn a_result_that_is_reported_and_not_seen_is_an_error_after_a_while() {
    let done = report(Verdict::Done);
    let facts = Facts { report: Some(&done), ..ended(Ending::Completed) };
    assert_eq!(decide(&Facts { silence: GRACE, ..facts.clone() }), Decision::Wait);
    fails(&facts, FailureKind::Missing, "cannot be seen here");
}

#[test]
fn lost_jobs_are_submitted_again_so_often_and_not_before_their_files_had_time() {
    assert_eq!(decide(&Facts { silence: GRACE / 2, ..ended(Ending::Node) }), Decision::Wait);
    assert_eq!(decide(&ended(Ending::Node)), Decision::Retry(Again::Lost { node_failed: true }));
    assert_eq!(decide(&ended(Ending::Failed)), LOST);
    assert_eq!(decide(&ended(Ending::Preempted)), Decision::Retry(Again::Outside));
    let spent = Tries { lost: 3, ..Tries::default() };
    fails(&Facts { tries: spent, ..ended(Ending::Node) }, FailureKind::Missing, "lost 4 times");
    fails(&Facts { tries: spent, ..ended(Ending::Failed) }, FailureKind::Missing, "lost 4 times");
    // One that was preempted is not counted.
    assert_eq!(decide(&Facts { tries: spent, ..ended(Ending::Preempted) }), Decision::Retry(Again::Outside));
}

#[test]
fn memory_is_raised_where_that_is_allowed() {
    let more = Decision::Retry(Again::MoreMemory);
    assert_eq!(decide(&ended(Ending::Memory)), more);
    // Without control groups Slurm says it in the log only.
    assert_eq!(decide(&Facts { log_says_memory: true, ..ended(Ending::Failed) }), more);
    // A program of the stage was killed, which its worker reports as a failure.
    let killed = Failure { kind: FailureKind::Transient, message: "signal 9".into(), help: None };
    let killed = report(Verdict::Failed(killed));
    assert_eq!(decide(&Facts { report: Some(&killed), ..ended(Ending::Memory) }), more);
    let said = Facts { log_says_memory: true, report: Some(&killed), ..ended(Ending::Failed) };
    assert_eq!(decide(&said), more);
    let wrong = report(Verdict::Failed(Failure::wrong("line 3")));
    fails(&Facts { report: Some(&wrong), ..said }, FailureKind::Wrong, "line 3");
    let spent = Tries { memory: 1, ..Tries::default() };
    fails(&Facts { tries: spent, ..ended(Ending::Memory) }, FailureKind::Missing, "out of memory");
}

#[test]
fn a_time_limit_is_gone_over_only_with_a_newer_checkpoint() {
    let late = ended(Ending::Time);
    assert_eq!(decide(&Facts { advanced: true, ..late.clone() }), Decision::Retry(Again::Resume));
    fails(&late, FailureKind::Wrong, "time limit");
    // The stage's own time, which its worker watches.
    let told = report(Verdict::OutOfTime);
    let late = Facts { report: Some(&told), ..ended(Ending::Failed) };
    assert_eq!(decide(&Facts { advanced: true, ..late.clone() }), Decision::Retry(Again::Resume));
    fails(&late, FailureKind::Wrong, "its time is over");
    assert_eq!(decide(&Facts { job: Job::Listed(Seen::Alive), ..late.clone() }), Decision::Wait);
    let other = Facts { cancelled: Some(CancelledBy::Other), ..late };
    assert_eq!(decide(&other), Decision::Retry(Again::Outside));
}

#[test]
fn who_cancelled_a_job_decides_what_follows() {
    fails(&ended(Ending::Cancelled), FailureKind::Missing, "cancelled by someone else");
    let other = Facts { cancelled: Some(CancelledBy::Other), ..ended(Ending::Cancelled) };
    assert_eq!(decide(&other), Decision::Retry(Again::Outside));
    let told = report(Verdict::Interrupted);
    let user = |job| Facts { cancelled: Some(CancelledBy::User), job, advanced: true, ..base() };
    assert_eq!(decide(&user(Job::Listed(Seen::Alive))), Decision::Wait);
    for job in [Job::Absent(2), Job::Listed(Seen::Ended(Ending::Failed))] {
        fails(&Facts { report: Some(&told), ..user(job.clone()) }, FailureKind::Missing, "`xpipe cancel`");
        fails(&user(job), FailureKind::Missing, "`xpipe cancel`");
    }
    let us = |job| Facts { cancelled: Some(CancelledBy::Us), job, ..base() };
    assert_eq!(decide(&us(Job::Listed(Seen::Alive))), Decision::Wait);
    assert_eq!(decide(&us(Job::Listed(Seen::Ended(Ending::Cancelled)))), Decision::Stopped);
    assert_eq!(decide(&us(Job::Absent(2))), Decision::Stopped);
}

#[test]
fn unreadable_results_are_made_again() {
    let told = report(Verdict::Unreadable("ab".into()));
    assert_eq!(decide(&Facts { report: Some(&told), ..base() }), Decision::Unreadable("ab".into()));
}
