//! The child's side of a heavy action: `xpipe worker`.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::call::{call, caught};
use super::protocol::{FromWorker, ToWorker};
use super::runner::Runner;
use crate::cache::{Taken, try_alone_in};
use xpipe_base::task::{Caveat, Failure, FailureKind, Job, Outcome, Progress, Spec, Throttle};

/// Runs the one action that the parent names on standard input, and returns the exit code. When the parent goes away,
/// this process and the programs it started are killed at once.
pub fn worker_main(runner: &dyn Runner) -> i32 {
    // At once, where the system can; the end of the pipe tells it everywhere, and also of a parent that was gone before.
    crate::process::die_with_parent();
    let orphaned = || {
        // The parent made this process the leader of its own group; otherwise only this process ends.
        let me = rustix::process::getpid();
        if rustix::process::getpgrp() == me {
            let _ = rustix::process::kill_process_group(me, rustix::process::Signal::KILL);
        }
        std::process::exit(1);
    };
    serve(runner, std::io::BufReader::new(std::io::stdin()), std::io::stdout(), orphaned)
}

/// The same over any pipes; `orphaned` is called when the input ends before the work does.
pub fn serve(
    runner: &dyn Runner,
    input: impl BufRead + Send + 'static,
    output: impl Write + Send,
    orphaned: impl FnOnce() + Send + 'static,
) -> i32 {
    let output = Mutex::new(output);
    let send = |message: &FromWorker| {
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        // When the parent no longer reads, the end of the input tells so.
        let _ = output.write_all(&line).and_then(|()| output.flush());
    };
    match work(runner, input, &send, orphaned) {
        Ok(outcome) => {
            send(&FromWorker::Done { outcome, peak_memory: peak_memory() });
            0
        }
        Err(failure) => {
            send(&FromWorker::Failed { failure });
            1
        }
    }
}

/// Reads the spec, and runs its operation while a thread of its own listens to the parent.
fn work(
    runner: &dyn Runner,
    mut input: impl BufRead + Send + 'static,
    send: &(impl Fn(&FromWorker) + Sync),
    orphaned: impl FnOnce() + Send + 'static,
) -> Result<Outcome, Failure> {
    let spec = read_spec(&mut input)?;
    crate::process::start_global_pool().map_err(Failure::no_threads)?;
    let _scratch = alone_in(&spec.scratch)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let listen = {
        let (cancelled, over) = (cancelled.clone(), over.clone());
        move || {
            listen(input, &cancelled);
            if !over.load(Ordering::SeqCst) {
                orphaned();
            }
        }
    };
    std::thread::Builder::new().spawn(listen).map_err(Failure::no_threads)?;
    let progress = SentProgress { send, cancelled: &cancelled, throttle: Throttle::default() };
    let job = Job { spec: &spec, progress: &progress };
    let result = match runner.implementation(&spec.op) {
        Some(run) => caught(|| call(run, &job)),
        None => Err(Failure::missing(format!("`{}` has no implementation in this build", spec.op))),
    };
    over.store(true, Ordering::SeqCst);
    result
}

/// The first line of the parent.
fn read_spec(input: &mut impl BufRead) -> Result<Box<Spec>, Failure> {
    let mut line = String::new();
    let read = input.read_line(&mut line);
    read.map_err(|e| Failure::bug(format!("the worker cannot read its input: {e}")))?;
    match serde_json::from_str(&line) {
        Ok(ToWorker::Start { spec }) => Ok(spec),
        Ok(ToWorker::Cancel) => Err(Failure::interrupted()),
        Err(e) => Err(Failure::bug(format!("the worker cannot read its spec: {e}"))),
    }
}

