//! Programs of others, started so that nothing of them outlives what started them.
//!
//! A program is the child of a *guard*, a process of this binary (`xpipe guard`) that does nothing but wait:
//!
//! | who ends, in whatever way | what ends the rest |
//! |---|---|
//! | the run | the guard reads the end of its socket, and kills everything below it |
//! | the guard | the system kills the program (its parent-death signal); the run kills the program's group |
//! | the program | the guard kills what the program left running, also what has left its group or session |
//!
//! On Linux the guard adopts orphans (it is their *subreaper*), so that a program that becomes a daemon is still below
//! it. Elsewhere the process group has to do. What survives even so (run and guard killed together, by force) writes
//! into a folder that no later attempt uses, and is ended by the next run: see [`end_strays`].
//!
//! | file | owns |
//! |---|---|
//! | `guard` | the guard's side |
//! | `program` | the side of whoever starts a program |
//! | `limits` | what the system lets a process have: threads, sizes of files |
//! | `family` | which processes there are, below one or at work in a folder |

mod family;
mod guard;
mod limits;
mod program;

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

pub use family::end_strays;
pub use guard::main as guard_main;
pub use limits::{is_of_threads, pool_of_the_process, refuse_large_files};
pub use program::{Call, End, Program, guard_arguments};

/// The verb by which this binary becomes a guard.
pub const GUARD: &str = "guard";

/// The variable that names the folder a program writes to; by it strays are known.
pub const OUT: &str = "XPIPE_OUT";

/// From whoever starts a program, on the guard's standard input, which is a socket. Its end tells the guard to end the
/// program and itself.
#[derive(Debug, Serialize, Deserialize)]
enum ToGuard {
    /// What to start; the first line. Paths and arguments may be no UTF-8.
    Start { program: OsString, args: Vec<OsString>, env: Vec<(OsString, OsString)>, folder: OsString },
    /// Ask the program and what it started to end (`SIGTERM`).
    Stop,
}

/// From the guard, over the same socket.
#[derive(Debug, Serialize, Deserialize)]
enum FromGuard {
    /// The program runs, as the leader of a process group of this number.
    Started { pid: i32 },
    /// It cannot be started.
    NotStarted { errno: Option<i32>, message: String },
    /// It has ended, and so has everything that it left running, but for so many that do not end.
    Ended { code: Option<i32>, signal: Option<i32>, undead: usize },
}

/// Makes the system kill this process when its parent ends. Only where the system can; the end of a pipe from the
/// parent has to tell it everywhere.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(test)]
mod tests;
