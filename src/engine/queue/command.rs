//! Calls of a queue's programs: a clean environment, an end after a while.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program of a queue may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Variables of the queue's programs that change their output, and those of a job that this process may itself be.
const STRIPPED: [&str; 5] = ["SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_"];
/// Of these, the one that says where the cluster is.
const KEPT: &str = "SLURM_CONF";

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) ok: bool,
    /// Its exit code; `None` after a signal.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// Why a program gave no answer.
#[derive(Debug)]
pub(super) enum Silent {
    /// There is no such program.
    Absent(String),
    /// It did not end in time, or could not be called.
    Other(String),
}

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Absent(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}

/// Calls a program with a text on its standard input.
pub(super) fn call(program: &str, args: &[String], input: &str) -> Result<Said, Silent> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        let strip = name.to_str().is_some_and(|n| n != KEPT && STRIPPED.iter().any(|s| n.starts_with(s)));
        if strip {
            command.env_remove(name);
        }
    }
    // Ctrl-C reaches this process only.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Silent::Absent(format!("there is no program `{program}` on PATH")),
        _ => Silent::Other(format!("`{program}` cannot be started: {e}")),
    })?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read its input says so itself.
        let _ = pipe.write_all(input.as_bytes());
    }
    let out = child.stdout.take().map(gather);
    let err = child.stderr.take().map(gather);
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                let why =
                    other.err().map_or_else(|| "did not end within a minute".to_owned(), |e| e.to_string());
                return Err(Silent::Other(format!("`{program}` {why}")));
            }
        }
    };
    let text = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = thread.and_then(|t| t.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Said { ok: status.success(), code: status.code(), out: text(out), err: text(err).trim().to_owned() })
}

/// Reads a stream to its end on a thread of its own.
fn gather(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// A word of a shell script.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:+@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_input_and_its_end_is_told() {
        let args = |text: &str| vec!["-c".to_owned(), text.to_owned()];
        let said = call("sh", &args("cat; echo no >&2; exit 3"), "hello").unwrap();
        assert_eq!((said.ok, said.code), (false, Some(3)));
        assert_eq!((said.out.as_str(), said.err.as_str()), ("hello", "no"));
        assert!(matches!(call("xpipe-no-such-program", &[], ""), Err(Silent::Absent(_))));
    }

    #[test]
    fn words_of_a_shell_stay_words() {
        for text in ["a b", "it's", "", "$HOME", "plain/path-1.txt"] {
            let said = call("sh", &["-c".into(), format!("printf %s {}", shell_word(text))], "").unwrap();
            assert_eq!(said.out, text);
        }
    }
}
