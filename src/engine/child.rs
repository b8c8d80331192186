//! The parent's side of a heavy action: a child process with its own group, its standard error in a log file.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use rustix::process::{Pid, Signal, kill_process_group};

use super::options::{Gpu, WorkerCommand};
use super::process::BoundedLog;
use super::protocol::{FromWorker, ToWorker};
use xpipe_base::task::{Failure, FailureKind, Outcome, Progress, Spec};
use xpipe_base::value::human;

/// Between asking a worker to stop and killing it, when its time is over.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

/// How a worker is watched while it runs.
pub(crate) struct Watch<'a> {
    /// Where it reports to; its `cancelled` asks the worker to stop.
    pub(crate) progress: &'a dyn Progress,
    /// Whether to kill it now.
    pub(crate) killing: &'a dyn Fn() -> bool,
    /// When its time is over.
    pub(crate) deadline: Option<Instant>,
    /// How long it may take to stop then.
    pub(crate) grace: Duration,
    /// Its log.
    pub(crate) log: &'a Path,
    /// The most memory that it may have.
    pub(crate) ceiling: Option<u64>,
}

/// Runs a spec in a worker process. Gives the outcome, and the most memory it used in bytes.
pub(crate) fn run_worker(
    command: &WorkerCommand,
    spec: &Spec,
    gpus: &[Gpu],
    watch: &Watch<'_>,
) -> Result<(Outcome, Option<u64>), Failure> {
    let log = BoundedLog::open(watch.log)
        .map_err(|e| Failure::missing(format!("the log {} cannot be written: {e}", watch.log.display())))?;
    let log = Log(Arc::new(Mutex::new(log)));
    let mut child = start(command, spec, gpus)?;
    if let Some(Err(e)) = watch.ceiling.map(|bytes| limit_memory(&child, bytes)) {
        log.write(format!("the memory of this worker is not limited: {e}\n").as_bytes());
    }
    let (tx, rx) = crossbeam_channel::unbounded();
    let ended = std::thread::scope(|scope| {
        let stdin = child.stdin.take();
        let (messages, errors) = (child.stdout.take(), child.stderr.take());
        let (of_messages, of_errors) = (log.clone(), log);
        let hear = move || messages.map_or((), |out| listen(BufReader::new(out), &tx, &of_messages));
        let copy = move || errors.map_or((), |out| of_errors.copy(out));
        let thread = std::thread::Builder::new;
        let started = thread().spawn_scoped(scope, hear).and_then(|_| thread().spawn_scoped(scope, copy));
        if let Err(e) = started {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let status = child.wait();
            return (Ended::Said(Err(Failure::no_threads(e))), status);
        }
        let ended = attend(&mut child, stdin, spec, watch, &rx);
        // Whatever it started goes with it, also what still holds its output open.
        let group = Pid::from_child(&child);
        let _ = kill_process_group(group, Signal::KILL);
        let status = child.wait();
        (ended, status)
    });
    match ended {
        (Ended::Said(result), _) => result,
        (Ended::Killed, _) => Err(Failure::interrupted()),
        (Ended::OutOfTime, _) => Err(out_of_time(spec)),
        (Ended::Silent(status), _) => Err(died(status, watch.log, watch.ceiling)),
    }
}

/// The failure of an action whose `time` is over. It can go on where it kept a checkpoint.
pub(crate) fn out_of_time(spec: &Spec) -> Failure {
    let kept = std::fs::read_dir(&spec.scratch).is_ok_and(|mut entries| entries.next().is_some());
    let goes_on = if kept { "goes on from its last checkpoint" } else { "begins anew" };
    Failure::wrong("its time limit is over")
        .help(format!("raise `time` in the stage's `with`; the next run {goes_on}"))
}

enum Ended {
    Said(Result<(Outcome, Option<u64>), Failure>),
    Killed,
    OutOfTime,
    Silent(Option<ExitStatus>),
}

