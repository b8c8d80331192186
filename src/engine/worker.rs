//! The child's side of a heavy action: `xpipe worker`.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::call::{call, caught};
use super::plan::Runner;
use super::protocol::{FromWorker, ToWorker};
use crate::task::{Failure, Job, Progress};

/// Runs the one action that the parent names on standard input, and returns the exit code. When the parent goes away,
/// this process and the programs it started are killed at once.
pub fn worker_main(runner: &dyn Runner) -> i32 {
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
    mut input: impl BufRead + Send + 'static,
    output: impl Write + Send,
    orphaned: impl FnOnce() + Send + 'static,
) -> i32 {
    let output = Mutex::new(output);
    let say = |message: &FromWorker| {
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more: the end of the input tells that too.
        let _ = output.write_all(&line).and_then(|()| output.flush());
    };
    let mut line = String::new();
    let spec = match input.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(ToWorker::Start { spec })) => spec,
        Ok(Ok(ToWorker::Cancel)) => {
            say(&FromWorker::Failed { failure: Failure::interrupted() });
            return 1;
        }
        Ok(Err(e)) => {
            say(&FromWorker::Failed {
                failure: Failure::bug(format!("the worker cannot read its spec: {e}")),
            });
            return 1;
        }
        Err(e) => {
            say(&FromWorker::Failed {
                failure: Failure::bug(format!("the worker cannot read its input: {e}")),
            });
            return 1;
        }
    };
    let cancelled = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    {
        let (cancelled, over) = (cancelled.clone(), over.clone());
        std::thread::spawn(move || {
            let mut line = String::new();
            loop {
                line.clear();
                match input.read_line(&mut line) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        if matches!(serde_json::from_str(&line), Ok(ToWorker::Cancel)) {
                            cancelled.store(true, Ordering::SeqCst);
                        }
                    }
                }
            }
            if !over.load(Ordering::SeqCst) {
                orphaned();
            }
        });
    }
    let progress = Said { say: &say, cancelled: &cancelled, last: Mutex::new(None) };
    let job = Job { spec: &spec, progress: &progress };
    let result = match runner.implementation(&spec.op) {
        Some(run) => caught(|| call(run, &job)),
        None => Err(Failure::missing(format!("`{}` has no implementation in this build", spec.op))),
    };
    over.store(true, Ordering::SeqCst);
    match result {
        Ok(outcome) => {
            say(&FromWorker::Done { outcome, peak_memory: peak_memory() });
            0
        }
        Err(failure) => {
            say(&FromWorker::Failed { failure });
            1
        }
    }
}

/// Tells about progress at most ten times a second.
struct Said<'a, F: Fn(&FromWorker)> {
    say: &'a F,
    cancelled: &'a AtomicBool,
    last: Mutex<Option<Instant>>,
}

// The closure locks its output, so that any thread may speak.
impl<F: Fn(&FromWorker) + Sync> Progress for Said<'_, F> {
    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if due(&self.last, done == total) {
            (self.say)(&FromWorker::Progress { done, total, unit: unit.into(), note: note.into() });
        }
    }

    fn note(&self, text: &str) {
        (self.say)(&FromWorker::Note { text: text.into() });
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// Whether a tenth of a second has passed since the last time this said yes.
pub(crate) fn due(last: &Mutex<Option<Instant>>, always: bool) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let due = always || last.is_none_or(|l| now.duration_since(l) >= Duration::from_millis(100));
    if due {
        *last = Some(now);
    }
    due
}

/// The most memory this process has used, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
