//! External programs, started so that none of their processes outlives the run.
//!
//! A program is the child of a *guard*, a process of this binary (`xpipe guard`) that only waits:
//!
//! | who ends, in whatever way | what ends the rest |
//! |---|---|
//! | the run | the guard sees its socket close, and kills all its descendants |
//! | the guard | the system kills the program (its parent-death signal); the run kills the program's group |
//! | the program | the guard kills what the program left running, also outside of its group and session |
//!
//! On Linux the guard adopts orphans (it is their *subreaper*), so that daemons remain its descendants. Elsewhere only
//! the process group is killed. Programs that survive nevertheless (run and guard killed together by SIGKILL) write to a
//! folder that no later attempt uses, and are killed by the next run: see [`kill_orphans`].
//!
//! | file | owns |
//! |---|---|
//! | `guard` | the guard process |
//! | `program` | the run's side: starting a program and waiting for it |
//! | `hangup` | what the end of a terminal does |
//! | `log` | log files of bounded size |
//! | `limits` | limits of the system on threads and file sizes |
//! | `family` | finding processes: descendants, and writers to a folder |

mod family;
mod guard;
mod hangup;
mod limits;
mod log;
mod program;

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

pub use family::kill_orphans;
pub use guard::main as guard_main;
pub use hangup::{end_when_hung_up, remember_hangup};
pub use limits::{file_size_limit_as_error, is_thread_panic, start_global_pool};
pub use log::BoundedLog;
pub use program::{Call, End, Program, guard_arguments};

/// The argument that makes this binary a guard.
pub const GUARD: &str = "guard";

/// The environment variable with the folder that a program writes to. Orphans are found by it.
pub const OUT: &str = "XPIPE_OUT";

/// Messages to the guard, over the socket on its standard input. When the socket closes, the guard ends the program and
/// itself.
#[derive(Debug, Serialize, Deserialize)]
enum ToGuard {
    /// The program to start; the first message. Paths and arguments may not be UTF-8.
    Start { program: OsString, args: Vec<OsString>, env: Vec<(OsString, OsString)>, folder: OsString },
    /// Send SIGTERM to the program and its group.
    Stop,
}

/// Messages from the guard, over the same socket.
#[derive(Debug, Serialize, Deserialize)]
enum FromGuard {
    /// The program runs as the leader of process group `pid`.
    Started { pid: i32 },
    /// The program cannot be started.
    NotStarted { errno: Option<i32>, message: String },
    /// The program and all that it left running have ended, except for `unkillable` processes.
    Ended { code: Option<i32>, signal: Option<i32>, unkillable: usize },
}

/// Makes the system kill this process when its parent ends. Linux only; elsewhere the end of a pipe from the parent has
/// to suffice.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(test)]
mod tests;