fn start(command: &WorkerCommand, spec: &Spec, gpus: &[Gpu]) -> Result<Child, Failure> {
    let ids: Vec<String> = gpus.iter().map(|g| g.id.to_string()).collect();
    let mut c = Command::new(&command.program);
    c.args(&command.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("RAYON_NUM_THREADS", spec.threads.to_string())
        // candle has one global pool of spinning threads, which fights with ours.
        .env("CANDLE_NUM_THREADS", "1")
        // A group of its own: Ctrl-C reaches the parent alone, which asks the worker to keep a checkpoint.
        .process_group(0);
    if !gpus.is_empty() {
        c.env("CUDA_VISIBLE_DEVICES", ids.join(","));
    }
    c.spawn().map_err(|e| {
        Failure::missing(format!("the worker {} cannot be started: {e}", command.program.display()))
    })
}

/// Bounds a worker's memory before it is told what to do: an allocation beyond it fails. What is mapped from files
/// does not count.
#[cfg(target_os = "linux")]
fn limit_memory(child: &Child, bytes: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    // Never above what this process may have itself.
    let most = getrlimit(Resource::Data).maximum.map_or(bytes, |n| n.min(bytes));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    prlimit(Some(Pid::from_child(child)), Resource::Data, limit)?;
    Ok(())
}

/// Only Linux limits another process.
#[cfg(not(target_os = "linux"))]
fn limit_memory(_: &Child, _: u64) -> std::io::Result<()> {
    Ok(())
}

/// The log of a worker, which several threads write to. A full disk is reported by whatever needs it; the worker goes on.
#[derive(Clone)]
struct Log(Arc<Mutex<BoundedLog>>);

impl Log {
    fn write(&self, bytes: &[u8]) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
    }

    /// Copies a stream to its end.
    fn copy(&self, mut from: impl Read) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => self.write(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Reads what the worker says; what is no message goes to the log.
fn listen(out: impl BufRead, tx: &Sender<FromWorker>, log: &Log) {
    for line in out.split(b'\n') {
        let Ok(mut line) = line else { return };
        match serde_json::from_slice(&line) {
            Ok(message) => {
                if tx.send(message).is_err() {
                    return;
                }
            }
            Err(_) => {
                line.push(b'\n');
                log.write(&line);
            }
        }
    }
}

fn attend(
    child: &mut Child,
    mut stdin: Option<ChildStdin>,
    spec: &Spec,
    watch: &Watch<'_>,
    rx: &crossbeam_channel::Receiver<FromWorker>,
) -> Ended {
    let mut tell = |message: &ToWorker| {
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        // A worker that cannot be told has died, which is seen below.
        if let Some(pipe) = &mut stdin {
            let _ = pipe.write_all(&line).and_then(|()| pipe.flush());
        }
    };
    tell(&ToWorker::Start { spec: Box::new(spec.clone()) });
    let mut asked = false;
    let mut gone = None;
    loop {
        match rx.recv_timeout(Duration::from_millis(100)) {
            Ok(FromWorker::Progress { done, total, unit, note }) => {
                watch.progress.progress(done, total, &unit, &note);
            }
            Ok(FromWorker::Note { text }) => watch.progress.note(&text),
            Ok(FromWorker::Caveat { caveat }) => watch.progress.caveat(&caveat),
            Ok(FromWorker::Done { outcome, peak_memory }) => return Ended::Said(Ok((outcome, peak_memory))),
            Ok(FromWorker::Failed { failure }) => {
                let late = watch.deadline.is_some_and(|d| Instant::now() >= d);
                if failure.kind == FailureKind::Interrupted && late {
                    return Ended::OutOfTime;
                }
                return Ended::Said(Err(failure));
            }
            Err(RecvTimeoutError::Disconnected) => return Ended::Silent(child.wait().ok()),
            Err(RecvTimeoutError::Timeout) => {
                // Dead with its output still open in a program it started: one more turn for what is in the pipe.
                if gone.is_some() {
                    return Ended::Silent(gone);
                }
                gone = child.try_wait().ok().flatten();
            }
        }
        let now = Instant::now();
        let late = watch.deadline.is_some_and(|d| now >= d);
        if !asked && (late || watch.progress.cancelled()) {
            tell(&ToWorker::Cancel);
            asked = true;
        }
        if (watch.killing)() {
            return Ended::Killed;
        }
        if watch.deadline.is_some_and(|d| now >= d + watch.grace) {
            return Ended::OutOfTime;
        }
    }
}

/// The failure of a worker that ended without a result.
fn died(status: Option<ExitStatus>, log: &Path, ceiling: Option<u64>) -> Failure {
    let text = tail(log);
    let last = telling_line(&text).map(|t| format!(": {t}")).unwrap_or_default();
    if let Some(line) = text.lines().find(|l| l.contains("memory allocation of")) {
        let message = format!("the worker ran out of memory: {}", line.trim());
        return match ceiling {
            None => Failure::missing(message).help(MEMORY),
            Some(bytes) => Failure::missing(format!("{message}; it may have {}", human::size(bytes))).help(
                "where so much is expected, write what it needs as `memory` in the stage's `with`; else a file that it \
                 reads is damaged or made to fill memory, or its batch is too large",
            ),
        };
    }
    let Some(signal) = status.and_then(|s| s.signal()) else {
        let code = status.and_then(|s| s.code()).map(|c| format!(" with exit code {c}")).unwrap_or_default();
        return Failure::bug(format!("the worker ended without a result{code}{last}"));
    };
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => "",
    };
    let name = if name.is_empty() { format!("signal {signal}") } else { name.to_owned() };
    match signal {
        // Sent from outside: most often by the system, when memory runs out.
        1 | 2 | 9 | 15 => Failure {
            kind: FailureKind::Transient,
            message: format!("the worker was killed ({name})"),
            help: Some(MEMORY.into()),
        },
        _ => Failure::bug(format!("the worker crashed ({name}){last}")),
    }
}

const MEMORY: &str = "if the system ran out of memory, let fewer stages run at once (`memory` in `with`), or take a \
    smaller batch; `retries` in `with` tries again";

/// The end of a log.
fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(64 * 1024)..]).into_owned()
}

