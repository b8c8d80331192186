//! The guard: starts one program, and sees that nothing of it is left when it or the run has ended.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::{FromGuard, ToGuard, family};

/// How long what was killed may take to be gone: a process in a call to a dead file server does not end.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Runs the guard over standard input, which is a socket; returns the exit code. The program writes to this process's
/// standard error.
pub fn main() -> u8 {
    // Whoever ends all processes called `xpipe` is to end the program too, which takes the guard.
    let _ = std::fs::write("/proc/self/comm", "program-guard");
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return 2 };
    let Ok(writer) = socket.try_clone() else { return 2 };
    u8::from(serve(BufReader::new(socket), writer).is_none())
}

/// `None` when there is nobody to serve any more.
fn serve(mut orders: BufReader<UnixStream>, mut answers: UnixStream) -> Option<()> {
    let mut say = |message: &FromGuard| -> Option<()> {
        let mut line = serde_json::to_vec(message).ok()?;
        line.push(b'\n');
        answers.write_all(&line).ok()
    };
    let ToGuard::Start { program, args, env, folder } = read(&mut orders)? else { return None };
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
    // Absent once the program was collected, when its number may be another's.
    let running = Arc::new(Mutex::new(Some(pid)));
    let listener = {
        let running = running.clone();
        std::thread::Builder::new().spawn(move || listen(&mut orders, &running))
    };
    if let Err(e) = listener {
        end_all(pid);
        return say(&FromGuard::NotStarted { errno: e.raw_os_error(), message: e.to_string() });
    }
    let told = say(&FromGuard::Started { pid: pid.as_raw_nonzero().get() });
    let (code, signal) = collect(pid, &running);
    let undead = end_all(pid);
    told.and_then(|()| say(&FromGuard::Ended { code, signal, undead }))
}

fn read(orders: &mut BufReader<UnixStream>) -> Option<ToGuard> {
    let mut line = Vec::new();
    orders.read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// One place for both of the program's streams, so that their lines keep their order.
fn output() -> std::io::Result<(Stdio, Stdio)> {
    let stderr = std::io::stderr();
    let twice = || stderr.as_fd().try_clone_to_owned().map(Stdio::from);
    Ok((twice()?, twice()?))
}

/// Starts it; a file that is still open for writing somewhere is tried again for a second.
fn start(command: &mut Command) -> std::io::Result<Child> {
    dies_with_us(command);
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

/// The system kills the program when this thread ends, which it does with the process.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "between fork and exec there is no safe call")]
fn dies_with_us(command: &mut Command) {
    let guard = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Had the guard ended before the line above, nobody would be told any more.
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
fn dies_with_us(_: &mut Command) {}

/// Does what it is told; when nobody is there to tell it any more, ends everything and this process.
fn listen(orders: &mut BufReader<UnixStream>, running: &Mutex<Option<Pid>>) {
    loop {
        let order = read(orders);
        let pid = *running.lock().unwrap_or_else(PoisonError::into_inner);
        match (order, pid) {
            (Some(ToGuard::Stop), Some(pid)) => {
                let _ = kill_process_group(pid, Signal::TERM);
            }
            (Some(_), _) => {}
            (None, Some(pid)) => {
                end_all(pid);
                std::process::exit(1);
            }
            // The program has ended, and the other thread is about to.
            (None, None) => return,
        }
    }
}

/// Waits until the program has ended, and collects what else ends meanwhile: exit code or signal.
fn collect(program: Pid, running: &Mutex<Option<Pid>>) -> (Option<i32>, Option<i32>) {
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

/// Kills the program's group and everything below this process until nothing is left; gives how many do not end.
fn end_all(program: Pid) -> usize {
    let begun = Instant::now();
    let me = rustix::process::getpid();
    loop {
        let _ = kill_process_group(program, Signal::KILL);
        let left = family::below(me);
        if left.is_empty() || begun.elapsed() > GONE_WITHIN {
            return left.len();
        }
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
}
