//! The run's side: starting a program and waiting for it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{FromGuard, ToGuard};

/// How long the guard may take to kill everything before it is killed itself.
const GUARD_TIMEOUT: Duration = Duration::from_secs(12);

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(20);

/// A program to start.
#[derive(Debug)]
pub struct Call<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// The arguments.
    pub args: Vec<OsString>,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub folder: &'a Path,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// The guard was killed, and the program with it.
    Lost,
    /// So many processes that it left running cannot be killed.
    Unkillable(usize),
}

/// A running program. Dropping it kills the program and everything it started.
#[derive(Debug)]
pub struct Program {
    pub(super) guard: Child,
    socket: UnixStream,
    answers: BufReader<UnixStream>,
    half: Vec<u8>,
    group: Option<Pid>,
    over: bool,
}

impl Program {
    /// Starts a program; the returned stream has its standard output and error.
    ///
    /// # Errors
    /// The system's error when it cannot be started.
    pub fn start(call: &Call<'_>) -> std::io::Result<(Self, ChildStderr)> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut guard = guard()?
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C reaches this process only, which then stops the program.
            .process_group(0)
            .spawn()?;
        let Some(output) = guard.stderr.take() else { return Err(ErrorKind::BrokenPipe.into()) };
        let answers = BufReader::new(socket.try_clone()?);
        let mut program = Self { guard, socket, answers, half: Vec::new(), group: None, over: false };
        program.send(&ToGuard::Start {
            program: call.program.as_os_str().to_owned(),
            args: call.args.clone(),
            env: call.env.clone(),
            folder: call.folder.as_os_str().to_owned(),
        })?;
        program.socket.set_read_timeout(None)?;
        match program.next() {
            Ok(Some(FromGuard::Started { pid })) => {
                program.group = Pid::from_raw(pid);
                program.socket.set_read_timeout(Some(POLL))?;
                Ok((program, output))
            }
            Ok(Some(FromGuard::NotStarted { errno: Some(errno), .. })) => {
                Err(std::io::Error::from_raw_os_error(errno))
            }
            Ok(Some(FromGuard::NotStarted { message, .. })) => Err(std::io::Error::other(message)),
            _ => Err(std::io::Error::other("its guard ended at once")),
        }
    }

    /// How the program ended, if it ends within a moment.
    pub fn ended(&mut self) -> Option<End> {
        match self.next() {
            Ok(None) => None,
            Ok(Some(FromGuard::Ended { unkillable: n @ 1.., .. })) => {
                self.over = true;
                Some(End::Unkillable(n))
            }
            Ok(Some(FromGuard::Ended { code, signal, .. })) => {
                self.over = true;
                Some(match (code, signal) {
                    (Some(code), _) => End::Code(code),
                    (None, Some(signal)) => End::Signal(signal),
                    (None, None) => End::Lost,
                })
            }
            Ok(Some(_)) | Err(_) => Some(End::Lost),
        }
    }

    /// Sends SIGTERM to the program and its group.
    pub fn stop(&mut self) {
        // If the guard has ended, `ended` will say so.
        let _ = self.send(&ToGuard::Stop);
    }

    fn send(&mut self, message: &ToGuard) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.socket.write_all(&line)
    }

    /// The next message of the guard; `None` if none comes within a moment.
    fn next(&mut self) -> std::io::Result<Option<FromGuard>> {
        match self.answers.read_until(b'\n', &mut self.half) {
            Ok(_) if self.half.last() == Some(&b'\n') => {
                Ok(Some(serde_json::from_slice(&std::mem::take(&mut self.half))?))
            }
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let begun = Instant::now();
        while matches!(self.guard.try_wait(), Ok(None)) && begun.elapsed() < GUARD_TIMEOUT {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        if !self.over
            && let Some(group) = self.group
        {
            // The guard did not confirm that it killed everything.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The arguments that make this binary a guard.
static ARGUMENTS: OnceLock<&'static [&'static str]> = OnceLock::new();

/// Says which arguments make this binary a guard, where `xpipe guard` is not among its commands: in unit tests it is the
/// test harness, and one of its tests plays the guard. The first call counts.
pub fn guard_arguments(arguments: &'static [&'static str]) {
    let _ = ARGUMENTS.set(arguments);
}

/// The command that starts a guard: this binary, even if its file was replaced meanwhile.
fn guard() -> std::io::Result<Command> {
    #[cfg(target_os = "linux")]
    let program = std::path::PathBuf::from("/proc/self/exe");
    #[cfg(not(target_os = "linux"))]
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(ARGUMENTS.get().copied().unwrap_or(&[super::GUARD]));
    Ok(command)
}