/// Reads the parent's messages until they end.
fn listen(mut input: impl BufRead, cancelled: &AtomicBool) {
    let mut line = String::new();
    loop {
        line.clear();
        match input.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if matches!(serde_json::from_str(&line), Ok(ToWorker::Cancel)) {
                    cancelled.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}

/// How long a worker waits until another one has ended.
const ALONE_WITHIN: Duration = Duration::from_secs(20);

/// Locks the folder for checkpoints while this process lives: the worker of a killed run may end a moment after its run
/// has released the key. `None` where there is no such folder, or no locks.
fn alone_in(scratch: &std::path::Path) -> Result<Option<std::fs::File>, Failure> {
    let begun = Instant::now();
    loop {
        match try_alone_in(scratch) {
            Ok(lock) => return Ok(lock),
            Err(Taken) if begun.elapsed() < ALONE_WITHIN => std::thread::sleep(Duration::from_millis(10)),
            Err(Taken) => {
                return Err(Failure {
                    kind: FailureKind::Transient,
                    message: format!("the worker of another run still uses {}", scratch.display()),
                    help: Some("end that process (`xpipe worker`), and run again".into()),
                });
            }
        }
    }
}

/// Sends progress to the parent.
struct SentProgress<'a, F: Fn(&FromWorker)> {
    send: &'a F,
    cancelled: &'a AtomicBool,
    throttle: Throttle,
}

// The closure locks its output, so that any thread may send.
impl<F: Fn(&FromWorker) + Sync> Progress for SentProgress<'_, F> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if self.throttle.due(done, total) {
            (self.send)(&FromWorker::Progress { done, total, unit: unit.into(), note: note.into() });
        }
    }

    fn note(&self, text: &str) {
        (self.send)(&FromWorker::Note { text: text.into() });
    }

    fn caveat(&self, caveat: &Caveat) {
        (self.send)(&FromWorker::Caveat { caveat: caveat.clone() });
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// The peak memory of this process in bytes, where the system reports it.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, PipeReader, PipeWriter, pipe};

    use super::*;
    use crate::{Found, Reach};
    use xpipe_base::task::RunFn;
    use xpipe_base::value::{Input, Record, Value};

    struct Ops;

    fn echo(job: &Job<'_>) -> Result<Outcome, Failure> {
        job.progress.progress(1, 2, "steps", "loss 0.5");
        job.progress.note("half way");
        job.progress.caveat(&Caveat::counted(xpipe_base::task::CaveatKind::Dropped, 3, "lines left out"));
        job.progress.progress(2, 2, "steps", "");
        let mut outcome = Outcome::default();
        outcome.values.insert("x".into(), job.number("x")?);
        Ok(outcome)
    }

    fn until_cancelled(job: &Job<'_>) -> Result<Outcome, Failure> {
        job.progress.note("waiting");
        while !job.progress.cancelled() {
            std::thread::yield_now();
        }
        Err(Failure::interrupted())
    }

    fn breaks(_: &Job<'_>) -> Result<Outcome, Failure> {
        panic!("no such layer")
    }

    impl Runner for Ops {
        fn implementation(&self, op: &str) -> Option<RunFn> {
            Some(match op {
                "echo" => echo,
                "until_cancelled" => until_cancelled,
                "breaks" => breaks,
                _ => return None,
            })
        }

        fn find_input(&self, _: &Input, _: Reach) -> Result<Found, Failure> {
            Err(Failure::bug("a worker finds no inputs"))
        }
    }

    fn start(op: &str) -> Vec<u8> {
        let spec = Spec {
            op: op.into(),
            version: 1,
            key: "k".into(),
            address: "a".into(),
            args: Record::of([("x", Value::Float(0.1))]),
            policy: xpipe_base::task::Policy::default(),
            out: "out".into(),
            temp: std::path::PathBuf::default(),
            log: std::path::PathBuf::default(),
            scratch: "scratch".into(),
            answers: std::path::PathBuf::default(),
            threads: 1,
            device: "cpu".into(),
            kernels: xpipe_base::task::Kernels::Auto,
        };
        let mut line = serde_json::to_vec(&ToWorker::Start { spec: Box::new(spec) }).unwrap();
        line.push(b'\n');
        line
    }

    /// A worker on a thread: its input, its output, and whether it takes its parent to be gone.
    struct TestWorker {
        tell: PipeWriter,
        hear: BufReader<PipeReader>,
        code: std::thread::JoinHandle<i32>,
        orphaned: crossbeam_channel::Receiver<()>,
    }

    fn start_worker(first: &[u8]) -> TestWorker {
        let ((input, mut tell), (said, output)) = (pipe().unwrap(), pipe().unwrap());
        let (tx, orphaned) = crossbeam_channel::bounded(1);
        tell.write_all(first).unwrap();
        let code = std::thread::spawn(move || {
            serve(&Ops, BufReader::new(input), output, move || {
                let _ = tx.send(());
            })
        });
        TestWorker { tell, hear: BufReader::new(said), code, orphaned }
    }

    fn next(worker: &mut TestWorker) -> FromWorker {
        let mut line = String::new();
        worker.hear.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_worker_tells_its_progress_and_last_its_result() {
        let mut worker = start_worker(&start("echo"));
        assert!(matches!(next(&mut worker), FromWorker::Progress { done: 1, total: 2, .. }));
        assert!(matches!(next(&mut worker), FromWorker::Note { text } if text == "half way"));
        assert!(matches!(next(&mut worker), FromWorker::Caveat { caveat } if caveat.count == Some(3)));
        assert!(matches!(next(&mut worker), FromWorker::Progress { done: 2, .. }));
        let FromWorker::Done { outcome, peak_memory } = next(&mut worker) else { panic!("no result") };
        assert_eq!(outcome.values["x"], 0.1);
        assert!(peak_memory.is_none_or(|m| m > 1_000_000));
        assert_eq!(worker.code.join().unwrap(), 0);
        drop(worker.tell);
        assert!(worker.orphaned.recv().is_err(), "the end of the input after the work is no alarm");
    }

    #[test]
    fn a_worker_stops_when_it_is_told() {
        let mut worker = start_worker(&start("until_cancelled"));
        assert!(matches!(next(&mut worker), FromWorker::Note { .. }));
        let mut line = serde_json::to_vec(&ToWorker::Cancel).unwrap();
        line.push(b'\n');
        worker.tell.write_all(&line).unwrap();
        let FromWorker::Failed { failure } = next(&mut worker) else { panic!("no failure") };
        assert_eq!((failure.kind, worker.code.join().unwrap()), (FailureKind::Interrupted, 1));
    }

    #[test]
    fn a_worker_notices_that_its_parent_is_gone() {
        let mut worker = start_worker(&start("until_cancelled"));
        assert!(matches!(next(&mut worker), FromWorker::Note { .. }));
        drop(worker.tell);
        assert!(worker.orphaned.recv().is_ok());
    }

    #[test]
    fn a_defect_a_missing_operation_and_nonsense_are_failures() {
        for (first, kind) in [
            (start("breaks"), FailureKind::Bug),
            (start("none"), FailureKind::Missing),
            (b"hello\n".to_vec(), FailureKind::Bug),
        ] {
            let mut worker = start_worker(&first);
            let FromWorker::Failed { failure } = next(&mut worker) else { panic!("no failure") };
            assert_eq!(failure.kind, kind, "{failure}");
        }
    }
}
