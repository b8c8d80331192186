//! Printing to standard output and standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::printable::{printable, printable_coloured, printable_json};
use xpipe_base::diag::{Diagnostics, render};
use xpipe_lang::syntax::source::SourceMap;
use xpipe_study::session::{Error, Listener, exit};

/// Why standard output could not be written.
static WRITE_ERROR: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a text to standard output as it is.
pub(super) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        keep_write_error(e);
    }
}

/// Keeps the first error of writing to standard output. A closed pipe is no error: whoever reads may stop.
pub(super) fn keep_write_error(e: std::io::Error) {
    if e.kind() != std::io::ErrorKind::BrokenPipe {
        WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    }
}

/// The exit code of a verb that ends with `code`; an error of writing to standard output makes it a failure.
pub(super) fn finish(code: u8) -> u8 {
    let Some(e) = WRITE_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take() else { return code };
    warn(&format!("error: standard output cannot be written: {e}"));
    warn("  help: free space where it goes, and run again; what is in the cache stays");
    if code == 0 { exit::MISSING } else { code }
}

/// Prints a text to standard output.
pub(super) fn say(text: &str) {
    raw(&printable(text));
}

/// Prints a text that may have colours to standard output.
pub(super) fn say_coloured(text: &str) {
    raw(&printable_coloured(text));
}

/// Prints a line to standard output.
pub(super) fn line(text: &str) {
    say(&format!("{text}\n"));
}

/// Prints a text to standard error.
pub(super) fn warn(text: &str) {
    warn_raw(&printable(text));
}

fn warn_raw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Prints a JSON value.
pub(super) fn json(value: &serde_json::Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    raw(&format!("{}\n", printable_json(&text)));
}

/// Prints why a verb ends early; returns the exit code.
pub(super) fn print_error(error: Error, as_json: bool) -> u8 {
    let code = error.exit_code();
    match error {
        Error::Study { diagnostics, sources } if as_json => json(&serde_json::json!({
            "error": "the study is wrong", "help": "`diagnostics` says where", "exit": code,
            "diagnostics": render::json(&diagnostics.sorted(), &*sources),
        })),
        Error::Other { message, help, .. } if as_json => {
            json(&serde_json::json!({ "error": message, "help": help, "exit": code }));
        }
        other => warn_of_error(&other),
    }
    code
}

/// Prints an error to standard error.
pub(super) fn warn_of_error(error: &Error) {
    match error {
        Error::Study { diagnostics, sources } => print_diagnostics(diagnostics, sources, false),
        Error::Other { message, help, .. } => {
            warn(&format!("error: {message}"));
            if let Some(help) = help {
                warn(&format!("  help: {help}"));
            }
        }
    }
}

/// Warns of damaged results.
pub(super) fn warn_of_damage(damaged: &[String]) {
    damaged.iter().for_each(|d| warn(&format!("damaged: {d}")));
    if !damaged.is_empty() {
        warn("  help: `xpipe run` computes damaged results again");
    }
}

/// A listener that prints notices to standard error.
pub(super) fn listener() -> Listener {
    Arc::new(|notice| warn(&notice.to_string()))
}

/// Prints diagnostics: with source excerpts to standard error, or in short form to standard output.
pub(super) fn print_diagnostics(list: &Diagnostics, sources: &SourceMap, short: bool) {
    let sorted = list.sorted();
    if short {
        say(&render::short(&sorted, sources));
    } else if !sorted.is_empty() {
        let terminal = std::io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let width = 100;
        let text =
            render::graphical(&sorted, sources, render::RenderStyle { colour, unicode: terminal, width });
        warn_raw(&if colour { printable_coloured(text.trim_end()) } else { printable(text.trim_end()) });
    }
}
