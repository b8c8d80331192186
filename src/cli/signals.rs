//! Ctrl-C and SIGTERM.

use xpipe_engine::CancelToken;
use xpipe_study::session::exit;

/// A token that is cancelled by Ctrl-C and SIGTERM; the third signal ends the program.
pub(super) fn cancel_on_signal() -> CancelToken {
    let cancel = CancelToken::new();
    let token = cancel.clone();
    // An error means that a handler is installed already, as in tests.
    let _ = ctrlc::set_handler(move || {
        if token.request() > 2 {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
    cancel
}
