//! xpipe runs studies of re-ranking models written in one `.xpipe` file. This crate is its command line: arguments and
//! printing, one file for each verb. It is the only crate that prints.
//!
//! `src/ARCHITECTURE.md` is the map: which crate and which folder owns what, and who may use whom.

mod advice;
mod attach;
mod bundle;
mod cache;
mod cancel;
mod check;
mod console;
mod describe;
mod diff;
mod doctor;
mod doctor_slurm;
mod driver_job;
mod executor;
mod explain;
mod export;
mod fetch;
mod fmt;
mod graph;
mod init;
mod logs;
mod options;
mod out;
mod pieces;
mod plan;
mod printable;
mod progress;
mod reference;
mod remote;
mod report;
mod run;
mod show;
mod signals;
mod status;
mod tables;
mod unbundle;
mod watch;
mod why;
mod worker;

use clap::{Parser, Subcommand};

use options::Common;
use xpipe_study::session::Error;

/// Studies of re-ranking models in one file.
#[derive(Debug, Parser)]
#[command(name = "xpipe", version, about, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

/// The verbs: a sentence for `--help`, and the file with `Args` and `run`.
macro_rules! verbs {
    ($($(#[$help:meta])* $name:ident in $file:ident;)*) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$help])* $name(Box<$file::Args>),)*
            /// Carry out one action; used by `run` itself.
            #[command(hide = true)]
            Worker(worker::Args),
            /// Watch over one program; used by `run` itself.
            #[command(hide = true, name = xpipe_engine::process::GUARD)]
            Guard,
        }

        impl Verb {
            fn run(&self, common: &Common) -> Result<u8, Error> {
                match self {
                    $(Self::$name(args) => $file::run(args, common),)*
                    Self::Worker(args) => Ok(worker::run(args)),
                    Self::Guard => Ok(xpipe_engine::process::guard_main()),
                }
            }
        }
    };
}

verbs! {
    /// Run a study: take results from the cache, compute the rest, and print the tables.
    Run in run;
    /// Download everything that a study reads, without running it.
    Fetch in fetch;
    /// Show what `run` would do.
    Plan in plan;
    /// Check a study without running it.
    Check in check;
    /// Explain why a cell will run, or why it is cached.
    Why in why;
    /// Print tables and claims from cached results, without running.
    Show in show;
    /// Write the HTML page of a study from cached results, without running.
    Report in report;
    /// Draw the graph of a study.
    Graph in graph;
    /// Print what happened in a run, and what its programs and workers wrote.
    Logs in logs;
    /// List, measure, verify, clean or pin the cache; send and take results of a remote cache.
    Cache in cache;
    /// Write a result as files that other tools read (TREC run, qrels, CSV, model folder).
    Export in export;
    /// Write a study with its results to one archive, for a reviewer or another lab.
    Bundle in bundle;
    /// Put the results of a bundle into the cache, and its study into a folder.
    Unbundle in unbundle;
    /// Explain a diagnostic code, or list all codes.
    Explain in explain;
    /// Format studies; comments stay.
    Fmt in fmt;
    /// Describe an operation, objective, type, data set or diagnostic, or list all.
    Describe in describe;
    /// Write a small study to start from.
    Init in init;
    /// Check this machine, or a cluster: what it has, and what would prevent a run.
    Doctor in doctor;
    /// Show what a run is doing, and its jobs.
    Status in status;
    /// Follow a run that another process carries out.
    Attach in attach;
    /// End a run that uses a queue, or the jobs of one of its stages.
    Cancel in cancel;
    /// Compare what two studies compute, cell by cell.
    Diff in diff;
}

/// Runs the program with the arguments of this process; returns the exit code.
pub fn main() -> u8 {
    xpipe_study::ops::exec::builtin::register(&[xpipe_rust_docs::PROGRAM]);
    xpipe_study::ops::exec::builtin::register(&[xpipe_rust_docs::PROGRAM]);
    xpipe_engine::process::file_size_limit_as_error();
    xpipe_engine::process::remember_hangup();
    let ended = xpipe_engine::caught(|| Ok(verb()));
    ended.unwrap_or_else(|failure| out::finish(out::print_error(failure.into(), asks_for_json())))
}

/// Whether `--json` is among the arguments, also when they cannot be parsed.
fn asks_for_json() -> bool {
    std::env::args_os().any(|a| a == "--json")
}

/// What is not UTF-8 among the arguments and the variables that hold paths: JSON, manifests and messages hold paths as
/// text.
fn not_utf8() -> Option<String> {
    const PATHS: [&str; 11] = [
        "XPIPE_CACHE",
        "XPIPE_MODELS",
        "XPIPE_MIRROR",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HOME",
        "XDG_CONFIG_HOME",
        "XPIPE_SETTINGS",
        "XPIPE_SIGNING_KEY",
    ];
    let argument = std::env::args_os().find(|a| a.to_str().is_none());
    argument.map(|a| format!("the argument {} is", a.display())).or_else(|| {
        let odd = |name: &&str| std::env::var_os(name).is_some_and(|v| v.to_str().is_none());
        PATHS.iter().find(|name| odd(name)).map(|name| format!("the path in {name} is"))
    })
}

fn verb() -> u8 {
    if let Some(what) = not_utf8() {
        let error = Error::usage(format!("{what} not UTF-8; give a path that is"));
        return out::finish(out::print_error(error, asks_for_json()));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return out::finish(print_clap_error(&e)),
    };
    let ended = cli.verb.run(&cli.common);
    out::finish(ended.unwrap_or_else(|error| out::print_error(error, cli.common.json)))
}

/// Prints help, the version, or what is wrong with the arguments; returns the exit code.
fn print_clap_error(e: &clap::Error) -> u8 {
    if e.use_stderr() && asks_for_json() {
        let text = e.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return out::print_error(Error::usage(message), true);
    }
    if let Err(e) = e.print() {
        out::keep_write_error(e);
    }
    if e.use_stderr() { xpipe_study::session::exit::USAGE } else { 0 }
}
