//! Crashes for tests: kills this process before a chosen file-system call of a publication, and records which calls were
//! made, so that a test can undo what a power failure would have lost.
//!
//! Two environment variables, read in builds with debug assertions only: a release build contains none of this, and the
//! program that crashes is the program itself, not one made for tests.
//!
//! | variable | |
//! |---|---|
//! | `XPIPE_TEST_CRASH_AT` | the number of the call before which the process kills itself, from 0 |
//! | `XPIPE_TEST_CALLS` | a file that gets a line of JSON before each call, in the order of their numbers, and another one when it has returned |

use std::path::Path;

/// A call that is about to be made.
#[must_use]
pub(super) struct Step<'a> {
    /// The kind of call.
    call: &'static str,
    /// The file or folder that exists (or is synced) after the call.
    path: &'a Path,
}

/// Announces a call. This is where a crash happens.
pub(super) fn step<'a>(call: &'static str, path: &'a Path) -> Step<'a> {
    #[cfg(debug_assertions)]
    hook::before(call, path);
    Step { call, path }
}

impl Step<'_> {
    /// Records that the call has returned without an error.
    pub(super) fn done(self) {
        #[cfg(debug_assertions)]
        hook::after(self.call, self.path);
        #[cfg(not(debug_assertions))]
        let _ = (self.call, self.path);
    }
}

#[cfg(debug_assertions)]
mod hook {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::{Mutex, OnceLock, PoisonError};

    struct Hook {
        crash_at: Option<u64>,
        calls: Option<File>,
        /// The number of the next call. Held while a line is written.
        next: Mutex<u64>,
    }

    impl Hook {
        fn tell(&self, line: &serde_json::Value) {
            // One write for each line, so that a crash cuts none.
            let _ = self.calls.as_ref().map(|mut calls| calls.write_all(format!("{line}\n").as_bytes()));
        }
    }

    fn hook() -> Option<&'static Hook> {
        static HOOK: OnceLock<Option<Hook>> = OnceLock::new();
        let from_environment = || {
            let crash_at = std::env::var("XPIPE_TEST_CRASH_AT").ok().and_then(|n| n.parse().ok());
            let open = |path| OpenOptions::new().create(true).append(true).open(path).ok();
            let calls = std::env::var_os("XPIPE_TEST_CALLS").and_then(open);
            let next = Mutex::new(0);
            (crash_at.is_some() || calls.is_some()).then_some(Hook { crash_at, calls, next })
        };
        HOOK.get_or_init(from_environment).as_ref()
    }

    pub(super) fn before(call: &str, path: &Path) {
        let Some(hook) = hook() else { return };
        let mut next = hook.next.lock().unwrap_or_else(PoisonError::into_inner);
        hook.tell(&serde_json::json!({ "begun": call, "path": path }));
        let n = *next;
        *next += 1;
        drop(next);
        if hook.crash_at == Some(n) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }

    pub(super) fn after(call: &str, path: &Path) {
        let Some(hook) = hook() else { return };
        let inode = std::fs::symlink_metadata(path).map_or(0, |m| m.ino());
        let _one = hook.next.lock().unwrap_or_else(PoisonError::into_inner);
        hook.tell(&serde_json::json!({ "call": call, "path": path, "inode": inode }));
    }
}
