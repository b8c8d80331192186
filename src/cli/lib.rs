//! xpipe runs studies of re-ranking models written in one `.xpipe` file. This crate is its command line: one file a
//! verb. The only place that prints.
//!
//! `src/ARCHITECTURE.md` is the map: which crate and which folder owns what, and who may use whom.

pub mod args;
pub mod check;
pub mod progress;

mod cache;
mod describe;
mod diff;
mod doctor;
mod estimate;
mod explain;
mod export;
mod failed;
mod fetch;
mod fetching;
mod fmt;
mod graph;
mod init;
mod job;
mod lock;
mod models;
mod out;
mod page;
mod plan;
mod printable;
mod read_only;
mod reference;
mod report;
mod results;
mod run;
mod runner;
mod show;
mod small_files;
mod sound;
mod study;
mod why;

use clap::Parser;

use args::{Cli, Verb};
use out::Stop;

/// Runs the program with the arguments of this process; returns the exit code.
pub fn main() -> u8 {
    xpipe_study::ops::exec::builtin::register(&[xpipe_rust_docs::PROGRAM]);
    xpipe_engine::process::refuse_large_files();
    let ended = xpipe_engine::caught(|| Ok(verb()));
    ended.unwrap_or_else(|failure| {
        let as_json = std::env::args_os().any(|a| a == "--json");
        out::settled(Stop::from(failure).print(as_json))
    })
}

/// What is not UTF-8 among the arguments and the variables that name places: JSON, manifests and messages hold paths as
/// text.
fn not_text() -> Option<String> {
    const PLACES: [&str; 8] = [
        "XPIPE_CACHE",
        "XPIPE_MODELS",
        "XPIPE_MIRROR",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HOME",
    ];
    let argument = std::env::args_os().find(|a| a.to_str().is_none());
    argument.map(|a| format!("the argument {} is", a.display())).or_else(|| {
        let odd = |name: &&str| std::env::var_os(name).is_some_and(|v| v.to_str().is_none());
        PLACES.iter().find(|name| odd(name)).map(|name| format!("the path in {name} is"))
    })
}

fn verb() -> u8 {
    if let Some(what) = not_text() {
        let as_json = std::env::args_os().any(|a| a == "--json");
        let message = format!("{what} not UTF-8; give a path that is");
        return out::settled(Stop::usage(message).print(as_json));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // What was not understood cannot say that it asked for JSON; its arguments can.
            if e.use_stderr() && std::env::args().any(|a| a == "--json") {
                let text = e.to_string();
                let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
                return out::settled(Stop::usage(message).print(true));
            }
            if let Err(e) = e.print() {
                out::lose(e);
            }
            return out::settled(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match &cli.verb {
        Verb::Run(a) => run::run(a, &cli.common),
        Verb::Fetch(a) => fetch::fetch(a, &cli.common),
        Verb::Plan(a) => plan::plan(a, &cli.common),
        Verb::Check(a) => check::check(a, &cli.common),
        Verb::Why(a) => why::why(a, &cli.common),
        Verb::Show(a) => show::show(a, &cli.common),
        Verb::Report(a) => report::report(a, &cli.common),
        Verb::Graph(a) => graph::graph(a, &cli.common),
        Verb::Export(a) => export::export(a, &cli.common),
        Verb::Cache(a) => cache::cache(a, &cli.common),
        Verb::Explain(a) => explain::explain(a, &cli.common),
        Verb::Fmt(a) => fmt::fmt(a, &cli.common),
        Verb::Describe(a) => describe::describe(a, &cli.common),
        Verb::Init(a) => init::init(a, &cli.common),
        Verb::Doctor(a) => doctor::doctor(a, &cli.common),
        Verb::Diff(a) => diff::diff(a, &cli.common),
        Verb::Worker => return worker(),
        Verb::Guard => return xpipe_engine::process::guard_main(),
    };
    out::settled(match result {
        Ok(code) => code,
        Err(stop) => stop.print(cli.common.json),
    })
}

fn worker() -> u8 {
    let runner = runner::Local::new(&args::Common::default(), lock::Lock::default());
    u8::try_from(xpipe_engine::worker_main(&runner)).unwrap_or(70)
}

/// The parser of the command line, for completions and tests.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
