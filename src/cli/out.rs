//! Printing, and what ends a verb early.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use super::printable::{printable, printable_coloured, printable_json};
use xpipe_base::diag::{Diagnostics, render};
use xpipe_base::task::{Failure, FailureKind};
use xpipe_lang::syntax::source::SourceMap;

/// Why standard output could not be written.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a text to standard output as it is.
pub(super) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        lose(e);
    }
}

/// Keeps why something was not printed. Whoever reads may stop reading: a closed pipe is no error.
pub(super) fn lose(e: std::io::Error) {
    if e.kind() != std::io::ErrorKind::BrokenPipe {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    }
}

/// The exit code of a verb that came to `code`: what was to be printed and was not is an error.
pub(super) fn settled(code: u8) -> u8 {
    let Some(e) = LOST.lock().unwrap_or_else(PoisonError::into_inner).take() else { return code };
    warn(&format!("error: standard output cannot be written: {e}"));
    warn("  help: free space where it goes, and run again; what is in the cache stays");
    if code == 0 { 4 } else { code }
}

/// Prints a text to standard output.
pub(super) fn say(text: &str) {
    raw(&printable(text));
}

/// Prints a text of ours that may have colours to standard output.
pub(super) fn say_coloured(text: &str) {
    raw(&printable_coloured(text));
}

/// Prints a line to standard output.
pub(super) fn line(text: &str) {
    say(&format!("{text}\n"));
}

/// Prints a text to standard error.
pub(super) fn warn(text: &str) {
    warn_as_it_is(&printable(text));
}

fn warn_as_it_is(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Prints a JSON value.
pub(super) fn json(value: &serde_json::Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    raw(&format!("{}\n", printable_json(&text)));
}

/// Why a verb ends without doing its work.
#[derive(Debug)]
pub(super) enum Stop {
    /// The study is wrong: exit 3.
    Study { diagnostics: Box<Diagnostics>, sources: Box<SourceMap>, short: bool },
    /// Anything else, with its exit code.
    Other { code: u8, message: String, help: Option<String> },
}

impl Stop {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Other { code: 2, message: message.into(), help: None }
    }

    pub(super) fn missing(message: impl Into<String>, help: Option<String>) -> Self {
        Self::Other { code: 4, message: message.into(), help }
    }

    /// What is wrong, in a line.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Study { .. } => "the study is wrong",
            Self::Other { message, .. } => message,
        }
    }

    /// The same with what makes it matter.
    pub(super) fn because(self, reason: &str) -> Self {
        match self {
            Self::Other { code, message, help } => {
                Self::Other { code, message: format!("{message}; {reason}"), help }
            }
            study @ Self::Study { .. } => study,
        }
    }

    pub(super) fn print(self, as_json: bool) -> u8 {
        match self {
            Self::Study { diagnostics, sources, short } => {
                if as_json {
                    json(&serde_json::json!({
                        "error": "the study is wrong", "help": "`diagnostics` says where", "exit": 3,
                        "diagnostics": render::json(&diagnostics.sorted(), &*sources),
                    }));
                } else {
                    show_diagnostics(&diagnostics, &sources, short);
                }
                3
            }
            Self::Other { code, message, help } => {
                if as_json {
                    json(&serde_json::json!({ "error": message, "help": help, "exit": code }));
                } else {
                    warn(&format!("error: {message}"));
                    if let Some(h) = help {
                        warn(&format!("  help: {h}"));
                    }
                }
                code
            }
        }
    }
}

impl From<xpipe_engine::cache::Error> for Stop {
    fn from(e: xpipe_engine::cache::Error) -> Self {
        Self::Other { code: e.exit_code(), message: e.to_string(), help: e.help().map(str::to_owned) }
    }
}

impl From<Failure> for Stop {
    fn from(f: Failure) -> Self {
        let code = match f.kind {
            FailureKind::Missing => 4,
            FailureKind::Bug => 70,
            FailureKind::Interrupted => 130,
            FailureKind::Wrong | FailureKind::Transient => 1,
        };
        Self::Other { code, message: f.message, help: f.help }
    }
}

/// Prints diagnostics as asked for.
pub(super) fn show_diagnostics(list: &Diagnostics, sources: &SourceMap, short: bool) {
    let sorted = list.sorted();
    if short {
        say(&render::short(&sorted, sources));
    } else if !sorted.is_empty() {
        use std::io::IsTerminal as _;
        let terminal = std::io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let width = 100;
        let text = render::graphical(&sorted, sources, render::Look { colour, unicode: terminal, width });
        warn_as_it_is(&if colour { printable_coloured(text.trim_end()) } else { printable(text.trim_end()) });
    }
}
