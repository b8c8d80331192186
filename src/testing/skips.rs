//! Skipped tests: a test whose data, model or tool is not on this machine passes, and the last lines of its test binary
//! name it. With `XPIPE_REQUIRE_DATA=1` missing data and models fail the test.

use std::collections::BTreeSet;
use std::io::Write;
use std::panic::Location;
use std::sync::{Mutex, Once, PoisonError};

static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes that the test which runs on this thread lacks data or a model.
///
/// # Panics
/// When `XPIPE_REQUIRE_DATA` is set: then every test must run.
#[track_caller]
pub(crate) fn missing(what: &str) {
    let required = std::env::var_os("XPIPE_REQUIRE_DATA").is_some_and(|v| !v.is_empty() && v != "0");
    assert!(!required, "{what}, and XPIPE_REQUIRE_DATA is set (CONTRIBUTING.md says where to put it)");
    skip(what);
}

/// Notes that the test which runs on this thread needs something that this machine does not allow or have.
#[track_caller]
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let place = Location::caller();
    // libtest names the thread after the test, unless it runs all of them on the main one.
    let test = thread.name().filter(|n| *n != "main").map_or_else(|| place.to_string(), str::to_owned);
    SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{test} ({reason})"));
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        atexit(tell);
    });
}

/// Prints the skipped tests: after the last line of libtest, which captures what tests print themselves.
extern "C" fn tell() {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let lines: String = skipped.iter().map(|s| format!("skipped: {s}\n")).collect();
    let tests = if skipped.len() == 1 { "test" } else { "tests" };
    let text = format!("{} {tests} passed without running:\n{lines}\n", skipped.len());
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[expect(unsafe_code, reason = "the only way to print after libtest's summary")]
unsafe extern "C" {
    /// Calls a function when the process exits.
    safe fn atexit(at_exit: extern "C" fn()) -> std::ffi::c_int;
}

#[cfg(test)]
mod tests;
