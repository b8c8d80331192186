//! Limits that the system sets a process: how a program meets them without dying.

/// Starts the threads that all of the process shares, which libraries would start when they are first needed and
/// panic when they cannot.
///
/// # Errors
/// What the system said.
pub fn pool_of_the_process() -> Result<(), String> {
    static STARTED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let start = || match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => Ok(()),
        // Somebody has started them before, as in tests.
        Err(_) if rayon_is_there() => Ok(()),
        Err(e) => Err(e.to_string()),
    };
    STARTED.get_or_init(start).clone()
}

/// Whether the shared threads are there: asking is safe only where the attempt above may have failed for that reason.
fn rayon_is_there() -> bool {
    std::panic::catch_unwind(rayon::current_num_threads).is_ok_and(|n| n > 0)
}

/// Whether the text of a panic says that a thread could not be started.
pub fn is_of_threads(panic: &str) -> bool {
    ["failed to spawn thread", "ThreadPoolBuildError", "global thread pool has not been initialized"]
        .iter()
        .any(|text| panic.contains(text))
}

/// Writing more than a file may hold (`ulimit -f`) becomes an error of the write, which names the file, instead of the
/// end of the process. To be called before any thread is started; programs that are started do not inherit it.
pub fn refuse_large_files() {
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGXFSZ);
    let _ = signals.thread_block();
}
