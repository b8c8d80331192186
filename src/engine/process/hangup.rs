//! What the end of a terminal does to this process.

use nix::sys::signal::{SigHandler, Signal, signal};

/// Lets SIGHUP end this process at once, unless it was ignored when the process began (`nohup`), as a queue's jobs go on
/// without it. To be called after other handlers are installed.
pub fn end_when_hung_up() {
    let action = if ignored_at_start() { SigHandler::SigIgn } else { SigHandler::SigDfl };
    // SAFETY: neither action runs any code of this process.
    #[expect(unsafe_code, reason = "there is no safe call that sets the action of a signal")]
    let _ = unsafe { signal(Signal::SIGHUP, action) };
}

/// Whether the parent ignores SIGHUP, which it does when it has told this process to (`nohup`).
fn ignored_at_start() -> bool {
    static IGNORED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *IGNORED.get_or_init(is_ignored)
}

/// Remembers what the process began with. To be called before handlers are installed.
pub fn remember_hangup() {
    ignored_at_start();
}

/// Whether SIGHUP is ignored now, by `/proc/self/status`.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}
