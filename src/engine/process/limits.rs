//! Resource limits of the system: reaching one becomes an error instead of the end of the process.

/// Starts rayon's global thread pool. Libraries would start it on first use, and panic if they cannot.
///
/// # Errors
/// The system's error.
pub fn start_global_pool() -> Result<(), String> {
    static STARTED: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let start = || match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => Ok(()),
        // It was started before, as in tests.
        Err(_) if global_pool_exists() => Ok(()),
        Err(e) => Err(e.to_string()),
    };
    STARTED.get_or_init(start).clone()
}

/// Whether the global pool exists. Only safe to ask after a failed attempt to start it.
fn global_pool_exists() -> bool {
    std::panic::catch_unwind(rayon::current_num_threads).is_ok_and(|n| n > 0)
}

/// Whether a panic's message says that a thread could not be started.
pub fn is_thread_panic(panic: &str) -> bool {
    ["failed to spawn thread", "ThreadPoolBuildError", "global thread pool has not been initialized"]
        .iter()
        .any(|text| panic.contains(text))
}

/// Makes exceeding the file-size limit (`ulimit -f`) an error of the write instead of a signal that ends the process.
/// Must be called before any thread is started. Child processes do not inherit it.
pub fn file_size_limit_as_error() {
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGXFSZ);
    let _ = signals.thread_block();
}
