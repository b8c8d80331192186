//! Telling others of a run: a command or a web address gets a JSON object at the first failure and at the end. It is bounded
//! in time, and its own failure is a note, never the run's.

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::error::Error;
use super::notice::{Listener, Notice};
use super::outcome::RunOutcome;
use xpipe_engine::{Event, EventSink, net};

/// How long a command or a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who is told of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NotifyRequest {
    /// A command for `sh -c`: the object is on its standard input, the event in XPIPE_EVENT.
    pub command: Option<String>,
    /// A web address that gets the object by POST. It may hold a password, so it is never shown.
    pub url: Option<String>,
}

/// Sends messages about one run.
pub(super) struct Notifier {
    request: NotifyRequest,
    listener: Listener,
    study: String,
    run: Option<String>,
    told_failure: bool,
    told_end: bool,
    sending: Vec<JoinHandle<()>>,
}

impl Notifier {
    pub(super) fn new(request: NotifyRequest, study: &str, listener: Listener) -> Self {
        let study = study.to_owned();
        Self {
            request,
            listener,
            study,
            run: None,
            told_failure: false,
            told_end: false,
            sending: Vec::new(),
        }
    }

    /// Tells the end of a run, or why it did not begin, if that was not told yet.
    pub(super) fn end(&mut self, outcome: &Result<RunOutcome, Error>) {
        if std::mem::replace(&mut self.told_end, true) {
            return;
        }
        match outcome {
            Ok(done) => {
                let failures = done.failures.iter();
                let failures: Vec<Json> = failures
                    .map(|f| json!({ "address": f.address, "message": f.failure.message, "log": f.log }))
                    .collect();
                self.send(
                    "finished",
                    &json!({
                        "exit": done.code, "seconds": done.seconds, "counts": done.counts,
                        "cancelled": done.cancelled, "failures": failures, "results": done.output,
                    }),
                );
            }
            Err(error) => {
                let details = json!({ "exit": error.exit_code(), "message": error.to_string() });
                self.send("refused", &details);
            }
        }
    }

    /// Waits until everything is sent.
    pub(super) fn wait(self) {
        for thread in self.sending {
            let _ = thread.join();
        }
    }

    fn send(&mut self, event: &'static str, details: &Json) {
        let mut message = json!({
            "event": event, "study": self.study, "run": self.run, "time": jiff::Timestamp::now().to_string(),
        });
        if let (Some(all), Some(details)) = (message.as_object_mut(), details.as_object()) {
            all.extend(details.clone());
        }
        let text = message.to_string();
        if let Some(command) = self.request.command.clone() {
            let text = text.clone();
            self.start("the command of `--notify`", move || run_command(&command, event, &text));
        }
        if let Some(url) = self.request.url.clone() {
            self.start("the address of `--notify-url`", move || post(&url, &text));
        }
    }

    /// Sends on a thread of its own, so that the run goes on.
    fn start(&mut self, to: &'static str, send: impl FnOnce() -> Result<(), String> + Send + 'static) {
        let listener = self.listener.clone();
        let tell = move || {
            if let Err(why) = send() {
                listener(&Notice::NotNotified { to, why });
            }
        };
        match std::thread::Builder::new().spawn(tell) {
            Ok(thread) => self.sending.push(thread),
            Err(e) => (self.listener)(&Notice::NotNotified { to, why: e.to_string() }),
        }
    }
}

impl EventSink for Notifier {
    fn event(&mut self, _: f64, event: &Event) {
        match event {
            Event::RunStarted { run, .. } => self.run = Some(run.clone()),
            Event::Failed { address, failure, log, .. } if !self.told_failure => {
                self.told_failure = true;
                let details = json!({
                    "address": address, "message": failure.message, "help": failure.help, "log": log,
                });
                self.send("failed", &details);
            }
            _ => {}
        }
    }
}

fn run_command(command: &str, event: &str, text: &str) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("XPIPE_EVENT", event)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("it cannot be started: {e}"))?;
    // Smaller than a pipe's buffer, unless very many stages failed; a command that does not read is killed below.
    let input = child.stdin.take();
    let text = text.to_owned();
    let writer = std::thread::Builder::new().spawn(move || {
        let written = input.map_or(Ok(()), |mut pipe| pipe.write_all(text.as_bytes()));
        // It need not read what it is told.
        written.or_else(|e| if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
    });
    let ended = wait(&mut child);
    // What it left running may hold the pipe.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
    if let Ok(writer) = writer {
        let _ = writer.join();
    }
    ended
}

fn wait(child: &mut Child) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Ok(None) if begun.elapsed() >= TIMEOUT => {
                return Err(format!("it took more than {} s and was ended", TIMEOUT.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(e) => return Err(e.to_string()),
        }
    }
}

fn post(url: &str, text: &str) -> Result<(), String> {
    let agent: ureq::Agent = net::agent().timeout_global(Some(TIMEOUT)).build().into();
    let answer = agent.post(url).content_type("application/json").send(text);
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.status())),
        // The address itself is not shown.
        Err(e) => Err(e.to_string().replace(url, "it")),
    }
}
