//! The guard: starts one program, and kills all that is left of it when the program or the run ends.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::{FromGuard, ToGuard, family};

/// How long killed processes may take to end: one that waits for a dead file server never does.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the guard; returns the exit code. Standard input is the socket to the parent, and the program writes to standard
/// error.
pub fn main() -> u8 {
    // Under another name the guard survives `pkill xpipe`, and can end the program.
    let _ = std::fs::write("/proc/self/comm", "program-guard");
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 2 };
    let Ok(writer) = socket.try_clone() else { return 2 };
    u8::from(serve(BufReader::new(socket), writer).is_none())
}

/// Serves the parent; `None` when its end of the socket is closed.
fn serve(mut requests: BufReader<UnixStream>, mut answers: UnixStream) -> Option<()> {
    let mut say = |message: &FromGuard| -> Option<()> {
        let mut line = serde_json::to_vec(message).ok()?;
        line.push(b'\n');
        answers.write_all(&line).ok()
    };
    let ToGuard::Start { program, args, env, folder } = read(&mut requests)? else { return None };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env).current_dir(folder).process_group(0);
    let child = match output().and_then(|(out, err)| {
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        start(&mut command)
    }) {
        Ok(child) => child,
        Err(e) => return say(&FromGuard::NotStarted { errno: e.raw_os_error(), message: e.to_string() }),
    };
    let pid = Pid::from_child(&child);
    // `None` once the program was reaped: then the number may belong to another process.
    let running = Arc::new(Mutex::new(Some(pid)));
    let listener = {
        let running = running.clone();
        std::thread::Builder::new().spawn(move || listen(&mut requests, &running))
    };
    if let Err(e) = listener {
        kill_all(pid);
        return say(&FromGuard::NotStarted { errno: e.raw_os_error(), message: e.to_string() });
    }
    let sent = say(&FromGuard::Started { pid: pid.as_raw_nonzero().get() });
    let (code, signal) = reap(pid, &running);
    let unkillable = kill_all(pid);
    sent.and_then(|()| say(&FromGuard::Ended { code, signal, unkillable }))
}

fn read(requests: &mut BufReader<UnixStream>) -> Option<ToGuard> {
    let mut line = Vec::new();
    requests.read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// Both streams of the program go to one place, so that their lines keep their order.
fn output() -> std::io::Result<(Stdio, Stdio)> {
    let stderr = std::io::stderr();
    let twice = || stderr.as_fd().try_clone_to_owned().map(Stdio::from);
    Ok((twice()?, twice()?))
}

/// Starts the program. While its file is open for writing elsewhere, it retries for a second.
fn start(command: &mut Command) -> std::io::Result<Child> {
    die_with_guard(command);
    for _ in 0..50 {
        match command.spawn() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
    command.spawn()
}

/// Makes the system kill the program when this thread ends, which is when the process does.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "between fork and exec there is no safe call")]
fn die_with_guard(command: &mut Command) {
    let guard = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the guard ended before the line above, no signal will come.
        if rustix::process::getppid() == Some(guard) {
            Ok(())
        } else {
            Err(std::io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
        }
    };
    // SAFETY: the closure makes two system calls and neither allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_guard(_: &mut Command) {}

/// Handles requests. When the parent is gone, kills everything and ends this process.
fn listen(requests: &mut BufReader<UnixStream>, running: &Mutex<Option<Pid>>) {
    loop {
        let request = read(requests);
        let pid = *running.lock().unwrap_or_else(PoisonError::into_inner);
        match (request, pid) {
            (Some(ToGuard::Stop), Some(pid)) => {
                let _ = kill_process_group(pid, Signal::TERM);
            }
            (Some(_), _) => {}
            (None, Some(pid)) => {
                kill_all(pid);
                std::process::exit(1);
            }
            // The program has ended, and the other thread is about to end.
            (None, None) => return,
        }
    }
}

/// Waits for the program and reaps all other children meanwhile: the program's exit code or signal.
fn reap(program: Pid, running: &Mutex<Option<Pid>>) -> (Option<i32>, Option<i32>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                *running.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return (status.exit_status(), status.terminating_signal());
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return (None, None),
        }
    }
}

/// Kills the program's group and all descendants of this process until none is left; the number of those that do not end.
fn kill_all(program: Pid) -> usize {
    let begun = Instant::now();
    let me = rustix::process::getpid();
    loop {
        let _ = kill_process_group(program, Signal::KILL);
        let left = family::descendants(me);
        if left.is_empty() || begun.elapsed() > KILL_TIMEOUT {
            return left.len();
        }
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
}
