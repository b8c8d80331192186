//! `xpipe logs`: what programs and workers of a run wrote, and what happened in it.

mod follow;

use std::path::Path;

use super::options::Common;
use super::{out, progress};
use xpipe_base::value::human;
use xpipe_engine::EventSink as _;
use xpipe_study::session::{ActionLog, Error, LogQuery, RunFolder, find_logs};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// A run (the beginning of its name), or a stage or cell. Default: the newest run.
    what: Option<String>,
    /// The run of the stage. Default: the newest that has a log of it.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Go on printing until the run ends.
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    if common.json && args.follow {
        return Err(Error::usage(
            "`--follow` prints text; leave out `--json`, or read events.jsonl of the run",
        ));
    }
    let store = common.settings().open_to_read()?;
    match find_logs(&store, args.what.as_deref(), args.run.as_deref())? {
        LogQuery::Run(run) if args.follow => follow::follow_run(&store, &run)?,
        LogQuery::Run(run) => print_run(&run, common.json)?,
        LogQuery::Stage(run, logs) if common.json => out::json(&json(&run, &logs)),
        LogQuery::Stage(run, _) if args.follow => {
            follow::follow_logs(&store, &run, args.what.as_deref().unwrap_or_default())?;
        }
        LogQuery::Stage(_, logs) => print_logs(&logs)?,
    }
    Ok(0)
}

fn json(run: &RunFolder, logs: &[ActionLog]) -> serde_json::Value {
    let logs = logs.iter().map(
        |l| serde_json::json!({ "address": l.address, "state": l.state, "bytes": l.bytes, "path": l.path }),
    );
    serde_json::json!({ "run": run.name, "folder": run.path, "logs": logs.collect::<Vec<_>>() })
}

/// Prints what happened in a run, and its logs.
fn print_run(run: &RunFolder, as_json: bool) -> Result<(), Error> {
    let logs = run.logs()?;
    if as_json {
        out::json(&json(run, &logs));
        return Ok(());
    }
    let mut view = progress::Plain::new(Lines);
    for event in run.events()? {
        view.event(event.at, &event.what);
    }
    out::line(&format!("run {}: {}", run.name, run.path.display()));
    for log in logs {
        out::line(&format!(
            "{:>10}  {:<8}  {}: {}",
            human::size(log.bytes),
            log.state,
            log.address,
            log.path.display()
        ));
    }
    Ok(())
}

/// Prints logs, each below its address where there are several.
fn print_logs(logs: &[ActionLog]) -> Result<(), Error> {
    for log in logs {
        if logs.len() > 1 {
            out::line(&format!("==> {} ({}) <==", log.address, log.state));
        }
        let text = std::fs::read(&log.path).map_err(|e| unreadable(&log.path, &e))?;
        out::say(&String::from_utf8_lossy(&text));
    }
    Ok(())
}

fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::missing(format!("cannot read {}: {e}", path.display()))
}

/// A writer of standard output for the plain view.
struct Lines;

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        out::say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
