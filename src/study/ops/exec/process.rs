//! Runs an external program: a clean environment, its output in a log, ended with all it started on a stop.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::secret::{self, Secret};
use super::output::Output;
use super::plain;
use xpipe_base::place;
use xpipe_base::task::{Failure, FailureKind, Job};
use xpipe_engine::process::{self, End, Program};

/// Variables a program sees beside the declared ones.
const PASSED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "LANG"];
const GRACE: Duration = Duration::from_secs(5);
/// Time limit for reading the remaining output of a program that has ended.
const READ_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct ProgramCall<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [OsString],
    pub(super) reads: &'a [(String, String)],
    pub(super) spec: &'a Path,
    pub(super) out: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) secrets: &'a [Secret],
}

/// The secrets that a job's program gets.
///
/// # Errors
/// A variable is not set.
pub(super) fn secrets(job: &Job<'_>) -> Result<Vec<Secret>, Failure> {
    let mut secrets = Vec::new();
    for value in job.arg("env").as_record().into_iter().flat_map(|env| env.values()) {
        secrets.extend(secret::read(value)?);
    }
    Ok(secrets)
}

/// Runs the program to its end.
///
/// # Errors
/// The program cannot be started, ends with a code other than 0 or by a signal, or a stop was requested.
pub(super) fn run(job: &Job<'_>, call: &ProgramCall<'_>) -> Result<(), Failure> {
    write_spec(job, call)?;
    let shown = place::quote(&call.program.display().to_string());
    let mut args = call.args.to_vec();
    args.extend(["--out".into(), call.out.into()]);
    args.extend(call.reads.iter().map(|(name, value)| OsString::from(format!("{name}={value}"))));
    let env = environment(job, call)?;
    let log = &job.spec.log;
    let output = Output::new(log, call.secrets).map_err(|e| place::io(log, e))?;
    let output = Arc::new(Mutex::new(output));
    let start = process::Call { program: call.program, args, env, folder: call.folder };
    #[cfg(test)]
    process::guard_arguments(&[
        "--exact",
        "ops::exec::tests::plays_the_guard",
        "--ignored",
        "--nocapture",
        "--quiet",
    ]);
    let (mut program, said) = Program::start(&start).map_err(|e| not_started(&shown, call.program, &e))?;
    let heard = hear(said, &output)?;
    let ended = wait(job, &mut program, &output);
    let left = ended.as_ref().is_ok_and(|end| matches!(end, End::Unkillable(_)));
    drop(program);
    if !left {
        let _ = heard.recv_timeout(READ_WITHIN);
    }
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.end();
    let how = match ended? {
        End::Code(0) => return Ok(()),
        End::Code(code) => format!("ended with exit code {code}"),
        End::Signal(9) => "was killed by signal 9, maybe for lack of memory".to_owned(),
        End::Signal(signal) => format!("was ended by signal {signal}"),
        End::Lost => "was ended together with the process that watches over it".to_owned(),
        End::Unkillable(n) => {
            return Err(Failure::wrong(format!(
                "the program {shown} left {} running, which cannot be ended: what it wrote may still change",
                place::count(n, "process")
            ))
            .help("look for a process that waits for a disk or a file server"));
        }
    };
    Err(Failure {
        kind: FailureKind::Transient,
        message: format!("the program {shown} {how}; {}", output.told()),
        help: Some(
            "run it by hand with the same arguments; 0 is the code of success. `retries` in `with` tries again".into(),
        ),
    })
}

fn environment(job: &Job<'_>, call: &ProgramCall<'_>) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut env: Vec<(OsString, OsString)> =
        PASSED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
    // Python keeps back what it prints into a pipe: the log would come late, and out of order with its errors.
    env.push(("PYTHONUNBUFFERED".into(), "1".into()));
    if let Some(declared) = job.arg("env").as_record() {
        for (name, value) in declared.iter() {
            let text = match secret::read(value)? {
                Some(secret) => secret.value,
                None => plain(value).ok_or_else(|| {
                    Failure::wrong(format!("env.{name}: found a value that is no text or number"))
                })?,
            };
            env.push(((&**name).into(), text.into()));
        }
    }
    env.push(("XPIPE_SPEC".into(), call.spec.into()));
    env.push((process::OUT.into(), call.out.into()));
    Ok(env)
}

fn write_spec(job: &Job<'_>, call: &ProgramCall<'_>) -> Result<(), Failure> {
    let reads: serde_json::Map<String, serde_json::Value> =
        call.reads.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let args: Vec<_> = call.args.iter().map(|a| a.to_string_lossy()).collect();
    let spec = serde_json::json!({
        "version": 1,
        "args": args,
        "reads": reads,
        "out": call.out.to_string_lossy(),
        "gives": job.text("gives")?,
    });
    let text = serde_json::to_vec_pretty(&spec).map_err(|e| Failure::bug(e.to_string()))?;
    std::fs::write(call.spec, text).map_err(|e| place::io(call.spec, e))
}

fn not_started(shown: &str, program: &Path, e: &std::io::Error) -> Failure {
    // What is wrong with the file was looked for before the run, and may have become so since.
    match super::contract::startable(program) {
        Err(failure) => failure,
        Ok(()) => Failure::missing(format!("the program {shown} cannot be started: {e}"))
            .help("run it by hand; for want of threads or memory, let fewer stages run at once"),
    }
}

/// Reads the program's output on a thread that ends with its streams. The wait for it is bounded, since a process that
/// escaped may hold a stream open.
fn hear(
    mut said: impl Read + Send + 'static,
    output: &Arc<Mutex<Output>>,
) -> Result<std::sync::mpsc::Receiver<()>, Failure> {
    let (done, heard) = std::sync::mpsc::channel();
    let output = output.clone();
    let listen = move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = said.read(&mut buffer) {
            output.lock().unwrap_or_else(PoisonError::into_inner).take(&buffer[..n]);
        }
        let _ = done.send(());
    };
    std::thread::Builder::new().spawn(listen).map(|_| heard).map_err(Failure::no_threads)
}

fn wait(job: &Job<'_>, program: &mut Program, output: &Mutex<Output>) -> Result<End, Failure> {
    let mut stopping: Option<Instant> = None;
    let mut told = 0;
    loop {
        if let Some(end) = program.ended() {
            return if stopping.is_some() { Err(Failure::interrupted()) } else { Ok(end) };
        }
        match stopping {
            None if job.progress.cancelled() => {
                program.stop();
                stopping = Some(Instant::now());
            }
            // Whoever drops it ends it by force.
            Some(since) if since.elapsed() > GRACE => return Err(Failure::interrupted()),
            _ => {}
        }
        let output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, last) = output.now();
        if lines > told {
            told = lines;
            let last: String = last.chars().take(60).collect();
            job.progress.progress(lines, 0, "lines", &last);
        }
    }
}
