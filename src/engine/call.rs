//! Calling an operation so that nothing it does can hurt the caller: panics become failures, its threads are its
//! own pool, what it publishes is checked.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::task::{Failure, Job, Outcome, RunFn};

thread_local! {
    /// `None`: panics of this thread are reported as usual. `Some`: they are kept here.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs an operation in a thread pool of the job's size.
pub(crate) fn call(run: RunFn, job: &Job<'_>) -> Result<Outcome, Failure> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(job.spec.threads.max(1))
        .thread_name(|i| format!("op-{i}"))
        .build()
        .map_err(|e| Failure::missing(format!("threads cannot be started: {e}")))?;
    let outcome = pool.install(|| caught(|| run(job)))?;
    match outcome.values.iter().find(|(_, v)| !v.is_finite()) {
        Some((name, v)) => {
            Err(Failure::wrong(format!("the published value `{name}` is {v}, not a finite number")))
        }
        None => Ok(outcome),
    }
}

/// Runs `f`; a panic becomes a failure of xpipe, with its message and place.
pub(crate) fn caught<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    install();
    KEPT.with(|k| *k.borrow_mut() = Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let kept = KEPT.with(|k| k.borrow_mut().take()).unwrap_or_default();
    result.unwrap_or_else(|payload| {
        let text = if kept.is_empty() { message(payload.as_ref()).to_owned() } else { kept };
        Err(Failure::bug(format!("panicked: {text}"))
            .help("this is a defect of xpipe; please report it with the study and the log"))
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Panics of threads that run an operation are kept instead of printed; all others are reported as before.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let here = KEPT.try_with(|kept| {
                let Ok(mut kept) = kept.try_borrow_mut() else { return false };
                let Some(text) = kept.as_mut() else { return false };
                let place =
                    info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
                *text = format!("{}{place}", message(info.payload()));
                true
            });
            if !here.unwrap_or(false) {
                usual(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::FailureKind;

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
