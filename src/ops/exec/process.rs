//! Runs an external program: a clean environment, its output as notes, ended with all it started on a stop.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::inputs::plain;
use crate::data::lines::decode;
use crate::data::place;
use crate::task::{Failure, Job};

/// Variables a program sees beside the declared ones.
const PASSED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LANG"];
const LAST_LINES: usize = 10;
const LONGEST_LINE: u64 = 4096;
const GRACE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Call<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [String],
    pub(super) reads: &'a [(String, String)],
    pub(super) spec: &'a Path,
    pub(super) out: &'a Path,
    pub(super) folder: &'a Path,
}

/// Runs the program to its end.
///
/// # Errors
/// It cannot be started, ends with another code than 0 or by a signal, or a stop was asked for.
pub(super) fn run(job: &Job<'_>, call: &Call<'_>) -> Result<(), Failure> {
    write_spec(job, call)?;
    let shown = place::quote(&call.program.display().to_string());
    let mut command = Command::new(call.program);
    command
        .args(call.args)
        .arg("--out")
        .arg(call.out)
        .args(call.reads.iter().map(|(name, value)| format!("{name}={value}")))
        .current_dir(call.folder)
        .env_clear()
        .envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(declared) = job.arg("env").as_record() {
        for (name, value) in declared.iter() {
            let text = plain(value).ok_or_else(|| {
                Failure::wrong(format!("env.{name}: found a value that is no text or number"))
            })?;
            command.env(&**name, text);
        }
    }
    command.env("XPIPE_SPEC", call.spec).env("XPIPE_OUT", call.out);
    let mut child = start(&mut command).map_err(|e| not_started(&shown, call.program, &e))?;
    let streams = (child.stdout.take(), child.stderr.take());
    let last = Mutex::new(VecDeque::new());
    let waited = std::thread::scope(|scope| {
        let listen = |stream: Option<Box<dyn Read + Send>>| {
            if let Some(stream) = stream {
                scope.spawn(|| hear(job, stream, &last));
            }
        };
        listen(streams.0.map(|s| Box::new(s) as Box<dyn Read + Send>));
        listen(streams.1.map(|s| Box::new(s) as Box<dyn Read + Send>));
        let waited = wait(job, &mut child);
        // What the program left running would hold its pipes open, and must not outlive the stage.
        signal(&child, Signal::KILL);
        waited
    });
    let status = waited?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed by signal 9, maybe for lack of memory".to_owned(),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    };
    let said: Vec<String> = last.into_inner().unwrap_or_else(PoisonError::into_inner).into();
    let said = if said.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("the last it said:\n  {}", said.join("\n  "))
    };
    Err(Failure::wrong(format!("the program {shown} {how}; {said}"))
        .help("run it by hand with the same arguments; 0 is the code of success"))
}

/// Starts it; a file that is still open for writing somewhere is tried again for a second.
fn start(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::sleep(LOOK_EVERY),
            other => return other,
        }
    }
    command.spawn()
}

fn write_spec(job: &Job<'_>, call: &Call<'_>) -> Result<(), Failure> {
    let reads: serde_json::Map<String, serde_json::Value> =
        call.reads.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let spec = serde_json::json!({
        "version": 1,
        "args": call.args,
        "reads": reads,
        "out": call.out,
        "gives": job.text("gives")?,
    });
    let text = serde_json::to_vec_pretty(&spec).map_err(|e| Failure::bug(e.to_string()))?;
    std::fs::write(call.spec, text).map_err(|e| place::io(call.spec, e))
}

fn not_started(shown: &str, program: &Path, e: &std::io::Error) -> Failure {
    use std::io::ErrorKind as K;
    let start = format!("the program {shown} cannot be started");
    match e.kind() {
        K::NotFound if program.exists() => {
            Failure::missing(format!("{start}: what its first line names is not on this machine"))
                .help("install the interpreter, or correct the line that starts with `#!`")
        }
        K::NotFound => Failure::missing(format!("{start}: there is no such file")).help("check the path"),
        K::PermissionDenied => Failure::missing(format!("{start}: it is not executable"))
            .help(format!("run `chmod +x {}`", program.display())),
        _ => Failure::missing(format!("{start}: {e}"))
            .help("a script needs a first line such as `#!/usr/bin/env python3`"),
    }
}

/// Passes lines on as notes and keeps the last.
fn hear(job: &Job<'_>, stream: Box<dyn Read + Send>, last: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = decode(&bytes).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        job.progress.note(&line);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

fn wait(job: &Job<'_>, child: &mut Child) -> Result<ExitStatus, Failure> {
    let mut stopping: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return if stopping.is_some() { Err(Failure::interrupted()) } else { Ok(status) };
        }
        match stopping {
            None if job.progress.cancelled() => {
                signal(child, Signal::TERM);
                stopping = Some(Instant::now());
            }
            Some(since) if since.elapsed() > GRACE => signal(child, Signal::KILL),
            _ => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Signals the program and what it started; they may be gone already.
fn signal(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}
