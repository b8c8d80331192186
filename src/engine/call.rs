//! Calling an operation so that nothing it does can hurt the caller: panics become failures, its threads are its
//! own pool, what it publishes is checked.

use xpipe_base::task::{self, Failure, Job, Outcome, RunFn};

/// Runs an operation in a thread pool of the job's size.
pub(crate) fn call(run: RunFn, job: &Job<'_>) -> Result<Outcome, Failure> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(job.spec.threads.max(1))
        .thread_name(|i| format!("op-{i}"))
        .build()
        .map_err(Failure::no_threads)?;
    let outcome = pool.install(|| caught(|| run(job)))?;
    match outcome.values.iter().find(|(_, v)| !v.is_finite()) {
        Some((name, v)) => {
            Err(Failure::wrong(format!("the published value `{name}` is {v}, not a finite number")))
        }
        None => Ok(outcome),
    }
}

/// Runs `f`; a panic becomes a failure of xpipe, with its message and place.
pub fn caught<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    task::caught(f).unwrap_or_else(|panic| {
        if crate::process::is_thread_panic(&panic.message) {
            return Err(Failure::no_threads(panic.message));
        }
        Err(Failure::bug(format!("panicked: {}{}", panic.message, panic.place))
            .help("this is a defect of xpipe; please report it with the study and the log"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xpipe_base::task::FailureKind;

    #[test]
    fn a_panic_is_a_failure_that_names_its_place() {
        let f: Result<(), Failure> = caught(|| panic!("index {} out of range", 7));
        let f = f.unwrap_err();
        assert_eq!(f.kind, FailureKind::Bug);
        assert!(
            f.message.starts_with("panicked: index 7 out of range (src/engine/call.rs:"),
            "{}",
            f.message
        );
        assert_eq!(caught(|| Ok(1)).unwrap(), 1);
    }
}