/// The last line that says something: no line of a backtrace, no advice about one.
fn telling_line(text: &str) -> Option<&str> {
    let frame = |l: &str| {
        l.starts_with("at ")
            || l.split_once(": ").is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut lines = text.lines().rev().map(str::trim);
    lines.find(|l| !l.is_empty() && !l.starts_with("note: ") && *l != "stack backtrace:" && !frame(l))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let status = |signal| Some(ExitStatus::from_raw(signal));
        let killed = died(status(9), &log, None);
        assert_eq!(
            (killed.kind, killed.message.as_str()),
            (FailureKind::Transient, "the worker was killed (SIGKILL)")
        );
        std::fs::write(
            &log,
            "warming up\nstack overflow\nstack backtrace:\n   0: f::g\n        at /x.rs\n\n",
        )
        .unwrap();
        let crash = died(status(11), &log, None);
        assert_eq!(crash.message, "the worker crashed (SIGSEGV): stack overflow");
        assert_eq!(crash.kind, FailureKind::Bug);
        std::fs::write(&log, "memory allocation of 99 bytes failed\nstack backtrace:\n   0: f\n  at x.rs\n")
            .unwrap();
        assert_eq!(died(status(6), &log, None).kind, FailureKind::Missing);
        let limited = died(status(6), &log, Some(5 << 30));
        assert_eq!(limited.kind, FailureKind::Missing);
        assert!(limited.message.ends_with("it may have 5.0 GiB"), "{limited}");
        assert_eq!(
            died(Some(ExitStatus::from_raw(3 << 8)), &dir.path().join("none"), None).message,
            "the worker ended without a result with exit code 3"
        );
    }

    /// A parent that asks for nothing, or from the start to stop or kill.
    struct Calm {
        stop: bool,
        kill: bool,
        notes: std::sync::Mutex<Vec<String>>,
    }

    impl Progress for Calm {
        fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
            self.notes.lock().unwrap().push(format!("{done}/{total} {unit} {note}"));
        }
        fn note(&self, text: &str) {
            self.notes.lock().unwrap().push(text.into());
        }
        fn cancelled(&self) -> bool {
            self.stop
        }
    }

    /// Runs a shell script in a worker's place.
    fn script(
        text: &str,
        calm: &Calm,
        limit: Option<Duration>,
    ) -> (Result<(Outcome, Option<u64>), Failure>, String) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let spec = Spec {
            op: "op".into(),
            version: 1,
            key: "k".into(),
            address: "a".into(),
            args: xpipe_base::value::Record::default(),
            policy: xpipe_base::task::Policy::default(),
            out: dir.path().into(),
            temp: std::path::PathBuf::default(),
            log: std::path::PathBuf::default(),
            scratch: dir.path().into(),
            answers: std::path::PathBuf::default(),
            threads: 1,
            device: "cpu".into(),
            kernels: xpipe_base::task::Kernels::Auto,
        };
        let command = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), text.into()] };
        let watch = Watch {
            progress: calm,
            killing: &|| calm.kill,
            deadline: limit.map(|l| Instant::now() + l),
            grace: Duration::from_millis(1),
            log: &log,
            ceiling: Some(3 << 30),
        };
        let result = run_worker(&command, &spec, &[], &watch);
        (result, std::fs::read_to_string(log).unwrap())
    }

    fn calm() -> Calm {
        Calm { stop: false, kill: false, notes: std::sync::Mutex::default() }
    }

    const DONE: &str =
        r#"echo '{"say":"done","outcome":{"digest":null,"values":{"x":0.5},"facts":{}},"peak_memory":7}'"#;

    #[test]
    fn what_a_worker_says_is_heard_and_the_rest_is_logged() {
        let calm = calm();
        let text = format!(
            r#"read spec; echo "a stray line"; echo "to stderr" >&2
            echo '{{"say":"progress","done":1,"total":4,"unit":"steps","note":"loss 1"}}'
            echo '{{"say":"note","text":"hello"}}'; {DONE}; cat > /dev/null"#
        );
        let (result, log) = script(&text, &calm, None);
        let (outcome, peak) = result.unwrap();
        assert_eq!((outcome.values["x"], peak), (0.5, Some(7)));
        assert_eq!(*calm.notes.lock().unwrap(), ["1/4 steps loss 1", "hello"]);
        assert!(log.contains("a stray line\n") && log.contains("to stderr\n"), "{log}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_a_worker_is_bounded() {
        // `ulimit` counts in KiB; the limit is there before the worker is told what to do.
        let (_, log) = script("read spec; ulimit -d >&2; ulimit -H -d >&2", &calm(), None);
        assert!(log.starts_with("3145728\n3145728\n"), "{log}");
    }

    #[test]
    fn a_worker_that_dies_is_a_failure() {
        let (result, _) = script("kill -9 $$", &calm(), None);
        assert_eq!(result.unwrap_err().message, "the worker was killed (SIGKILL)");
        let (result, _) = script("echo no such model >&2; exit 3", &calm(), None);
        assert_eq!(
            result.unwrap_err().message,
            "the worker ended without a result with exit code 3: no such model"
        );
        // It leaves a program behind that holds its output open.
        let (result, _) = script("(trap '' TERM; exec sleep 1000) & kill -11 $$", &calm(), None);
        assert_eq!(result.unwrap_err().message, "the worker crashed (SIGSEGV)");
        let (command, gone) = (WorkerCommand { program: "/no/such".into(), args: vec![] }, calm());
        let log = tempfile::NamedTempFile::new().unwrap();
        let spec = serde_json::from_value(serde_json::json!({
            "op": "op", "version": 1, "key": "k", "address": "a", "args": [], "policy": {}, "out": "/", "scratch": "/",
            "threads": 1, "device": "cpu", "kernels": "auto",
        }));
        let watch = Watch {
            progress: &gone,
            killing: &|| false,
            deadline: None,
            grace: Duration::ZERO,
            log: log.path(),
            ceiling: None,
        };
        let failure = run_worker(&command, &spec.unwrap(), &[], &watch).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
    }

    #[test]
    fn a_worker_is_asked_to_stop_then_killed() {
        // Asked, it answers.
        let answer = r#"read spec; read cancel; case "$cancel" in *cancel*) ;; *) exit 9;; esac
            echo '{"say":"failed","failure":{"kind":"interrupted","message":"interrupted","help":null}}'"#;
        let (result, _) = script(answer, &Calm { stop: true, ..calm() }, None);
        assert_eq!(result.unwrap_err().kind, FailureKind::Interrupted);
        // Killed, it need not.
        let (result, _) = script("sleep 1000", &Calm { kill: true, ..calm() }, None);
        assert_eq!(result.unwrap_err().kind, FailureKind::Interrupted);
        // Out of time and deaf.
        let (result, _) = script("sleep 1000", &calm(), Some(Duration::from_millis(1)));
        assert_eq!(result.unwrap_err().message, "its time limit is over");
    }
}
